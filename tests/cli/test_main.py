"""The command line: what it prints, where, and how bad input ends."""

import contextlib
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from feature_learning import __version__
from feature_learning import choices as words
from feature_learning.cli import point as cli_point
from feature_learning.cli.main import main
from feature_learning.errors import ArgumentError
from feature_learning.experiments import flat, hardware
from feature_learning.experiments.flat import configure, scopes
from feature_learning.experiments.keys import cell_key
from feature_learning.inference import stopwatch
from feature_learning.inference.diagnostics import Convergence, ConvergenceRule
from feature_learning.inference.guards import Guards
from feature_learning.inference.observables import Observer
from feature_learning.model import activations
from feature_learning.samplers import Underdamped, quantised, schedules

SMALL = {
    "dim": 6,
    "sparsity": 2,
    "width": 8,
    "n_train": 20,
    "kappa": 0.1,
    "n_test": 50,
    "langevin_time": 40,
    "step": 0.2,
    "measurements": 20,
    "chains": 2,
}
#: The published protocol has a clock and looks of its own.
PUBLISHED = {"langevin_time": None, "measurements": None, "protocol": "published"}
KEYS = [
    *("test_mse", "test_mse_posterior_mean", "train_mse", "m_S", "noise"),
    *("test_mse_sem", "test_mse_posterior_mean_sem", "train_mse_sem", "m_S_sem", "noise_sem"),
    *("steps", "langevin_time", "seconds", "converged", "r_hat", "ess", "config", "version"),
    "not_converged_because",
]


def arguments(*flags, **options):
    """``point`` with the small problem's options, some replaced; None leaves one out."""
    small = SMALL
    if options.get("method") == "nngp":  # which refuses what is only for chains
        kept = ("dim", "sparsity", "n_train", "kappa")
        kept += ("n_test",) if options.get("nngp_variant") != "as-published" else ()
        small = {name: SMALL[name] for name in kept}
    given_options = {**small, **options}
    pairs = [
        f"--{name.replace('_', '-')}={each}"
        for name, each in given_options.items()
        if each is not None
    ]
    return ["point", *pairs, *flags]


def call(*flags, **options):
    """Exit code, standard output and standard error of a call in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments(*flags, **options))
        except SystemExit as ended:
            code = ended.code
    return code, out.getvalue(), err.getvalue()


def assert_refused(result, *words):
    """Exit code 2, nothing on standard output, one line that has all the words."""
    code, out, err = result
    assert code == 2, (code, out, err)
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    assert err.startswith("feature-learning")
    assert "Traceback" not in err
    for word in words:
        assert word in err.replace("-", "_"), (word, err)


# Good input


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampler": "sgld"},
        {"sampler": "sgld", "batch_size": 7, "step": 0.05, "step_schedule": "polynomial"},
        {"sampler": "quantised", "rounding": "nearest", "quantum_epoch": 5},
        {"sampler": "hmc"},
        {"sampler": "gibbs", "method": "mf", "friction": 0.1},
        {"sampler": "quantised", "quantum": 0.01, "method": "mf-ard", "solver": "collapsed"},
        {"method": "mf", "particles": 5},
        {"method": "mf", "solver": "collapsed"},
        {"method": "mf-ard", "alpha0": 2},
        {"method": "nngp"},
        {"method": "nngp", "nngp_variant": "as-published"},
        {"teacher": "single-index", "degree": 2, "hidden_bias_variance": 0.5},
        PUBLISHED | {"step": 0.5, "chains": 1, "kappa": 0.01},
    ],
    ids=str,
)
def test_json_is_one_object_and_nothing_else_on_standard_output(options):
    code, out, err = call("--json", **options)
    assert code == 0, err
    assert out.count("\n") == 1
    row = json.loads(out, parse_constant=pytest.fail)
    assert row.keys() >= set(KEYS)
    assert row["version"] == __version__
    for name in ("dim", "sparsity", "n_train", "kappa"):
        assert row["config"][name] == options.get(name, SMALL[name])
    for name, value in options.items():
        if value is not None:
            assert row["config"][name] == value
    assert math.isfinite(row["test_mse"])
    if options.get("method") != "nngp":
        assert "step" in err  # the progress


def test_an_automatic_friction_is_reported_as_its_number():
    code, out, err = call("--json", "--quiet", friction="auto")
    assert (code, err) == (0, "")
    assert json.loads(out)["config"]["friction"] == 0.28  # 2 √2 κ
    assert_refused(call("--quiet", friction="fast"), "friction", "a number or auto", "'fast'")


def test_quiet_is_quiet_and_changes_no_number():
    _, loud, _ = call("--json")
    code, out, err = call("--json", "--quiet")
    assert (code, err) == (0, "")
    loud, quiet = json.loads(loud), json.loads(out)
    assert {**loud, "seconds": 0} == {**quiet, "seconds": 0}


def test_the_table_names_every_number():
    code, out, _ = call("--quiet")
    assert code == 0
    row = json.loads(call("--quiet", "--json")[1])
    lines = out.splitlines()
    for label, name in (
        ("test MSE, one sample", "test_mse"),
        ("test MSE, posterior mean", "test_mse_posterior_mean"),
        ("training MSE", "train_mse"),
        ("m_S", "m_S"),
        ("noise", "noise"),
    ):
        line = next(line for line in lines if line.startswith(label))
        value, error = line.removeprefix(label).split()
        assert float(value) == pytest.approx(row[name], rel=1e-3)
        assert float(error) == pytest.approx(row[f"{name}_sem"], rel=1e-3)
    reasons = row["not_converged_because"]
    assert "2 chains, at least 4 needed" in reasons
    assert out.endswith("\n".join(["not settled:", *(f"  {each}" for each in reasons)]) + "\n")
    assert "200 steps" in out
    assert "kappa=0.1" in out


def test_the_table_of_converged_chains_says_so(monkeypatch):
    good = Convergence({"m_S": 1.001}, {"m_S": 1e4})
    monkeypatch.setattr(ConvergenceRule, "judge", lambda rule, series: good)
    code, out, _ = call("--quiet", sampler="sgld")
    assert code == 0
    assert out.endswith(" s\nagreed\n")
    assert json.loads(call("--quiet", "--json", sampler="sgld")[1])["not_converged_because"] == []


def test_the_table_of_the_kernel_limit_does_not_speak_of_samples():
    code, out, _ = call(method="nngp")
    assert code == 0
    assert "one sample" not in out
    assert "R-hat" not in out
    assert "exact: nothing is sampled" in out
    lines = out.splitlines()
    assert [line[:28].strip() for line in lines[2:-1]] == [
        *("test MSE, posterior mean", "training MSE", "m_S", "noise")
    ]
    row = json.loads(call("--json", method="nngp")[1])
    for line, name in zip(lines[2:-1], ("test_mse", "train_mse", "m_S", "noise"), strict=True):
        assert float(line[28:].split()[0]) == pytest.approx(row[name], rel=1e-3)


def test_help_explains(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["point", "--help"])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "")
    for option in SMALL:
        assert f"--{option.replace('_', '-')}" in out
    words = " ".join(out.split())
    for phrase in (
        "not half of it",
        "Ctrl-C",
        "training samples P (1000)",
        "network,mf,mf-ard,nngp",
        "examples:",
        "one JSON object on standard output, nothing else",
    ):
        assert phrase in words
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "point" in capsys.readouterr().out


def test_the_version_is_the_librarys(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split() == ["feature-learning", __version__]


def test_threads_are_set_and_change_no_number():
    row = json.loads(call("--json", "--quiet", threads=1, langevin_time=4)[1])
    assert torch.get_num_threads() == 1
    other = json.loads(call("--json", "--quiet", threads=2, langevin_time=4)[1])
    assert torch.get_num_threads() == 2
    assert other["m_S"] == pytest.approx(row["m_S"], abs=0.05)


# Bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kappa": -0.005}, ["kappa", "_0.005"]),
        ({"kappa": 0}, ["kappa"]),
        ({"kappa": "nan"}, ["kappa", "nan"]),
        ({"kappa": "inf"}, ["kappa", "inf"]),
        ({"kappa": "-1e5"}, ["kappa"]),
        ({"kappa": "small"}, ["kappa", "small"]),
        ({"sparsity": 7}, ["sparsity", "7", "dim = 6"]),
        ({"method": "magic"}, ["method", "magic", "nngp"]),
        ({"teacher": "majority"}, ["teacher", "majority", "parity"]),
        ({"sampler": "nuts"}, ["sampler", "nuts", "sgld"]),
        ({"activation": "gelu"}, ["activation", "gelu", "relu"]),
        ({"n_train": 0}, ["n_train", "0"]),
        ({"n_train": 2.5}, ["n_train", "2.5"]),
        ({"step": 1000}, ["step size 1000", "use at most"]),
        ({"step": 1e30}, ["step"]),
        ({"step": "inf"}, ["step", "inf"]),
        ({"burn_in": 1.5}, ["burn_in", "1.5"]),
        ({"threads": 0}, ["threads", "0"]),
        ({"particles": 5}, ["particles", "network"]),
        ({"method": "mf", "particles": 5, "output_bias_variance": 1}, ["particles", "bias"]),
        ({"method": "mf", "solver": "collapsed", "output_bias_variance": 1}, ["output_bias"]),
        ({"method": "nngp", "activation": "tanh"}, ["activation", "tanh"]),
        ({"method": "nngp", "n_train": 10**7}, ["out of memory", "GiB"]),
        ({"n_train": 10**20}, ["n_train", str(10**20)]),
        ({"n_train": 10**18}, ["out of memory"]),
        ({"device": "cuda:99999999999999999999"}, ["device"]),
        ({"scheduler": "x"}, ["scheduler"]),
        ({"width": 10**12}, ["out of memory"]),
        ({"chains": 10**9}, ["out of memory"]),
        ({"dim": 10**15}, ["out of memory"]),
        ({"protocol": "published"}, ["protocol", "langevin_time"]),
        ({**PUBLISHED, "method": "mf"}, ["protocol", "mf"]),
        ({"device": "tpu"}, ["device", "tpu"]),
        ({"langevin_time": 1e300, "step": 1e-5}, ["langevin_time"]),
        ({"method": "nngp", "n_train": 200, "kappa": 1e-200}, ["kappa"]),
        ({"checkpoint": "/dev/null/file"}, ["/dev/null"]),
        ({"unknown": 3}, ["unknown"]),
    ],
    ids=str,
)
def test_bad_input_ends_with_one_line_that_names_it(options, words):
    assert_refused(call("--quiet", "--json", **options), *words)


#: Option, a value, and choices with which it has no effect.
WITHOUT_EFFECT = [
    ("friction", 0.1, {"sampler": "sgld"}),
    ("friction", 0.1, PUBLISHED),
    ("friction", 0.1, {"sampler": "hmc"}),
    ("quantum", 0.1, {}),
    ("quantum", 0.1, {"sampler": "sgld"}),
    ("rounding", "floor", {}),
    ("quantum_epoch", 10, {"sampler": "hmc"}),
    ("step_schedule", "cyclical", {"sampler": "quantised"}),
    ("step_schedule", "polynomial", PUBLISHED),
    ("batch_size", 5, {}),
    ("batch_size", 5, {"sampler": "sgld", "method": "mf-ard"}),
    ("sampler", "sgld", {"method": "nngp"}),
    ("sampler", "underdamped", PUBLISHED),
    ("sampler", "underdamped", {"method": "nngp"}),
    ("n_test", 50, {"method": "nngp", "nngp_variant": "as-published"}),
    ("burn_in", 0.5, PUBLISHED),
    ("measurements", 20, PUBLISHED),
    ("measurements", 20, {"method": "nngp"}),
    ("degree", 4, {}),
    ("alpha0", 4, {}),
    ("alpha0", 4, {"method": "mf"}),
    ("solver", "particles", {}),
    ("particles", 5, {}),
    ("replicas", 2, {"sampler": "quantised"}),
    ("kappa_ratio", 1.03, {}),
    ("nngp_variant", "matched", {}),
    ("nngp_variant", "matched", {"method": "mf-ard"}),
    *(
        (option, value, {"method": "nngp"})
        for option, value in (
            *(("step", 0.2), ("langevin_time", 40), ("friction", 0.1), ("burn_in", 0.5)),
            *(("start", "prior"), ("chains", 2), ("width", 8), ("tile_elements", 1000)),
            *(("solver", "particles"), ("particles", 5), ("alpha0", 4)),
            ("checkpoint", "point.npz"),
        )
    ),
]


@pytest.mark.parametrize(("option", "value", "choices"), WITHOUT_EFFECT, ids=str)
def test_an_option_without_effect_is_refused_even_at_its_default(option, value, choices):
    name = option.replace("-", "_")
    result = call("--quiet", **{**choices, name: value})
    assert_refused(result, f"{name} has no effect with", "it is for")


@pytest.mark.parametrize(
    ("option", "value", "choices"),
    [
        ("sampler", "sgld", PUBLISHED),
        ("replicas", 1, {"method": "mf"}),
    ],
    ids=str,
)
def test_an_option_that_agrees_with_what_is_run_is_accepted_and_changes_nothing(
    monkeypatch, option, value, choices
):
    asked = []

    def reached(config, **options):
        asked.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_point, "run_point", reached)
    for more in ({}, {option: value}):
        assert call("--quiet", **choices, **more)[0] == 130
    assert asked[0] == asked[1]


def test_a_sampler_that_the_published_protocol_is_not_is_refused():
    with pytest.raises(ArgumentError, match="sgld"):
        configure(protocol="published", sampler="hmc")
    plain, given = (
        configure(protocol="published"),
        configure(protocol="published", sampler="sgld"),
    )
    assert cell_key(plain) == cell_key(given)


def test_every_word_of_an_option_means_something():
    tables = {
        words.STEP_SCHEDULES: schedules.SHAPES,
        words.ROUNDINGS: quantised.VARIANCES,
        words.ACTIVATIONS: activations.ACTIVATIONS,
    }
    for known, table in tables.items():
        assert sorted(known) == sorted(table)
    for name in flat.TEACHERS:
        assert configure(teacher=name).teacher
    for name in words.STARTS:
        assert configure(start=name).sampling


def test_a_checkpoint_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("-", os.devnull, tmp_path, ""):
        assert_refused(call("--quiet", checkpoint=place), "checkpoint")
    assert list(tmp_path.iterdir()) == []


def test_noise_too_small_for_exact_readouts_is_one_line():
    options = {"sampler": "gibbs", "n_train": 100, "width": 200, "kappa": 1e-8, "chains": 1}
    result = call("--quiet", **options | {"langevin_time": 2, "measurements": 3, "step": None})
    assert_refused(result, "kappa must be larger", "1e_08")


def test_a_switch_without_effect_is_refused():
    for choices in (PUBLISHED, {"method": "nngp"}):
        result = call("--quiet", "--stop-when-converged", **choices)
        assert_refused(result, "__stop_when_converged has no effect with")


#: Choices that go together: every teacher, every method, and every sampler that it can have.
TOGETHER = [
    {"teacher": "single-index"},
    {"protocol": "published"},
    {"method": "nngp"},
    *({"sampler": sampler} for sampler in flat.samplers()),
    *({"method": "mf", "sampler": sampler} for sampler in flat.registry.SAMPLERS),
    *({"method": "mf-ard", "sampler": sampler} for sampler in ("sgld", "underdamped", "adaptive")),
]


@pytest.mark.parametrize("chosen", TOGETHER, ids=str)
def test_the_help_lists_the_options_of_the_parts_and_no_others(capsys, chosen):
    with pytest.raises(SystemExit):
        main(
            [
                "point",
                *(f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()),
                "--help",
            ]
        )
    text = capsys.readouterr().out
    config = flat.composed(chosen)[0]
    known = {name for part in flat.parts(chosen) for name in part.options}
    for name in flat.hints():
        flag = f"--{name.replace('_', '-')}"
        listed = re.search(rf"^  {flag}\b(?!-)", text, re.MULTILINE) is not None
        assert listed == (name in known or name in flat.CHOICES), name
    assert len(text.splitlines()) < 110
    # What is listed can be changed, and what is not has the value that stands for nothing.
    for name, value in flat.flat(config).items():
        if name not in known and name not in flat.CHOICES:
            assert value == flat.absent()[name]


def test_abbreviated_options_are_refused():
    assert_refused(call("--kap=0.1"), "unrecognized", "__kap", "see feature_learning point __help")


def test_more_threads_than_a_machine_can_have_are_refused_before_they_are_made(monkeypatch):
    made = []
    monkeypatch.setattr(torch, "set_num_threads", made.append)
    for threads in (100_000, 10**12):
        assert_refused(call("--quiet", threads=threads), "threads", str(threads))
    assert made == []


def test_cuda_where_there_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert_refused(call(device="cuda"), "device", "cuda", "use device cpu")


def test_memory_that_runs_out_on_the_way_ends_with_one_line(monkeypatch):
    # The estimate is blind; the kernel matrix, 288 TB, is beyond any address space.
    monkeypatch.setattr(hardware, "memory_available", lambda device: None)
    options = {"method": "nngp", "n_train": 6_000_000, "dim": 2}
    assert_refused(call("--quiet", **options), "memory")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 9 GiB.\nSee the manual."), ["9 GiB"]),
        (MemoryError(), ["out of memory"]),
        (RuntimeError("[alloc] DefaultCPUAllocator: can't allocate memory: 9 bytes"), ["fewer"]),
    ],
    ids=["device", "numpy", "torch"],
)
def test_every_kind_of_exhausted_memory_ends_with_one_line(monkeypatch, error, words):
    def exhausted(config, **options):
        raise error

    monkeypatch.setattr(cli_point, "run_point", exhausted)
    result = call("--quiet")
    assert_refused(result, "out of memory", *words)
    assert "manual" not in result[2]


def test_an_error_of_ours_is_not_taken_for_a_lack_of_memory(monkeypatch):
    def wrong(config, **options):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(cli_point, "run_point", wrong)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        call("--quiet")


@pytest.mark.parametrize("sampler", ["sgld", "underdamped"])
def test_a_step_that_diverges_on_the_way_ends_with_one_line_and_a_step_that_works(
    monkeypatch, sampler
):
    # The guard of the start is blind: the chains do leave for infinity.
    monkeypatch.setattr(Guards, "check_curvature", lambda *arguments: 5.0)
    result = call("--quiet", "--json", sampler=sampler, step=20, langevin_time=4000)
    assert_refused(result, "diverged by step", "step size 20", "or less would work")


def test_no_command_and_a_wrong_command_are_refused(capsys):
    for wrong in ([], ["pint"]):
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        out, err = capsys.readouterr()
        assert_refused((ended.value.code, out, err))


POSITIVE = [
    *("kappa", "weight_variance", "readout_variance", "hidden_bias_variance"),
    *("output_bias_variance", "langevin_time", "step", "friction"),
]
COUNTS = {"dim": 1, "sparsity": 1, "width": 1, "n_train": 1, "n_test": 2, "chains": 1} | {
    "measurements": 1,
    "tile_elements": 1,
    "threads": 1,
    "seed": 0,
}
NO_NUMBER = st.text(st.characters(codec="utf-8"), max_size=8).filter(
    lambda text: not _is_number(text)
)


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def wrong_real(above=None, below=None, open_below=True):
    """Values that are no finite number in the range."""
    values = [st.sampled_from(["nan", "inf", "-inf", "1e999", "-1e999"]), NO_NUMBER]
    if above is not None:
        values.append(st.floats(max_value=above, exclude_max=not open_below))
    if below is not None:
        values.append(st.floats(min_value=below, exclude_min=True))
    return st.one_of(values).map(str)


def wrong_count(least):
    """Values that are no whole number of at least ``least``."""
    fractions = st.floats(allow_nan=True, allow_infinity=True).map(str)
    return st.one_of(st.integers(max_value=least - 1).map(str), fractions, NO_NUMBER)


WRONG = st.one_of(
    *(st.tuples(st.just(name), wrong_real(above=0), st.none()) for name in POSITIVE),
    *(st.tuples(st.just(name), wrong_count(least), st.none()) for name, least in COUNTS.items()),
    st.tuples(st.just("alpha0"), wrong_real(above=0), st.just("mf-ard")),
    st.tuples(st.just("particles"), wrong_count(1), st.just("mf")),
    st.tuples(st.just("gamma"), wrong_real(above=0, below=2, open_below=False), st.none()),
    st.tuples(st.just("burn_in"), wrong_real(above=0, below=0.99, open_below=False), st.none()),
    st.tuples(st.just("degree"), wrong_count(1), st.none()),
    st.tuples(st.just("sparsity"), st.integers(7, 10**30).map(str), st.none()),
)


@settings(max_examples=150)
@given(case=WRONG)
@example(case=("kappa", "-0.0", None))
@example(case=("n_train", "1e3", None))
@example(case=("seed", "--", None))
@example(case=("burn_in", "1", "nngp"))
@example(case=("tile_elements", "0", "nngp"))
def test_any_wrong_number_ends_with_one_line_that_names_its_option(case):
    option, value, method = case
    options = {option: value, "method": method or "network"}
    if option == "degree":
        options["teacher"] = "single-index"
    result = call("--quiet", "--json", **options)
    assert_refused(result, option.replace("-", "_"))


@settings(max_examples=30, phases=(Phase.explicit, Phase.generate))  # shrinking takes long here
@given(
    option=st.sampled_from([*POSITIVE, "alpha0"]),
    exponent=st.integers(-320, 308),
    method=st.sampled_from(["network", "mf-ard", "nngp"]),
    solver=st.sampled_from(["particles", "collapsed"]),
)
def test_any_right_number_however_extreme_ends_without_a_traceback(
    option, exponent, method, solver
):
    if option == "langevin_time":
        exponent = min(exponent, 2)  # more would be a right answer, in a very long time
    if option == "step":
        exponent = max(exponent, -1)
    options = {option: f"1e{exponent}", "method": method}
    if method == "mf-ard":
        options["solver"] = solver
    if option != "langevin_time" and method != "nngp":
        options["langevin_time"] = 10
    code, out, err = call("--quiet", "--json", **options)
    if code == 0:
        assert math.isfinite(json.loads(out)["test_mse"])
        assert err == ""
    else:
        assert_refused((code, out, err))


# Interrupts and checkpoints


def interrupt_at_measurement(monkeypatch, number):
    plain, seen = Observer.measure, []

    def measure(self, theta, *, average):
        seen.append(average)
        if len(seen) == number:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, theta, average=average)

    monkeypatch.setattr(Observer, "measure", measure)


def test_an_interrupt_prints_what_there_is_with_exit_code_130(monkeypatch):
    interrupt_at_measurement(monkeypatch, 16)  # the start, 10 looks of burn-in, 5 that count
    code, out, err = call("--json", "--quiet")
    assert (code, err) == (130, "")
    row = json.loads(out, parse_constant=pytest.fail)
    assert row["interrupted"] is True
    assert row["converged"] is False
    assert row["steps"] == 150
    assert math.isfinite(row["test_mse"])
    assert math.isfinite(row["test_mse_posterior_mean"])


def test_an_interrupt_in_burn_in_makes_no_number_up(monkeypatch):
    interrupt_at_measurement(monkeypatch, 5)
    code, out, _ = call("--json", "--quiet")
    assert code == 130
    row = json.loads(out, parse_constant=pytest.fail)
    assert row["test_mse"] is None
    assert row["test_mse_posterior_mean"] is None
    assert math.isfinite(row["test_mse_last"])


def test_an_interrupt_prints_a_table_too(monkeypatch):
    interrupt_at_measurement(monkeypatch, 16)
    code, out, _ = call("--quiet")
    assert code == 130
    assert "not settled:\n" in out
    assert "  the run was interrupted\n" in out


def test_an_interrupt_in_burn_in_says_so_in_place_of_an_empty_table(monkeypatch):
    interrupt_at_measurement(monkeypatch, 5)
    code, out, _ = call("--quiet")
    assert code == 130
    _, *lines = out.splitlines()
    assert re.fullmatch(
        r"interrupted during burn-in, after 40 steps and Langevin time [\d.]+", lines[0]
    )
    assert re.fullmatch(r"last measurement: m_S -?[\d.e-]+, test MSE [\d.]+", lines[1])
    assert len(lines) == 2


@pytest.mark.parametrize("method", ["network", "mf", "mf-ard"])
@pytest.mark.parametrize("form", ["--json", "--quiet"])
def test_an_interrupt_before_the_first_measurement_ends_without_a_traceback(
    monkeypatch, method, form
):
    plain = Underdamped.advance

    def advance(self, *arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(Underdamped, "advance", advance)
    # One look in 200 steps: the loop hears of the interrupt before it gets there.
    code, out, err = call(form, "--quiet", method=method, measurements=1)
    assert code == 130
    assert "Traceback" not in err
    if out and form == "--json":
        assert json.loads(out, parse_constant=pytest.fail)["interrupted"] is True
    elif out:
        assert out.endswith("interrupted before the first measurement: there are no numbers\n")


def tick(clock):
    clock.now += clock.step_multiplier
    return clock.now


@pytest.mark.parametrize("method", ["network", "mf-ard"])
def test_the_same_command_resumes_from_its_checkpoint(monkeypatch, tmp_path, method):
    # A clock that goes a second further whenever it is read, and a thousand in the first call.
    clock = SimpleNamespace(now=0.0, step_multiplier=1.0)
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: tick(clock)))
    flags = ("--json", "--quiet")
    whole = json.loads(call(*flags, method=method)[1])
    path = tmp_path / "point.npz"
    with monkeypatch.context() as patch:
        interrupt_at_measurement(patch, 14)
        clock.step_multiplier = 1000.0
        code, out, _ = call(*flags, method=method, checkpoint=path)
        clock.step_multiplier = 1.0
        assert code == 130
        assert json.loads(out)["steps"] == 130
    # Quiet is quiet; without it standard error says where the run goes on.
    code, out, err = call("--json", method=method, checkpoint=path)
    assert code == 0
    assert {**json.loads(out), "seconds": 0} == {**whole, "seconds": 0}
    assert err.startswith(
        f"{method} P=20 κ=0.1: resumes at step 130 of 200, Langevin time 26, after "
    )
    # The time of the first call counts: what it took after its checkpoint is not known to this one.
    again = call(*flags, method=method, checkpoint=path)[1]
    assert whole["seconds"] < 1000 < json.loads(out)["seconds"]
    assert json.loads(again)["seconds"] > 1000
    # Another point does not continue this one.
    result = call(*flags, method=method, checkpoint=path, kappa=0.2)
    assert_refused(result, "checkpoint", path.name, "kappa", "0.1", "0.2")
    path.write_bytes(path.read_bytes()[:-50])
    result = call(*flags, method=method, checkpoint=path)
    assert_refused(result, "checkpoint", path.name, "damaged")


def test_the_folder_of_a_checkpoint_is_made(tmp_path):
    path = tmp_path / "not" / "yet" / "point.npz"
    code, _, err = call("--quiet", checkpoint=path)
    assert (code, err) == (0, "")
    assert path.is_file()


def test_a_full_disk_ends_with_one_line_that_names_the_file(monkeypatch, tmp_path):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "point.npz"
    result = call("--quiet", checkpoint=path)
    assert_refused(result, path.name, "No space left on device")
    assert list(tmp_path.iterdir()) == []


# In a process of its own


def command(*flags, **options):
    return [sys.executable, "-m", "feature_learning", *arguments(*flags, **options)]


def test_a_process_prints_json_on_standard_output_and_progress_on_standard_error(environment):
    done = subprocess.run(
        command("--json"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() >= set(KEYS)
    assert "200/200" in done.stderr
    assert "Warning" not in done.stderr


def test_a_process_that_is_interrupted_prints_what_there_is(environment):
    running = subprocess.Popen(
        command("--json", langevin_time=1e6, measurements=100_000, burn_in=0),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    # If it does not listen it must not run for ever.
    watchdog = threading.Timer(30, running.kill)
    watchdog.start()
    try:
        seen = b""
        while b"m_S=" not in seen:  # the progress line has numbers once there was a look
            piece = running.stderr.read1()
            assert piece, seen.decode()
            seen += piece
        started = time.monotonic()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    finally:
        watchdog.cancel()
        running.kill()
    assert running.returncode == 130, (seen + err).decode()
    assert time.monotonic() - started < 10
    row = json.loads(out)
    assert row["interrupted"] is True
    assert 0 < row["steps"] < 5e6
    assert b"Traceback" not in seen + err


# What the book says of it

RERUN = (Path(__file__).parents[2] / "book" / "rerun.md").read_text(encoding="utf-8")


def test_the_books_table_of_what_options_are_for_is_the_librarys():
    rows = [
        line.strip("| ").split(" | ") for line in RERUN.splitlines() if line.startswith("| `--")
    ]
    table = {tuple(re.findall(r"`(--[a-z0-9-]+)`", options)): words for options, words in rows}
    for words_for, names in scopes().items():
        assert table[tuple(f"--{name.replace('_', '-')}" for name in names)] == words_for


COMMANDS = re.findall(r"^feature-learning (point(?:[^\n]*\\\n)*[^\n]*)", RERUN, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_books_commands_are_not_refused(monkeypatch, command):
    run = []

    class Reached(Exception):
        pass

    def stop(config, **options):
        run.append(config)
        raise Reached

    monkeypatch.setattr(cli_point, "run_point", stop)
    with pytest.raises(Reached):
        main(command.replace("\\\n", " ").split())
    assert run

"""Generated command lines and sweep files: no traceback, and no invalid input is accepted.

Valid input is defined here independently of the checks that are tested.
"""

import contextlib
import io
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from feature_learning.cli import point as cli_point
from feature_learning.cli import sweep as cli_sweep
from feature_learning.cli.main import main
from feature_learning.errors import GridError
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.flat import flat
from feature_learning.experiments.hardware import check_device, check_memory
from feature_learning.experiments.runs import EVIDENCE as EVIDENCE_SAMPLERS
from feature_learning.sweeps.grid import read_grid

#: Least and largest whole number of an option.
WHOLE = {
    "dim": (1, 2**63 - 1),
    "sparsity": (1, 2**63 - 1),
    "degree": (1, 20),
    "width": (1, 2**63 - 1),
    "n_train": (1, 2**63 - 1),
    "n_test": (2, 2**63 - 1),
    "chains": (1, 2**63 - 1),
    "seed": (0, 2**32 - 1),
    "measurements": (1, 2**63 - 1),
    "particles": (1, 2**63 - 1),
    "tile_elements": (1, 2**63 - 1),
    "batch_size": (1, 2**63 - 1),
    "quantum_epoch": (1, 2**63 - 1),
    "replicas": (1, 250),
    "members": (2, 100_000),
    "moves": (1, 2**63 - 1),
}
#: The same of a real number; the squares and inverses of a scale must be numbers, too.
SCALE = (1e-9, 1e9)
REAL = {
    **dict.fromkeys(("kappa", "weight_variance", "readout_variance", "alpha0", "tilt"), SCALE),
    **dict.fromkeys(("hidden_bias_variance", "output_bias_variance", "step", "quantum"), SCALE),
    "friction": SCALE,
    "gamma": (0, 2),
    "burn_in": (0, 0.99),
    "langevin_time": (math.ulp(0), math.inf),
    "homogeneity_penalty": (0, math.inf),
    "kappa_ratio": (1 + 1e-16, 10),
}
WORDS = {
    "teacher": ["parity", "single-index"],
    "activation": ["relu", "linear", "erf", "tanh", "sigmoid"],
    "method": ["network", "mf", "mf-ard", "nngp"],
    "sampler": [
        *("sgld", "underdamped", "mala", "hmc", "gibbs", "preconditioned", "adaptive", "quantised"),
        *("population", "integration"),
    ],
    "protocol": ["published"],
    "step_schedule": ["constant", "polynomial", "cyclical"],
    "rounding": ["stochastic", "nearest", "floor"],
    "start": ["prior", "planted", "spread", "released"],
    "solver": ["particles", "collapsed"],
    "nngp_variant": ["matched", "as-published"],
    "dtype": ["float32", "float64"],
    "device": ["cpu", "cuda", "cuda:0"],
}
NUMBERS = [0, 1, 2, 3, 4, 7, 20, 35, 100, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 10**30, -1]
REALS = [0.0, -0.0, 1e-320, 1e-10, 1e-9, 0.005, 0.1, 0.5, 0.99, 1.0, 1.03, 2.0, 11.0, 1e9, 1e10]
REALS += [1e308, -0.005, math.nan, math.inf, -math.inf]
ODD = ["", " ", "-", "--", "auto", "none", "1e3", "0x10", "1,5", "٣", "κ", "nan", "cuda:-1", "tpu"]
ODD += ["true", "../..", "=", "%s", "{}", "\\", "'", "\x7f", "1_000", "+1", "1e400"]


def sound(config, given):
    """Why a configuration with the options ``given`` is nonsense; None if it is not."""
    config = SimpleNamespace(**flat(config))
    for name, (least, most) in (WHOLE | REAL).items():
        value = getattr(config, name)
        if value is not None and not least <= value <= most:
            return f"{name} = {value!r}"
        kinds = int if name in WHOLE else (int, float)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            return f"{name} is of {type(value)}"
    for name, words in WORDS.items():
        value = getattr(config, name)
        indexed = name == "device" and value.startswith("cuda:") and value[5:].isdecimal()
        if value is not None and value not in words and not indexed:
            return f"{name} = {value!r}"
    if config.sparsity > config.dim:
        return "more relevant coordinates than there are"
    if config.batch_size is not None and config.batch_size > config.n_train:
        return "a batch of more samples than there are"
    chains_only = {"sampler", "step", "friction", "burn_in", "measurements", "start", "chains"}
    chains_only |= {"langevin_time", "particles", "batch_size", "quantum", "rounding", "width"}
    if config.method == "nngp" and given & chains_only:
        return "chains of what is exact"
    if config.method in ("network", "nngp") and given & {"particles", "alpha0", "solver"}:
        return "a mean field's option without one"
    if config.protocol is not None and given & {
        "langevin_time",
        "burn_in",
        "measurements",
        "friction",
    }:
        return "a clock beside that of the protocol"
    if config.protocol is not None and config.method != "network":
        return "the protocol of something else"
    if config.quantum is not None and config.sampler != "quantised":
        return "a quantum of another sampler"
    if config.sampler not in EVIDENCE_SAMPLERS and given & {"members", "moves"}:
        return "a population of another sampler"
    planted = config.start in ("planted", "spread") and config.method == "network"
    if "code" in given and not planted and config.sampler not in EVIDENCE_SAMPLERS:
        return "a code of neurons that nobody plants"
    if config.sampler in EVIDENCE_SAMPLERS and given & {"start", "burn_in", "measurements", "step"}:
        return "the clock of a chain for a population"
    if config.teacher == "parity" and "degree" in given:
        return "a degree of parity"
    if config.replicas == 1 and config.kappa_ratio is not None:
        return "the ratio of one rung"
    return None


def spelt(value):
    return repr(value) if isinstance(value, float) else str(value)


def good(name):
    """An option of ``point`` with a value that can be."""
    if name in WHOLE:
        known = [each for each in (1, 2, 3, 4, 7, 20) if WHOLE[name][0] <= each <= WHOLE[name][1]]
    elif name in REAL:
        known = [each for each in REALS if REAL[name][0] <= each <= REAL[name][1]]
    else:
        known = WORDS[name] if name != "device" else ["cpu"]
    return st.sampled_from(known).map(lambda value: (name, value))


def anything(name):
    """The same with a value at an edge, beyond it, or of another kind."""
    kinds = [st.sampled_from(ODD), st.text(max_size=4)]
    kinds += [st.sampled_from(NUMBERS), st.integers()] if name in WHOLE else []
    kinds += [st.sampled_from(REALS), st.floats()] if name in REAL else []
    return st.one_of(kinds).map(lambda value: (name, value))


def drawn(names):
    """Options of these names: all good, or all but the last, or any."""
    sound = st.tuples(*map(good, names))
    last = st.tuples(*map(good, names[:-1]), *map(anything, names[-1:]))
    return st.one_of(sound, sound, last, st.tuples(*map(anything, names)))


NAMES = sorted(WHOLE | REAL | WORDS)
OPTIONS = st.lists(st.sampled_from(NAMES), max_size=4, unique=True).flatmap(drawn)
SWITCHES = st.lists(
    st.sampled_from(
        ["--quiet", "--json", "--stop-when-converged", "--quiet=1", "--loud", "-q", "x"]
    ),
    max_size=2,
)


class ReachedError(BaseException):
    """What was to be computed, in place of the computation."""


def call(arguments):
    """Exit code, standard output, standard error, and what was to be computed (or None)."""
    out, err, reached = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = ended.code
        except ReachedError as error:
            code, reached = 0, error.args
    return code, out.getvalue(), err.getvalue(), reached


def assert_one_line(code, out, err):
    assert code in (1, 2), (code, out, err)
    assert out == ""
    assert err.startswith("feature-learning"), err
    assert err.endswith("\n"), err
    assert len(err.splitlines()) == 1, err
    assert "Traceback" not in err


@settings(max_examples=900, deadline=None)
@given(options=OPTIONS, switches=SWITCHES)
def test_any_command_line_of_a_point_is_sound_or_one_line(options, switches):
    def reached(config, **rest):
        check_device(flat(config)["device"])
        check_memory(config)
        raise ReachedError(config)

    arguments = ["point", *(f"--{n.replace('_', '-')}={spelt(value)}" for n, value in options)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli_point, "run_point", reached)
        code, out, err, found = call([*arguments, *switches])
    if found is None:
        assert_one_line(code, out, err)
    else:
        event("accepted")
        assert sound(*found, {name for name, _ in options}) is None, arguments
        assert set(switches) <= {"--quiet", "--json", "--stop-when-converged"}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Paths of every kind, in a folder in which the commands run."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "store").mkdir()
    block = '[[block]]\nname = "a"\nreason = "r"\n'
    (folder / "good.toml").write_text(block)
    (folder / "bad.toml").write_text(block + "kappa = -1\n")
    (folder / "bytes").write_bytes(b"\xff\0\xfe")
    (folder / "link").symlink_to("new")
    (folder / "circle").symlink_to("circle")
    before = Path.cwd()
    os.chdir(folder)
    names = ["store", "good.toml", "bad.toml", "bytes", "link", "circle", "missing/er"]
    yield [*names, "good.toml/x"]
    os.chdir(before)


WORD = st.one_of(st.sampled_from(ODD), st.text(st.characters(codec="utf-8"), max_size=4))
REST = st.sampled_from(
    [
        *(["--workers", "2"], ["--workers", "0"], ["--workers", "x"], ["--time-limit", "nan"]),
        *(
            ["--time-limit", "-1"],
            ["--time-limit", "5"],
            ["--block", "a"],
            ["--block", "b"],
            ["--block"],
        ),
        *(["--device", "tpu"], ["--device", "cpu"], ["--scheduler", "foo"], ["--scheduler", ""]),
        *(["--scheduler", "http://a:1"], ["--quiet"], ["--no-weights"], ["--dry-run"]),
        *(["--table", "-"], ["--table", "store"], ["--json"], ["--plots", "bytes/x"], ["--what"]),
    ]
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_other_command_line_is_sound_or_one_line(places, data):
    place = st.one_of(st.sampled_from(places), st.sampled_from(places[:2]), WORD)
    command = data.draw(st.sampled_from(["sweep", "table", "densities", "diagnose", "swep", ""]))
    kinds = {"sweep": "--out", "table": "--csv", "densities": "--npz"}
    words = [command]
    if data.draw(st.booleans()):  # good so far
        words += ["good.toml" if command == "sweep" else "store"]
        words += (
            [kinds[command], "-" if command != "sweep" else "store"] if command in kinds else []
        )
    else:
        words += [data.draw(place)] if data.draw(st.integers(0, 9)) else []
        if command in kinds and data.draw(st.integers(0, 9)):
            words += [kinds[command], data.draw(place)]
    for more in data.draw(st.lists(REST, max_size=2, unique_by=lambda words: words[0])):
        words += more

    def reached(grid, out, executor, **rest):
        raise ReachedError(grid, out, rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli_sweep, "run_grid", reached)
        code, out, err, found = call(words)
    if found is not None:
        event("accepted")
        grid, folder, rest = found
        assert command == "sweep"
        assert grid.name == "good.toml"
        assert str(folder).strip()
        assert rest["time_limit"] in (None, 5)
        assert not {"--what", "--json", "--plots", "nan", "foo", "tpu"} & set(words)
    elif code == 0:
        assert err.count("\n") <= 1, err
        assert "store" in words or "--dry-run" in words or "-h" in "".join(words), words
    elif code != 1:
        assert_one_line(code, out, err)
    assert "Traceback" not in err
    assert os.path.lexists("good.toml")


def toml(value):
    """A value in the notation of TOML."""
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {toml(each)}' for name, each in value.items())}}}"
    return repr(value) if isinstance(value, float) else json.dumps(value)


VALUES = OPTIONS.map(dict)
LISTED = st.tuples(
    VALUES, st.sampled_from(NAMES).flatmap(lambda name: st.lists(good(name), max_size=3))
)


@settings(max_examples=700, deadline=None)
@given(
    defaults=VALUES,
    block=LISTED,
    override=VALUES,
    when=st.lists(st.sampled_from(NAMES), max_size=1).flatmap(drawn),
    bound=st.sampled_from([None, None, ">=1", "<5", ">=a", "<", ">=1, <=0.5"]),
)
def test_any_file_of_a_sweep_lists_sound_cells_or_is_refused(
    tmp_path_factory, defaults, block, override, when, bound
):
    values, crossed = block
    if crossed:
        values = values | {crossed[0][0]: [value for _, value in crossed]}
    lines = ["[defaults]", *(f"{name} = {toml(value)}" for name, value in defaults.items())]
    lines += ["[[block]]", 'name = "a"', 'reason = "r"']
    lines += [f"{name} = {toml(value)}" for name, value in values.items()]
    if override:
        condition = dict(when) | ({} if bound is None else {"n_train": bound})
        lines += ["[[block.override]]", 'reason = "r"', f"when = {toml(condition)}"]
        lines += [f"{name} = {toml(value)}" for name, value in override.items()]
    path = tmp_path_factory.getbasetemp() / "generated.toml"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    sentence, cells = str(path), ()
    try:
        cells = read_grid(path).cells
    except GridError as error:
        sentence = str(error)
    assert cells or sentence.startswith(f"{path}: ") or sentence.startswith(f"{path} ")
    event(f"accepted: {bool(cells)}")
    for cell in cells:
        assert isinstance(cell.config, PointConfig)
        # Keys of a file are for all of its methods: it may say what some of them do not need.
        assert sound(cell.config, set()) is None, lines

"""The benchmark measures what it states; no test asserts a speed.

The benchmark itself checks at each start that the peers make the same steps. The tests show that
this check accepts our steps and refuses wrong ones.
"""

import importlib
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import speed, speed_report

ROOT = Path(__file__).parents[2]
TINY = ["--n-train", "7", "20", "--chains", "1", "3", "--width", "16", "--dim", "5"]
TINY += ["--rounds", "2", "--turn", "0.001", "--threads", "1"]
STEPS = ["--ours-only", "--parts", "steps"]


@pytest.fixture
def module(monkeypatch):
    """A function that imports a module of the benchmark."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def packages(module):
    return module("packages")


@pytest.fixture
def main(module, monkeypatch):
    monkeypatch.setattr(module("machine"), "limit_threads", lambda threads: None)
    return module("cli").main


@pytest.fixture(params=[1, 3], ids=["one chain", "three chains"])
def problem(packages, request):
    return packages.Problem.make(n_train=20, chains=request.param, width=64, dim=8)


def ours(packages, problem):
    return [
        kind(packages.checkable(problem, dynamics))
        for (name, dynamics), kind in packages.CONTENDERS.items()
        if name == "feature_learning"
    ]


# The command


def test_the_command_prints_a_table_and_writes_one_that_is_sound(tmp_path):
    file = tmp_path / "new" / "speed.csv"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *STEPS, "--out", file, *TINY],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "lib"},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    printed = done.stdout.splitlines()
    start = next(i for i, line in enumerate(printed) if line.split()[:2] == ["P", "chains"])
    lines = [line.split()[:3] for line in printed[start + 1 : start + 13]]
    cases = [(p, c) for p in ("7", "20") for c in ("1", "3")]
    kinds = ("SGLD", "underdamped", "HMC")
    assert lines == [[p, c, kind] for p, c in cases for kind in kinds]
    frame = speed.read(file)
    assert list(speed.problems(frame)) == []
    assert len(speed.select(frame, "step_time")) == len(speed.select(frame, "matrix_share")) == 12
    # The share is what it says: 4 P N d operations over the time and the rate.
    of = {"n_train": 20, "chains": 3, "dynamics": "sgld"}
    time = speed.value(frame, "step_time", **of)
    rate = speed.value(frame, "matrix_rate")
    share = speed.value(frame, "matrix_share", **of)
    assert share == pytest.approx(4 * 20 * 16 * 5 / time / 1e3 / rate, rel=1e-3)


@pytest.mark.parametrize("peer", ["blackjax", "posteriors"])
def test_a_missing_peer_is_one_line_that_names_the_extra(
    main, packages, monkeypatch, peer, capsys, tmp_path
):
    for key in list(packages.CONTENDERS):
        if key[0] not in (peer, "feature_learning"):
            monkeypatch.delitem(packages.CONTENDERS, key)
    for name in (peer, "posteriors.sgmcmc"):
        monkeypatch.setitem(sys.modules, name, None)
    out = str(tmp_path / "speed.csv")
    assert main([*TINY, "--parts", "steps", "--out", out]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"{peer} cannot be imported" in printed.err
    assert "pip install -e .[bench]" in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    "bad", [["--rounds", "one"], ["--n-train", "1.5"], ["--turn", "long"], ["--effort", "huge"]]
)
def test_bad_options_end_with_exit_code_2(main, bad, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*STEPS, *bad])
    assert stop.value.code == 2
    assert bad[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (["--turn", "-1"], "--turn must be above 0"),
        (["--turn", "nan"], "--turn must be above 0"),
        (["--store"], "--store needs --effort full"),
        (["--effort", "full", "--store", "--ours-only"], "--store needs"),
        (["--effort", "full", "--store", "--parts", "steps"], "--store needs"),
        (["--effort", "full", "--store", "--n-train", "100"], "--store needs"),
        (["--effort", "full", "--store", "--width", "64"], "--store needs"),
        (["--effort", "full", "--store", "--device", "cuda"], "--store needs"),
        (["--device", "cuda", "--parts", "steps", "settling"], "measures the part steps, not"),
        (["--rounds", "0"], "--rounds must be a whole number"),
        (["--n-train", "100", "-1"], "--n-train must be a whole number"),
        (["--threads", "9" * 12], "--threads must be a whole number"),
        (["--rounds", "9" * 30], "--rounds must be a whole number"),
        (["--n-train", "9" * 12], "MiB of memory"),
        (["--chains", "9" * 12], "MiB of memory"),
        (["--width", "9" * 400], "--width must be a whole number"),
        (["--dim", "9" * 12], "MiB of memory"),
        (["--device", "gpu"], "device must be cpu, cuda or cuda:N, not 'gpu'"),
        (["--device", "cuda:99"], "device 'cuda:99' is not available"),
    ],
)
def test_options_that_do_not_go_together_end_with_one_line(main, bad, word, capsys):
    assert main(bad) == 2
    printed = capsys.readouterr()
    assert word in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    main, tmp_path, capsys
):
    (tmp_path / "file").write_text("")
    assert main([*STEPS, *TINY, "--out", str(tmp_path / "file" / "speed.csv")]) == 2
    assert capsys.readouterr().out == ""


def test_a_busy_machine_is_named_and_an_idle_one_is_not(module):
    machine = module("machine")
    assert "load average is 3.2" in machine.warning(3.2)
    assert machine.warning(0.1) == ""


# The steps


def test_our_steps_are_the_steps_of_the_problem(packages, problem):
    for contender in ours(packages, problem):
        packages.check(packages.checkable(problem, contender.dynamics), [contender])


def wrong_gradient(contender):
    right = contender.gradient
    contender.gradient = lambda: tuple(0.999 * part for part in right())


def wrong_noise(contender):
    # The sampler reads only the amplitude of the noise here; the prior's stiffness is set already.
    contender.energy.temperature *= 2


def the_same_noise_every_step(contender):
    right, seed = contender.run, contender.random.get_state()

    def run(steps):
        contender.random.set_state(seed)
        right(steps)

    contender.run = run


def the_same_noise_in_every_chain(contender):
    right = contender.run

    def run(steps):
        right(steps)
        w, a, _ = contender.energy.views(contender.state.position)
        w[1:], a[1:] = w[:1], a[:1]

    contender.run = run


def wrong_start(contender):
    contender.run(1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (wrong_gradient, "gradient"),
        (wrong_noise, "times the right variance"),
        (the_same_noise_every_step, "correlated"),
        (wrong_start, "start"),
    ],
)
def test_a_wrong_step_is_refused(packages, problem, spoil, message):
    for contender in ours(packages, problem):
        spoil(contender)
        with pytest.raises(packages.DisagreementError, match=message):
            packages.check(packages.checkable(problem, contender.dynamics), [contender])


def test_noise_shared_between_chains_is_refused(packages):
    problem = packages.Problem.make(n_train=20, chains=3, width=64, dim=8)
    problem.w[:], problem.a[:] = problem.w[:1].copy(), problem.a[:1].copy()
    contender = packages.Ours(problem)
    the_same_noise_in_every_chain(contender)
    with pytest.raises(packages.DisagreementError, match="correlated"):
        packages.check(problem, [contender])


@pytest.mark.parametrize("change", [{"friction": 0.1}, {"inertial_step": 0.4}])
def test_another_friction_or_step_is_refused(packages, problem, change):
    contender = packages.CONTENDERS["feature_learning", "underdamped"](problem)
    with pytest.raises(packages.DisagreementError):
        packages.check(replace(problem, **change), [contender])


def test_a_turn_of_hmc_is_whole_trajectories(packages, module):
    problem = packages.Problem.make(n_train=7, chains=1, width=16, dim=5)
    contender = packages.CONTENDERS["feature_learning", "hmc"](problem)
    assert contender.unit == problem.leapfrogs == 20
    (timing,) = module("steps").measure(
        7, 1, [("feature_learning", "hmc")], seconds=0.001, rounds=3, width=16, dim=5
    )
    assert timing.steps % 20 == 0
    assert len(timing.microseconds) == 3
    assert all(0 < value < math.inf for value in timing.microseconds)


def timing(module, contender, dynamics, values, *, n_train=100, chains=1):
    shape, operations = "batch", 4 * n_train * 512 * 35
    kind = module("steps").Timing
    return kind(n_train, chains, contender, dynamics, shape, 5, operations, values)


def test_ratios_are_over_our_time_of_the_same_dynamics(module):
    steps = module("steps")
    case = [
        timing(module, "feature_learning", "sgld", (2.0, 1.0, 3.0)),
        timing(module, "blackjax", "sgld", (5.0,)),
        timing(module, "feature_learning", "underdamped", (4.0,)),
        timing(module, "posteriors", "underdamped", (10.0,)),
    ]
    shown = [line.split() for line in steps.lines(case, 1000.0).splitlines()]
    assert [line[-4] for line in shown] == ["1.00", "2.50", "1.00", "2.50"]
    assert "blackjax SGLD: at least 2.50" in steps.verdict([case])


def test_on_a_gpu_batches_of_this_library_are_timed(main, module, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(module("machine").EDGES, "cuda", 64)
    monkeypatch.syspath_prepend(ROOT / "tests" / "lib")
    fake, out = importlib.import_module("fake_cuda").fake_cuda, tmp_path / "speed.csv"
    tiny = ["--n-train", "7", "--width", "16", "--dim", "5", "--rounds", "2", "--turn", "0.001"]
    with fake(monkeypatch) as device:
        assert main([*tiny, "--device", "cuda", "--out", str(out)]) == 0
    assert device.seen & {"bmm", "mm", "matmul"}
    frame = speed.read(out)
    assert set(frame["device"]) == {"fake"}
    assert set(frame["package"]) == {"feature_learning", "torch"}
    times = speed.select(frame, "step_time")
    assert set(times["chains"]) == {1, 16, 64, 256}
    assert set(times["dynamics"]) == set(module("problem").DYNAMICS)
    assert "this library on: fake" in capsys.readouterr().out


def test_cells_a_minute_are_those_of_the_published_protocol(module):
    steps = module("steps")
    assert pytest.approx(4083.3 / 0.3, rel=2e-3) == steps.CELL_STEPS
    one = timing(module, "feature_learning", "sgld", (200.0, 100.0, 400.0), chains=4)
    minute = 60e6 / steps.CELL_STEPS
    assert steps.cells(one) == pytest.approx((minute / 200, minute / 400, minute / 100))
    other = timing(module, "blackjax", "sgld", (5.0,))
    text = steps.throughput([[one, other]])
    assert f"{minute / 200:.3g} at P = 100 with 4" in text
    assert text.count("with") == 1


# Effective samples


def test_effective_samples_are_counted_within_each_chain(module):
    random = np.random.default_rng(0)
    measurements, width = 2000, 6
    white = random.normal(size=(2, measurements, width))
    slow = white.copy()
    for at in range(
        1, measurements
    ):  # an autoregression of memory 1/(1-0.9): τ = (1+0.9)/(1-0.9) = 19
        slow[:, at, 3] = 0.9 * slow[:, at - 1, 3] + white[:, at, 3]
    # Chains that lie apart, as those in different metastable states do.
    slow[1] += 10
    overlaps = np.array([[0.0], [5.0]]) + random.normal(size=(2, measurements))
    sizes = module("ess").effective_sizes(overlaps, slow)
    assert sizes["m_S"] == pytest.approx(measurements, rel=0.15)
    assert sizes["median readout"] == pytest.approx(measurements, rel=0.15)
    # The relative error of an estimate of τ from 2000/19 memories is about 0.2.
    assert sizes["slowest readout"] == pytest.approx(measurements / 19, rel=0.6)


def test_the_bound_of_a_reversible_chain_is_met_by_one_memory_and_holds_for_several(module):
    random, measurements, width = np.random.default_rng(2), 4000, 64
    kept = np.exp(-1 / np.array([50.0] * width))
    mixed = np.exp(-1 / np.array([5.0, 500.0] * (width // 2)))
    bounds, rates = [], []
    for factor in (kept, mixed):
        series = random.normal(size=(1, measurements, width))
        for at in range(1, measurements):
            fresh = np.sqrt(1 - factor**2) * series[:, at]
            series[:, at] = factor * series[:, at - 1] + fresh
        # Lags of 1000 looks would have forgotten everything: look at the first 160 alone.
        pieces = series[0].reshape(-1, 160, width)
        bounds.append(module("ess").reversible_bound(pieces, 10).mean())
        rates.append(((1 - factor) / (1 + factor)).mean() / 10)
    # D over 40 looks of a memory of 50 is 0.55, known to a few per cent from so many pieces.
    assert bounds[0] == pytest.approx(np.tanh(40 / 50 / 2) / 400, rel=0.1)
    assert bounds[0] > 0.8 * rates[0]
    assert module("ess").reversible_bound(np.zeros((2, 8, 3)), 5) == pytest.approx(0)
    # Two memories: the slow half has far fewer than the bound, which is of the mean.
    slow = (1 - np.exp(-1 / 500)) / (1 + np.exp(-1 / 500)) / 10
    assert bounds[1] > slow


def test_few_effective_samples_are_only_a_bound(module):
    kind = module("ess").Effective
    assert kind("sgld", "m_S", 5, 1000, (0.02, 0.02), "").bound == ""
    assert kind("sgld", "m_S", 5, 1000, (0.02, 0.009), "").bound == "at most"
    assert kind("sgld", "m_S", 5, 1000, (0.02, 0.02), "", bounded=True).bound == "at most"


def test_chains_that_have_learned_keep_the_problem_and_move(packages, module):
    problem = packages.Problem.make(n_train=20, chains=2, width=16, dim=5)
    ess = module("ess")
    warm = ess.learned(problem, 50)
    assert not np.array_equal(warm.w, problem.w)
    assert np.array_equal(warm.inputs, problem.inputs)
    found = ess.measure(warm, "underdamped", seconds=0.01, every=5)
    assert [each.observable for each in found] == ["m_S", "median readout", "slowest readout"]
    assert all(each.steps >= 40 and each.steps % 5 == 0 for each in found)
    assert found[2].value <= found[1].value
    stuck = replace(warm, leapfrog_step=1e3, leapfrogs=5)  # every trajectory is rejected
    assert ess.measure(stuck, "hmc", seconds=0.01, every=5) == []
    accepted = ess.measure(replace(warm, leapfrogs=5), "hmc", seconds=0.01, every=5)
    assert "acceptance" in accepted[0].setting


# Until chains have settled


class Made:
    """A contender whose chains are what a test makes of them, at so many seconds a step."""

    name, dynamics, spacing, setting = "blackjax", "nuts", 5, "step 1"
    apart = 0.0

    def __init__(self):
        self.random, self.looked = np.random.default_rng(1), 0

    def run(self, steps):
        assert steps == self.spacing

    def position(self):
        self.looked += 1
        return self.random.normal(size=4), self.apart * np.arange(4)


class Told:
    """Looks that repeat what the contender says."""

    def __init__(self, problem):
        pass

    def measurement(self, overlap, error):
        return overlap, overlap + error


@pytest.fixture
def convergence_time(module, monkeypatch):
    found = module("convergence_time")
    monkeypatch.setattr(found, "Watch", Told)
    return found


def test_chains_that_agree_have_settled_and_say_at_which_rate(convergence_time, packages):
    problem = packages.Problem.make(n_train=20, chains=4, width=16, dim=5)
    run = convergence_time.run(Made, problem, 60.0)
    assert run.settled
    assert run.r_hat < 1.01
    assert (run.package, run.dynamics, run.n_train) == ("blackjax", "nuts", 20)
    assert run.kappa == pytest.approx(0.005)
    measurements = run.steps // 5
    assert run.steps == 5 * measurements
    assert measurements >= convergence_time.FIRST
    # White draws: as many effective samples as looks of the second half, in less than all the time.
    assert run.rates["m_S"] * run.seconds > 1.2 * measurements
    assert "have settled after" in convergence_time.line(run)
    mean, error = run.means["m_S"]
    assert abs(mean) < 5 * error < 1
    assert "blackjax, NUTS" in convergence_time.line(run)


def test_chains_that_stay_apart_are_given_up_when_their_time_is_over(convergence_time, packages):
    problem = packages.Problem.make(n_train=20, chains=4, width=16, dim=5)

    class Apart(Made):
        apart = 10.0

    run = convergence_time.run(Apart, problem, 0.05)
    assert not run.settled
    assert run.r_hat > 1.5
    assert run.seconds > 0.05
    assert "have not settled within" in convergence_time.line(run)
    # However short the time: without a few looks there would be nothing to say.
    assert convergence_time.run(Apart, problem, 1e-9).steps >= 5 * convergence_time.FIRST


def test_all_start_in_the_code_of_largest_evidence(module):
    convergence_time = module("convergence_time")
    problem = convergence_time.begin(50, width=64, dim=10, kappa=0.005)
    assert problem.w.shape == (4, 64, 10)
    patterns = np.sign(problem.w[:, :8, :4]).astype(int)
    for chain in patterns:
        pairs = {tuple(pattern * pattern[0]) for pattern in chain}
        assert len(pairs) == 8  # each pair {s, -s} once
    assert np.abs(problem.w[:, :8, 4:]).max() == 0
    # Everything else is a draw of the prior, with variance 1/d.
    assert problem.w[:, 8:].std() == pytest.approx(10**-0.5, rel=0.1)


def test_this_library_is_tuned_from_its_start_and_then_measured(module, monkeypatch):
    convergence_time = module("convergence_time")
    problem = convergence_time.begin(50, width=64, dim=10, kappa=0.005)
    (run,) = convergence_time.measure(problem, seconds=0.01, tuning={}, alone=True)
    # The peers come after it, and one that is missing is said in one sentence.
    monkeypatch.setitem(sys.modules, "jax", None)
    found = convergence_time.measure(problem, seconds=0.01, tuning={"mclmc": 10})
    assert next(found).package == "feature_learning"
    with pytest.raises(module("problem").MissingPeerError, match="blackjax cannot be imported"):
        next(found)
    assert (run.package, run.dynamics) == ("feature_learning", "underdamped")
    assert "readout mass" in run.setting
    assert set(run.rates) == {"m_S", "test_mse"}


# The table


def measured(module):
    """Numbers of everybody, made up."""
    packages = ("feature_learning", "blackjax", "posteriors")
    steps = [
        timing(module, name, "sgld", (2.0 + at, 3.0 + at, 5.0 + at), n_train=p, chains=c)
        for p in (100, 5000)
        for c in (1, 4)
        for at, name in enumerate(packages)
    ]
    steps += [timing(module, "feature_learning", "underdamped", (4.0,), n_train=5000)]
    kind = module("ess").Effective
    sizes = [
        (kind(dynamics, name, 5000, 10_000, values, "step 1"), 2)
        for dynamics, values in (("sgld", (1e-5, 3e-5)), ("underdamped", (0.01, 0.03)))
        for name in ("m_S", "slowest readout")
    ]
    run = module("convergence_time").Settling
    rates = {"m_S": 6.0, "test_mse": 3.0}
    slow = {"m_S": 2.0, "test_mse": math.nan}
    settlings = [
        run("feature_learning", "underdamped", 1000, 0.005, 12.0, 500, True, 1.005, rates, {}, "a"),
        run("blackjax", "nuts", 1000, 0.005, 60.0, 9000, False, 1.5, slow, {}, "b"),
    ]
    rate = module("machine").MatrixRate("cpu", [90.0, 100.0])
    return rate, steps, sizes, settlings


@pytest.fixture
def frame(module, monkeypatch):
    monkeypatch.setattr(module("rows"), "version", lambda package: "1.2")
    origin = module("machine").origin(2, 0.123)
    return module("rows").table(origin, *measured(module), kappa=0.005)


def test_the_table_has_its_schema_and_comes_back_from_its_file(frame, tmp_path):
    path = tmp_path / "new" / "speed.csv"
    speed.write(frame, path)
    again = speed.read(path)
    assert again.dtypes.astype(str).to_dict() == speed.COLUMNS
    assert again.equals(frame)
    assert set(frame["quantity"]) == set(speed.UNITS)


def test_how_long_settling_takes_is_said_of_everybody(frame):
    rows = speed.select(frame, "settling_time").set_index("package")
    assert dict(rows["value"]) == {"feature_learning": 12.0, "blackjax": 60.0}
    assert rows["bound"].isna().tolist() == [True, False]
    # A rate that is not finite is left out.
    assert len(speed.select(frame, "settling_rate")) == 3
    text = speed_report.findings(frame)
    assert "P = 1000, κ = 0.005: this library, underdamped, 12 s." in text
    assert "blackjax, NUTS, with its own tuning: not within 60 s" in text
    assert "3.00 times its effective samples of $m_S$ in a second" in text
    assert "of the test MSE in a second" not in text


def test_rates_are_effective_samples_over_the_fastest_step_of_each_package(frame):
    rates = speed.select(frame, "ess_rate", observable="m_S", dynamics="sgld")
    found = dict(zip(rates["package"], rates["value"], strict=True))
    assert found == pytest.approx(
        {"feature_learning": 2e-5 / 3e-6, "blackjax": 2e-5 / 4e-6, "posteriors": 2e-5 / 5e-6}
    )
    assert set(rates["bound"]) == {"at most"}
    ratio, bound, _ = speed_report.gain(frame, "m_S")
    assert ratio == pytest.approx((0.02 / 4e-6) / (2e-5 / 4e-6))
    assert bound == "at least"

"""The benchmark measures what it says. How fast anything is, no test asserts.

Whether the peers make the same step is checked by the benchmark itself, each time it starts; here
that check is shown to accept our step and to refuse wrong ones.
"""

import csv
import importlib
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = ["--samples", "7", "20", "--chains", "1", "3", "--width", "16", "--dim", "5"]
TINY += ["--rounds", "2", "--steps", "3", "--threads", "1"]


@pytest.fixture
def contenders(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.contenders")


@pytest.fixture
def bench(contenders, monkeypatch):
    module = importlib.import_module("benchmarks.sgld_step")
    monkeypatch.setattr(module, "limit_threads", lambda threads: None)
    return module


@pytest.fixture(params=[1, 3], ids=["one chain", "three chains"])
def problem(contenders, request):
    return contenders.Problem.make(samples=20, chains=request.param, width=64, dim=8)


def test_the_command_prints_a_table_of_positive_numbers(tmp_path):
    file = tmp_path / "rounds.csv"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sgld_step", "--ours-only", "--csv", file, *TINY],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "lib"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    lines = done.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:3] == ["P", "chains", "steps"])
    table = [line.replace("(", " ").replace(")", " ").split() for line in lines[start + 1 :]]
    assert [row[:3] for row in table] == [
        [samples, chains, "3"] for samples in ("7", "20") for chains in ("1", "3")
    ]
    for _, _, _, middle, low, _, high in table:
        assert 0 < float(low) <= float(middle) <= float(high) < math.inf
    with file.open(encoding="utf-8", newline="") as rows:
        values = [float(row["us_per_chain_step"]) for row in csv.DictReader(rows)]
    assert len(values) == 4 * 2
    assert all(0 < value < math.inf for value in values)


@pytest.mark.parametrize("peer", ["blackjax", "posteriors"])
def test_a_missing_peer_is_one_line_that_names_the_extra(
    bench, contenders, monkeypatch, peer, capsys
):
    for name in ("blackjax", "posteriors"):
        if name != peer:
            monkeypatch.setitem(contenders.CONTENDERS, name, contenders.Ours)
    for module in (peer, "posteriors.sgmcmc"):
        monkeypatch.setitem(sys.modules, module, None)
    assert bench.main(TINY) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert f"{peer} cannot be imported" in printed.err
    assert "pip install -e .[bench]" in printed.err


@pytest.mark.parametrize("bad", [["--rounds", "0"], ["--samples", "-1"], ["--steps", "many"]])
def test_bad_options_end_with_exit_code_2(bench, bad, capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(["--ours-only", *bad])
    assert stop.value.code == 2
    assert bad[0] in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(
    bench, tmp_path, capsys
):
    assert bench.main(["--ours-only", *TINY, "--csv", str(tmp_path / "none" / "rounds.csv")]) == 2
    assert capsys.readouterr().out == ""


def test_ratios_are_ours_over_blackjax_and_posteriors_over_ours(bench):
    times = {"feature_learning": (2.0, 1.0, 3.0), "blackjax": (4.0,), "posteriors": (10.0,)}
    case = [bench.Timing(100, 1, name, "batch", 5, values) for name, values in times.items()]
    assert bench.row(case).split()[-2:] == ["0.50", "5.00"]
    assert "ours/blackjax 0.50" in bench.verdict([case])
    assert "posteriors/ours 10.00" in bench.verdict([case])  # the fastest rounds


def test_our_step_is_the_step_of_the_problem(contenders, problem):
    contenders.check(problem, [contenders.Ours(problem)])


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
        (wrong_noise, "times the variance"),
        (the_same_noise_every_step, "correlated"),
        (wrong_start, "start"),
    ],
)
def test_a_wrong_step_is_refused(contenders, problem, spoil, message):
    contender = contenders.Ours(problem)
    spoil(contender)
    with pytest.raises(contenders.DisagreementError, match=message):
        contenders.check(problem, [contender])


def test_noise_shared_between_chains_is_refused(contenders):
    problem = contenders.Problem.make(samples=20, chains=3, width=64, dim=8)
    problem.w[:], problem.a[:] = problem.w[:1].copy(), problem.a[:1].copy()
    contender = contenders.Ours(problem)
    the_same_noise_in_every_chain(contender)
    with pytest.raises(contenders.DisagreementError, match="correlated"):
        contenders.check(problem, [contender])

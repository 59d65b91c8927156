"""Recomputation of stored cells: their selection, the tolerances and the comparison."""

import math
from dataclasses import replace

import numpy as np
import pytest

from feature_learning.analysis import live, loading
from feature_learning.analysis.live import compare, draw, eligible, numbers, report
from feature_learning.analysis.loading import load_or_compute
from feature_learning.analysis.tolerance import FALSE_ALARM, over_chains, over_seeds, tolerance
from feature_learning.errors import StoreError
from feature_learning.experiments.flat import replaced
from feature_learning.experiments.point import run_point
from feature_learning.sweeps.grid import read_grid
from feature_learning.sweeps.plan import plan
from feature_learning.sweeps.pool import LocalPool
from feature_learning.sweeps.provenance import provenance
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.sweep import sweep
from feature_learning.sweeps.table import configuration, tabulate, write_csv

GRID = """
[defaults]
dim = 6
sparsity = 2
width = 8
kappa = 0.1
n_test = 50

[[block]]
name = "chains"
reason = "Several chains."
method = "network"
n_train = [10, 20]
seed = [0, 1, 2]
chains = 4
measurements = 10
langevin_time = 20
step = 0.2

[[block]]
name = "one"
reason = "Single chains."
method = "mf"
n_train = [10, 20]
seed = [0, 1, 2]
chains = 1
measurements = 10
langevin_time = 20
step = 0.2

[[block]]
name = "exact"
reason = "No randomness."
method = "nngp"
n_train = [10, 20]
seed = [0, 1, 2]
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "small.toml"
    path.write_text(GRID, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def made(grid, tmp_path_factory):
    """All cells, computed once."""
    store = Store(tmp_path_factory.mktemp("store"))
    pool = LocalPool(1)
    try:
        asked = read_grid(grid)
        sweep(plan(asked, store), store, pool)
    finally:
        pool.close()
    return tabulate(store.scan()[0], store.labels())


@pytest.fixture(autouse=True)
def any_tolerance(monkeypatch):
    """These networks are so small that their errors are as large as their numbers."""
    monkeypatch.setattr(live, "_largest", lambda name, row: math.inf)


@pytest.fixture
def frame(made):
    return made.copy()


@pytest.fixture
def table(frame, tmp_path):
    path = tmp_path / "small.csv"
    write_csv(frame, path)
    return path


def rows(frame):
    return frame.to_dict("records")


def keys(drawn):
    return [row["key"] for row in drawn]


# Which cells


def test_the_same_seed_draws_the_same_cells_and_others_draw_others(frame, monkeypatch):
    monkeypatch.setattr(live, "BUDGET", 0.0)  # one cell
    seeds = [f"revision {number}" for number in range(16)]
    draws = [keys(draw(frame, frame, seed)) for seed in seeds]
    assert draws == [keys(draw(frame.iloc[::-1], frame, seed)) for seed in seeds]
    assert all(len(each) == 1 for each in draws)
    assert len({tuple(each) for each in draws}) > 6


def test_cells_are_drawn_until_the_time_is_spent(frame):
    slow = frame.assign(wall_seconds=live.BUDGET / 2.5).astype(frame.dtypes)
    assert len(draw(slow, slow, "seed")) == 2
    assert len(draw(frame, frame, "seed")) == len(frame)  # all of them are short


def test_more_rows_change_little_about_which_are_drawn(frame, monkeypatch):
    monkeypatch.setattr(live, "BUDGET", 0.0)
    (drawn,) = keys(draw(frame, frame, "seed"))
    others = frame.index[frame["key"] != drawn]
    assert keys(draw(frame.drop(index=others[::2]), frame, "seed")) == [drawn]


@pytest.mark.parametrize(
    "change",
    [
        {"wall_seconds": live.LONGEST},
        {"interrupted": True},
        {"device": "cuda"},
        {"method_version": 99, "key": "network-P10-of-another-version"},
        {"m_S_sem": None},
    ],
)
def test_cells_that_are_long_foreign_or_without_an_error_are_not_drawn(frame, change):
    row = next(row for row in rows(frame) if row["method"] == "network")
    assert eligible(row, frame)
    assert not eligible({**row, **change}, frame)


def test_a_single_chain_needs_three_seeds(frame):
    row = next(row for row in rows(frame) if row["method"] == "mf")
    assert eligible(row, frame)
    other = frame[
        (frame["method"] == "mf")
        & (frame["n_train"] == row["n_train"])
        & (frame["seed"] != row["seed"])
    ].index[0]
    assert not eligible(row, frame.drop(index=other))


def test_a_comparison_that_could_find_no_fault_is_not_made(frame, monkeypatch):
    row = next(row for row in rows(frame) if row["method"] == "network")
    allowed, _ = tolerance("m_S", row, row, frame)
    for largest, wanted in ((1.01 * allowed, True), (0.99 * allowed, False)):
        monkeypatch.setattr(
            live, "_largest", lambda name, row, at=largest: at if name == "m_S" else math.inf
        )
        assert eligible(row, frame) is wanted


def test_an_evidence_is_compared_by_its_logarithm(frame):
    row = {**rows(frame)[0], "log_evidence": -12.0}
    assert numbers(row) == [("log_evidence", "log evidence")]


# How far they may be off


def test_chains_are_pooled_over_seeds_and_never_below_what_the_two_runs_say():
    spread = over_chains(0.3, 0.4, [0.0, 0.0], chains=4)
    assert spread.error == pytest.approx(0.5)
    assert spread.freedom == 12
    # Two runs that happen to agree among their chains do not make the others' spread vanish.
    assert over_chains(0.0, 0.0, [0.3, 0.3], chains=4).error == pytest.approx(0.3)


def test_seeds_are_pooled_with_their_neighbours_and_never_below_their_own():
    spread = over_seeds([1.0, 2.0, 3.0])
    assert (spread.error, spread.freedom) == (pytest.approx(math.sqrt(2)), 2)
    spread = over_seeds([1.0, 2.0, 3.0], [[5.0, 5.0, 5.0], [0.0, 0.0, 0.0]])
    assert (spread.error, spread.freedom) == (pytest.approx(math.sqrt(2)), 6)
    assert over_seeds([5.0, 5.0, 5.0], [[1.0, 2.0, 3.0]]).error == pytest.approx(1)


def test_the_factor_is_students_and_5_at_least():
    # Tables of Student's distribution, two-sided probability 0.001.
    for freedom, factor in ((2, 31.6), (4, 8.61), (6, 5.96), (40, 5.0)):
        assert over_chains(1, 1, [1] * (freedom - 2), chains=2).factor == pytest.approx(
            factor, rel=1e-3
        )


@pytest.mark.parametrize("kind", ["chains", "seeds"])
def test_sound_numbers_pass_and_wrong_ones_fail(kind):
    random = np.random.default_rng(1)
    alarms, misses, trials = 0, 0, 3000
    for _ in range(trials):
        if kind == "chains":
            runs = random.normal(size=(4, 4))
            errors = runs.std(axis=1, ddof=1) / 2
            spread, sigma = over_chains(errors[0], errors[1], list(errors[2:]), 4), 0.5
            difference = runs[0].mean() - runs[1].mean()
        else:
            seeds = random.normal(size=(3, 3))
            spread, sigma = over_seeds(list(seeds[0]), [list(each) for each in seeds[1:]]), 1.0
            difference = seeds[0, 0] - random.normal()
        alarms += abs(difference) > spread.factor * spread.error
        misses += abs(difference + 30 * sigma) <= spread.factor * spread.error
    assert alarms <= 4 * FALSE_ALARM * trials
    assert misses < 0.01 * trials


def test_no_tolerance_is_below_that_of_the_test_points(frame):
    row = next(row for row in rows(frame) if row["method"] == "network")
    exact = frame.assign(m_S_sem=0.0, test_mse_one_sample_sem=0.0)
    calm = {**row, "m_S_sem": 0.0, "test_mse_one_sample_sem": 0.0}
    allowed, words = tolerance("m_S", calm, calm, exact)
    assert allowed == pytest.approx(5 * math.sqrt(row["noise"] / 50))
    assert words.startswith("5.0 x ")
    mse = row["test_mse_one_sample"]
    allowed, _ = tolerance("test_mse_one_sample", calm, calm, exact)
    assert allowed == pytest.approx(5 * mse * math.sqrt(2 / 50))


# Comparing


def test_stored_cells_agree_with_what_is_computed_now(grid, table, tmp_path):
    found = load_or_compute("stored", grid, table, folder=tmp_path / "kept", workers=1, seed="x")
    assert len({each.key for each in found.live}) == 18
    assert len(found.live) == 36
    assert all(each.holds for each in found.live)
    head, *lines = report(found.live).splitlines()
    assert head.split() == ["cell", "number", "stored", "now", "allowed", "agrees"]
    assert all(line.endswith("yes") for line in lines)
    summary = found.summary("chains", "m_S")
    assert summary["live"].all()
    assert "18 cells computed again now" in found.summary_line("stored", 3.0)
    assert found.curve("chains", "m_S").live.all()


def test_a_page_that_is_built_again_computes_nothing_twice(grid, table, tmp_path, monkeypatch):
    first = load_or_compute("stored", grid, table, folder=tmp_path / "kept", workers=1, seed="x")

    def never(*arguments):
        raise AssertionError

    monkeypatch.setattr("feature_learning.sweeps.pool.LocalPool.submit", never)
    again = load_or_compute("stored", grid, table, folder=tmp_path / "kept", workers=1, seed="x")
    assert again.live == first.live


@pytest.mark.parametrize("method", ["network", "mf", "nngp"])
def test_a_stored_number_that_is_wrong_by_more_than_is_allowed_stops_the_page(
    grid, frame, tmp_path, method, monkeypatch
):
    monkeypatch.setattr(live, "BUDGET", 0.0)
    block = {"network": "chains", "mf": "one", "nngp": "exact"}[method]
    shown = frame[frame["method"] == method]
    (row,) = draw(shown, frame, "seed")
    allowed, _ = tolerance("m_S", row, row, frame)
    for part, wrong in ((0.9, False), (1.1, True)):
        other = frame["m_S"].where(frame["method"] != method, frame["m_S"] + part * allowed)
        moved = frame.assign(m_S=other)
        path = tmp_path / f"{part}.csv"
        write_csv(moved, path)
        options = {"blocks": [block], "workers": 1, "seed": "seed"}
        if wrong:
            with pytest.raises(StoreError, match=r"(?s)disagree:\n.*m_S .* NO"):
                load_or_compute("stored", grid, path, **options)
        else:
            assert load_or_compute("stored", grid, path, **options).live


def test_other_samples_of_the_same_distribution_agree_though_no_digit_does(frame, tmp_path):
    store = Store(tmp_path / "other")
    compared = 0
    for row in rows(frame):
        if row["method"] == "nngp":
            continue
        config = configuration(row)
        # Another step makes another trajectory, as another processor does.
        other = replaced(config, step=0.19)
        store.write(other, run_point(other), provenance("cpu"))
        (new,) = rows(tabulate([store.read(other)], {}))
        for each in compare(row, new, frame):
            assert each.stored != each.now
            assert each.holds, each
            compared += 1
    assert compared == 24


def test_a_number_that_is_none_agrees_with_nothing(frame):
    row = next(row for row in rows(frame) if row["method"] == "nngp")
    found = compare(row, {**row, "m_S": math.nan}, frame)
    assert [each.holds for each in found] == [False, True]


def test_a_cell_that_cannot_be_computed_stops_the_page(grid, frame, table, monkeypatch):
    cell = next(each for each in read_grid(grid).cells if each.config.method.name == "network")
    broken = replace(cell, config=replaced(cell.config, step=1000.0))
    with pytest.raises(StoreError, match="1 cells failed"):
        loading._computed(replace(read_grid(grid), cells=(broken,)), None, 1)


def test_a_page_whose_cells_are_all_long_says_so(grid, frame, tmp_path):
    write_csv(frame.assign(wall_seconds=1e3).astype(frame.dtypes), tmp_path / "long.csv")
    found = load_or_compute("stored", grid, tmp_path / "long.csv", workers=1, seed="x")
    assert found.live == ()
    assert "no cell is short enough" in found.summary_line("stored", 0.1)
    assert not found.summary("chains", "m_S")["live"].any()

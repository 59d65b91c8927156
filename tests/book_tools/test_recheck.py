"""Recomputation of a few stored cells: their selection, the tolerances and the report."""

import math
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from book_tools.cli import main
from book_tools.errors import BookError
from book_tools.recheck import compare, compute, draw, eligible, identity, recheck
from book_tools.stored import rows
from book_tools.tolerance import FALSE_ALARM, over_chains, over_seeds, tolerance
from feature_learning.experiments.flat import replaced
from feature_learning.experiments.point import run_point
from feature_learning.sweeps.provenance import provenance
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.table import configuration, read_csv, tabulate, write_csv


def call(project, *arguments):
    return main(["--root", str(project.root), "recheck", *map(str, arguments)])


@pytest.fixture
def frame(stored):
    return read_csv(stored.table("small.toml"))


def keys(drawn):
    return [row["key"] for row, _ in drawn]


# Which cells


def test_the_same_seed_draws_the_same_cells_and_others_draw_others(frame):
    seeds = [f"revision {number}" for number in range(8)]
    draws = [keys(draw([frame], 3, seed)) for seed in seeds]
    assert draws == [keys(draw([frame], 3, seed)) for seed in seeds]
    assert len({tuple(each) for each in draws}) > 4
    assert all(len(set(each)) == 3 for each in draws)
    # Whatever the order of the table, and in the long run all of them.
    assert keys(draw([frame.iloc[::-1]], 3, seeds[0])) == draws[0]
    assert len({key for each in draws for key in each}) > 8


def test_more_rows_change_little_about_who_is_drawn(frame):
    drawn = keys(draw([frame], 3, "seed"))
    others = frame[~frame["key"].isin(drawn)]
    fewer = frame.drop(index=others.index[others["method"] == "network"])
    assert keys(draw([fewer], 3, "seed")) == drawn


@pytest.mark.parametrize(
    "change",
    [
        {"wall_seconds": 40.0},
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


def test_the_revision_decides_and_without_git_the_content(small):
    before = identity(small)
    assert identity(small) == before
    (small.root / "book/data/sweeps/small.toml").write_text("# other\n", encoding="utf-8")
    assert identity(small) != before
    git = ["git", "-C", str(small.root), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "claims.yml"], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert identity(small) == head.stdout.strip()
    # A book inside somebody else's checkout has no revision.
    shutil.copytree(small.root / "book", small.root / "inner" / "book")
    inner = replace(small, root=small.root / "inner")
    assert identity(inner) not in (head.stdout.strip(), before)


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


def test_stored_cells_agree_with_what_is_computed_now(stored, capsys):
    assert call(stored, "--cells", 12, "--seed", "all", "--workers", 1) == 0
    printed = capsys.readouterr().out
    head, columns, *lines = printed.splitlines()
    assert head == "recheck: 12 stored cells, drawn by all"
    assert columns.split() == ["cell", "number", "stored", "now", "allowed", "agrees"]
    assert len(lines) == 24
    assert all(line.endswith("yes") for line in lines)
    assert any(line.startswith("exact: nngp P=20 κ=0.1 seed=0") for line in lines)


@pytest.mark.parametrize("method", ["network", "mf", "nngp"])
def test_a_stored_number_that_is_wrong_by_more_than_is_allowed_fails(stored, frame, capsys, method):
    kept = frame[frame["method"] == method].reset_index(drop=True)
    ((row, _),) = draw([kept], 1, "seed")
    allowed, _ = tolerance("m_S", row, row, kept)
    for part, verdict, code in ((0.9, "yes", 0), (1.1, "NO", 1)):
        wrong = kept.assign(m_S=kept["m_S"] + part * allowed)
        write_csv(wrong, stored.table("small.toml"))
        assert call(stored, "--cells", 1, "--seed", "seed", "--workers", 1) == code
        lines = capsys.readouterr().out.splitlines()[2:]
        assert [line.split()[-1] for line in lines] == [verdict, "yes"]


def test_other_samples_of_the_same_law_pass_though_no_digit_agrees(frame, tmp_path):
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
    assert compared == 20


def test_a_number_that_is_none_agrees_with_nothing(frame):
    row = next(row for row in rows(frame) if row["method"] == "nngp")
    found = compare(row, {**row, "m_S": math.nan}, frame)
    assert [each.holds for each in found] == [False, True]


def test_a_cell_that_cannot_be_computed_is_an_error(frame):
    row = next(row for row in rows(frame) if row["method"] == "network")
    with pytest.raises(BookError, match="some stored cells could not be computed again"):
        compute([{**row, "asked_step": 1000.0}], workers=1)


# What is not there


def test_nothing_stored_is_said_and_is_no_fault(small, capsys):
    assert call(small) == 0
    assert capsys.readouterr().out == "recheck: nothing is stored yet\n"


def test_a_table_without_a_cell_to_compare_is_a_fault(stored, frame):
    write_csv(frame.assign(wall_seconds=1e3).astype(frame.dtypes), stored.table("small.toml"))
    with pytest.raises(
        BookError, match=r"no stored cell can be compared: none took less than 40 s"
    ):
        recheck(stored)


@pytest.mark.parametrize("option", ["--cells", "--longest", "--workers"])
def test_a_wrong_option_ends_with_one_line_and_exit_code_2(stored, capsys, option):
    assert call(stored, option, 0) == 2
    assert option.strip("-") in capsys.readouterr().err

"""Stored results: computed again, merged, checked, and read by a page."""

import shutil

import numpy as np
import pytest

from book_tools.cli import main
from book_tools.errors import BookError, InputError
from book_tools.figures import load_figures
from book_tools.project import Project
from book_tools.reproduce import reproduce, update
from book_tools.stored import check_results, holes, merge, pages_with_holes, rows, tables
from feature_learning.analysis.loading import load_or_compute
from feature_learning.errors import StoreError
from feature_learning.experiments.flat import configure, flat
from feature_learning.experiments.keys import cell_key
from feature_learning.sweeps.densities import read_npz
from feature_learning.sweeps.grid import read_grid
from feature_learning.sweeps.table import configuration, read_csv, write_csv
from feature_learning.sweeps.weights import read_weights, write_weights


def call(project, *arguments):
    return main(["--root", str(project.root), *map(str, arguments)])


@pytest.fixture
def change(stored):
    """A function that changes the stored table."""

    def apply(function):
        path = stored.table("small.toml")
        frame = read_csv(path)
        write_csv(function(frame), path)
        return stored

    return apply


# Computing again


def test_reproducing_a_figure_computes_what_it_needs_and_goes_on(small, computed, capsys):
    # A wish to stop at once: nothing is computed, and there is no table of nothing.
    assert call(small, "reproduce", "--figure", "1", "--workers", 1, "--time-limit", 1e-6) == 1
    assert "4 left" in capsys.readouterr().err
    assert tables(small) == []
    assert call(small, "reproduce", "--figure", "1", "--workers", 1) == 0
    err = capsys.readouterr().err
    assert "small.toml: 4 cells, in _build/store/small" in err
    assert "0 found, 4 computed, 0 failed, 0 left" in err
    assert "small.csv: 4 rows; 0 rows replaced, 4 added; 8 of 12 cells are not stored yet" in err
    found, everything = (read_csv(each.table("small.toml")) for each in (small, computed))
    assert set(found["block"]) == {"chains", "exact"}
    assert len(everything) == 12
    same = everything[everything["key"].isin(found["key"])].reset_index(drop=True)
    for name in ("key", "block", "m_S", "test_mse_posterior_mean", "steps"):
        assert list(found[name]) == list(same[name])
    # The same command again has nothing to do, and leaves the same table.
    before = small.table("small.toml").read_bytes()
    assert call(small, "reproduce", "--figure", "1") == 0
    assert "4 found, 0 computed" in capsys.readouterr().err
    assert small.table("small.toml").read_bytes() == before


def test_weights_are_stored_of_the_cells_that_are_listed(computed):
    weights, readouts = read_weights(computed.table("small.toml").with_suffix(".npz"))
    frame = read_csv(computed.table("small.toml"))
    listed = frame[(frame["block"] == "chains") & (frame["n_train"] == 10)]
    assert set(weights) == set(listed["key"])
    assert {values.shape for values in weights.values()} == {(4, 8, 6)}
    assert set(readouts) == set(weights)
    assert {values.shape for values in readouts.values()} == {(4, 8)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--figure", "7"), "figure is '7'; figures.toml knows 1, 2"),
        (("--workers", 0), "workers must be"),
        (("--time-limit", -1), "limit must be"),
    ],
)
def test_a_wrong_option_ends_with_one_line_and_exit_code_2(small, capsys, arguments, words):
    assert call(small, "reproduce", *arguments) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not small.build.exists()


def test_a_sweep_that_cannot_be_read_is_named(small):
    (small.sweeps / "small.toml").write_text("[[block]]\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"small\.toml: block 1: name must be"):
        reproduce(small)


def test_a_book_without_figures_has_nothing_to_reproduce(small):
    (small.sweeps / "figures.toml").unlink()
    with pytest.raises(BookError, match="nothing to reproduce"):
        reproduce(small)


# Merging


def test_rows_computed_now_replace_those_of_the_same_key_and_the_rest_stays(stored):
    grid, frame = read_grid(stored.sweeps / "small.toml"), read_csv(stored.table("small.toml"))
    now = frame.iloc[3:5].copy()
    now["m_S"] = 7.0
    merged, messages = merge(grid, frame.drop(index=3), now)
    assert messages == ["1 rows replaced, 1 added"]
    assert list(merged["key"]) == list(frame["key"])
    assert list(merged["m_S"][3:5]) == [7.0, 7.0]
    others = [0, 1, 2, *range(5, len(frame))]
    assert merged.iloc[others].equals(frame.iloc[others])


def test_rows_of_cells_that_the_sweep_has_no_more_are_dropped_with_a_message(stored):
    grid, frame = read_grid(stored.sweeps / "small.toml"), read_csv(stored.table("small.toml"))
    less = grid.select(["chains", "exact"])
    merged, messages = merge(less, frame, frame.iloc[:0])
    assert set(merged["block"]) == {"chains", "exact"}
    assert messages[1] == "6 rows dropped: small.toml no longer has these cells"


def test_a_first_table_may_have_holes_which_are_named(stored):
    grid, frame = read_grid(stored.sweeps / "small.toml"), read_csv(stored.table("small.toml"))
    merged, messages = merge(grid, None, frame[frame["block"] != "single"])
    assert messages[-1] == "6 of 12 cells are not stored yet"
    assert holes(grid, merged) == [
        "single: 6 of 6 cells are not stored, the first of them P=10 kappa=0.1 seed=0"
    ]
    assert holes(grid, frame) == []


# Checking


def test_sound_results_have_no_faults(stored):
    assert check_results(stored) == ([], [])


def test_no_results_are_no_fault(small):
    assert check_results(small) == ([], ["no results are stored yet"])


def test_holes_are_noted_and_no_fault(change):
    problems, notes = check_results(change(lambda frame: frame[frame["method"] != "nngp"]))
    assert problems == []
    assert len(notes) == 1
    assert notes[0].startswith("small.csv: exact: 2 of 2 cells are not stored")


def test_the_pages_with_holes_are_those_whose_own_cells_are_missing(change, small):
    assert pages_with_holes(change(lambda frame: frame)) == set()
    # The page needs cells of P = 10 alone, and its table may lack others.
    assert pages_with_holes(change(lambda frame: frame[frame["block"] != "single"])) == set()
    gone = change(lambda frame: frame[(frame["block"] != "chains") | (frame["n_train"] == 20)])
    assert pages_with_holes(gone) == {"book/page"}
    gone.table("small.toml").unlink()
    assert pages_with_holes(gone) == {"book/page"}


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda frame: frame.assign(kappa=0.2), "has a row of another configuration"),
        (lambda frame: frame.assign(method_version=9), "has a row of another configuration"),
        (lambda frame: frame.assign(kappa=-1.0), "kappa must be"),
        (lambda frame: frame.iloc[[0, *range(len(frame))]], "has several rows"),
        (lambda frame: frame.assign(key="x" + frame["key"]), "is not a cell of small.toml"),
        (lambda frame: frame.assign(block="other"), "not 'other'"),
    ],
)
def test_faults_of_a_table_are_found(change, spoil, problem):
    def spoilt(frame):
        return spoil(frame).astype(frame.dtypes)

    problems, _ = check_results(change(spoilt))
    assert any(problem in text for text in problems), problems


def test_faults_of_the_folder_are_found(stored):
    (stored.results / "other.csv").write_text("")
    (stored.results / "notes.txt").write_bytes(bytes(10 * 2**20))
    table = stored.table("small.toml")
    weights = {"unknown": np.ones((1, 2, 3)), "flat": np.ones(3)}
    write_weights(weights, table.with_suffix(".npz"), {"unknown": np.ones((1, 3))})
    problems, _ = check_results(stored)
    for text in (
        "they must stay below 10 MiB",
        "other.csv belongs to no sweep",
        "notes.txt belongs to no sweep",
        "unknown has no row in small.csv",
        "flat holds no weights",
        "the readouts of unknown do not fit its weights",
    ):
        assert any(text in problem for problem in problems), (text, problems)
    table.with_suffix(".npz").write_bytes(b"no")
    table.write_text("no\n")
    problems, _ = check_results(stored)
    assert any("small.csv does not have the columns" in text for text in problems)
    table.unlink()
    problems, _ = check_results(stored)
    assert "small.npz has no table small.csv beside it" in problems


def test_the_check_of_a_book_names_what_is_wrong_with_its_results(change, capsys):
    change(lambda frame: frame.assign(block="other").astype(frame.dtypes))
    assert call(change(lambda frame: frame[frame["method"] != "nngp"]), "check") == 1
    printed, err = capsys.readouterr()
    assert "exact: 2 of 2 cells are not stored" in printed
    assert "the stored results have 10 faults" in err


def test_the_stored_results_of_this_book_are_sound(root):
    problems, _ = check_results(Project(root))
    assert problems == []


# Reading


def test_a_page_reads_what_is_stored_and_can_say_where_it_comes_from(stored):
    grid, table = stored.sweeps / "small.toml", stored.table("small.toml")
    results = load_or_compute("stored", grid, table, blocks=["chains"])
    assert "4 cells, seeds [0, 1], computed " in results.provenance()
    assert len(results.frame) == 4
    (first, *_) = results.select("chains", n_train=10)["key"]
    assert results.weights[first].shape == (4, 8, 6)
    assert len(results.weights) == 2


def test_a_page_whose_table_is_not_there_says_how_to_get_it(small):
    with pytest.raises(StoreError, match="does not exist; compute it with `make reproduce`"):
        load_or_compute("stored", small.sweeps / "small.toml", small.table("small.toml"))


def test_histograms_of_the_listed_sweeps_are_stored_beside_the_table(stored):
    path = stored.results / "small-histograms.npz"
    found = read_npz(path)
    sampled = read_csv(stored.table("small.toml"))["method"] != "nngp"
    assert len(found) == int(sampled.sum())
    assert check_results(stored)[0] == []
    path.write_bytes(b"no")
    (problem,) = check_results(stored)[0]
    assert "small-histograms.npz" in problem


def test_histograms_of_a_cell_that_has_no_row_are_named(stored):
    path = stored.results / "small-histograms.npz"
    frame = read_csv(stored.table("small.toml"))
    gone = read_npz(path)[0].origin["key"]
    write_csv(frame[frame["key"] != gone], stored.table("small.toml"))
    problems, _ = check_results(stored)
    assert f"small-histograms.npz: {gone} has no row in small.csv" in problems


def test_histograms_of_cells_that_are_not_computed_again_are_kept(stored, computed):
    path = stored.results / "small-histograms.npz"
    before = read_npz(path)
    folder = stored.store("small.toml")
    folder.mkdir(parents=True)
    first = next(computed.store("small.toml").glob("network*.json"))
    for name in (first.name, first.with_suffix(".npz").name):
        shutil.copy(first.with_name(name), folder)
    update(stored, load_figures(stored), "small.toml")
    after = read_npz(path)
    assert {record.origin["key"] for record in after} == {each.origin["key"] for each in before}
    assert {record.origin["block"] for record in after} == {each.origin["block"] for each in before}


def test_histograms_must_be_a_list_of_sweeps_that_exist(small):
    listing = small.sweeps / "figures.toml"
    text = listing.read_text()
    listing.write_text(text.replace('histograms = ["small.toml"]', 'histograms = "small.toml"'))
    with pytest.raises(BookError, match=r"histograms is 'small\.toml'; it must be a list"):
        load_figures(small)
    listing.write_text(text.replace('histograms = ["small.toml"]', 'histograms = ["other.toml"]'))
    with pytest.raises(BookError, match=r"there is no sweep 'other\.toml'"):
        load_figures(small)


def test_every_stored_row_is_one_configuration_and_back(root):
    for path in tables(Project(root)):
        for row in rows(read_csv(path)):
            config = configuration(row)
            assert cell_key(config, row["method_version"]) == row["key"]
            assert configure(**flat(config)) == config

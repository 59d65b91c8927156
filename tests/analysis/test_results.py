"""The results of a page: the same table in every profile, and holes that are counted."""

import numpy as np
import pandas as pd
import pytest

from feature_learning.analysis.loading import filter_cells, load_or_compute
from feature_learning.analysis.results import Results, error_column, published_curve
from feature_learning.errors import ArgumentError
from feature_learning.experiments.flat import configure
from feature_learning.experiments.keys import cell_key
from feature_learning.experiments.paper import published
from feature_learning.sweeps.grid import read_grid
from feature_learning.sweeps.table import write_csv
from feature_learning.sweeps.weights import write_weights

GRID = """
[defaults]
dim = 6
sparsity = 2
width = 8
n_test = 50
measurements = 8
langevin_time = 12
step = 0.3
chains = 2

[[block]]
name = "network"
reason = "Sampled."
n_train = [20, 40]
seed = [0, 1]
kappa = 0.1

[[block]]
name = "kernel"
reason = "Exact."
method = "nngp"
chains = "default"
langevin_time = "default"
step = "default"
width = "default"
measurements = "default"
n_train = [20, 40]
kappa = [0.1, 0.2]
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "grid.toml"
    path.write_text(GRID, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def computed(grid, folder):
    """The entire grid, once."""
    return load_or_compute("paper", grid, folder / "none.csv", folder=folder, workers=1)


@pytest.fixture
def stored(computed, tmp_path):
    """A table in which one cell is missing."""
    path = tmp_path / "table.csv"
    write_csv(computed.frame.iloc[1:].reset_index(drop=True), path)
    return path


# Profiles


def test_profile_paper_computes_every_cell(computed, grid):
    assert set(computed.frame["key"]) == {cell_key(c.config) for c in read_grid(grid).cells}
    assert computed.missing == 0


def test_profile_stored_reads_the_same_numbers_and_counts_what_is_missing(computed, grid, stored):
    found = load_or_compute("stored", grid, stored)
    assert found.missing == 1
    pd.testing.assert_frame_equal(found.frame, computed.frame.iloc[1:].reset_index(drop=True))


def test_a_stored_row_of_another_configuration_is_no_result_of_this_grid(computed, grid, tmp_path):
    foreign = computed.frame.copy()
    foreign.loc[0, "key"] = cell_key(configure(n_train=20, kappa=0.3))
    write_csv(foreign, tmp_path / "table.csv")
    assert load_or_compute("stored", grid, tmp_path / "table.csv").missing == 1


def test_stored_rows_have_the_blocks_of_the_grid_as_it_is(computed, grid, tmp_path):
    renamed = computed.frame.assign(block="old name").astype({"block": "string"})
    write_csv(renamed, tmp_path / "table.csv")
    found = load_or_compute("stored", grid, tmp_path / "table.csv")
    assert set(found.frame["block"]) == {"network", "kernel"}


def test_only_and_blocks_hold_in_every_profile(grid, stored):
    found = load_or_compute("stored", grid, stored, blocks=["kernel"], only={"kappa": [0.2]})
    assert len(found.frame) + found.missing == 2
    assert set(found.frame["kappa"]) <= {0.2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "slow"}, "^profile must be one of"),
        ({"only": {"kappa": [7.0]}}, "^no cell of grid.toml has"),
        ({"only": {"method": ["none"]}}, "^no cell of grid.toml has"),
    ],
)
def test_what_cannot_be_had_is_refused(grid, stored, options, message):
    with pytest.raises(ArgumentError, match=message):
        load_or_compute(**{"profile": "stored", "grid": grid, "table": stored, **options})


# Reading a table


def test_a_summary_has_mean_and_standard_error_over_seeds(computed):
    rows = computed.select("network", n_train=20)["m_S"].to_numpy(float)
    row = computed.summary("network", "m_S", n_train=20).iloc[0]
    assert row["value"] == pytest.approx(rows.mean())
    assert row["sem"] == pytest.approx(abs(rows[0] - rows[1]) / 2)
    assert (row["seeds"], row["converged"]) == (2, False)


def test_the_error_of_one_seed_is_that_over_its_chains(computed):
    one = computed.select("network", n_train=20, seed=1)
    row = computed.summary("network", "m_S", n_train=20, seed=1).iloc[0]
    assert row["sem"] == one["m_S_sem"].item() > 0


def test_a_curve_is_the_summary_in_order_of_samples(computed):
    curve = computed.curve("kernel", "test_mse_posterior_mean", kappa=0.2)
    assert list(curve.x) == [20, 40]
    assert np.isnan(curve.sem).all()


def test_a_block_of_which_nothing_is_stored_has_no_points(computed, grid, tmp_path):
    table = tmp_path / "table.csv"
    write_csv(computed.select("network").reset_index(drop=True), table)
    found = load_or_compute("stored", grid, table)
    assert found.missing == 4
    assert found.curve("kernel", "m_S").x.size == 0
    assert "4 cells of the grid are not computed yet" in found.provenance()


def test_an_unknown_block_or_column_is_refused(computed):
    with pytest.raises(ArgumentError, match=r"^block must be one of"):
        computed.select("mf")
    with pytest.raises(ArgumentError, match=r"no column 'colour'"):
        computed.select("network", colour=1)


def test_provenance_says_when_where_and_with_what(computed):
    text = computed.provenance()
    assert text.startswith("8 cells, seeds [0, 1], computed 20")
    assert Results(computed.frame.iloc[:0]).provenance() == "no results"
    revisions = ["0123456789abcdef" * 2, "fedcba9876543210" * 2 + "+changes"]
    frame = computed.frame.assign(revision=(revisions * len(computed.frame))[: len(computed.frame)])
    assert "revision 0123456789ab, fedcba987654+changes" in Results(frame).provenance()


def test_the_summary_line_has_the_time_and_the_origin(computed):
    assert computed.summary_line("paper", 90) == (
        f"profile paper, computed in 1.5 minutes\n{computed.provenance()}"
    )
    assert computed.summary_line("stored", 0.1).startswith(computed.provenance())


def test_the_error_of_a_kernel_is_that_of_its_mean():
    assert error_column("mf") == "test_mse_one_sample"
    assert error_column("nngp-as-published") == "test_mse_posterior_mean"


def test_a_published_curve_has_the_published_points():
    curve = published_curve("figure-1", "SGLD", "test_mse", 0.005)
    points = published("figure-1", "SGLD")
    assert list(curve.y) == [point.value for point in points]
    assert published_curve("parity-grid", "MF", "test_mse", 0.0075).x.size == 0


# Weights


def test_stored_weights_lie_beside_the_table(computed, grid, stored):
    assert load_or_compute("stored", grid, stored).weights == {}
    cells = filter_cells(read_grid(grid), ["network"], {"seed": [0]})
    keys = {cell_key(cell.config) for cell in cells.cells}
    archive = stored.with_suffix(".npz")
    kept = ({key: each[key] for key in keys} for each in (computed.weights, computed.readouts))
    weights, readouts = kept
    write_weights(weights, archive, readouts)
    try:
        results = load_or_compute("stored", grid, stored)
    finally:
        archive.unlink()
    found = results.weights
    assert set(found) == set(results.readouts) == keys
    for key, value in results.readouts.items():
        np.testing.assert_allclose(value, computed.readouts[key], rtol=1e-6)
    for key, value in found.items():
        assert value.shape == (2, 8, 6)
        np.testing.assert_allclose(value, computed.weights[key], rtol=1e-6)

"""Tables of cells: every number is in its own cell, and holes stay holes."""

import numpy as np
import pandas as pd
import pytest
from diagrams import GRID, table

from feature_learning.analysis.phase_table import (
    PhaseAxes,
    cell_text,
    cell_value,
    cells,
    column_text,
    edges,
    half,
    published_axes,
)
from feature_learning.errors import ArgumentError


def test_a_value_stands_in_its_row_and_column_and_the_rest_is_a_hole():
    found = GRID.array(table((1000, 0.01, 0.5), (100, 0.001, 0.25)), "value")
    expected = np.full((2, 3), np.nan)
    expected[1, 1], expected[0, 0] = 0.5, 0.25
    np.testing.assert_array_equal(found, expected)


def test_noises_are_the_same_up_to_rounding():
    assert GRID.array(table((100, 0.01 * (1 + 1e-13), 0.5)), "value")[1, 0] == 0.5
    assert np.isnan(GRID.array(table((100, 0.0101, 0.5)), "value")).all()


def test_the_grid_is_the_union_of_the_tables():
    found = cells(table((100, 0.01, 1.0)), table((500, 0.005, 1.0), (100, 0.01, 2.0)))
    assert (list(found.n_train), list(found.kappas)) == ([100, 500], [0.005, 0.01])


def test_a_grid_needs_two_increasing_numbers():
    with pytest.raises(ArgumentError, match=r"^n_train must be at least 2 increasing numbers"):
        PhaseAxes(np.array([100.0, 100.0]), GRID.kappas)


def test_a_table_without_a_column_is_refused():
    with pytest.raises(ArgumentError, match=r"^table must have a column seeds"):
        GRID.array(table((100, 0.01, 1.0)).drop(columns="seeds"), "value")


def test_borders_lie_in_the_geometric_middle():
    np.testing.assert_allclose(edges(np.array([1.0, 100.0])), [0.1, 10.0, 1000.0])


def test_half_halves_the_value_and_its_error():
    found = half(table((100, 0.01, 0.5), sem=0.2))
    assert (found["value"][0], found["sem"][0]) == (0.25, 0.1)


def test_published_cells_are_the_published_grid():
    found = published_axes("SGLD")
    assert len(found) == 63
    row = found[(found["n_train"] == 5000) & (found["kappa"] == 0.005)]
    assert row["value"].item() / 2 == pytest.approx(0.0149, rel=0.01)
    assert (found["seeds"] == 3).all()


def test_a_cell_is_told_as_a_number_and_as_text():
    rows = table((100, 0.01, 0.51234), (100, 0.02, 2.0), sem=0.0321)
    assert cell_value(rows, 100, 0.01) == 0.51234
    assert cell_text(rows, 100, 0.01) == "0.51 ± 0.03"
    assert cell_text(table((100, 0.01, 0.5), sem=np.nan), 100, 0.01) == "0.500"


def test_a_column_tells_its_cells_and_seeds():
    rows = pd.concat([table((100, 0.01, 1.0), (100, 0.1, 1.0)), table((500, 0.1, 1.0), seeds=1)])
    assert column_text(rows, 100) == "2 × 3"
    assert column_text(rows, 500) == "1 × 1"
    assert column_text(rows, 1000) == "–"
    assert column_text(rows.assign(n_train=100), 100) == "3 × 1 to 3"


def test_a_hole_has_no_value_and_is_shown_as_a_dash():
    rows = table((100, 0.01, 0.5))
    assert cell_value(rows, 1000, 0.01) is None
    assert cell_text(rows, 100, 0.02) == "–"
    with pytest.raises(ArgumentError, match=r"^table must have a column kappa"):
        cell_value(rows.drop(columns="kappa"), 100, 0.01)

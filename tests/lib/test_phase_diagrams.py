"""Phase diagrams: every number stands in its own cell, and holes stay holes."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from feature_learning import phase_diagrams
from feature_learning.errors import ArgumentError
from feature_learning.phase_diagrams import (
    COLUMNS,
    Cells,
    cells,
    crossing,
    difference_map,
    differences,
    edges,
    half,
    hover_page,
    onset_text,
    phase_diagram,
    published_cells,
    share_within,
)


def table(*rows, sem=0.1, seeds=3, converged=True):
    """Rows of (samples, kappa, value)."""
    return pd.DataFrame([(*row, sem, seeds, converged) for row in rows], columns=list(COLUMNS))


GRID = Cells(np.array([100.0, 1000.0, 10_000.0]), np.array([0.001, 0.01]))


def axes():
    return Figure().add_subplot()


# Cells


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
    assert (list(found.samples), list(found.kappas)) == ([100, 500], [0.005, 0.01])


def test_a_grid_needs_two_increasing_numbers():
    with pytest.raises(ArgumentError, match=r"^samples must be at least 2 increasing numbers"):
        Cells(np.array([100.0, 100.0]), GRID.kappas)


def test_a_table_without_a_column_is_refused():
    with pytest.raises(ArgumentError, match=r"^table must have a column seeds"):
        GRID.array(table((100, 0.01, 1.0)).drop(columns="seeds"), "value")


def test_borders_lie_in_the_geometric_middle():
    np.testing.assert_allclose(edges(np.array([1.0, 100.0])), [0.1, 10.0, 1000.0])


def test_half_halves_the_value_and_its_error():
    found = half(table((100, 0.01, 0.5), sem=0.2))
    assert (found["value"][0], found["sem"][0]) == (0.25, 0.1)


def test_published_cells_are_the_published_grid():
    found = published_cells("SGLD")
    assert len(found) == 63
    row = found[(found["samples"] == 5000) & (found["kappa"] == 0.005)]
    assert row["value"].item() / 2 == pytest.approx(0.0149, rel=0.01)
    assert (found["seeds"] == 3).all()


# Drawings


def test_a_diagram_draws_known_cells_only_on_the_published_axes():
    ax = axes()
    mesh = phase_diagram(ax, table((1000, 0.01, 0.5)), GRID, judged=False)
    assert mesh.get_array().mask.sum() == 5
    assert (ax.get_xlim(), ax.get_ylim()) == ((50, 1e4), (5e-4, 0.07))
    assert not ax.patches


def test_only_judged_cells_that_did_not_converge_are_hatched():
    rows = pd.concat(
        [table((100, 0.01, 0.5), converged=False), table((1000, 0.01, 0.5), converged=True)]
    )
    ax = axes()
    phase_diagram(ax, rows, GRID, judged=True)
    (patch,) = ax.patches
    assert patch.get_hatch() == "///"
    assert patch.get_x() < 100 < patch.get_x() + patch.get_width() < 1000


def test_a_difference_map_writes_each_number_and_marks_borrowed_errors():
    ours = pd.concat(
        [table((100, 0.01, 0.5), seeds=3), table((1000, 0.01, 0.5), seeds=1, sem=np.nan)]
    )
    found = differences(ours, table((100, 0.01, 0.0), (1000, 0.01, 0.5)))
    ax = axes()
    difference_map(ax, found, GRID)
    assert [text.get_text() for text in ax.texts] == ["3.5", "0.0*"]
    assert [text.get_fontweight() for text in ax.texts] == ["bold", "normal"]


# Differences


def test_errors_of_two_means_add_in_squares():
    (row,) = differences(
        table((100, 0.01, 0.9), sem=0.3), table((100, 0.01, 0.4), sem=0.4)
    ).itertuples()
    assert (row.error, row.z, row.freedom, row.borrowed) == (
        pytest.approx(0.5), pytest.approx(1.0), 4, False,
    )  # fmt: skip


def test_a_single_seed_scatters_as_the_published_seeds_do():
    (row,) = differences(
        table((100, 0.01, 1.0), sem=0.001, seeds=1), table((100, 0.01, 0.0), sem=0.2, seeds=3)
    ).itertuples()
    # Their standard deviation is 0.2 √3; ours the same, theirs over √3.
    assert row.error == pytest.approx(np.hypot(0.2 * np.sqrt(3), 0.2))
    assert (row.freedom, row.borrowed) == (2, True)


def test_cells_that_only_one_has_are_not_compared():
    assert differences(table((100, 0.01, 1.0)), table((100, 0.02, 1.0), (500, 0.01, 1.0))).empty


def test_the_share_is_counted_and_the_expected_one_is_met_by_equal_seeds():
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(2, 4000, 3))

    def means(seeds):
        return pd.DataFrame(
            {
                "samples": np.arange(1, 4001),
                "kappa": 0.01,
                "value": seeds.mean(axis=1),
                "sem": seeds.std(axis=1, ddof=1) / np.sqrt(3),
                "seeds": 3,
                "converged": True,
            }
        )

    share, expected = share_within(differences(means(ours), means(theirs)))
    # Binomial error 0.003.
    assert share == pytest.approx(expected, abs=0.012)
    assert expected == pytest.approx(0.960, abs=0.001)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ArgumentError, match=r"^found must have at least one cell, not none"):
        share_within(differences(table((100, 0.01, 1.0)), table((500, 0.01, 1.0))))


# Onset


@pytest.mark.parametrize(
    ("values", "bounds", "text"),
    [
        ((0.1, 0.7, 0.9), (100, 1000), "100 to 1000"),
        ((0.7, 0.8, 0.9), (np.nan, 100), "up to 100"),
        ((0.1, 0.2, 0.3), (10_000, np.nan), "not up to 10000"),
    ],
)
def test_an_onset_is_bracketed_by_neighbours(values, bounds, text):
    rows = [(p, 0.01, v) for p, v in zip((100, 1000, 10_000), values, strict=True)]
    found = crossing(table(*reversed(rows)), 0.01)
    np.testing.assert_equal(found, bounds)
    assert onset_text(found) == text


def test_an_empty_row_has_no_onset():
    assert onset_text(crossing(table((100, 0.01, 1.0)), 0.005)) == "not computed"


# The interactive figure


def test_the_interactive_figure_has_every_method_and_asks_no_other_host():
    rows = table((100, 0.001, 0.5), (1000, 0.01, 0.02))
    page = hover_page(
        {"a": rows, "b": rows[:1]},
        {"a": rows, "b": rows},
        labels={"a": "Method A", "b": "Method B"},
        description='A "map"',
    )
    assert not re.findall(r"<(?:script|link)[^>]*(?:src|href)=", page)
    assert 'aria-label="A &quot;map&quot;"' in page
    data = page[page.rindex("Plotly.newPlot") :]
    assert "Method A: half MSE 0.02" in data.replace("\\u003c", "<")
    assert "Method B: not computed" in data
    assert data.count("heatmap") >= 2


def test_colours_are_those_of_the_published_range():
    mesh = phase_diagram(axes(), table((1000, 0.01, 0.5)), GRID, judged=False)
    assert (mesh.norm.vmin, mesh.norm.vmax) == phase_diagrams.HALF_MSE

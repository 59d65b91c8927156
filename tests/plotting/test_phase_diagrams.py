"""Phase diagrams: known cells on the published axes."""

import numpy as np
import pandas as pd
from diagrams import GRID, axes, table

from feature_learning.analysis.agreement import differences
from feature_learning.plotting.phase_diagrams import (
    PARITY_WINDOW,
    Window,
    difference_map,
    phase_diagram,
)


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
    ours = pd.concat([ours, table((1000, 0.001, 0.5), seeds=3)])
    found = differences(ours, table((100, 0.01, 0.0), (1000, 0.01, 0.5), (1000, 0.001, 0.5)))
    ax = axes()
    difference_map(ax, found)
    assert [text.get_text() for text in ax.texts] == ["0.0", "3.5", "0.0*"]
    assert [text.get_fontweight() for text in ax.texts] == ["normal", "bold", "normal"]


def test_every_cell_of_a_difference_map_has_the_same_room():
    places = [(n_train, kappa, 0.5) for n_train in (100, 1000, 1001) for kappa in (0.001, 0.01)]
    ax = axes()
    difference_map(ax, differences(table(*places), table(*places)))
    assert {text.get_position() for text in ax.texts} == {(x, y) for x in range(3) for y in (0, 1)}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["100", "1000", "1001"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0.001", "0.01"]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 2.5), (-0.5, 1.5))


def test_colours_are_those_of_the_published_range():
    mesh = phase_diagram(axes(), table((1000, 0.01, 0.5)), GRID, judged=False)
    assert (mesh.norm.vmin, mesh.norm.vmax) == PARITY_WINDOW.values == (1e-2, 1.0)


def test_a_window_sets_axes_and_colours():
    window = Window((10.0, 1e5), (1e-6, 1.0), (0.1, 30.0), "test MSE")
    ax = axes()
    mesh = phase_diagram(ax, table((1000, 0.01, 0.5)), GRID, judged=False, window=window)
    assert (ax.get_xlim(), ax.get_ylim()) == ((10, 1e5), (1e-6, 1))
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.1, 30)

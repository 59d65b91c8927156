"""Diagrams over number of samples and noise: one observable, or the difference of two tables.

They are drawn from the tables of :mod:`feature_learning.analysis.phase_table`; holes are grey.
"""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Rectangle

from feature_learning.analysis.phase_table import FloatArray, PhaseAxes, cells, edges

#: Perceptually uniform, and suitable for any colour vision.
COLOURS = "cividis"
#: Colour of missing cells.
HOLE = "#c8c8c8"


@dataclass(frozen=True)
class Window:
    """The part of the plane that a diagram shows, the range of its colours, and its unit.

    Attributes
    ----------
    n_train, kappas : (float, float)
        Ends of the logarithmic axes.
    values : (float, float)
        Ends of the logarithmic colours.
    unit : str
        The coloured quantity.
    """

    n_train: tuple[float, float]
    kappas: tuple[float, float]
    values: tuple[float, float]
    unit: str


#: The published axes and colours of Figures 4a to 4c.
PARITY_WINDOW = Window((50.0, 1e4), (5e-4, 0.07), (1e-2, 1.0), "half test MSE")
#: Axes and colours of Figures 4d and 4e: the whole published grid. The zero predictor has a test
#: MSE of 24.
SINGLE_INDEX_WINDOW = Window((35.0, 9.2e4), (3.2e-6, 0.32), (0.3, 30.0), "test MSE")


def phase_diagram(
    ax: Axes, table: pd.DataFrame, grid: PhaseAxes, *, judged: bool, window: Window = PARITY_WINDOW
) -> QuadMesh:
    """Draw a test error; returns the mesh for a colour bar.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        Values outside the range of colours get the colour of its nearer end.
    grid : PhaseAxes
    judged : bool
        Hatch cells that are not ``converged``. Cells that were computed again in this build have a
        ring.
    window : Window
        Axes and colours; the table is in its unit.
    """
    norm = LogNorm(*window.values, clip=True)
    mesh = _mesh(ax, grid, grid.array(table, "value"), norm, COLOURS, window)
    if judged:
        converged = grid.array(table, "converged")
        x, y = edges(grid.n_train), edges(grid.kappas)
        for row, column in np.argwhere(converged == 0):
            ax.add_patch(
                Rectangle(
                    (x[column], y[row]), x[column + 1] - x[column], y[row + 1] - y[row],
                    fill=False, hatch="///", lw=0, edgecolor="white", alpha=0.7,
                )
            )  # fmt: skip
    if "live" in table and (again := table[table["live"]]).size:
        for colour, width in (("white", 2.6), ("black", 1.2)):  # visible on every colour
            ax.plot(
                again["n_train"], again["kappa"], ls="", marker="o", ms=9, mfc="none",
                mec=colour, mew=width,
            )  # fmt: skip
    return mesh


def difference_map(ax: Axes, found: pd.DataFrame, *, errors: float = 3.0) -> QuadMesh:
    """Draw :func:`~feature_learning.analysis.agreement.differences`, with a number in each cell.

    The axes are lists, not scales: all columns and rows of ``found`` have equal size, so that all
    numbers are readable. Colours reach to twice ``errors``; numbers above ``errors`` are bold, and
    a star marks a borrowed error.

    Raises
    ------
    ArgumentError
        If there are fewer than two numbers of samples or noises.
    """
    shown = found.assign(value=found["z"], sem=np.nan, seeds=1, converged=True)
    grid = cells(shown)
    values, borrowed = grid.array(shown, "value"), grid.array(shown, "borrowed")
    ax.set_facecolor(HOLE)
    ax.grid(visible=False)
    columns, rows = (np.arange(len(each) + 1) - 0.5 for each in (grid.n_train, grid.kappas))
    mesh = ax.pcolormesh(
        columns, rows, np.ma.masked_invalid(values), norm=Normalize(-2 * errors, 2 * errors, True),
        cmap=mpl.colormaps["PuOr"], edgecolors="white", linewidth=0.4,
    )  # fmt: skip
    for row, column in np.argwhere(~np.isnan(values)):
        z, star = values[row, column], "*" if borrowed[row, column] else ""
        ax.text(
            float(column), float(row), f"{round(z, 1) + 0.0:.1f}{star}", ha="center", va="center",
            fontsize=10, fontweight="bold" if abs(z) > errors else "normal",
            color="white" if abs(z) > 1.5 * errors else "black",
        )  # fmt: skip
    ax.set_xticks(range(len(grid.n_train)), [f"{value:.0f}" for value in grid.n_train])
    ax.set_yticks(range(len(grid.kappas)), [f"{value:g}" for value in grid.kappas])
    ax.tick_params(length=0)
    ax.set_xlabel("number of samples $P$")
    ax.set_ylabel(r"noise $\kappa$")
    return mesh


def _mesh(
    ax: Axes, grid: PhaseAxes, values: FloatArray, norm: Normalize, colours: str, window: Window
) -> QuadMesh:
    ax.set_facecolor(HOLE)
    ax.grid(False)
    mesh = ax.pcolormesh(
        edges(grid.n_train), edges(grid.kappas), np.ma.masked_invalid(values),
        norm=norm, cmap=mpl.colormaps[colours], edgecolors="white", linewidth=0.4,
    )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(*window.n_train)
    ax.set_ylim(*window.kappas)
    ax.set_xlabel("number of samples $P$")
    ax.set_ylabel(r"noise $\kappa$")
    return mesh

"""Diagrams over number of samples and noise: of one observable, and of the difference of two.

They are drawn from tables with one row a cell, columns ``samples``, ``kappa``, ``value``, ``sem``,
``seeds`` and ``converged`` (:meth:`feature_learning.results.Results.summary`). A cell that is not
in the table is a hole: grey, never interpolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from scipy.stats import t as student_t

from feature_learning.errors import ArgumentError, check_scale
from feature_learning.published import published

FloatArray = NDArray[np.float64]
COLUMNS = ("samples", "kappa", "value", "sem", "seeds", "converged")
#: Perceptually uniform, and read alike by readers with any colour vision.
COLOURS = "cividis"
#: Of cells that are not there.
HOLE = "#c8c8c8"
#: The published axes: numbers of samples, noise, half test MSE.
SAMPLES, KAPPAS, HALF_MSE = (50.0, 1e4), (5e-4, 0.07), (1e-2, 1.0)


@dataclass(frozen=True)
class Cells:
    """The rows and columns of a diagram; several diagrams with the same ones can be compared.

    Attributes
    ----------
    samples : array
        P, increasing, (columns,).
    kappas : array
        κ, increasing, (rows,).
    """

    samples: FloatArray
    kappas: FloatArray

    def __post_init__(self) -> None:
        for name in ("samples", "kappas"):
            values = getattr(self, name)
            if len(values) < 2 or np.any(np.diff(values) <= 0) or values[0] <= 0:
                raise ArgumentError(f"{name} must be at least 2 increasing numbers, not {values}")

    def array(self, table: pd.DataFrame, column: str) -> FloatArray:
        """A column of a table as (rows, columns), NaN where the table has no cell."""
        _check(table)
        found = np.full((len(self.kappas), len(self.samples)), np.nan)
        for samples, kappa, value in zip(
            table["samples"], table["kappa"], table[column], strict=True
        ):
            row = np.flatnonzero(np.isclose(self.kappas, kappa, rtol=1e-9, atol=0))
            place = np.flatnonzero(self.samples == samples)
            if row.size and place.size:
                found[row[0], place[0]] = value
        return found


def cells(*tables: pd.DataFrame) -> Cells:
    """Every number of samples and every noise of any of the tables."""
    joined = pd.concat(tables)
    _check(joined)
    kappas = np.unique(np.round(joined["kappa"].to_numpy(float), 12))
    return Cells(np.unique(joined["samples"].to_numpy(float)), kappas)


def edges(centres: FloatArray) -> FloatArray:
    """Borders between cells, in the middle on a logarithmic axis; (cells + 1,)."""
    logs = np.log(centres)
    middle = (logs[1:] + logs[:-1]) / 2
    first, last = 2 * logs[0] - middle[0], 2 * logs[-1] - middle[-1]
    return np.asarray(np.exp(np.concatenate([[first], middle, [last]])))


def published_cells(method: str, observable: str = "test_mse") -> pd.DataFrame:
    """The published grid of a method as a table of this module; an MSE is not half."""
    points = published("parity-grid", method, observable)
    return pd.DataFrame(
        [(p.samples, p.kappa, p.value, p.sem, p.seeds, True) for p in points], columns=list(COLUMNS)
    )


def half(table: pd.DataFrame) -> pd.DataFrame:
    """A table of MSE as one of half MSE, the unit of the published diagrams."""
    return table.assign(value=table["value"] / 2, sem=table["sem"] / 2)


def phase_diagram(ax: Axes, table: pd.DataFrame, grid: Cells, *, judged: bool) -> QuadMesh:
    """Draw half test MSE on the published axes; returns what a colour bar needs.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        Values above or below the colours' range have the colour of its end.
    grid : Cells
    judged : bool
        Hatch cells that are not ``converged``.
    """
    norm = LogNorm(*HALF_MSE, clip=True)
    mesh = _mesh(ax, grid, grid.array(table, "value"), norm, COLOURS)
    if judged:
        converged = grid.array(table, "converged")
        x, y = edges(grid.samples), edges(grid.kappas)
        for row, column in np.argwhere(converged == 0):
            ax.add_patch(
                Rectangle(
                    (x[column], y[row]), x[column + 1] - x[column], y[row + 1] - y[row],
                    fill=False, hatch="///", lw=0, edgecolor="white", alpha=0.7,
                )
            )  # fmt: skip
    return mesh


def differences(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Cell by cell, ours minus theirs in combined standard errors.

    Two means of several seeds each have the error √(s² + s'²). Of a single seed nothing says how
    far another would lie; it is then taken to scatter as the published seeds of the same cell do.

    Parameters
    ----------
    ours, theirs : DataFrame
        In the same unit. Theirs has at least two seeds a cell.

    Returns
    -------
    DataFrame
        Cells that both have, with their standard error: ``samples``, ``kappa``, ``ours``,
        ``theirs``, ``error`` (combined), ``z``, ``freedom`` (degrees of freedom of that error) and
        ``borrowed`` (our part of the error is their scatter).
    """
    _check(ours)
    _check(theirs)
    rows = []
    for mine in ours.itertuples():
        same = np.isclose(theirs["kappa"].to_numpy(float), mine.kappa, rtol=1e-9, atol=0)
        for other in theirs[same & (theirs["samples"] == mine.samples)].itertuples():
            if not other.sem > 0 or other.seeds < 2:
                continue
            borrowed = mine.seeds < 2
            own = other.sem * np.sqrt(other.seeds / mine.seeds) if borrowed else mine.sem
            error = float(np.hypot(own, other.sem))
            rows.append(
                {
                    "samples": int(mine.samples),
                    "kappa": float(mine.kappa),
                    "ours": float(mine.value),
                    "theirs": float(other.value),
                    "error": error,
                    "z": (mine.value - other.value) / error,
                    "freedom": int(other.seeds - 1 + (0 if borrowed else mine.seeds - 1)),
                    "borrowed": bool(borrowed),
                }
            )
    names = ["samples", "kappa", "ours", "theirs", "error", "z", "freedom", "borrowed"]
    return pd.DataFrame(rows, columns=names)


def share_within(found: pd.DataFrame, errors: float = 3.0) -> tuple[float, float]:
    """The share of cells whose difference is at most so many combined standard errors.

    Returns
    -------
    share, expected : float
        Counted, and expected if there were no difference: errors from three seeds are themselves
        uncertain, so that this is Student's t with few degrees of freedom, not the normal law.

    Raises
    ------
    ArgumentError
        If there is no cell, or ``errors`` is not positive.
    """
    check_scale("errors", errors)
    if found.empty:
        raise ArgumentError("found must have at least one cell, not none")
    inside = found["z"].abs() <= errors
    expected = 1 - 2 * student_t.sf(errors, found["freedom"].to_numpy(float))
    return float(inside.mean()), float(np.mean(expected))


def difference_map(ax: Axes, found: pd.DataFrame, grid: Cells, *, errors: float = 3.0) -> QuadMesh:
    """Draw :func:`differences`: colours to twice ``errors``, each cell with its number."""
    shown = found.assign(value=found["z"], sem=np.nan, seeds=1, converged=True)
    values = grid.array(shown, "value")
    norm = Normalize(-2 * errors, 2 * errors, clip=True)
    mesh = _mesh(ax, grid, values, norm, "PuOr")
    borrowed = grid.array(shown, "borrowed")
    # The middle of what the axes show of each cell.
    x, y = (
        np.clip(edges(centres), *limits)
        for centres, limits in ((grid.samples, SAMPLES), (grid.kappas, KAPPAS))
    )
    for row, column in np.argwhere(~np.isnan(values)):
        z, width, height = values[row, column], x[column + 1] / x[column], y[row + 1] / y[row]
        if width == 1 or height == 1:
            continue
        place = float(x[column] * np.sqrt(width)), float(y[row] * np.sqrt(height))
        ax.text(
            *place, f"{z:.1f}" + ("*" if borrowed[row, column] else ""), ha="center", va="center",
            fontsize=6.5, fontweight="bold" if abs(z) > errors else "normal",
            color="white" if abs(z) > 1.5 * errors else "black",
        )  # fmt: skip
    return mesh


def _mesh(ax: Axes, grid: Cells, values: FloatArray, norm: Normalize, colours: str) -> QuadMesh:
    ax.set_facecolor(HOLE)
    ax.grid(False)
    mesh = ax.pcolormesh(
        edges(grid.samples), edges(grid.kappas), np.ma.masked_invalid(values),
        norm=norm, cmap=mpl.colormaps[colours], edgecolors="white", linewidth=0.4,
    )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(*SAMPLES)
    ax.set_ylim(*KAPPAS)
    ax.set_xlabel("number of samples $P$")
    ax.set_ylabel(r"noise $\kappa$")
    return mesh


def _check(table: pd.DataFrame) -> None:
    for name in ("samples", "kappa", "value", "sem", "seeds"):
        if name not in table.columns:
            raise ArgumentError(f"table must have a column {name}, it has {list(table.columns)}")


def hover_page(
    errors: Mapping[str, pd.DataFrame],
    overlaps: Mapping[str, pd.DataFrame],
    *,
    labels: Mapping[str, str],
    description: str,
) -> str:
    """An interactive diagram as HTML that needs no network: plotly.js is in it, 5 MB.

    Pointing at a cell shows half test MSE and overlap of every method there; buttons choose whose
    error is coloured.

    Parameters
    ----------
    errors : mapping of str to DataFrame
        Half test MSE of every method.
    overlaps : mapping of str to DataFrame
        m_S of the same methods.
    labels : mapping of str to str
        Method to its name for readers.
    description : str
        What the figure shows, for readers who do not see it.
    """
    # Only this page needs it, and only the extra `book` has it.
    import html

    import plotly.graph_objects as go

    grid = cells(*errors.values())
    texts = _texts(grid, errors, overlaps, labels)
    low, high = (float(np.log10(bound)) for bound in HALF_MSE)
    first = next(iter(errors))
    figure = go.Figure()
    for name, table in errors.items():
        logs = np.log10(grid.array(table, "value"))
        figure.add_trace(
            go.Heatmap(
                x=[f"{p:.0f}" for p in grid.samples],
                y=[f"{k:g}" for k in grid.kappas],
                z=[[None if np.isnan(v) else float(v) for v in row] for row in logs],
                text=texts,
                hovertemplate="%{text}<extra></extra>",
                hoverongaps=True,
                visible=name == first,
                colorscale="Cividis",
                zmin=low,
                zmax=high,
                xgap=1,
                ygap=1,
                colorbar={
                    "title": {"text": "half test MSE"},
                    "tickvals": [low, (low + high) / 2, high],
                    "ticktext": [f"{10**v:g}" for v in (low, (low + high) / 2, high)],
                },
            )
        )
    buttons = [
        {
            "label": labels[name],
            "method": "update",
            "args": [{"visible": [other == name for other in errors]}],
        }
        for name in errors
    ]
    figure.update_layout(
        xaxis={"title": {"text": "number of samples P"}, "type": "category"},
        yaxis={"title": {"text": "noise κ"}, "type": "category"},
        updatemenus=[
            {"type": "dropdown", "buttons": buttons, "x": 0, "xanchor": "left", "y": 1.16}
        ],
        plot_bgcolor=HOLE,
        paper_bgcolor="white",
        height=460,
        margin={"l": 70, "r": 20, "t": 60, "b": 60},
        template="none",
    )
    body = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="phase-diagram-by-cell",
        config={"displaylogo": False, "responsive": True},
    )
    return f'<div role="img" aria-label="{html.escape(description, quote=True)}">{body}</div>'


def _texts(
    grid: Cells,
    errors: Mapping[str, pd.DataFrame],
    overlaps: Mapping[str, pd.DataFrame],
    labels: Mapping[str, str],
) -> list[list[str]]:
    """What is shown over each cell."""
    lines: list[list[list[str]]] = [
        [[f"P = {p:.0f}, κ = {k:g}"] for p in grid.samples] for k in grid.kappas
    ]
    for name in errors:
        mse, sem = (grid.array(errors[name], column) for column in ("value", "sem"))
        overlap = grid.array(overlaps[name], "value")
        for row, column in np.ndindex(mse.shape):
            value, error = mse[row, column], sem[row, column]
            if np.isnan(value):
                text = "not computed"
            else:
                spread = "" if np.isnan(error) else f" ± {error:.1g}"
                text = f"half MSE {value:.3g}{spread}, m_S {overlap[row, column]:.3f}"
            lines[row][column].append(f"{labels[name]}: {text}")
    return [["<br>".join(cell) for cell in row] for row in lines]


def crossing(table: pd.DataFrame, kappa: float, level: float = 0.5) -> tuple[float, float]:
    """The two numbers of samples between which an overlap first passes a level.

    Parameters
    ----------
    table : DataFrame
        Values of m_S.
    kappa : float
    level : float

    Returns
    -------
    below, above : float
        Neighbouring numbers of samples of the table. NaN where there is none: (NaN, P) if the first
        is above already, (P, NaN) if the last is still below, (NaN, NaN) of an empty row.
    """
    _check(table)
    here = table[np.isclose(table["kappa"].to_numpy(float), kappa, rtol=1e-9, atol=0)]
    here = here.sort_values("samples")
    below = np.nan
    for samples, value in zip(here["samples"], here["value"], strict=True):
        if value > level:
            return below, float(samples)
        below = float(samples)
    return below, np.nan


def onset_text(bounds: Sequence[float]) -> str:
    """A result of :func:`crossing` in words."""
    below, above = bounds
    if np.isnan(above):
        return "not computed" if np.isnan(below) else f"not up to {below:.0f}"
    return f"up to {above:.0f}" if np.isnan(below) else f"{below:.0f} to {above:.0f}"

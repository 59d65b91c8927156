"""An interactive diagram over samples and noise that shows the numbers of the cell pointed at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from feature_learning.analysis.phase_table import PhaseAxes, cells
from feature_learning.plotting.phase_diagrams import HOLE, PARITY_WINDOW, Window


def hover_page(
    errors: Mapping[str, pd.DataFrame],
    overlaps: Mapping[str, pd.DataFrame],
    *,
    labels: Mapping[str, str],
    description: str,
    window: Window = PARITY_WINDOW,
) -> str:
    """An interactive diagram as HTML that contains plotly.js (5 MB) and needs no network.

    (In the book the pages share one copy of the script.)

    Pointing at a cell shows test error and overlap of every method there; a menu chooses whose
    error is coloured.

    Parameters
    ----------
    errors : mapping of str to DataFrame
        Errors of every method, in the unit of the window.
    overlaps : mapping of str to DataFrame
        m_S of the same methods.
    labels : mapping of str to str
        Method to its name for readers.
    description : str
        Content of the figure, for readers who cannot see it.
    window : Window
        Unit and colours; the axes include every cell.
    """
    # Only this page needs plotly, and only the extra `book` installs it.
    import html

    import plotly.graph_objects as go

    grid = cells(*errors.values())
    texts = _texts(grid, errors, overlaps, labels, window.unit)
    low, high = (float(np.log10(bound)) for bound in window.values)
    first = next(iter(errors))
    figure = go.Figure()
    for name, table in errors.items():
        logs = np.log10(grid.array(table, "value"))
        figure.add_trace(
            go.Heatmap(
                x=[f"{p:.0f}" for p in grid.n_train],
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
                    "title": {"text": window.unit},
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
        # The margin grows with the labels, and the title keeps its distance from the longest.
        yaxis={
            "title": {"text": "noise κ", "standoff": 16},
            "type": "category",
            "automargin": True,
        },
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
    grid: PhaseAxes,
    errors: Mapping[str, pd.DataFrame],
    overlaps: Mapping[str, pd.DataFrame],
    labels: Mapping[str, str],
    unit: str,
) -> list[list[str]]:
    """The text that is shown over each cell."""
    lines: list[list[list[str]]] = [
        [[f"P = {p:.0f}, κ = {k:g}"] for p in grid.n_train] for k in grid.kappas
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
                share = overlap[row, column]
                text = f"{unit} {value:.3g}{spread}" + (
                    "" if np.isnan(share) else f", m_S {share:.3f}"
                )
            lines[row][column].append(f"{labels[name]}: {text}")
    return [["<br>".join(cell) for cell in row] for row in lines]

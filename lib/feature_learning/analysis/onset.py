"""Onset of learning: the numbers of samples between which an overlap passes a level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from feature_learning.analysis.phase_table import check_table


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
        Neighbouring numbers of samples in the table, or NaN: (NaN, P) if the first value is already
        above the level, (P, NaN) if the last is still below, (NaN, NaN) for an empty row.
    """
    check_table(table)
    here = table[np.isclose(table["kappa"].to_numpy(float), kappa, rtol=1e-9, atol=0)]
    here = here.sort_values("n_train")
    below = np.nan
    for n_train, value in zip(here["n_train"], here["value"], strict=True):
        if value > level:
            return below, float(n_train)
        below = float(n_train)
    return below, np.nan


def onset_text(bounds: Sequence[float], *, empty: str = "not computed") -> str:
    """A result of :func:`crossing` in words; ``empty`` if the row has no point."""
    below, above = bounds
    if np.isnan(above):
        return empty if np.isnan(below) else f"not up to {below:.0f}"
    return f"up to {above:.0f}" if np.isnan(below) else f"{below:.0f} to {above:.0f}"


def columns_apart(
    ours: pd.DataFrame, theirs: pd.DataFrame, kappa: float, level: float = 0.5
) -> int | None:
    """Number of grid columns between the onsets of two tables at one noise.

    Returns
    -------
    int or None
        Positive if ours is at more samples. None if a cell of theirs is missing in ours, or if one
        of the two tables does not pass the level.
    """
    rows = [table[np.isclose(table["kappa"].to_numpy(float), kappa)] for table in (ours, theirs)]
    columns = sorted(int(n_train) for n_train in rows[1]["n_train"])
    if not columns or not set(columns) <= {int(n_train) for n_train in rows[0]["n_train"]}:
        return None
    same = rows[0][rows[0]["n_train"].isin(columns)]
    found = [crossing(table, kappa, level)[1] for table in (same, rows[1])]
    if np.isnan(found).any():
        return None
    return columns.index(int(found[0])) - columns.index(int(found[1]))

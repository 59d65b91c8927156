"""Onset of learning: the numbers of samples between which an overlap passes a level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from feature_learning.cells import check_table


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
    check_table(table)
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

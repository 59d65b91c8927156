"""Agreement of two tables, cell by cell, in units of their combined standard error."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from feature_learning.analysis.phase_table import check_table
from feature_learning.errors import ArgumentError, check_scale


def differences(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Ours minus theirs in combined standard errors, for each cell.

    The difference of two means over several seeds has the error √(s² + s'²). The scatter of a
    single seed is unknown; it is assumed to equal that of the published seeds of the same cell.

    Parameters
    ----------
    ours, theirs : DataFrame
        In the same unit. Theirs has at least two seeds per cell.

    Returns
    -------
    DataFrame
        Cells that both have, with their standard error: ``n_train``, ``kappa``, ``ours``,
        ``theirs``, ``error`` (combined), ``z``, ``freedom`` (degrees of freedom of that error) and
        ``borrowed`` (our part of the error is estimated from their scatter).
    """
    check_table(ours)
    check_table(theirs)
    rows = []
    for mine in ours.itertuples():
        same = np.isclose(theirs["kappa"].to_numpy(float), mine.kappa, rtol=1e-9, atol=0)
        for other in theirs[same & (theirs["n_train"] == mine.n_train)].itertuples():
            if not other.sem > 0 or other.seeds < 2:
                continue
            borrowed = mine.seeds < 2
            own = other.sem * np.sqrt(other.seeds / mine.seeds) if borrowed else mine.sem
            error = float(np.hypot(own, other.sem))
            rows.append(
                {
                    "n_train": int(mine.n_train),
                    "kappa": float(mine.kappa),
                    "ours": float(mine.value),
                    "theirs": float(other.value),
                    "error": error,
                    "z": (mine.value - other.value) / error,
                    "freedom": int(other.seeds - 1 + (0 if borrowed else mine.seeds - 1)),
                    "borrowed": bool(borrowed),
                }
            )
    names = ["n_train", "kappa", "ours", "theirs", "error", "z", "freedom", "borrowed"]
    return pd.DataFrame(rows, columns=names)


def share_within(found: pd.DataFrame, errors: float = 3.0) -> tuple[float, float]:
    """The share of cells whose difference is at most ``errors`` combined standard errors.

    Returns
    -------
    share, expected : float
        The observed share, and the share expected without a difference. Errors from three seeds are
        uncertain themselves, so that the expected share is that of Student's t with few degrees of
        freedom, not of the normal distribution.

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

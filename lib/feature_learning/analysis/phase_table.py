"""Tables with one row per cell of the plane of samples and noise, and the grid of these cells.

The columns ``n_train``, ``kappa``, ``value``, ``sem``, ``seeds`` and ``converged`` are those of
:meth:`feature_learning.analysis.results.Results.summary`. A cell that is not in the table is a
hole; it is never interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_learning.analysis.texts import ABSENT, value_text
from feature_learning.errors import ArgumentError
from feature_learning.experiments.paper import published

FloatArray = NDArray[np.float64]
COLUMNS = ("n_train", "kappa", "value", "sem", "seeds", "converged")


@dataclass(frozen=True)
class PhaseAxes:
    """The rows and columns of a diagram; diagrams with the same ones can be compared.

    Attributes
    ----------
    n_train : array
        P, increasing, (columns,).
    kappas : array
        κ, increasing, (rows,).
    """

    n_train: FloatArray
    kappas: FloatArray

    def __post_init__(self) -> None:
        for name in ("n_train", "kappas"):
            values = getattr(self, name)
            if len(values) < 2 or np.any(np.diff(values) <= 0) or values[0] <= 0:
                raise ArgumentError(f"{name} must be at least 2 increasing numbers, not {values}")

    def array(self, table: pd.DataFrame, column: str) -> FloatArray:
        """A column of a table as an array (rows, columns), NaN where the table has no cell."""
        check_table(table)
        found = np.full((len(self.kappas), len(self.n_train)), np.nan)
        for n_train, kappa, value in zip(
            table["n_train"], table["kappa"], table[column], strict=True
        ):
            row = np.flatnonzero(np.isclose(self.kappas, kappa, rtol=1e-9, atol=0))
            place = np.flatnonzero(self.n_train == n_train)
            if row.size and place.size:
                found[row[0], place[0]] = value
        return found


def cells(*tables: pd.DataFrame) -> PhaseAxes:
    """The grid of all numbers of samples and all noises in the tables."""
    joined = pd.concat(tables)
    check_table(joined)
    kappas = np.unique(np.round(joined["kappa"].to_numpy(float), 12))
    return PhaseAxes(np.unique(joined["n_train"].to_numpy(float)), kappas)


def edges(centres: FloatArray) -> FloatArray:
    """Borders between cells, in the middle on a logarithmic axis; (cells + 1,)."""
    logs = np.log(centres)
    middle = (logs[1:] + logs[:-1]) / 2
    first, last = 2 * logs[0] - middle[0], 2 * logs[-1] - middle[-1]
    return np.asarray(np.exp(np.concatenate([[first], middle, [last]])))


def published_axes(
    method: str, observable: str = "test_mse", *, table: str = "parity-grid"
) -> pd.DataFrame:
    """The published grid of a method as a table of this module; an MSE is not half."""
    points = published(table, method, observable)
    return pd.DataFrame(
        [(p.n_train, p.kappa, p.value, p.sem, p.seeds, True) for p in points], columns=list(COLUMNS)
    )


def half(table: pd.DataFrame) -> pd.DataFrame:
    """A table of MSE as one of half MSE, the unit of the published diagrams."""
    return table.assign(value=table["value"] / 2, sem=table["sem"] / 2)


def check_table(table: pd.DataFrame) -> None:
    """Refuse a table that lacks one of the columns."""
    for name in ("n_train", "kappa", "value", "sem", "seeds"):
        if name not in table.columns:
            raise ArgumentError(f"table must have a column {name}, not {list(table.columns)}")


def cell_value(table: pd.DataFrame, n_train: int, kappa: float) -> float | None:
    """The value of one cell; None if it is a hole."""
    row = _row(table, n_train, kappa)
    return None if row is None else float(row["value"])


def cell_text(table: pd.DataFrame, n_train: int, kappa: float) -> str:
    """Value ± standard error of one cell, for a table of a page; a dash if it is a hole."""
    row = _row(table, n_train, kappa)
    return ABSENT if row is None else value_text(row["value"], row["sem"])


def column_text(table: pd.DataFrame, n_train: int) -> str:
    """Number of cells at one number of samples, times the seeds of each: "5 × 4"."""
    check_table(table)
    seeds = table[table["n_train"] == n_train]["seeds"]
    if seeds.empty:
        return ABSENT
    low, high = int(seeds.min()), int(seeds.max())
    return f"{len(seeds)} × {low}" if low == high else f"{len(seeds)} × {low} to {high}"


def _row(table: pd.DataFrame, n_train: int, kappa: float) -> pd.Series | None:
    check_table(table)
    same = np.isclose(table["kappa"].to_numpy(float), kappa, rtol=1e-9, atol=0)
    found = table[same & (table["n_train"] == n_train)]
    return None if found.empty else found.iloc[0]

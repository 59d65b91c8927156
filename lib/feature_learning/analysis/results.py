"""The results a page shows as one table, whatever the profile, and curves from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_learning.analysis.curve import Curve
from feature_learning.errors import ArgumentError, check_choice
from feature_learning.experiments.paper import published
from feature_learning.inference.verdict import WITHIN

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Results:
    """A table of results and the weights that came with it.

    Attributes
    ----------
    frame : DataFrame
        Columns of :func:`feature_learning.sweeps.table.schema`; one row a cell.
    missing : int
        Cells of the grid that are not in the table.
    weights : dict of array
        Key of a cell to hidden weights (chains, particles, fan_in); in profile stored only of the
        few cells whose weights are stored.
    readouts : dict of array
        Key of a cell to readouts (chains, particles), likewise, where a method has any.
    blocks : tuple of str
        Blocks that were asked for; those of the table if not given.
    """

    frame: pd.DataFrame
    missing: int = 0
    weights: dict[str, FloatArray] = field(default_factory=dict, repr=False)
    readouts: dict[str, FloatArray] = field(default_factory=dict, repr=False)
    blocks: tuple[str, ...] = ()

    def select(self, block: str, **values: Any) -> pd.DataFrame:
        """Rows of one block with these values, such as ``kappa=0.005``; numbers up to rounding.

        A block that was asked for and of which nothing is stored yet has no rows.

        Raises
        ------
        ArgumentError
            If there is no such block or column.
        """
        blocks = self.frame["block"].str.split("; ")
        check_choice("block", block, {name for names in blocks for name in names} | {*self.blocks})
        found = self.frame[[block in names for names in blocks]]
        for name, value in values.items():
            if name not in found.columns:
                raise ArgumentError(f"there is no column {name!r} in a table of results")
            column = found[name]
            if isinstance(value, float):
                found = found[np.isclose(column.astype(float), value, rtol=1e-9, atol=0)]
            else:
                found = found[column == value]
        return found

    def summary(self, block: str, observable: str, **values: Any) -> pd.DataFrame:
        """Mean and standard error over seeds for every (samples, κ).

        Returns
        -------
        DataFrame
            Columns ``samples``, ``kappa``, ``value``, ``sem`` (over seeds; of one seed that over
            its chains, if there are several), ``seeds`` and ``converged`` (every seed is, or agrees
            within a code, see :mod:`feature_learning.inference.verdict`).
        """
        rows = []
        for (samples, kappa), group in self.select(block, **values).groupby(["samples", "kappa"]):
            numbers = group[observable].astype(float).to_numpy()
            if len(numbers) > 1:
                error = numbers.std(ddof=1) / np.sqrt(len(numbers))
            else:
                column = f"{observable}_sem"
                known = group[column].iloc[0] if column in group else pd.NA
                error = np.nan if known is pd.NA else float(known)
            rows.append(
                {
                    "samples": int(samples),
                    "kappa": float(kappa),
                    "value": float(numbers.mean()),
                    "sem": float(error),
                    "seeds": len(numbers),
                    "converged": bool(_settled(group).all()),
                }
            )
        columns = ["samples", "kappa", "value", "sem", "seeds", "converged"]
        return pd.DataFrame(rows, columns=columns)

    def curve(self, block: str, observable: str, **values: Any) -> Curve:
        """:meth:`summary` against the number of samples, for a figure."""
        found = self.summary(block, observable, **values).sort_values("samples")
        return Curve(
            found["samples"].to_numpy(float),
            found["value"].to_numpy(float),
            found["sem"].to_numpy(float),
            found["converged"].to_numpy(bool),
        )

    def account(self, profile: str, seconds: float) -> str:
        """What a page prints first: the profile, how long it computed, and :meth:`provenance`.

        Parameters
        ----------
        profile : str
            As of :func:`obtain`; what is only read (*stored*) has no time of its own.
        seconds : float
            How long computing took.
        """
        clock = "" if profile == "stored" else f", computed in {seconds / 60:.1f} minutes"
        return f"profile {profile}{clock}\n{self.provenance()}"

    def provenance(self) -> str:
        """Where the numbers come from, in a sentence: for the page."""
        if self.frame.empty:
            return "no results"

        def several(name: str) -> str:
            return ", ".join(sorted({str(value) for value in self.frame[name].dropna()}))

        dates = sorted(str(value)[:10] for value in self.frame["date_utc"])
        hours = float(self.frame["wall_seconds"].astype(float).sum()) / 3600
        seeds = sorted({int(seed) for seed in self.frame["seed"]})
        period = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        # Enough of a hash to find it; what follows "+" says that files differed.
        revisions = sorted(
            {
                re.sub(r"^([0-9a-f]{12})[0-9a-f]*", r"\1", str(value))
                for value in self.frame["revision"].dropna()
            }
        )
        gap = f"; {self.missing} cells of the grid are not computed yet" if self.missing else ""
        return (
            f"{len(self.frame)} cells, seeds {seeds}, computed {period} on {several('machine')}, "
            f"one thread each, {hours:.2g} hours of wall time in all (beside other work); "
            f"library {several('library_version')}, "
            f"revision {', '.join(revisions) or 'unknown'}{gap}"
        )


def _settled(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are no mere snapshots of chains on their way."""
    converged = rows["converged"].fillna(False).astype(bool)
    if "agreement" not in rows:
        return converged
    return converged | (rows["agreement"].fillna("") == WITHIN)


def error_column(block: str) -> str:
    """The column with the test error that figures show of a block.

    That of one sample; of the NNGP, whose prediction is a mean, that of the mean.
    """
    return f"test_mse_{'posterior_mean' if block.startswith('nngp') else 'one_sample'}"


def published_curve(table: str, method: str, observable: str, kappa: float) -> Curve:
    """The published points at one noise against the number of samples; nobody judged them.

    Arguments are those of :func:`feature_learning.experiments.paper.published`.
    """
    found = [
        point
        for point in published(table, method, observable)
        if np.isclose(point.kappa, kappa, rtol=1e-9, atol=0)
    ]
    x, y, error = (
        np.array([getattr(point, name) for point in found], dtype=float)
        for name in ("samples", "value", "sem")
    )
    return Curve(x, y, error, np.ones(len(found), dtype=bool))

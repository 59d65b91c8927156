"""The results of a page as one table for every profile, and curves from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_learning.analysis.curve import Curve
from feature_learning.analysis.live import Comparison, report
from feature_learning.errors import ArgumentError, check_choice
from feature_learning.experiments.paper import published
from feature_learning.inference.verdict import WITHIN

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Results:
    """A table of results with the weights of its cells.

    Attributes
    ----------
    frame : DataFrame
        Columns of :func:`feature_learning.sweeps.schema.schema`; one row per cell.
    missing : int
        Number of cells of the grid that are not in the table.
    weights : dict of array
        Key of a cell to hidden weights (chains, particles, fan_in); in profile stored only for the
        few cells whose weights are stored.
    readouts : dict of array
        Key of a cell to readouts (chains, particles), for the same cells, if the method has any.
    blocks : tuple of str
        Requested blocks; those of the table if not given.
    live : tuple of Comparison
        Stored numbers that were computed again, all of which agree.
    """

    frame: pd.DataFrame
    missing: int = 0
    weights: dict[str, FloatArray] = field(default_factory=dict, repr=False)
    readouts: dict[str, FloatArray] = field(default_factory=dict, repr=False)
    blocks: tuple[str, ...] = ()
    live: tuple[Comparison, ...] = ()

    def select(self, block: str, **values: Any) -> pd.DataFrame:
        """Rows of one block with these values, such as ``kappa=0.005`` (equal up to rounding).

        A requested block without stored results has no rows.

        Raises
        ------
        ArgumentError
            If the block or a column does not exist.
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
            Columns ``n_train``, ``kappa``, ``value``, ``sem`` (over seeds; for one seed over its
            chains, if there are several), ``seeds`` and ``converged`` (every seed has converged or
            agrees within a code, see :mod:`feature_learning.inference.verdict`), and ``live`` (the
            cell of some seed was computed again).
        """
        rows, live = [], {each.key for each in self.live}
        for (n_train, kappa), group in self.select(block, **values).groupby(["n_train", "kappa"]):
            numbers = group[observable].astype(float).to_numpy()
            if len(numbers) > 1:
                error = numbers.std(ddof=1) / np.sqrt(len(numbers))
            else:
                column = f"{observable}_sem"
                known = group[column].iloc[0] if column in group else pd.NA
                error = np.nan if known is pd.NA else float(known)
            rows.append(
                {
                    "n_train": int(n_train),
                    "kappa": float(kappa),
                    "value": float(numbers.mean()),
                    "sem": float(error),
                    "seeds": len(numbers),
                    "converged": bool(_settled(group).all()),
                    "live": bool(group["key"].isin(live).any()),
                }
            )
        columns = ["n_train", "kappa", "value", "sem", "seeds", "converged", "live"]
        return pd.DataFrame(rows, columns=columns)

    def curve(self, block: str, observable: str, **values: Any) -> Curve:
        """The :meth:`summary` as a curve against the number of samples, for a figure."""
        found = self.summary(block, observable, **values).sort_values("n_train")
        return Curve(
            found["n_train"].to_numpy(float),
            found["value"].to_numpy(float),
            found["sem"].to_numpy(float),
            found["converged"].to_numpy(bool),
            found["live"].to_numpy(bool),
        )

    def summary_line(self, profile: str, seconds: float) -> str:
        """What a page prints about its numbers: profile, origin, and the cells computed again.

        Parameters
        ----------
        profile : str
            A profile of :func:`load_or_compute`.
        seconds : float
            Computing time of this build.
        """
        head = f"profile {profile}, computed in {seconds / 60:.1f} minutes\n{self.provenance()}"
        if profile != "stored":
            return head
        cells = len({each.key for each in self.live})
        if not cells:
            return f"{self.provenance()}\nno cell is short enough to be computed again in a build"
        many = "1 cell" if cells == 1 else f"{cells} cells"
        return (
            f"{self.provenance()}\n{many} computed again now, in {seconds:.0f} s, and compared "
            f"with the store:\n{report(self.live)}"
        )

    def provenance(self) -> str:
        """The origin of the numbers, in one sentence for the page."""
        if self.frame.empty:
            return "no results"

        def several(name: str) -> str:
            return ", ".join(sorted({str(value) for value in self.frame[name].dropna()}))

        dates = sorted(str(value)[:10] for value in self.frame["date_utc"])
        hours = float(self.frame["wall_seconds"].astype(float).sum()) / 3600
        seeds = sorted({int(seed) for seed in self.frame["seed"]})
        period = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        # Twelve digits identify a revision; a suffix after "+" says that files differed.
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
    """True for rows that have converged, or agree within a code."""
    converged = rows["converged"].fillna(False).astype(bool)
    if "agreement" not in rows:
        return converged
    return converged | (rows["agreement"].fillna("") == WITHIN)


def error_column(block: str) -> str:
    """The column with the test error that figures show for a block.

    This is the error of one sample; for the NNGP it is that of the posterior mean, its prediction.
    """
    return f"test_mse_{'posterior_mean' if block.startswith('nngp') else 'one_sample'}"


def published_curve(table: str, method: str, observable: str, kappa: float) -> Curve:
    """The published points at one noise against the number of samples, all marked as converged.

    The arguments are those of :func:`feature_learning.experiments.paper.published`.
    """
    found = [
        point
        for point in published(table, method, observable)
        if np.isclose(point.kappa, kappa, rtol=1e-9, atol=0)
    ]
    x, y, error = (
        np.array([getattr(point, name) for point in found], dtype=float)
        for name in ("n_train", "value", "sem")
    )
    return Curve(x, y, error, np.ones(len(found), dtype=bool))

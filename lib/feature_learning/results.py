"""The results a page shows, stored or computed now: one table whatever the profile.

A page names a grid (:func:`feature_learning.grid.read_grid`) and asks for it here. In the profile
*stored* the committed table is read, *quick* computes some of its cells, *paper* all of them,
resumable. What comes back is the same :class:`Results` every time, so that nothing else on a page
depends on the profile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_learning.costs import calibrate
from feature_learning.errors import ArgumentError, StoreError, check_choice
from feature_learning.grid import Grid, read_grid
from feature_learning.plan import plan
from feature_learning.plots import Curve
from feature_learning.pool import LocalPool
from feature_learning.store import Store
from feature_learning.sweep import sweep
from feature_learning.table import read_csv, tabulate
from feature_learning.weights import read_weights

FloatArray = NDArray[np.float64]
PROFILES = ("stored", "quick", "paper")


@dataclass(frozen=True)
class Results:
    """A table of results and the weights that came with it.

    Attributes
    ----------
    frame : DataFrame
        Columns of :func:`feature_learning.table.schema`; one row a cell.
    missing : int
        Cells of the grid that are not in the table.
    weights : dict of array
        Key of a cell to hidden weights (chains, particles, fan_in); in profile stored only of the
        few cells whose weights are stored.
    readouts : dict of array
        Key of a cell to readouts (chains, particles), likewise.
    """

    frame: pd.DataFrame
    missing: int = 0
    weights: dict[str, FloatArray] = field(default_factory=dict, repr=False)
    readouts: dict[str, FloatArray] = field(default_factory=dict, repr=False)

    def select(self, block: str, **values: Any) -> pd.DataFrame:
        """Rows of one block with these values, such as ``kappa=0.005``; numbers up to rounding.

        Raises
        ------
        ArgumentError
            If there is no such block or column.
        """
        blocks = self.frame["block"].str.split("; ")
        check_choice("block", block, {name for names in blocks for name in names})
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
            its chains, if there are several), ``seeds`` and ``converged`` (every seed is).
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
                    "converged": bool(group["converged"].fillna(False).all()),
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

    def provenance(self) -> str:
        """Where the numbers come from, in a sentence: for the page."""
        if self.frame.empty:
            return "no results"

        def several(name: str) -> str:
            return ", ".join(sorted({str(value)[:40] for value in self.frame[name].dropna()}))

        dates = sorted(str(value)[:10] for value in self.frame["date_utc"])
        hours = float(self.frame["wall_seconds"].astype(float).sum()) / 3600
        seeds = sorted({int(seed) for seed in self.frame["seed"]})
        period = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        gap = f"; {self.missing} cells of the grid are not computed yet" if self.missing else ""
        return (
            f"{len(self.frame)} cells, seeds {seeds}, computed {period} on {several('machine')}, "
            f"one thread each, {hours:.2g} hours in all; library {several('library_version')}, "
            f"revision {several('revision') or 'unknown'}{gap}"
        )


def chosen(
    grid: Grid, blocks: Sequence[str] | None = None, only: Mapping[str, Sequence[Any]] | None = None
) -> Grid:
    """The cells of a grid in these blocks and with these values.

    Parameters
    ----------
    grid : Grid
    blocks : sequence of str, optional
    only : mapping, optional
        Name of a field of the configuration to the values that are kept.

    Raises
    ------
    ArgumentError
        If nothing is left.
    """
    grid = grid if blocks is None else grid.select(blocks)
    cells = tuple(
        cell
        for cell in grid.cells
        if all(getattr(cell.config, name) in values for name, values in (only or {}).items())
    )
    if not cells:
        raise ArgumentError(f"no cell of {grid.name} has {dict(only or {})!r} in blocks {blocks!r}")
    return replace(grid, cells=cells)


def obtain(
    profile: str,
    grid: Path,
    table: Path,
    *,
    blocks: Sequence[str] | None = None,
    only: Mapping[str, Sequence[Any]] | None = None,
    quick: Mapping[str, Sequence[Any]] | None = None,
    folder: Path | None = None,
    workers: int = 2,
) -> Results:
    """The results of a grid, by profile.

    Parameters
    ----------
    profile : str
        ``stored``: read ``table``. ``quick``: compute the cells that ``quick`` keeps.
        ``paper``: compute all, in ``folder``, resumable.
    grid : Path
        TOML file of the grid.
    table : Path
        CSV file with its stored results.
    blocks : sequence of str, optional
        Only these blocks.
    only : mapping, optional
        Only cells with these values, in every profile, such as ``{"kappa": [0.005]}``.
    quick : mapping, optional
        And in profile quick only these, such as ``{"samples": [100, 1000], "seed": [0]}``.
    folder : Path, optional
        Store of profile paper; a temporary one if not given.
    workers : int
        Processes.

    Returns
    -------
    Results
        In profile stored its :meth:`~Results.provenance` is printed, and a grid may have
        holes: see :attr:`Results.missing`.

    Raises
    ------
    ArgumentError
        For another profile, or if no cell is left.
    StoreError
        If the stored table is not there or cannot be read, or a cell could not be computed.
    """
    check_choice("profile", profile, PROFILES)
    asked = chosen(read_grid(grid), blocks, only)
    if profile == "quick":
        asked = chosen(asked, None, quick)
    names = {name for cell in asked.cells for name in cell.blocks}
    if profile == "stored":
        if not table.exists():
            raise StoreError(
                f"profile stored shows the results in {table}, and there is no such file; "
                "compute it with `make reproduce`, or take profile quick"
            )
        frame = read_csv(table)
        keep = frame["block"].str.split("; ").map(lambda found: bool(names & set(found)))
        for name, values in (only or {}).items():
            keep &= frame[name].isin(list(values))
        frame = frame[keep.astype(bool)].reset_index(drop=True)
        archive = table.with_suffix(".npz")
        kept = read_weights(archive) if archive.exists() else {}
        stored = Results(
            frame,
            missing=len(asked.cells) - len(frame),
            weights={key: kept[key] for key in frame["key"] if key in kept},
        )
        # A page that shows stored numbers says where they come from, whatever else it says.
        print(stored.provenance())
        return stored
    with tempfile.TemporaryDirectory() as scratch:
        store, pool = Store(folder or Path(scratch)), LocalPool(workers)
        try:
            report = sweep(plan(asked, store, calibrate()), store, pool)
        finally:
            pool.close()
        if report.interrupted:
            raise KeyboardInterrupt
        if report.failures:
            raise StoreError(f"{len(report.failures)} cells failed; {report.failures[0]}")
        cells = [cell for each in asked.cells if (cell := store.read(each.config)) is not None]
        labels = {cell.key: each.blocks for cell, each in zip(cells, asked.cells, strict=True)}
        weights = {cell.key: store.weights(cell) for cell in cells}
        readouts = {cell.key: store.readouts(cell) for cell in cells}
    return Results(
        tabulate(cells, labels),
        missing=0,
        weights={key: value for key, value in weights.items() if value is not None},
        readouts={key: value for key, value in readouts.items() if value is not None},
    )

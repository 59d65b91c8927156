"""The results a page shows, stored or computed now: one table whatever the profile.

A page names a grid (:func:`feature_learning.sweeps.grid.read_grid`) and asks for it here. In the
profile
*stored* the committed table is read, *quick* computes some of its cells, *paper* all of them,
resumable. What comes back is the same :class:`Results` every time, so that nothing else on a page
depends on the profile.

Cells are told by their keys: a stored row of another configuration, or of an older version of a
method, is never taken for one that the grid asks for. What is not there is counted as missing.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_learning.analysis.curve import Curve
from feature_learning.choices import PROFILES
from feature_learning.errors import ArgumentError, StoreError, check_choice
from feature_learning.experiments.flat import flat
from feature_learning.experiments.keys import cell_key
from feature_learning.experiments.paper import published
from feature_learning.inference.verdict import WITHIN
from feature_learning.sweeps.grid import Grid, read_grid
from feature_learning.sweeps.plan import plan
from feature_learning.sweeps.pool import LocalPool
from feature_learning.sweeps.provenance import source_fingerprint
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.sweep import sweep
from feature_learning.sweeps.table import read_csv, tabulate
from feature_learning.sweeps.weights import read_weights

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
        if all(flat(cell.config)[name] in values for name, values in (only or {}).items())
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
    quick_blocks: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
    folder: Path | None = None,
    workers: int | None = None,
) -> Results:
    """The results of a grid, by profile.

    Parameters
    ----------
    profile : str
        ``stored``: read ``table``. ``quick``: compute the cells that ``quick`` and
        ``quick_blocks`` keep. ``paper``: compute all, in ``folder``, resumable.
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
    quick_blocks : mapping, optional
        The same for single blocks, name to values, in place of ``quick``.
    folder : Path, optional
        Store of the profiles that compute; a temporary one if not given. Profile quick keeps to a
        part of it that belongs to exactly this source code: pages of one build share their
        cells, and nothing of other code is ever shown.
    workers : int, optional
        Processes; one for each core by default.

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
        asked = _fewer(asked, quick, quick_blocks or {})
    labels = {cell_key(cell.config): cell.blocks for cell in asked.cells}
    names = tuple(asked.blocks)
    if profile == "stored":
        if not table.exists():
            raise StoreError(
                f"profile stored shows the results in {table}, and there is no such file; "
                "compute it with `make reproduce`, or take profile quick"
            )
        frame = read_csv(table)
        frame = frame[frame["key"].isin(list(labels))].reset_index(drop=True)
        frame["block"] = frame["key"].map(lambda key: "; ".join(labels[key])).astype("string")
        archive = table.with_suffix(".npz")
        kept, kept_readouts = read_weights(archive) if archive.exists() else ({}, {})
        return Results(
            frame,
            missing=len(labels) - len(frame),
            weights={key: kept[key] for key in frame["key"] if key in kept},
            readouts={key: kept_readouts[key] for key in frame["key"] if key in kept_readouts},
            blocks=names,
        )
    if folder is not None and profile == "quick":
        folder = folder / f"quick-{source_fingerprint()}"
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as place:
        store, pool = Store(Path(place)), LocalPool(workers)
        try:
            report = sweep(plan(asked, store), store, pool)
        finally:
            pool.close()
        if report.interrupted:
            raise KeyboardInterrupt
        if report.failures:
            raise StoreError(f"{len(report.failures)} cells failed; {report.failures[0]}")
        cells = [cell for each in asked.cells if (cell := store.read(each.config)) is not None]
        weights = {cell.key: store.weights(cell) for cell in cells}
        readouts = {cell.key: store.readouts(cell) for cell in cells}
    return Results(
        tabulate(cells, labels),
        missing=len(labels) - len(cells),
        weights={key: value for key, value in weights.items() if value is not None},
        readouts={key: value for key, value in readouts.items() if value is not None},
        blocks=names,
    )


def _fewer(
    asked: Grid,
    quick: Mapping[str, Sequence[Any]] | None,
    quick_blocks: Mapping[str, Mapping[str, Sequence[Any]]],
) -> Grid:
    """The cells of profile quick, in the order of the grid."""
    for name in quick_blocks:
        check_choice("block", name, asked.blocks)
    kept = {
        cell_key(cell.config)
        for name in asked.blocks
        for cell in chosen(asked, [name], quick_blocks.get(name, quick)).cells
    }
    return replace(
        asked, cells=tuple(cell for cell in asked.cells if cell_key(cell.config) in kept)
    )

"""The results of a page, read from the store or computed, as one table for every profile.

A page requests the results of a grid (:func:`feature_learning.sweeps.grid.read_grid`). The profile
*stored* reads the committed table and computes some of its cells again; *paper* computes all of
them, resumably. Each returns the same :class:`~feature_learning.analysis.results.Results`, so that
nothing else on a page depends on the profile.

Cells are identified by their keys: a stored row of another configuration, or of an older version of
a method, is never used for a cell of the grid. Cells without a stored row are counted as missing.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from feature_learning.analysis.live import compare, draw, report
from feature_learning.analysis.results import Results
from feature_learning.choices import PROFILES
from feature_learning.errors import ArgumentError, StoreError, check_choice
from feature_learning.experiments.flat import flat
from feature_learning.experiments.keys import cell_key
from feature_learning.sweeps.grid import Grid, GridCell, read_grid
from feature_learning.sweeps.plan import plan
from feature_learning.sweeps.pool import LocalPool
from feature_learning.sweeps.provenance import checked_out, source_fingerprint
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.sweep import sweep
from feature_learning.sweeps.table import configuration, read_csv, tabulate
from feature_learning.sweeps.weights import read_weights


def filter_cells(
    grid: Grid, blocks: Sequence[str] | None = None, only: Mapping[str, Sequence[Any]] | None = None
) -> Grid:
    """The cells of a grid in these blocks and with these values.

    Parameters
    ----------
    grid : Grid
    blocks : sequence of str, optional
    only : mapping, optional
        Name of an option to the values that are kept.

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


def load_or_compute(
    profile: str,
    grid: Path,
    table: Path,
    *,
    blocks: Sequence[str] | None = None,
    only: Mapping[str, Sequence[Any]] | None = None,
    folder: Path | None = None,
    workers: int | None = None,
    seed: str | None = None,
) -> Results:
    """The results of a grid in one of the profiles.

    Parameters
    ----------
    profile : str
        ``stored``: read ``table``, compute some of its cells again and compare. ``paper``: compute
        all cells, in ``folder``, resumable.
    grid : Path
        TOML file of the grid.
    table : Path
        CSV file with its stored results.
    blocks : sequence of str, optional
        Only these blocks.
    only : mapping, optional
        Only cells with these values, such as ``{"kappa": [0.005]}``.
    folder : Path, optional
        Place of the cells that are computed; a temporary one if not given. Profile paper uses its
        subfolder ``cells``; profile stored one for exactly this source code, so that the pages of
        one build share their cells but never compare those of other code.
    workers : int, optional
        Number of processes; one for each core by default.
    seed : str, optional
        Selects the cells that are computed again: the revision of a build. By default that of the
        checkout, or the content of the table.

    Returns
    -------
    Results
        In profile stored the grid may have holes: see :attr:`Results.missing`.

    Raises
    ------
    ArgumentError
        For an unknown profile, or if no cell is left.
    StoreError
        If the stored table is missing or cannot be read, if a cell could not be computed, or if a
        stored number and the one computed now disagree.
    """
    check_choice("profile", profile, PROFILES)
    asked = filter_cells(read_grid(grid), blocks, only)
    if profile == "paper":
        return _computed(asked, None if folder is None else folder / "cells", workers)
    if not table.exists():
        raise StoreError(
            f"profile stored shows the results in {table}, which does not exist; "
            "compute it with `make reproduce`, or use profile paper"
        )
    whole = read_csv(table)
    results = _read(asked, whole, table.with_suffix(".npz"))
    seed = seed or checked_out(table) or hashlib.sha256(table.read_bytes()).hexdigest()
    drawn = draw(results.frame, whole, seed)
    if not drawn:
        return results
    cells = tuple(GridCell(configuration(row), (str(row["block"]),)) for row in drawn)
    place = None if folder is None else folder / "live" / source_fingerprint()
    new = _computed(replace(asked, cells=cells), place, workers).frame.set_index("key")
    live = [each for row in drawn for each in compare(row, new.loc[row["key"]], whole)]
    if not all(each.holds for each in live):
        raise StoreError(f"stored numbers and those of this code disagree:\n{report(live)}")
    return replace(results, live=tuple(live))


def _read(asked: Grid, whole: pd.DataFrame, archive: Path) -> Results:
    """The stored results of these cells."""
    labels = {cell_key(cell.config): cell.blocks for cell in asked.cells}
    frame = whole[whole["key"].isin(list(labels))].reset_index(drop=True)
    frame["block"] = frame["key"].map(lambda key: "; ".join(labels[key])).astype("string")
    kept, kept_readouts = read_weights(archive) if archive.exists() else ({}, {})
    return Results(
        frame,
        missing=len(labels) - len(frame),
        weights={key: kept[key] for key in frame["key"] if key in kept},
        readouts={key: kept_readouts[key] for key in frame["key"] if key in kept_readouts},
        blocks=tuple(asked.blocks),
    )


def _computed(asked: Grid, folder: Path | None, workers: int | None) -> Results:
    """The results of these cells, computed where the folder does not have them yet."""
    labels = {cell_key(cell.config): cell.blocks for cell in asked.cells}
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as place:
        store, pool = Store(Path(place)), LocalPool(workers)
        try:
            done = sweep(plan(asked, store), store, pool)
        finally:
            pool.close()
        if done.interrupted:
            raise KeyboardInterrupt
        if done.failures:
            raise StoreError(f"{len(done.failures)} cells failed; {done.failures[0]}")
        cells = [cell for each in asked.cells if (cell := store.read(each.config)) is not None]
        weights = {cell.key: store.weights(cell) for cell in cells}
        readouts = {cell.key: store.readouts(cell) for cell in cells}
    return Results(
        tabulate(cells, labels),
        missing=len(labels) - len(cells),
        weights={key: value for key, value in weights.items() if value is not None},
        readouts={key: value for key, value in readouts.items() if value is not None},
        blocks=tuple(asked.blocks),
    )

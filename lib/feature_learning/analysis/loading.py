"""The results of a page, read from the store or computed, as one table for every profile.

A page requests the results of a grid (:func:`feature_learning.sweeps.grid.read_grid`). The profile
*stored* reads the committed table, *quick* computes some of the cells, and *paper* computes all of
them, resumably. Each returns the same :class:`~feature_learning.analysis.results.Results`, so that
nothing else on a page depends on the profile.

Cells are identified by their keys: a stored row of another configuration, or of an older version of
a method, is never used for a cell of the grid. Cells without a stored row are counted as missing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_learning.analysis.results import Results
from feature_learning.choices import PROFILES
from feature_learning.errors import ArgumentError, StoreError, check_choice
from feature_learning.experiments.flat import flat
from feature_learning.experiments.keys import cell_key
from feature_learning.sweeps.grid import Grid, read_grid
from feature_learning.sweeps.plan import plan
from feature_learning.sweeps.pool import LocalPool
from feature_learning.sweeps.provenance import source_fingerprint
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.sweep import sweep
from feature_learning.sweeps.table import read_csv, tabulate
from feature_learning.sweeps.weights import read_weights

FloatArray = NDArray[np.float64]


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
    quick: Mapping[str, Sequence[Any]] | None = None,
    quick_blocks: Mapping[str, Mapping[str, Sequence[Any]]] | None = None,
    folder: Path | None = None,
    workers: int | None = None,
) -> Results:
    """The results of a grid in one of the profiles.

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
        In profile quick, only cells with these values, such as
        ``{"n_train": [100, 1000], "seed": [0]}``.
    quick_blocks : mapping, optional
        The same for single blocks, name to values, in place of ``quick``.
    folder : Path, optional
        Store of the profiles that compute; a temporary one if not given. Profile quick uses a
        subfolder for exactly this source code, so that the pages of one build share their cells but
        never show results of other code.
    workers : int, optional
        Number of processes; one for each core by default.

    Returns
    -------
    Results
        In profile stored the grid may have holes: see :attr:`Results.missing`.

    Raises
    ------
    ArgumentError
        For an unknown profile, or if no cell is left.
    StoreError
        If the stored table is missing or cannot be read, or if a cell could not be computed.
    """
    check_choice("profile", profile, PROFILES)
    asked = filter_cells(read_grid(grid), blocks, only)
    if profile == "quick":
        asked = _fewer(asked, quick, quick_blocks or {})
    labels = {cell_key(cell.config): cell.blocks for cell in asked.cells}
    names = tuple(asked.blocks)
    if profile == "stored":
        if not table.exists():
            raise StoreError(
                f"profile stored shows the results in {table}, which does not exist; "
                "compute it with `make reproduce`, or use profile quick"
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
        for cell in filter_cells(asked, [name], quick_blocks.get(name, quick)).cells
    }
    return replace(
        asked, cells=tuple(cell for cell in asked.cells if cell_key(cell.config) in kept)
    )

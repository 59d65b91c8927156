"""Compute the stored results of a figure again: the command ``make reproduce``.

The cells are computed into ``_build/store/SWEEP``, one file each, so that the same command resumes
an interrupted run. At the end the new rows are added to the table of the sweep in
``book/data/results``, and the new weights to the file beside it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from book_tools.errors import BookError, InputError
from book_tools.figures import Listing, Need, load_figures
from book_tools.folders import make
from book_tools.project import Project
from book_tools.stored import merge
from feature_learning.analysis.loading import filter_cells
from feature_learning.cli.ending import tell
from feature_learning.cli.sweep import run_grid
from feature_learning.errors import FeatureLearningError, check_real
from feature_learning.experiments.keys import cell_key
from feature_learning.inference.interruption import SIGNALLED
from feature_learning.sweeps.densities import HISTOGRAMS, read_npz, records_of, write_npz
from feature_learning.sweeps.grid import Grid, GridCell, read_grid
from feature_learning.sweeps.pool import LocalPool, worker_count
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.table import read_csv, tabulate, write_csv
from feature_learning.sweeps.weights import FloatArray, read_weights, write_weights


def reproduce(
    project: Project,
    figure: str | None = None,
    *,
    workers: int | None = None,
    time_limit: float | None = None,
) -> int:
    """Compute the cells that a figure needs again, or those of all figures.

    Parameters
    ----------
    project
        The book.
    figure
        Id of the figure in ``figures.toml``; all figures by default.
    workers
        Number of processes of one thread each; by default one per processor.
    time_limit
        Time in seconds after which no new cell is started.

    Returns
    -------
    int
        The exit code of ``feature-learning sweep``: 0 all cells are computed and in the tables,
        1 some failed or are left, 128 + n signal n. Computed cells are always in the tables.

    Raises
    ------
    InputError
        For an unknown figure, or an invalid number of workers or limit.
    BookError
        If the files that list the cells are wrong, or a table cannot be read or written.
    """
    try:
        if time_limit is not None:
            check_real("time_limit", time_limit, above=0)
        workers = worker_count(workers)
        listing = load_figures(project)
        wanted = {name: needed(project, listing, name, figure) for name in listing.grids(figure)}
    except FeatureLearningError as error:
        raise InputError(str(error)) from error
    if not wanted:
        raise BookError("there is nothing to reproduce: no figure is listed")
    make(project.build / "store")
    code, end = 0, None if time_limit is None else time.monotonic() + time_limit
    try:
        for name, grid in wanted.items():
            tell(f"{name}: {len(grid.cells)} cells, in {_shown(project, project.store(name))}")
            out = project.store(name)
            left = None if end is None else max(end - time.monotonic(), 1e-9)
            now = run_grid(grid, out, LocalPool(workers), time_limit=left, say=tell, complain=tell)
            update(project, listing, name)
            if now > SIGNALLED:
                return now
            code = max(code, now)
    except FeatureLearningError as error:
        raise BookError(str(error)) from error
    return code


def needed(project: Project, listing: Listing, name: str, figure: str | None) -> Grid:
    """The cells of a sweep that a figure needs, or all figures together."""
    figures = listing.figures if figure is None else (listing.figure(figure),)
    needs = [need for each in figures for need in each.needs if need.grid == name]
    return union(read_grid(project.sweeps / name), needs)


def union(grid: Grid, needs: Sequence[Need]) -> Grid:
    """The cells of a sweep in any of the lists ``needs``, in the order of its file."""
    keys = {
        cell_key(cell.config)
        for need in needs
        for cell in filter_cells(grid, need.blocks, need.only).cells
    }
    cells: tuple[GridCell, ...] = tuple(
        cell for cell in grid.cells if cell_key(cell.config) in keys
    )
    return replace(grid, cells=cells)


def update(project: Project, listing: Listing, name: str) -> None:
    """Add all results in the store of a sweep to its table and its file of weights.

    Invalid files of the store are named and left out.
    """
    grid, table = read_grid(project.sweeps / name), project.table(name)
    store = Store(project.store(name), create=False)
    cells, problems = store.scan()
    for problem in problems:
        tell(f"left out: {problem}")
    if not cells:
        tell(f"{_shown(project, table)}: nothing is computed yet, unchanged")
        return
    stored = read_csv(table) if table.exists() else None
    frame, messages = merge(grid, stored, tabulate(cells, {}))
    write_csv(frame, table)
    tell(f"{_shown(project, table)}: {len(frame)} rows; {'; '.join(messages)}")

    archive = table.with_suffix(".npz")
    weights: dict[str, FloatArray]
    weights, readouts = read_weights(archive) if archive.exists() else ({}, {})
    asked = [need for need in listing.arrays if need.grid == name]
    wanted = {cell_key(cell.config) for cell in union(grid, asked).cells} & set(frame["key"])
    for cell in cells:
        if cell.key in wanted and (found := store.weights(cell)) is not None:
            weights[cell.key] = found
            if (found := store.readouts(cell)) is not None:
                readouts[cell.key] = found
    weights, readouts = (
        {key: values for key, values in each.items() if key in wanted}
        for each in (weights, readouts)
    )
    if weights:
        write_weights(weights, archive, readouts)
        tell(f"{_shown(project, archive)}: the weights of {len(weights)} cells")
    if name in listing.histograms:
        blocks = dict(zip(frame["key"], frame["block"], strict=True))
        histograms = table.with_name(f"{table.stem}{HISTOGRAMS}")
        earlier = read_npz(histograms) if histograms.exists() else []
        computed = records_of(store, [cell for cell in cells if cell.key in blocks])
        kept = {record.origin["key"]: record for record in (*earlier, *computed)}
        kept = {
            key: replace(record, origin={**record.origin, "block": blocks[key]})
            for key, record in sorted(kept.items())
            if key in blocks
        }
        write_npz(list(kept.values()), histograms)
        tell(f"{_shown(project, histograms)}: histograms of {len(kept)} cells")


def _shown(project: Project, path: Path) -> str:
    return path.relative_to(project.root).as_posix()

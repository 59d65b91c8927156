"""The stored results of the book: merge tables with recomputed rows, and check them.

The results of a sweep, ``book/data/sweeps/NAME.toml``, are in ``book/data/results/NAME.csv``, with
one row per cell (:mod:`feature_learning.sweeps.table`), and ``NAME.npz``, with the hidden weights
of a few cells by their keys. A table may have holes. Histograms have their own check.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from book_tools.figures import load_figures
from book_tools.project import Project
from feature_learning.analysis.loading import filter_cells
from feature_learning.errors import FeatureLearningError, StoreError
from feature_learning.experiments.keys import cell_key
from feature_learning.sweeps.densities import HISTOGRAMS, read_npz
from feature_learning.sweeps.grid import Grid, read_grid
from feature_learning.sweeps.schema import schema
from feature_learning.sweeps.table import configuration, read_csv
from feature_learning.sweeps.weights import read_weights

LIMIT = 10 * 2**20
"""Largest total size of the stored results in bytes, since they are part of every clone."""


def tables(project: Project) -> list[Path]:
    """The stored tables of sweeps; empty if there are none."""
    return sorted(project.results.glob("*.csv"))


def merge(
    grid: Grid, stored: pd.DataFrame | None, computed: pd.DataFrame
) -> tuple[pd.DataFrame, list[str]]:
    """Merge newly computed rows into a stored table.

    Parameters
    ----------
    grid
        The whole sweep of the current file, which names the blocks of every row.
    stored
        The table so far, if there is one.
    computed
        Rows that replace those of the same key.

    Returns
    -------
    frame : DataFrame
        The new table, in the order of :func:`feature_learning.sweeps.table.tabulate`.
    messages : list of str
        The numbers of replaced, added and dropped rows.
    """
    blocks = {cell_key(cell.config): "; ".join(cell.blocks) for cell in grid.cells}
    old = computed.iloc[:0] if stored is None else stored
    kept = old[~old["key"].isin(computed["key"])]
    known, fresh = kept["key"].isin(list(blocks)), computed["key"].isin(list(blocks))
    gone = len(kept) - int(known.sum())
    frames = [part for part in (kept[known], computed[fresh]) if len(part)]
    frame = pd.concat(frames, ignore_index=True) if frames else computed.iloc[:0].copy()
    frame["block"] = frame["key"].map(blocks)
    frame = frame.astype(schema())
    order = ["block", "method", "kappa", "n_train", "seed", "key"]
    replaced = len(old) - len(kept)
    messages = [f"{replaced} rows replaced, {int(fresh.sum()) - replaced} added"]
    if gone:
        messages.append(f"{gone} rows dropped: {grid.name} no longer has these cells")
    if left := len(blocks) - len(frame):
        messages.append(f"{left} of {len(blocks)} cells are not stored yet")
    return frame.sort_values(order, ignore_index=True), messages


def holes(grid: Grid, frame: pd.DataFrame) -> list[str]:
    """A line for each incomplete block of a sweep, with the number of missing cells."""
    keys = set(frame["key"])
    lines = []
    for block in grid.blocks:
        mine = [cell for cell in grid.cells if block in cell.blocks]
        left = [cell.config for cell in mine if cell_key(cell.config) not in keys]
        if left:
            first = left[0]
            lines.append(
                f"{block}: {len(left)} of {len(mine)} cells are not stored, the first of them "
                f"P={first.n_train} kappa={first.kappa:g} seed={first.seed}"
            )
    return lines


def pages_with_holes(project: Project) -> set[str]:
    """The pages that show a figure with missing cells."""
    found = set()
    for figure in load_figures(project).figures:
        for need in figure.needs if figure.page else ():
            asked = filter_cells(read_grid(project.sweeps / need.grid), need.blocks, need.only)
            table = project.table(need.grid)
            known = set(read_csv(table)["key"]) if table.is_file() else set()
            if any(cell_key(cell.config) not in known for cell in asked.cells):
                found.add(figure.page)
    return found


def check_results(project: Project) -> tuple[list[str], list[str]]:
    """Check everything that is stored.

    Returns
    -------
    problems, notes : list of str
        Faults, and the holes of the tables, which are allowed.
    """
    problems: list[str] = []
    notes: list[str] = []
    if not project.results.is_dir():
        return problems, ["no results are stored yet"]
    size = sum(path.stat().st_size for path in project.results.rglob("*") if path.is_file())
    if size >= LIMIT:
        problems.append(f"the results have {size / 2**20:.1f} MiB; they must stay below 10 MiB")
    for path in sorted(project.results.iterdir()):
        histograms = path.name.endswith(HISTOGRAMS)
        stem = path.name.removesuffix(HISTOGRAMS) if histograms else path.stem
        grid_path = project.sweeps / f"{stem}.toml"
        if path.suffix not in (".csv", ".npz") or not grid_path.is_file():
            problems.append(f"{path.name} belongs to no sweep in {project.sweeps.name}")
        elif histograms:
            problems += _histogram_problems(path)
        elif path.suffix == ".npz":
            problems += _weights_problems(path)
        else:
            try:
                grid, frame = read_grid(grid_path), read_csv(path)
            except FeatureLearningError as error:
                problems.append(str(error))
                continue
            problems += [f"{path.name}: {text}" for text in table_problems(grid, frame)]
            notes += [f"{path.name}: {text}" for text in holes(grid, frame)]
    return problems, notes


def table_problems(grid: Grid, frame: pd.DataFrame) -> Iterator[str]:
    """Faults of a table: rows that are not cells of the sweep, or have a wrong key or block."""
    blocks = {cell_key(cell.config): "; ".join(cell.blocks) for cell in grid.cells}
    for key in sorted(set(frame["key"][frame["key"].duplicated()])):
        yield f"{key} has several rows"
    for row in rows(frame):
        key = row["key"]
        try:
            if cell_key(configuration(row), row["method_version"]) != key:
                yield f"{key} has a row of another configuration"
        except (FeatureLearningError, TypeError) as error:
            yield f"{key}: {error}"
        if key not in blocks:
            yield f"{key} is not a cell of {grid.name}; `make reproduce` drops such rows"
        elif row["block"] != blocks[key]:
            yield f"{key} is of block {blocks[key]!r}, not {row['block']!r}"


def rows(frame: pd.DataFrame) -> Sequence[Mapping[str, Any]]:
    """The rows of a table as mappings."""
    found: Sequence[Mapping[str, Any]] = frame.to_dict("records")
    return found


def _histogram_problems(path: Path) -> Iterator[str]:
    table = path.with_name(f"{path.name.removesuffix(HISTOGRAMS)}.csv")
    try:
        found, known = read_npz(path), set(read_csv(table)["key"])
    except FeatureLearningError as error:
        yield str(error)
        return
    for record in found:
        if (key := record.origin["key"]) not in known:
            yield f"{path.name}: {key} has no row in {table.name}"


def _weights_problems(path: Path) -> Iterator[str]:
    table = path.with_suffix(".csv")
    if not table.is_file():
        yield f"{path.name} has no table {table.name} beside it"
        return
    try:
        (weights, readouts), known = read_weights(path), set(read_csv(table)["key"])
    except StoreError as error:
        yield str(error)
        return
    for key, values in weights.items():
        if key not in known:
            yield f"{path.name}: {key} has no row in {table.name}"
        if values.ndim != 3 or not np.isfinite(values).all():
            yield f"{path.name}: {key} holds no weights (chains, particles, inputs)"
    for key, values in readouts.items():
        if key not in weights or values.shape != weights[key].shape[:2]:
            yield f"{path.name}: the readouts of {key} do not fit its weights"

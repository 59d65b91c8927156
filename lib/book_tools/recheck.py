"""Compute a few stored cells again and compare: the command ``python -m book_tools recheck``.

The revision of the checkout selects the cells: different revisions draw different cells, and a
revision draws the same cells on every machine. :mod:`book_tools.tolerance` defines the tolerance.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from book_tools.errors import BookError, InputError
from book_tools.execution import inputs
from book_tools.project import Project
from book_tools.stored import rows, tables
from book_tools.tolerance import has_estimate, tolerance
from feature_learning.cli.ending import tell
from feature_learning.cli.sweep import run_grid
from feature_learning.errors import FeatureLearningError, check_integer, check_real
from feature_learning.experiments.keys import cell_key
from feature_learning.inference.interruption import SIGNALLED
from feature_learning.sweeps.grid import Grid, GridCell
from feature_learning.sweeps.pool import LocalPool, worker_count
from feature_learning.sweeps.provenance import checked_out
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.table import configuration, read_csv, tabulate

LONGEST = 40.0
"""Longest stored run of a cell in seconds, so that the test stays short."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A stored number and its new value.

    Attributes
    ----------
    cell, number
        Name of the cell and of the number.
    stored, now
        The two values.
    allowed
        The largest allowed difference.
    reason
        The origin of this tolerance.
    """

    cell: str
    number: str
    stored: float
    now: float
    allowed: float
    reason: str

    @property
    def holds(self) -> bool:
        """Whether the two values agree; a NaN never does."""
        return abs(self.now - self.stored) <= self.allowed


def recheck(
    project: Project,
    cells: int = 3,
    *,
    seed: str | None = None,
    longest: float = LONGEST,
    workers: int | None = None,
) -> int:
    """Compute some stored cells again, each with its configuration, and print a comparison.

    Parameters
    ----------
    project
        The book.
    cells
        Number of cells.
    seed
        A text that selects the cells; by default that of :func:`identity`.
    longest
        Only cells whose stored run took less time, in seconds.
    workers
        Number of processes of one thread each; by default one per processor.

    Returns
    -------
    int
        0 if all agree, or if there is no table yet; 1 otherwise.

    Raises
    ------
    InputError
        For invalid numbers.
    BookError
        If there are tables but no cell can be drawn, or a cell cannot be computed.
    """
    try:
        check_integer("cells", cells, at_least=1)
        check_real("longest", longest, above=0)
        workers = worker_count(workers)
    except FeatureLearningError as error:
        raise InputError(str(error)) from error
    try:
        frames = [read_csv(path) for path in tables(project)]
        if not frames:
            print("recheck: nothing is stored yet")
            return 0
        seed = identity(project) if seed is None else seed
        drawn = draw(frames, cells, seed, longest)
        print(f"recheck: {len(drawn)} stored cells, drawn by {seed[:12]}", flush=True)
        now = compute([row for row, _ in drawn], workers)
    except FeatureLearningError as error:
        raise BookError(str(error)) from error
    found = [each for row, frame in drawn for each in compare(row, now[row["key"]], frame)]
    print(report(found))
    return 0 if all(each.holds for each in found) else 1


def identity(project: Project) -> str:
    """The revision of a checkout; without git, a digest of the library and the data."""
    if (revision := checked_out(project.claims)) is not None:
        return revision
    digest = hashlib.sha256()
    for path in inputs(project):
        digest.update(path.relative_to(project.root).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def draw(
    frames: Sequence[pd.DataFrame], cells: int, seed: str, longest: float = LONGEST
) -> list[tuple[Row, pd.DataFrame]]:
    """Some rows of stored tables, each with its table.

    The rows have the smallest digests of seed and key, so that the selection changes little when a
    table grows.

    Raises
    ------
    BookError
        If there is no row that can be compared.
    """
    found = [
        (row, frame) for frame in frames for row in rows(frame) if eligible(row, frame, longest)
    ]
    if not found:
        raise BookError(
            f"no stored cell can be compared: none took less than {longest:g} s on a CPU, is of "
            "the present version of its method, and has an error estimate"
        )
    return sorted(found, key=lambda each: _digest(seed, each[0]["key"]))[:cells]


def eligible(row: Row, frame: pd.DataFrame, longest: float = LONGEST) -> bool:
    """Whether a stored row can be computed again in a short time and be compared."""
    if row["wall_seconds"] >= longest or row["device"] != "cpu" or row["interrupted"]:
        return False
    if cell_key(configuration(row)) != row["key"]:
        return False  # the row is of another version of its method
    return has_estimate(row, frame, [name for name, _ in numbers(row)])


def numbers(row: Row) -> list[tuple[str, str]]:
    """Columns of the numbers that are compared, and their names in the report."""
    error = "posterior_mean" if row["method"] == "nngp" else "one_sample"
    return [("m_S", "m_S"), (f"test_mse_{error}", "test MSE")]


def compute(drawn: Sequence[Row], workers: int) -> dict[str, Row]:
    """Compute rows again with their whole configuration; returns the new rows by key.

    Raises
    ------
    BookError
        If one of them fails.
    KeyboardInterrupt
        On Ctrl-C, and on other signals that ask a program to end.
    """
    cells = tuple(GridCell(configuration(row), (str(row["block"]),)) for row in drawn)
    with tempfile.TemporaryDirectory() as scratch:
        out, pool = Path(scratch), LocalPool(min(workers, len(cells)))
        code = run_grid(Grid("recheck", "", cells), out, pool, say=tell, complain=tell)
        if code > SIGNALLED:
            raise KeyboardInterrupt
        if code != 0:
            raise BookError("some stored cells could not be computed again")
        frame = tabulate(Store(out).scan()[0], {})
    return {str(row["key"]): row for row in rows(frame)}


def compare(row: Row, new: Row, frame: pd.DataFrame) -> list[Comparison]:
    """Compare a newly computed row with the stored one."""
    cell = (
        f"{row['block']}: {row['method']} P={row['n_train']} κ={row['kappa']:g} seed={row['seed']}"
    )
    found = []
    for name, title in numbers(row):
        allowed, reason = tolerance(name, row, new, frame)
        found.append(Comparison(cell, title, float(row[name]), float(new[name]), allowed, reason))
    return found


def report(found: Sequence[Comparison]) -> str:
    """A small table for a terminal."""
    lines = [("cell", "number", "stored", "now", "allowed", "", "agrees")]
    lines += [
        (
            each.cell,
            each.number,
            f"{each.stored:.4g}",
            f"{each.now:.4g}",
            f"{each.allowed:.2g}",
            each.reason,
            "yes" if each.holds else "NO",
        )
        for each in found
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _digest(seed: str, key: str) -> str:
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()

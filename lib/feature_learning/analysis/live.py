"""Compute some of the stored cells of a page again, and compare them with the store.

A text, the revision of a checkout, selects the cells: other revisions draw other cells, and one
revision draws the same cells on every machine. :mod:`feature_learning.analysis.tolerance` defines
the tolerance of the comparison.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from feature_learning.analysis.tolerance import has_estimate, tolerance
from feature_learning.experiments.keys import cell_key
from feature_learning.sweeps.table import configuration

#: Longest stored run of a cell that is drawn, in seconds.
LONGEST = 5.0
#: Seconds of the stored runs of all cells that are drawn together, about.
BUDGET = 6.0

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Comparison:
    """A stored number and its new value.

    Attributes
    ----------
    key : str
        Key of the cell.
    cell, number : str
        Name of the cell and of the number, for people.
    stored, now : float
        The two values.
    allowed : float
        Largest allowed difference.
    reason : str
        Origin of the tolerance.
    """

    key: str
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


def draw(rows: pd.DataFrame, table: pd.DataFrame, seed: str) -> list[Row]:
    """Rows whose cells are computed again; none if there is none that can be.

    Of every block the row with the smallest digest of seed and key comes first, then the second of
    every block, and so on, so that each kind of number is drawn, and the selection changes little
    when a table grows. The first is always drawn; others follow while :data:`BUDGET` lasts.

    Parameters
    ----------
    rows : DataFrame
        The rows that a page shows.
    table : DataFrame
        The whole stored table, which has the estimates of errors.
    seed : str
    """
    found: list[Row] = []
    spent = 0.0
    short: Sequence[Row] = rows[rows["wall_seconds"] < LONGEST].to_dict("records")
    for row in _block_by_block(short, seed):
        if (found and spent + row["wall_seconds"] > BUDGET) or not eligible(row, table):
            continue
        found.append(row)
        spent += float(row["wall_seconds"])
    return found


def eligible(row: Row, table: pd.DataFrame, longest: float = LONGEST) -> bool:
    """Whether a stored row can be computed again in a short time, and compared in earnest."""
    if row["wall_seconds"] >= longest or row["device"] != "cpu" or row["interrupted"]:
        return False
    if cell_key(configuration(row)) != row["key"]:
        return False  # the row is of another version of its method
    names = [name for name, _ in numbers(row)]
    return has_estimate(row, table, names) and all(
        tolerance(name, row, row, table)[0] <= _largest(name, row) for name in names
    )


def _largest(name: str, row: Row) -> float:
    """Largest tolerance of a comparison that can find a fault."""
    if name == "m_S":
        return 0.25  # of a number between 0 and 1
    return 5.0 if name == "log_evidence" else 0.5 * float(row[name])


def numbers(row: Row) -> list[tuple[str, str]]:
    """Columns of the numbers that are compared, and their names for people."""
    if not pd.isna(row["log_evidence"]):
        return [("log_evidence", "log evidence")]
    error = "posterior_mean" if row["method"] == "nngp" else "one_sample"
    return [("m_S", "m_S"), (f"test_mse_{error}", "test MSE")]


def compare(row: Row, new: Row, table: pd.DataFrame) -> list[Comparison]:
    """Compare a newly computed row with the stored one.

    Parameters
    ----------
    row, new : mapping
        The stored row and the one computed now.
    table : DataFrame
        The whole stored table.
    """
    cell = (
        f"{row['block']}: {row['method']} P={row['n_train']} κ={row['kappa']:g} seed={row['seed']}"
    )
    found = []
    for name, title in numbers(row):
        allowed, reason = tolerance(name, row, new, table)
        two = float(row[name]), float(new[name])
        found.append(Comparison(str(row["key"]), cell, title, *two, allowed, reason))
    return found


def report(found: Sequence[Comparison]) -> str:
    """The comparisons as a small table of text."""
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


def _block_by_block(rows: Sequence[Row], seed: str) -> list[Row]:
    """The first row of every block, then the second of every block, and so on."""
    place: Counter[str] = Counter()
    ranked = []
    for row in sorted(rows, key=lambda each: _digest(seed, each["key"])):
        ranked.append((place[row["block"]], row))
        place[row["block"]] += 1
    return [row for _, row in sorted(ranked, key=lambda each: each[0])]


def _digest(seed: str, key: str) -> str:
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()

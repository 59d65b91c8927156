"""Stored results as one tidy table, and its CSV file with a checked schema.

The table has one row per cell. Every error is MSE (not half). Times are Langevin times unless the
name ends in ``seconds``; ``_sem`` is the standard error over chains, empty for one chain and for
the NNGP. The columns of the configuration have the names of its fields, except that
``asked_langevin_time`` and ``asked_step`` are the options, and ``langevin_time`` and ``step`` the
values of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from feature_learning.errors import StoreError
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.flat import configure, hints, later
from feature_learning.files import documents
from feature_learning.sweeps.schema import LATER, column_of, schema, values_of

if TYPE_CHECKING:
    from feature_learning.sweeps.store import StoredResult


def tabulate(cells: Sequence[StoredResult], labels: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A table with one row per cell, sorted by block, method, κ, samples and seed.

    Parameters
    ----------
    cells
        As returned by :meth:`feature_learning.sweeps.store.Store.scan`.
    labels
        Key of a cell to the blocks that list it; the column ``block`` joins them by semicolons.
    """
    rows = [values_of(cell, labels.get(cell.key, ())) for cell in cells]
    frame = pd.DataFrame(rows, columns=list(schema())).astype(schema())
    order = ["block", "method", "kappa", "n_train", "seed", "key"]
    return frame.sort_values(order, ignore_index=True)


def configuration(row: Mapping[str, Any]) -> PointConfig:
    """The configuration of a row of a table; its key can be compared with the row's.

    Raises
    ------
    ArgumentError
        If the values are no valid configuration.
    """
    values: dict[str, Any] = {}
    for name in hints():
        value = row[column_of(name)]
        # Plain Python numbers, as from the command line and sweep files.
        plain = value.item() if isinstance(value, np.generic) else value
        values[name] = None if pd.isna(plain) else plain
    return configure(**values)


def check_place(path: Path) -> None:
    """Refuse to overwrite a file that is not a table of results.

    Raises
    ------
    StoreError
    """
    first = ",".join(list(schema())[:2]).encode()
    documents.check_replaceable(path, lambda text: text.startswith(first), "a table of results")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table atomically, with all digits of its numbers.

    Raises
    ------
    StoreError
        If a column is missing, unknown or of another type, if the file cannot be written, or if it
        exists and is not a table.
    """
    check_place(path)
    _check_columns(list(frame.columns), "the table")
    for name, kind in schema().items():
        if str(frame[name].dtype) != kind:
            raise StoreError(f"column {name} must be of type {kind}, not {frame[name].dtype}")
    text = frame.to_csv(index=False, lineterminator="\n")
    documents.put(path, text.encode())


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table written by :func:`write_csv`.

    Raises
    ------
    StoreError
        If the file cannot be read, or a column is missing, unknown or has invalid entries.
    """
    try:
        # Read as text first, so that an error can name the column of a wrong entry.
        frame = pd.read_csv(path, dtype="string", keep_default_na=False, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise StoreError(f"{path} is not a table: {error}") from error
    for name, value in later().items():
        # A table older than the option: its cells have the option's neutral value.
        if name not in frame.columns:
            frame[name] = "" if value is None else str(value)
    for name in LATER:
        if name not in frame.columns:
            frame[name] = ""
    _check_columns(list(frame.columns), str(path))
    frame = frame[list(schema())]
    for name, kind in schema().items():
        try:
            frame[name] = _convert(frame[name], kind, name == "block")
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise StoreError(f"{path}: column {name} must be of type {kind}: {error}") from error
    return frame


def _convert(texts: pd.Series, kind: str, keep_empty: bool) -> pd.Series:
    if keep_empty:
        return texts
    known = texts.where(texts != "", pd.NA)
    if kind == "string":
        return known
    if kind == "boolean":
        return known.map({"True": True, "False": False}.__getitem__, na_action="ignore").astype(
            kind
        )
    # Python's own conversion restores exactly the number that was written.
    number = float if kind == "Float64" else int
    return known.map(number, na_action="ignore").astype(kind)


def _check_columns(found: list[str], where: str) -> None:
    expected = list(schema())
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    if missing or unknown or len(found) != len(expected):
        raise StoreError(
            f"{where} does not have the columns of a table of results: "
            f"missing {', '.join(missing) or 'none'}; unknown {', '.join(unknown) or 'none'}"
        )

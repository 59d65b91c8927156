"""Stored results as one tidy table, and its CSV file with a schema that is checked.

One row a cell. Every error is MSE (not half). What a name does not say: times are Langevin times
unless the name ends in ``seconds``; ``_sem`` is the standard error over chains, empty for one
chain and for the NNGP. The columns of the configuration have the names of its fields, but for
``asked_langevin_time`` and ``asked_step``, beside which stand the time and step that were run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pandas as pd

from feature_learning import atomic
from feature_learning.applicability import NEUTRAL
from feature_learning.config import PointConfig
from feature_learning.errors import StoreError
from feature_learning.store import Cell

#: Name of a field to that of its column, where the plain one means something measured.
_RENAMED = {"langevin_time": "asked_langevin_time", "step": "asked_step"}
_MEASURED = {
    "predictor": "string",
    "test_mse_one_sample": "Float64",
    "test_mse_one_sample_sem": "Float64",
    "test_mse_posterior_mean": "Float64",
    "test_mse_posterior_mean_sem": "Float64",
    "train_mse": "Float64",
    "train_mse_sem": "Float64",
    "m_S": "Float64",
    "m_S_sem": "Float64",
    "noise": "Float64",
    "noise_sem": "Float64",
    "relevant_variance": "Float64",
    "relevant_variance_sem": "Float64",
    "langevin_time": "Float64",
    "step": "Float64",
    "steps": "Int64",
    "kinetic_temperature": "Float64",
    "swap_rate": "Float64",
    "curvature": "Float64",
    "r_hat_max": "Float64",
    "ess_min": "Float64",
    "converged": "boolean",
    "interrupted": "boolean",
    "wall_seconds": "Float64",
}
#: Columns that tables got later; those from before have nothing there.
_LATER = ("relevant_variance", "relevant_variance_sem", "swap_rate")
_ORIGIN = {
    "method_version": "Int64",
    "library_version": "string",
    "revision": "string",
    "date_utc": "string",
    "machine": "string",
    "cores": "Int64",
    "threads": "Int64",
    "torch_version": "string",
}


@cache
def schema() -> dict[str, str]:
    """Name of every column, in order, to its pandas type."""
    kinds = {str: "string", int: "Int64", float: "Float64", bool: "boolean"}
    columns = {"block": "string", "key": "string"}
    for name, hint in get_type_hints(PointConfig).items():
        kind = next(kinds[each] for each in (hint, *get_args(hint)) if each in kinds)
        columns[_RENAMED.get(name, name)] = kind
    return columns | _MEASURED | _ORIGIN


def tabulate(cells: Sequence[Cell], labels: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """One row a cell, ordered by block, method, κ, samples and seed.

    Parameters
    ----------
    cells
        As of :meth:`feature_learning.store.Store.scan`.
    labels
        Key to the blocks that list it; the column ``block`` joins them by a semicolon.
    """
    rows = [_row(cell, labels.get(cell.key, ())) for cell in cells]
    frame = pd.DataFrame(rows, columns=list(schema())).astype(schema())
    order = ["block", "method", "kappa", "samples", "seed", "key"]
    return frame.sort_values(order, ignore_index=True)


def _row(cell: Cell, blocks: Sequence[str]) -> dict[str, Any]:
    row, origin = cell.row, cell.provenance
    machine = origin["machine"]
    sampled = row["predictor"] == "one sample"
    values: dict[str, Any] = {"block": "; ".join(blocks), "key": cell.key}
    for name, value in row["config"].items():
        values[_RENAMED.get(name, name)] = value
    for suffix in ("", "_sem"):
        # What the NNGP predicts is a mean, not a sample.
        values[f"test_mse_one_sample{suffix}"] = row[f"test_mse{suffix}"] if sampled else None
    return values | {
        "predictor": row["predictor"],
        **{
            name: row.get(name)
            for name in _MEASURED
            if name not in values and name not in ("predictor", "r_hat_max", "ess_min")
        },
        "r_hat_max": row["r_hat"],
        "ess_min": row["ess"],
        "wall_seconds": cell.wall_seconds,
        "method_version": cell.method_version,
        "library_version": origin["library_version"],
        "revision": origin["revision"],
        "date_utc": origin["date_utc"],
        "machine": machine["cpu"] if machine["device"] == "cpu" else machine["device"],
        "cores": machine["cores"],
        "threads": machine["threads"],
        "torch_version": machine["torch"],
    }


def column_of(field: str) -> str:
    """The column that holds a field of the configuration."""
    return _RENAMED.get(field, field)


def configuration(row: Mapping[str, Any]) -> PointConfig:
    """The configuration of a row of a table, whose key may then be compared with the row's.

    Raises
    ------
    ArgumentError
        If there can be no such configuration.
    """
    values: dict[str, Any] = {}
    for name in get_type_hints(PointConfig):
        value = row[column_of(name)]
        # Plain Python numbers, as the command line and the files of sweeps give them.
        plain = value.item() if isinstance(value, np.generic) else value
        values[name] = None if pd.isna(plain) else plain
    return PointConfig(**values)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all; numbers with all their digits.

    Raises
    ------
    StoreError
        If a column is missing, unknown or of another type, or the file cannot be written.
    """
    _check_columns(list(frame.columns), "the table")
    for name, kind in schema().items():
        if str(frame[name].dtype) != kind:
            raise StoreError(f"column {name} must be of type {kind}, not {frame[name].dtype}")
    text = frame.to_csv(index=False, lineterminator="\n")
    try:
        with atomic.replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table that :func:`write_csv` has written.

    Raises
    ------
    StoreError
        If the file cannot be read, or a column is missing, unknown or holds what it should not.
    """
    try:
        # As text first: a wrong entry can then be named with its column.
        frame = pd.read_csv(path, dtype="string", keep_default_na=False, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise StoreError(f"{path} is not a table: {error}") from error
    for name, value in NEUTRAL.items():
        # A table from before the library had the field: its cells are those of the neutral value.
        if name not in frame.columns:
            frame[name] = "" if value is None else str(value)
    for name in _LATER:
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
    # Python's own conversion gives back the very number that was written.
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

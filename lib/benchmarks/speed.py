"""The stored measurements of speed: one tidy table and its check.

``make bench BENCH=full`` writes ``book/data/benchmarks/speed.csv``. Its rows are times of one run
on one machine, which cannot be reproduced exactly. The check therefore only tests that all rows
come from one run, and that the rates follow from the numbers they are computed from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from book_tools.errors import BookError
from feature_learning.files import atomic

NAME = "speed.csv"
"""The file."""

COLUMNS = {
    "quantity": "string",
    "package": "string",
    "version": "string",
    "dynamics": "string",
    "observable": "string",
    "n_train": "Int64",
    "chains": "Int64",
    "kappa": "Float64",
    "threads": "Int64",
    "device": "string",
    "value": "Float64",
    "low": "Float64",
    "high": "Float64",
    "bound": "string",
    "unit": "string",
    "setting": "string",
    "cpu": "string",
    "cores": "Int64",
    "load": "Float64",
    "date_utc": "string",
    "revision": "string",
}
"""Name of every column, in order, to its pandas type. ``low`` and ``high`` are the spread over
rounds or chains, ``bound`` says ``at most`` or ``at least`` where the value is only that, and
``load`` is the load average when the run started."""

UNITS = {
    "matrix_rate": "GFLOP/s",
    "step_time": "us per step and chain",
    "matrix_share": "of matrix_rate",
    "cell_rate": "cells per minute",
    "ess_per_step": "effective samples per step and chain",
    "ess_rate": "effective samples per second",
    "settling_time": "s",
    "settling_rate": "effective samples per second",
}
"""Every quantity, with its unit."""

OURS = "feature_learning"
LABELS = {
    OURS: "this library",
    "blackjax": "blackjax",
    "posteriors": "posteriors",
    "sgmcmcjax": "SGMCMCJax",
    "torch": "torch.mm",
}
DYNAMICS = {
    "sgld": "SGLD",
    "underdamped": "underdamped",
    "hmc": "HMC",
    "nuts": "NUTS",
    "mclmc": "MCLMC",
}
BOUNDS = ("at most", "at least")
UNKNOWN = "Nothing is measured yet."
"""Text in place of a missing table."""

_KEY = ["quantity", "package", "dynamics", "observable", "n_train", "chains"]
_RUN = ["threads", "device", "cpu", "cores", "load", "date_utc", "revision"]
#: Largest accepted ratio of the time per chain for several chains to that for one chain.
_SLACK = 1.3


def stored(root: Path) -> Path:
    """Path of the measurements of a checkout; the file may not exist."""
    # Duplicates book_tools.project, which needs Sphinx.
    return root / "book" / "data" / "benchmarks" / NAME


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV.

    Raises
    ------
    BookError
        If it has faults, see :func:`problems`.
    """
    if faults := list(problems(frame)):
        raise BookError("the measurements have faults:\n" + "\n".join(faults))
    atomic.write(path, text(frame))


def text(frame: pd.DataFrame) -> str:
    """A table as CSV, valid or not."""
    return str(frame.to_csv(index=False, lineterminator="\n"))


def read(path: Path) -> pd.DataFrame:
    """Read a table written by :func:`write`.

    Raises
    ------
    BookError
        If it does not exist, or has wrong columns or types.
    """
    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""], encoding="utf-8")
    except OSError as error:
        raise BookError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise BookError(f"{path.name} is not a table: {error}") from error
    return typed(frame, path.name)


def typed(frame: pd.DataFrame, where: str = "the table") -> pd.DataFrame:
    """The table with the columns and types of :data:`COLUMNS`.

    Raises
    ------
    BookError
        If a column is missing, unknown or has invalid entries.
    """
    if list(frame.columns) != list(COLUMNS):
        wrong = sorted(set(frame.columns) ^ set(COLUMNS)) or "their order"
        raise BookError(f"{where} does not have the columns of a table of measurements: {wrong}")
    for name, kind in COLUMNS.items():
        try:
            frame[name] = frame[name].astype(kind)
        except (ValueError, TypeError) as error:
            raise BookError(f"{where}: column {name} must be of type {kind}: {error}") from error
    return frame


def problems(frame: pd.DataFrame) -> Iterator[str]:
    """Faults of the rows of a table: units, numbers, rows of several runs, wrong rates."""
    for row in frame.to_dict("records"):
        where = " ".join(str(row[name]) for name in _KEY if not pd.isna(row[name]))
        if row["unit"] != UNITS.get(row["quantity"]):
            yield f"{where}: unit is {row['unit']!r}, not {UNITS.get(row['quantity'])!r}"
        if row["package"] not in LABELS:
            yield f"{where}: package is none of {', '.join(LABELS)}"
        if not pd.isna(row["dynamics"]) and row["dynamics"] not in DYNAMICS:
            yield f"{where}: dynamics is none of {', '.join(DYNAMICS)}"
        if not pd.isna(row["bound"]) and row["bound"] not in BOUNDS:
            yield f"{where}: bound is none of {', '.join(BOUNDS)}"
        numbers = [row[name] for name in ("low", "value", "high")]
        if any(pd.isna(number) for number in numbers):
            yield f"{where}: a number is missing"
        elif not (0 < numbers[0] <= numbers[1] <= numbers[2] < math.inf):
            yield f"{where}: not 0 < low <= value <= high: {numbers}"
    for name in _RUN:
        if (count := frame[name].nunique(dropna=False)) != 1:
            yield f"column {name} has {count} values: the rows are not from one run"
    if (count := int(frame.duplicated(_KEY).sum())) > 0:
        yield f"{count} rows have the quantity and case of another one"
    yield from _wrong_rates(frame)
    yield from _wrong_cells(frame)


def _wrong_rates(frame: pd.DataFrame) -> Iterator[str]:
    """A rate must be the effective samples per step over the time of the fastest step."""
    times = select(frame, "step_time")
    sizes = select(frame, "ess_per_step")
    for row in select(frame, "ess_rate").to_dict("records"):
        step = times[
            (times["package"] == row["package"])
            & (times["dynamics"] == row["dynamics"])
            & (times["n_train"] == row["n_train"])
        ]["value"]
        size = sizes[
            (sizes["dynamics"] == row["dynamics"])
            & (sizes["observable"] == row["observable"])
            & (sizes["n_train"] == row["n_train"])
        ]["value"]
        if len(size) != 1 or not len(step):
            yield f"{row['package']} {row['dynamics']}: the numbers for a rate are missing"
        elif not np.isclose(row["value"], 1e6 * size.iloc[0] / step.min(), rtol=1e-3):
            yield f"{row['package']} {row['dynamics']} {row['observable']}: inconsistent rate"


def _wrong_cells(frame: pd.DataFrame) -> Iterator[str]:
    """Cells per minute times their steps times the time of a step must be one minute."""
    case = ("package", "dynamics", "n_train", "chains")
    for row in select(frame, "cell_rate").to_dict("records"):
        step = value(frame, "step_time", **{name: row[name] for name in case})
        count = str(row["setting"]).removesuffix(" steps")
        steps = int(count) if count.isdecimal() else 0
        if not np.isclose(row["value"] * steps * step, 60e6, rtol=1e-3):
            yield f"{row['package']} P={row['n_train']}: inconsistent cells per minute"


def wrong_ways(frame: pd.DataFrame) -> Iterator[str]:
    """Packages whose chains were not run in their faster way.

    Run one after the other, several chains cost no more time per chain than one. Only stored tables
    are tested, because times on a busy machine scatter more than this.
    """
    for _, case in select(frame, "step_time").groupby(["package", "dynamics", "n_train"]):
        alone = case[case["chains"] == 1]["value"]
        for row in case.to_dict("records") if len(alone) else []:
            if row["value"] > _SLACK * alone.iloc[0]:
                where = f"{row['package']} {row['dynamics']} P={row['n_train']}"
                times = f"{row['value']:.0f} us each, but one takes {alone.iloc[0]:.0f}"
                yield f"{where}: {row['chains']} chains take {times}"


def select(frame: pd.DataFrame, quantity: str, **values: Any) -> pd.DataFrame:
    """Rows of one quantity with these values in other columns."""
    found = frame[frame["quantity"] == quantity]
    for name, value in values.items():
        found = found[found[name] == value]
    return found


def value(frame: pd.DataFrame, quantity: str, **values: Any) -> float:
    """The value of the single row that :func:`select` finds; NaN if there is none."""
    found = select(frame, quantity, **values)["value"]
    return float(found.iloc[0]) if len(found) else math.nan

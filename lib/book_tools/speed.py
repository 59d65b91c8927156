"""The stored measurements of speed: one tidy table, its check, and the README's part of it.

``make bench BENCH=full`` writes ``book/data/results/bench.csv``. It stands beside the tables of the
sweeps and is none: its rows are no cells that could be computed again and compared, but times of
one machine in one run, which belong together. So it has columns of its own, and its check asks what
can be asked of times: that all come from one run, and that rates follow from what they are made of.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from book_tools.errors import BookError
from feature_learning.texts import ABSENT, number_text

NAME = "bench.csv"
"""The file, beside the tables of the sweeps."""

COLUMNS = {
    "quantity": "string",
    "package": "string",
    "version": "string",
    "dynamics": "string",
    "observable": "string",
    "samples": "Int64",
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
DYNAMICS = {"sgld": "SGLD", "underdamped": "underdamped", "hmc": "HMC"}
BOUNDS = ("at most", "at least")

_KEY = ["quantity", "package", "dynamics", "observable", "samples", "chains"]
_RUN = ["threads", "device", "cpu", "cores", "load", "date_utc", "revision"]
START, END = "<!-- speed: written by `make bench BENCH=full` -->", "<!-- end of speed -->"
"""Lines of the README between which :func:`render` stands."""
UNKNOWN = "Nothing is measured yet."
_PARTICIPANTS = (
    (OURS, "sgld"),
    ("blackjax", "sgld"),
    ("posteriors", "sgld"),
    ("sgmcmcjax", "sgld"),
    (OURS, "underdamped"),
    ("posteriors", "underdamped"),
)


def stored(root: Path) -> Path:
    """Where the measurements of a checkout stand; there may be none."""
    # As in book_tools.project, which needs Sphinx, and measuring does not.
    return root / "book" / "data" / "results" / NAME


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV.

    Raises
    ------
    BookError
        If it has faults, see :func:`problems`.
    """
    if faults := list(problems(frame)):
        raise BookError("the measurements have faults:\n" + "\n".join(faults))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(frame.to_csv(index=False, lineterminator="\n"), encoding="utf-8")


def read(path: Path) -> pd.DataFrame:
    """Read a table that :func:`write` has written.

    Raises
    ------
    BookError
        If it is not there, or has not the columns and types it should.
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
        If a column is missing or unknown, or holds what it should not.
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
    """What is wrong with the rows of a table: units, numbers, rows of several runs, wrong rates."""
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
            yield f"column {name} has {count} values: the rows are not of one run"
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
            & (times["samples"] == row["samples"])
        ]["value"]
        size = sizes[
            (sizes["dynamics"] == row["dynamics"])
            & (sizes["observable"] == row["observable"])
            & (sizes["samples"] == row["samples"])
        ]["value"]
        if len(size) != 1 or not len(step):
            yield f"{row['package']} {row['dynamics']}: a rate without what it is made of"
        elif not np.isclose(row["value"], 1e6 * size.iloc[0] / step.min(), rtol=1e-3):
            yield f"{row['package']} {row['dynamics']} {row['observable']}: a rate of other numbers"


def _wrong_cells(frame: pd.DataFrame) -> Iterator[str]:
    """Cells a minute times their steps times the time of a step of one chain make a minute."""
    case = ("package", "dynamics", "samples", "chains")
    for row in select(frame, "cell_rate").to_dict("records"):
        step = value(frame, "step_time", **{name: row[name] for name in case})
        count = str(row["setting"]).removesuffix(" steps")
        steps = int(count) if count.isdecimal() else 0
        if not np.isclose(row["value"] * steps * step, 60e6, rtol=1e-3):
            yield f"{row['package']} P={row['samples']}: cells a minute of other numbers"


def select(frame: pd.DataFrame, quantity: str, **values: Any) -> pd.DataFrame:
    """Rows of one quantity with these values in other columns."""
    found = frame[frame["quantity"] == quantity]
    for name, value in values.items():
        found = found[found[name] == value]
    return found


def value(frame: pd.DataFrame, quantity: str, **values: Any) -> float:
    """The number of the one row that :func:`select` finds; NaN if there is none."""
    found = select(frame, quantity, **values)["value"]
    return float(found.iloc[0]) if len(found) else math.nan


def gain(frame: pd.DataFrame, observable: str) -> tuple[float, str]:
    """Effective samples per second: the underdamped dynamics over the fastest SGLD of a peer.

    Returns
    -------
    ratio : float
        NaN if there is no peer, or if ours is itself only an upper bound.
    bound : str
        ``at least`` if the peer's number is an upper bound, else empty.
    """
    rates = select(frame, "ess_rate", observable=observable)
    ours = rates[(rates["package"] == OURS) & (rates["dynamics"] == "underdamped")]
    peers = rates[(rates["package"] != OURS) & (rates["dynamics"] == "sgld")]
    if not len(ours) or not len(peers) or not pd.isna(ours["bound"].iloc[0]):
        return math.nan, ""
    best = peers.loc[peers["value"].idxmax()]
    bound = "" if pd.isna(best["bound"]) else "at least"
    return float(ours["value"].iloc[0] / best["value"]), bound


def provenance(frame: pd.DataFrame) -> str:
    """Where the numbers come from, in a sentence."""
    first = frame.iloc[0]
    packages = frame[["package", "version"]].drop_duplicates()
    versions = ", ".join(
        f"{LABELS[name].removesuffix('.mm')} {version}"
        for name, version in packages.itertuples(index=False)
    )
    return (
        f"Measured on {str(first['date_utc'])[:10]} on {first['cpu']}, {first['cores']} cores, "
        f"{first['threads']} threads for everybody, load {first['load']:.1f} at the start; "
        f"revision {str(first['revision'])[:12]}; {versions}."
    )


def render(frame: pd.DataFrame | None) -> str:
    """The README's part: time per step of everybody, and what it means, as Markdown."""
    if frame is None:
        return UNKNOWN
    steps = select(frame, "step_time")
    known = {pair: len(steps[_of(steps, *pair)]) for pair in _PARTICIPANTS}
    shown = [pair for pair in _PARTICIPANTS if known[pair]]
    heads = [f"{LABELS[name]}, {DYNAMICS[kind]}" for name, kind in shown]
    lines = [f"| P | chains | {' | '.join(heads)} | best peer SGLD / ours |"]
    lines.append("|---" * (len(shown) + 3) + "|")
    for (samples, chains), case in steps.groupby(["samples", "chains"]):
        cells = [_number(case[_of(case, *pair)]["value"]) for pair in shown]
        peers = case[(case["package"] != OURS) & (case["dynamics"] == "sgld")]["value"]
        ours = case[_of(case, OURS, "sgld")]["value"]
        ratio = f"{peers.min() / ours.iloc[0]:.2f}" if len(peers) and len(ours) else ABSENT
        lines.append(f"| {samples} | {chains} | {' | '.join(cells)} | {ratio} |")
    lines += ["", *_sentences(frame), "", provenance(frame)]
    return "\n".join(lines)


def _of(frame: pd.DataFrame, package: str, dynamics: str) -> Any:
    return (frame["package"] == package) & (frame["dynamics"] == dynamics)


def _number(values: pd.Series) -> str:
    return f"{values.iloc[0]:.0f}" if len(values) else ABSENT


def _sentences(frame: pd.DataFrame) -> Iterator[str]:
    shares = select(frame, "matrix_share", package=OURS, dynamics="sgld")
    if len(shares):
        rate = value(frame, "matrix_rate")
        low, high = 100 * shares["value"].min(), 100 * shares["value"].max()
        yield (
            f"* Counted as the two matrix products of a step, this library's SGLD runs at "
            f"{low:.0f} to {high:.0f} % of the rate of a large matrix product here "
            f"({rate:.0f} GFLOP/s). More than 100 % is no mistake: the two products are counted in "
            "full, and inputs of ±1 taken from tables of partial sums need fewer operations."
        )
    rates = select(frame, "cell_rate")
    if len(rates):
        best = rates.loc[rates.groupby("samples")["value"].idxmax()]
        texts = [
            f"{number_text(row['value'])} at P = {row['samples']}"
            for row in best.to_dict("records")
        ]
        yield (
            f"* Cells of the published protocol a minute ({best['setting'].iloc[0]} of SGLD, looks "
            f"not counted): {', '.join(texts)}."
        )
    for observable in ("m_S", "median readout", "slowest readout"):
        ratio, bound = gain(frame, observable)
        if not math.isnan(ratio):
            name = "$m_S$" if observable == "m_S" else f"the {observable} weight"
            samples = select(frame, "ess_rate")["samples"].iloc[0]
            yield (
                f"* Effective samples of {name} per second at P = {samples}: underdamped has "
                f"{f'{bound} ' if bound else ''}{number_text(ratio)} times those of the fastest "
                "peer's SGLD."
            )
    for row in select(frame, "settling_time").to_dict("records"):
        name = DYNAMICS[row["dynamics"]]
        seconds, reached = f"{row['value']:.0f} s", ""
        if row["package"] != OURS:
            name, reached = (
                f"{name} of {LABELS[row['package']]}, by its time of as many steps",
                "at least ",
            )
        elif row["bound"] == "at least":
            reached = "not within "
        yield (
            f"* From the prior until chains agree (R-hat below 1.01) at P = {row['samples']}, "
            f"κ = {row['kappa']:g}, {name}: {reached}{seconds}."
        )


def update(readme: str, frame: pd.DataFrame | None) -> str:
    """The README with its part replaced.

    Raises
    ------
    BookError
        If the README has not one place for it.
    """
    if readme.count(START) != 1 or readme.count(END) != 1:
        raise BookError(f"README.md must have the lines {START!r} and {END!r} once each")
    before, rest = readme.split(START)
    return f"{before}{START}\n{render(frame)}\n{END}{rest.split(END)[1]}"

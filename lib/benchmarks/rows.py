"""From measurements to the rows of the table (:mod:`benchmarks.speed`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from benchmarks.convergence_time import CHAINS, Settling
from benchmarks.ess import Effective
from benchmarks.machine import MatrixRate, version
from benchmarks.problem import SGLD
from benchmarks.speed import COLUMNS, OURS, UNITS, typed
from benchmarks.steps import CELL_STEPS, Timing, cells


def table(
    origin: dict[str, Any],
    rate: MatrixRate | None,
    timings: Sequence[Timing],
    sizes: Sequence[tuple[Effective, int]],
    settlings: Sequence[Settling],
    *,
    kappa: float,
) -> pd.DataFrame:
    """The table of everything that was measured in one run.

    Parameters
    ----------
    origin
        Columns that are the same in all rows.
    sizes
        Effective samples, each with its number of chains.
    kappa
        κ of the steps and the effective samples.
    """
    rows: list[dict[str, Any]] = []
    if rate is not None:
        low, high = min(rate.rates), max(rate.rates)
        rows.append(_row("matrix_rate", "torch", high, low, high))
    for each in timings:
        case: dict[str, Any] = {
            "dynamics": each.dynamics,
            "n_train": each.n_train,
            "chains": each.chains,
            "kappa": kappa,
            "setting": f"chains by {each.shape}",
        }
        times = each.microseconds
        rows.append(_row("step_time", each.contender, each.median, min(times), max(times), **case))
        if rate is not None:
            shares = [each.operations / value / 1e3 / rate.best for value in times]
            middle = each.share(rate.best)
            rows.append(
                _row("matrix_share", each.contender, middle, min(shares), max(shares), **case)
            )
        if (each.contender, each.dynamics) == (OURS, SGLD):
            setting: dict[str, Any] = {"setting": f"{CELL_STEPS} steps"}
            rows.append(_row("cell_rate", OURS, *cells(each), **case | setting))
    for size, chains in sizes:
        rows += _effective(size, chains, timings, kappa)
    for run in settlings:
        rows += _settling(run)
    return typed(pd.DataFrame([row | origin for row in rows], columns=list(COLUMNS)))


def _effective(
    size: Effective, chains: int, timings: Sequence[Timing], kappa: float
) -> Iterable[dict[str, Any]]:
    case: dict[str, Any] = {
        "dynamics": size.dynamics,
        "observable": size.observable,
        "n_train": size.n_train,
        "chains": chains,
        "kappa": kappa,
        "bound": size.bound or None,
        "setting": f"{size.setting}; {size.steps} steps",
    }
    low, high = min(size.per_step), max(size.per_step)
    yield _row("ess_per_step", OURS, size.value, low, high, **case)
    for package, time in fastest(timings, size.n_train, size.dynamics).items():
        per_second = 1e6 / time
        values = (per_second * size.value, per_second * low, per_second * high)
        yield _row("ess_rate", package, *values, **case)


def _settling(run: Settling) -> Iterable[dict[str, Any]]:
    case: dict[str, Any] = {
        "dynamics": run.dynamics,
        "n_train": run.n_train,
        "chains": CHAINS,
        "kappa": run.kappa,
        "setting": f"{run.setting}; {run.steps} steps",
    }
    bound = None if run.settled else "at least"
    times = (run.seconds, run.seconds, run.seconds)
    yield _row("settling_time", run.package, *times, bound=bound, **case)
    for observable, rate in run.rates.items():
        if math.isfinite(rate):  # not finite for chains that never moved
            rates = (rate, rate, rate)
            yield _row("settling_rate", run.package, *rates, observable=observable, **case)


def fastest(timings: Sequence[Timing], n_train: int, dynamics: str) -> dict[str, float]:
    """Microseconds per step of one chain, for every package at its fastest number of chains."""
    found: dict[str, float] = {}
    for each in timings:
        if (each.n_train, each.dynamics) == (n_train, dynamics):
            found[each.contender] = min(each.median, found.get(each.contender, float("inf")))
    return found


def _row(
    quantity: str, package: str, value: float, low: float, high: float, **case: Any
) -> dict[str, Any]:
    known = {"quantity": quantity, "package": package, "version": version(package)}
    # Rounded for readability; the three numbers keep their order.
    numbers = {
        name: float(f"{x:.6g}") for name, x in (("value", value), ("low", low), ("high", high))
    }
    return known | numbers | {"unit": UNITS[quantity]} | case

"""Figures of the stored measurements of speed, with a note if nothing is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from benchmarks.speed import DYNAMICS, LABELS, OURS, UNKNOWN, select

#: Colours of Okabe and Ito, as everywhere in the book, with a marker each.
_MEASUREMENTS: dict[str, tuple[str, str]] = {
    OURS: ("#0072B2", "o"),
    "blackjax": ("#D55E00", "s"),
    "posteriors": ("#009E73", "^"),
    "sgmcmcjax": ("#CC79A7", "v"),
}
_LINES = {"sgld": "-", "underdamped": "--", "hmc": ":"}


def step_times(ax: Axes, frame: pd.DataFrame | None, chains: int) -> None:
    """Time of a step of one chain against the number of samples, with the spread over rounds."""
    if frame is None:
        _nothing(ax)
        return
    steps = select(frame, "step_time", chains=chains)
    for (package, dynamics), group in steps.groupby(["package", "dynamics"], sort=False):
        points = group.sort_values("n_train")
        ax.errorbar(
            points["n_train"].to_numpy(float),
            points["value"].to_numpy(float),
            yerr=_spread(points),
            ls=_LINES[dynamics],
            label=f"{LABELS[package]}, {DYNAMICS[dynamics]}",
            **_measurement(package, filled=dynamics == "sgld"),
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("number of samples $P$")
    ax.set_ylabel("µs per step and chain")
    ax.set_title("one chain" if chains == 1 else f"{chains} chains", fontsize=11)


def effective_rates(ax: Axes, frame: pd.DataFrame | None, observable: str) -> None:
    """Effective samples per second of all packages as dots, with arrows for upper bounds."""
    rates = None if frame is None else select(frame, "ess_rate", observable=observable)
    if rates is None or rates.empty:
        _nothing(ax)
        return
    rates = rates.sort_values("value")
    for at, row in enumerate(rates.to_dict("records")):
        bounded = row["bound"] == "at most"
        spread = None if bounded else _spread(pd.DataFrame([row]))
        ax.errorbar(
            [row["value"]], [at], xerr=spread, **_measurement(row["package"], filled=not bounded)
        )
        if bounded:
            ax.annotate(
                "",
                xy=(0.55 * row["value"], at),
                xytext=(row["value"], at),
                arrowprops={"arrowstyle": "->", "color": _MEASUREMENTS[row["package"]][0]},
            )
    names = [
        f"{LABELS[package]}, {DYNAMICS[dynamics]}"
        for package, dynamics in zip(rates["package"], rates["dynamics"], strict=True)
    ]
    ax.set_yticks(np.arange(len(names)), names)
    ax.set_xscale("log")
    ax.set_xlim(left=0.3 * float(rates["value"].min()))
    ax.set_xlabel("effective samples per second")
    title = "overlap $m_S$" if observable == "m_S" else f"{observable} weight"
    ax.set_title(title, fontsize=11)


def _measurement(package: str, *, filled: bool) -> dict[str, Any]:
    colour, marker = _MEASUREMENTS[package]
    inside = colour if filled else "white"
    return {"color": colour, "marker": marker, "mfc": inside, "ms": 5.5, "lw": 1.4, "capsize": 2}


def _spread(points: pd.DataFrame) -> np.ndarray[Any, Any]:
    middle = points["value"].to_numpy(float)
    low, high = (points[name].to_numpy(float) for name in ("low", "high"))
    return np.stack([middle - low, high - middle])


def _nothing(ax: Axes) -> None:
    text = f"{UNKNOWN}\n`make bench BENCH=full` fills this figure."
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)

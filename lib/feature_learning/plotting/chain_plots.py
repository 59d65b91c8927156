"""Plots of chains: traces over Langevin time, and rank plots.

ArviZ computes the ranks and matplotlib draws them, since ArviZ's own plots for Python 3.11 do not
load with the matplotlib of this book (they need ``matplotlib.style.core``, which 3.11 no longer
has).

A rank plot (Vehtari et al. 2021) ranks the draws of all chains together and shows the ranks of each
chain. Chains that sample one distribution have flat histograms; the ranks of a chain that sits
elsewhere are on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from arviz_stats.base.array import BaseArray
from matplotlib.axes import Axes
from numpy.typing import NDArray

from feature_learning.errors import ArgumentError

FloatArray = NDArray[np.float64]
_ARVIZ: Any = BaseArray()
#: Colours of Okabe and Ito, without the yellow, which is too light for a line on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#444444")
_DASHES = ("-", "--", ":", "-.")


def trace_plot(
    ax: Axes,
    draws: FloatArray,
    times: FloatArray,
    counted: NDArray[np.bool_],
    labels: Sequence[str],
    *,
    ylabel: str,
    log_y: bool = False,
) -> None:
    """Draw each chain over Langevin time, with burn-in shaded.

    Chains with the same label share a line style, so that starts can be distinguished.

    Parameters
    ----------
    ax : Axes
    draws : array (chains, measurements)
    times : array (measurements,)
    counted : array (measurements,) of bool
    labels : sequence of str
        One per chain, such as ``prior`` or ``planted``.
    ylabel : str
    log_y : bool
    """
    _check(draws, labels)
    if not draws.shape[1:] == times.shape == counted.shape:
        raise ArgumentError(
            f"times and counted must have one entry per measurement, {draws.shape[1]}, not "
            f"{times.shape} and {counted.shape}"
        )
    styles = dict(zip(dict.fromkeys(labels), _DASHES * len(labels), strict=False))
    for chain, (label, values) in enumerate(zip(labels, draws, strict=True)):
        ax.plot(
            times, values, color=_COLOURS[chain % len(_COLOURS)], ls=styles[label], lw=1.1,
            label=f"{chain + 1}: {label}",
        )  # fmt: skip
    if not counted.all():
        end = times[counted][0] if counted.any() else times[-1]
        ax.axvspan(0, end, color="#444444", alpha=0.12, lw=0)
    ax.set_xlim(0, times[-1])
    if log_y:
        ax.set_yscale("log")
    ax.set_xlabel("Langevin time")
    ax.set_ylabel(ylabel)


def rank_plot(
    ax: Axes, draws: FloatArray, labels: Sequence[str], *, title: str, bins: int | None = None
) -> None:
    """Draw a histogram of ranks for each chain, stacked, with the flat histogram dotted.

    Parameters
    ----------
    ax : Axes
    draws : array (chains, draws)
        Draws after burn-in.
    labels : sequence of str
        One per chain.
    title : str
    bins : int, optional
        By default 5 to 20, with ten draws in each bin of a flat histogram.
    """
    _check(draws, labels)
    chains, count = draws.shape
    bins = min(20, max(5, count // 10)) if bins is None else bins
    ranks = np.asarray(_ARVIZ.compute_ranks(draws, axis=(0, 1), relative=True))
    # In units of the flat histogram, scaled so that the tallest bar stays below the next row.
    heights = np.stack([np.histogram(each, bins, (0, 1))[0] for each in ranks]) * bins / count
    scale = 0.9 / max(float(heights.max()), 1.5)
    edges = np.linspace(0, 1, bins + 1)
    for chain, row in enumerate(heights):
        base = chains - 1 - chain
        ax.bar(
            edges[:-1], scale * row, width=1 / bins, bottom=base, align="edge",
            color=_COLOURS[chain % len(_COLOURS)], alpha=0.75, edgecolor="white", lw=0.5,
        )  # fmt: skip
        ax.plot([0, 1], [base + scale] * 2, color="black", ls=":", lw=1.0)
    names = [f"{chain + 1}: {label}" for chain, label in enumerate(labels)]
    ax.set_yticks(np.arange(chains) + 0.5 * scale, names[::-1])
    ax.set_xlim(0, 1)
    ax.set_ylim(0, chains)
    ax.grid(visible=False)
    ax.set_xlabel("rank among all draws (0 to 1)")
    ax.set_title(title, fontsize=11)


def _check(draws: FloatArray, labels: Sequence[str]) -> None:
    if draws.ndim != 2 or not draws.size or len(labels) != draws.shape[0]:
        raise ArgumentError(
            f"draws must be (chains, draws) with one label per chain, not {draws.shape} with "
            f"{len(labels)} labels"
        )

"""Curves that differ in one setting, such as γ or λ: one colour and marker a value."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from feature_learning.curve import Curve
from feature_learning.errors import ArgumentError

#: Of Okabe and Ito (2008), told apart by readers with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "v", "D", "P")


def family_curves(
    ax: Axes,
    curves: Mapping[str, Curve],
    published: Mapping[str, Curve] | None = None,
    *,
    ylabel: str,
    log_y: bool = True,
    dashed: tuple[str, ...] = (),
    published_labels: Mapping[str, str] | None = None,
) -> None:
    """Observable against number of samples, one label a curve; hollow markers are published.

    Parameters
    ----------
    ax : Axes
    curves : mapping
        Label to curve, at most six with different colours. Labels in ``dashed`` share the colour
        of the curve before them.
    published : mapping, optional
        Label of ``curves`` to the published points of the same setting.
    ylabel : str
    log_y : bool
    dashed : tuple of str
    published_labels : mapping, optional
        Label of ``published`` to what the legend says of it; "LABEL, published" by default.

    Raises
    ------
    ArgumentError
        If there are more than six colours to tell apart, or a published curve has no partner.
    """
    for label in published or {}:
        if label not in curves:
            raise ArgumentError(f"published {label!r} belongs to no curve")
    number = -1
    for label, curve in curves.items():
        number += label not in dashed or number < 0
        if number >= len(COLOURS):
            raise ArgumentError(f"curves must be at most {len(COLOURS)}, {label!r} is one too many")
        colour, marker = COLOURS[number], MARKERS[number]
        line = "--" if label in dashed else "-"
        bars = curve.sem if np.isfinite(curve.sem).any() else None
        ax.errorbar(
            curve.x, curve.y, yerr=bars, fmt=marker, ls=line, lw=1.6, ms=5, color=colour,
            mfc="white" if label in dashed else colour, capsize=2, label=label, zorder=3,
        )  # fmt: skip
        theirs = (published or {}).get(label)
        if theirs is not None:
            ax.errorbar(
                theirs.x, theirs.y, yerr=theirs.sem, fmt=marker, ls="", ms=11, mfc="none",
                mew=1.4, color=colour, zorder=2,
                label=(published_labels or {}).get(label, f"{label}, published"),
            )  # fmt: skip
    ax.set_xscale("log")
    if log_y:
        ax.set_yscale("log")
    ax.set_xlabel("number of samples $P$")
    ax.set_ylabel(ylabel)
    ax.legend()

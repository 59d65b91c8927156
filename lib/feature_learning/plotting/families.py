"""Curves that differ in one setting, such as γ, λ or κ, with a colour and marker per value."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from feature_learning.analysis.curve import Curve
from feature_learning.errors import ArgumentError
from feature_learning.plotting.curves import LIVE, live_handle, mark_live

#: Colours of Okabe and Ito (2008), distinguishable with any colour vision.
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
    """Draw an observable against P, one label per curve; hollow markers are published.

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
        Label of ``published`` to its text in the legend; "LABEL, published" by default.

    Raises
    ------
    ArgumentError
        If more than six colours are needed, or a published curve has no partner.
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
        mark_live(ax, curve.x, curve)
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
    handles, labels = ax.get_legend_handles_labels()
    if any(curve.live is not None and curve.live.any() for curve in curves.values()):
        handles, labels = [*handles, live_handle()], [*labels, LIVE]
    ax.legend(handles, labels)


def curves_by_noise(
    ax: Axes, curves: Mapping[float, Curve], *, ylabel: str, together: float = np.inf
) -> list[Line2D]:
    """Draw one method's observable against P, with a colour and marker for each κ.

    Parameters
    ----------
    ax : Axes
    curves : mapping
        κ to curve. Panels with the same κ can share a legend; a curve may have no points.
    ylabel : str
    together : float
        Curves from this κ on are grey with one entry in the legend, since they coincide where
        nothing is learned.

    Returns
    -------
    list of Line2D
        Handles for a legend.

    Raises
    ------
    ArgumentError
        If there is no curve, or more than six with a colour of their own.
    """
    if not curves:
        raise ArgumentError("curves must hold at least one curve, not none")
    own = sorted(kappa for kappa in curves if kappa < together)
    if len(own) > len(COLOURS):
        raise ArgumentError(f"curves below {together:g} must be at most {len(COLOURS)}, not {own}")
    marks = {kappa: (COLOURS[i], MARKERS[i], 3 + i) for i, kappa in enumerate(own)}
    for kappa, curve in curves.items():
        colour, marker, order = marks.get(kappa, ("#9a9a9a", "", 2))
        ax.errorbar(
            curve.x, curve.y, yerr=np.nan_to_num(curve.sem), color=colour, marker=marker, ms=5,
            lw=1.6, capsize=2, zorder=order,
        )  # fmt: skip
        mark_live(ax, curve.x, curve)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("number of samples $P$")
    ax.set_ylabel(ylabel)
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=5, lw=1.6, label=rf"$\kappa={kappa:g}$")
        for kappa, (colour, marker, _) in marks.items()
    ]
    if len(own) < len(curves):
        first = min(kappa for kappa in curves if kappa >= together)
        label = rf"$\kappa={first:g}$" + (" and more" if len(curves) > len(own) + 1 else "")
        handles.append(Line2D([], [], color="#9a9a9a", lw=1.6, label=label))
    if any(curve.live is not None and curve.live.any() for curve in curves.values()):
        handles.append(live_handle())
    return handles

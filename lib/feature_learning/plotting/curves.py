"""Learning curves and weight pictures, drawn from arrays without knowledge of the samplers.

The colours of Okabe and Ito (2008) can be distinguished with any colour vision; every method also
has its own marker. Hollow markers are published values, filled ones our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from feature_learning.analysis.curve import Curve
from feature_learning.errors import ArgumentError, check_choice, check_integer

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Style:
    """The label, colour and marker of one method in every figure of the book."""

    label: str
    colour: str
    marker: str


STYLES: dict[str, Style] = {
    "equilibrium": Style("network, equilibrium", "#0072B2", "o"),
    "as-run": Style("network, SGLD as run", "#D55E00", "s"),
    "mf-ard": Style("MF-ARD", "#009E73", "^"),
    "mf-ard-sqrt2": Style(r"MF-ARD at $\sqrt{2}\,\kappa$ (open point)", "#56B4E9", "<"),
    "mf": Style("MF", "#CC79A7", "v"),
    "nngp": Style("NNGP (infinite width)", "#444444", "D"),
    "longer-run": Style("published Figure 1: longer SGLD run", "#000000", "P"),
    "nngp-as-published": Style("NNGP as published", "#888888", "D"),
}

#: Methods whose chains are judged by the convergence criterion.
JUDGED = ("equilibrium", "mf", "mf-ard", "mf-ard-sqrt2")

#: Label of the ring around points whose cells were computed again in this build.
LIVE = "computed again now"
_RING: Any = {"ls": "", "marker": "o", "ms": 14, "mfc": "none", "mec": "black", "zorder": 5}

#: Larger than the defaults, since a page is 800 pixels wide. The background is opaque for dark
#: mode.
RC: Any = {
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
}


def use_style() -> None:
    """Set the book's style for all following figures."""
    mpl.rcParams.update(RC)


def learning_curves(
    ax: Axes,
    curves: Mapping[str, Curve],
    published: Mapping[str, Curve],
    *,
    ylabel: str,
    log_y: bool = True,
    level: tuple[str, float] | None = None,
) -> None:
    """Draw an observable against P, ours (filled) over published (hollow, same shape).

    A small cross marks points whose chains did not converge: they are measured, but not
    equilibrated. The snapshots of ``as-run`` and the deterministic NNGP are not judged and have no
    cross. ``level`` is a method and its limit, drawn as a dotted line. Methods are shifted sideways
    by two per cent each, published points with ours, so that none hides another.

    Raises
    ------
    ArgumentError
        If a method is not one of :data:`STYLES`.
    """
    for name in (*curves, *published, *([level[0]] if level else [])):
        check_choice("method", name, STYLES)
    methods = list(dict.fromkeys([*curves, *published]))
    aside = {name: 1.02 ** (i - (len(methods) - 1) / 2) for i, name in enumerate(methods)}
    for name, curve in published.items():
        style = STYLES[name]
        ax.errorbar(
            aside[name] * curve.x, curve.y, yerr=_bars(curve.sem), fmt=style.marker, mfc="none",
            mew=1.3, ms=9, color=style.colour, lw=0.9, zorder=2,
            label=None if name in curves else style.label,
        )  # fmt: skip
    crossed = False
    for name, curve in curves.items():
        style = STYLES[name]
        ax.errorbar(
            aside[name] * curve.x, curve.y, yerr=_bars(curve.sem), fmt=style.marker, ls="-",
            lw=1.4, ms=4.5, color=style.colour, label=style.label, capsize=2, zorder=4,
        )  # fmt: skip
        mark_live(ax, aside[name] * curve.x, curve)
        if name in JUDGED and not curve.converged.all():
            crossed = True
            ax.plot(
                (aside[name] * curve.x)[~curve.converged], curve.y[~curve.converged], ls="",
                marker="x", ms=11, mew=1.2, color=style.colour, zorder=3,
            )  # fmt: skip
    if level is not None:
        style = STYLES[level[0]]
        ax.axhline(
            level[1],
            color=style.colour,
            ls=":",
            lw=1.6,
            label=f"{style.label} fixed point, $P\\to\\infty$",
        )
    ax.set_xscale("log")
    if log_y:
        ax.set_yscale("log")
    ax.set_xlabel("number of samples $P$")
    ax.set_ylabel(ylabel)
    handles: list[Any] = ax.get_legend_handles_labels()[0]
    labels = [handle.get_label() for handle in handles]
    hollow = [STYLES[name].marker for name in published if name in curves]
    if hollow:
        # Show all shapes: a single circle could stand for any of them.
        handles.append(tuple(_mark(shape, mfc="none") for shape in hollow))
        labels.append("published, same method")
    if crossed:
        handles.append(_mark("x"))
        labels.append("chains not converged")
    if any(curve.live is not None and curve.live.any() for curve in curves.values()):
        handles.append(live_handle())
        labels.append(LIVE)
    ax.legend(handles, labels, loc="best", handler_map={tuple: HandlerTuple(None, pad=0.3)})


def mark_live(ax: Axes, x: FloatArray, curve: Curve) -> None:
    """Ring the points of a curve whose cells were computed again in this build, at ``x``."""
    if curve.live is not None and curve.live.any():
        ax.plot(x[curve.live], curve.y[curve.live], **_RING)


def live_handle() -> Line2D:
    """The ring for a legend."""
    return Line2D([], [], **_RING, label=LIVE)


def _mark(shape: str, **options: Any) -> Line2D:
    """A grey marker for the legend."""
    return Line2D([], [], ls="", marker=shape, color="#444444", ms=6.5, **options)


def _bars(sem: FloatArray) -> FloatArray:
    """Error bars, of length zero if the error is unknown."""
    return np.nan_to_num(sem, nan=0.0)


def weight_picture(
    fig: Figure,
    panels: Sequence[tuple[str, FloatArray, FloatArray]],
    *,
    sparsity: int,
    neurons: int = 40,
) -> None:
    """``|w_ij|`` as bars over neurons and coordinates, coloured by the overlap with the target.

    Parameters
    ----------
    fig : Figure
    panels : sequence of (title, w, overlap)
        w: (width, dim); overlap: E[φ(w_i·x) χ_S(x)], (width,).
    sparsity : int
        The first ``sparsity`` coordinates are relevant: their strip is framed.
    neurons : int
        Number of neurons shown: half have the largest ``|overlap|``, half are evenly spaced over
        the rest.

    Raises
    ------
    ArgumentError
        If there is no panel, if an overlap is not one number per neuron, or if the sparsity exceeds
        dim.
    """
    if not panels:
        raise ArgumentError("panels must hold at least one panel, not none")
    check_integer("neurons", neurons, at_least=1)
    for title, w, overlap in panels:
        if w.ndim != 2 or overlap.shape != w.shape[:1] or not w.size:
            raise ArgumentError(
                f"overlap of panel {title!r} must have one number per neuron of w {w.shape}, "
                f"not the shape {overlap.shape}"
            )
        check_integer("sparsity", sparsity, at_least=1, at_most=w.shape[1])
    scale = max(float(np.abs(overlap).max()) for _, _, overlap in panels)
    norm, colours = Normalize(-scale, scale), mpl.colormaps["PuOr"]
    height = max(float(np.abs(w).max()) for _, w, _ in panels)
    axes = []
    for index, (title, w, overlap) in enumerate(panels):
        ax: Any = fig.add_subplot(1, len(panels), index + 1, projection="3d")
        order = np.argsort(-np.abs(overlap))
        count = min(neurons, len(order))
        rest = order[count // 2 :]
        spaced = rest[np.linspace(0, len(rest) - 1, count - count // 2).astype(int)]
        shown = np.concatenate([order[: count // 2], spaced])
        row, column = np.meshgrid(np.arange(len(shown)), np.arange(w.shape[1]), indexing="ij")
        ax.bar3d(
            column.ravel(), row.ravel(), 0, 0.8, 0.8, np.abs(w[shown]).ravel(),
            color=colours(norm(overlap[shown]))[row.ravel()], shade=True, lw=0,
        )  # fmt: skip
        left, right, front, back = -0.4, sparsity - 0.1, -0.5, len(shown)
        ax.plot(
            [left, right, right, left, left], [front, front, back, back, front], 0,
            color="black", lw=1.8, zorder=10,
        )  # fmt: skip
        ax.set_zlim(0, height)
        ax.set_xlabel("input coordinate $j$")
        ax.set_ylabel("neuron (by overlap)")
        if index == len(panels) - 1:  # elsewhere the next panel would cover it
            ax.set_zlabel("$|w_{ij}|$", labelpad=9)
        ax.set_box_aspect((1.25, 1.25, 0.8), zoom=1.05)
        ax.set_title(title, fontsize=11)
        ax.view_init(elev=32, azim=-62)
        axes.append(ax)
    mappable = mpl.cm.ScalarMappable(norm=norm, cmap=colours)
    label = r"$\mathbb{E}[\varphi(w_i\cdot x)\,\chi_S(x)]$"
    fig.colorbar(mappable, ax=axes, shrink=0.6, pad=0.06, label=label)

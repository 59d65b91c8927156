"""Figures of distributions: ridgelines of the weights by input coordinate, and overlap densities.

They are drawn from arrays without knowledge of the samplers. Heights are logarithmic, because a
minority of specialised neurons is invisible on a linear axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from numpy.typing import NDArray

from feature_learning.errors import ArgumentError, check_choice, check_integer, check_real
from feature_learning.plotting.curves import STYLES

FloatArray = NDArray[np.float64]
#: From dark to light, so that the order is visible with any colour vision and in print.
COLOURS = "viridis"


def variance_scale(*variances: FloatArray) -> LogNorm:
    """One logarithmic colour scale for the variances of several panels."""
    together = np.concatenate(variances)
    if not (np.isfinite(together).all() and (together > 0).all()):
        raise ArgumentError("variances must be positive numbers")
    low, high = float(together.min()), float(together.max())
    return LogNorm(low, high if high > low else 2 * low)


def ridgelines(
    ax: Axes,
    edges: FloatArray,
    density: FloatArray,
    variance: FloatArray,
    *,
    sparsity: int,
    norm: LogNorm,
    floor: float = 1e-3,
    spacing: float = 1.0,
    limit: float | None = None,
) -> ScalarMappable:
    """Draw one density p(w_j) for every input coordinate, the first at the bottom.

    Parameters
    ----------
    ax : Axes
    edges : array (bins + 1,)
    density : array (dim, bins)
        Drawn as log10(max(p, floor)/floor): an empty bin lies on its base line.
    variance : array (dim,)
        Colour of each ridge, through ``norm`` (:func:`variance_scale`).
    sparsity : int
        Number of relevant coordinates, which come first; a dashed line separates them.
    norm : LogNorm
    floor : float
        Lowest density that is drawn.
    spacing : float
        Decades between two base lines.
    limit : float, optional
        The axis shows weights between -limit and limit; all bins by default.

    Returns
    -------
    ScalarMappable
        Mappable for a colour bar.

    Raises
    ------
    ArgumentError
        If shapes do not match or the floor is not above 0.
    """
    if density.ndim != 2 or density.shape != (len(variance), len(edges) - 1):
        raise ArgumentError(
            f"density must have the shape {(len(variance), len(edges) - 1)}, not {density.shape}"
        )
    check_real("floor", floor, above=0)
    check_integer("sparsity", sparsity, at_least=0, at_most=len(density))
    mappable = ScalarMappable(norm, mpl.colormaps[COLOURS])
    heights = np.log10(np.maximum(density, floor) / floor)
    # From the top down, so that each ridge covers the foot of the one behind it.
    for j in reversed(range(len(density))):
        base = spacing * j
        ax.stairs(
            base + heights[j], edges, baseline=base, fill=True, zorder=2 + len(density) - j,
            facecolor=mappable.to_rgba(variance[j]), edgecolor="white", linewidth=0.5,
        )  # fmt: skip
    limit = float(np.abs(edges).max()) if limit is None else limit
    ax.set_xlim(-limit, limit)
    ax.set_ylim(-0.5 * spacing, spacing * (len(density) - 1) + float(heights[-1].max()) + spacing)
    if 0 < sparsity < len(density):
        # Between two base lines and in front of all ridges.
        ax.axhline(
            spacing * (sparsity - 0.08), color="black", ls="--", lw=1.1, zorder=5 + len(density)
        )
    ticks = [0, *range(4, len(density), 5)]
    ax.set_yticks([spacing * j for j in ticks], [str(j + 1) for j in ticks])
    ax.set_xlabel("weight $w_j$")
    ax.grid(visible=False)
    return mappable


def overlap_densities(
    ax: Axes,
    edges: FloatArray,
    distributions: Mapping[str, tuple[FloatArray, FloatArray]],
    *,
    floor: float = 1e-3,
) -> None:
    """Draw densities of the neuron overlaps with a band of one standard deviation over runs.

    Parameters
    ----------
    ax : Axes
    edges : array (bins + 1,)
    distributions : mapping
        Method (a name of :data:`feature_learning.plotting.curves.STYLES`) to mean and standard
        deviation, (bins,) each; there is no band if the deviation is NaN (one run).
    floor : float
        Lower end of the logarithmic axis, and height of an empty bin.

    Raises
    ------
    ArgumentError
        If a method is unknown, or an array does not match the edges.
    """
    check_real("floor", floor, above=0)
    top = floor
    for name, (mean, deviation) in distributions.items():
        check_choice("method", name, STYLES)
        if mean.shape != (len(edges) - 1,) or deviation.shape != mean.shape:
            raise ArgumentError(
                f"the density of {name} must have one number per bin, {len(edges) - 1}, not "
                f"{mean.shape} and {deviation.shape}"
            )
        style: Any = STYLES[name]
        shown = np.maximum(mean, floor)
        ax.stairs(shown, edges, color=style.colour, lw=1.6, label=style.label, baseline=floor)
        if np.isfinite(deviation).any():
            low, high = np.maximum(mean - deviation, floor), mean + deviation
            ax.fill_between(
                np.repeat(edges, 2)[1:-1], np.repeat(low, 2), np.repeat(high, 2),
                color=style.colour, alpha=0.25, lw=0,
            )  # fmt: skip
        top = max(top, float(mean.max()))
    ax.set_yscale("log")
    ax.set_ylim(floor, 3 * top)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel(r"neuron overlap $\tilde m_i$")
    ax.set_ylabel("density")

"""A drawing of the hierarchy of theories: network posterior, mean field and infinite width.

It shows couplings, not data.
"""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

NEURON, FIELD, KERNEL = "#0072B2", "#A0568A", "#444444"
RING = [(np.sin(angle), np.cos(angle)) for angle in 2 * np.pi * np.arange(6) / 6]


def hierarchy(fig: Figure) -> list[Axes]:
    """Draw three panels: coupled posterior, self-consistent field, uncoupled kernel limit.

    Parameters
    ----------
    fig : Figure
        About 10 by 4 inches, empty.

    Returns
    -------
    list of Axes
        The panels, from the full posterior to the infinitely wide network.
    """
    panels = [fig.add_axes((left, 0.02, 0.27, 0.96)) for left in (0.01, 0.365, 0.72)]
    for ax in panels:
        ax.set_xlim(-1.5, 1.5)
        ax.set_ylim(-2.2, 2.0)
        ax.set_aspect("equal")
        ax.set_axis_off()
    _posterior(panels[0])
    _mean_field(panels[1])
    _kernel(panels[2])
    for left, right, text in (
        (0.285, 0.36, "independent\nneurons"),
        (0.64, 0.715, "the field\nleaves the\nweights alone"),
    ):
        fig.add_artist(
            FancyArrowPatch(
                (left, 0.5), (right, 0.5), transform=fig.transFigure, arrowstyle="-|>",
                mutation_scale=20, lw=1.8, color="#222222",
            )
        )  # fmt: skip
        fig.text((left + right) / 2, 0.55, text, ha="center", va="bottom", fontsize=8.5)
    return panels


def _neurons(ax: Axes, places: list[tuple[float, float]], colour: str) -> None:
    for x, y in places:
        ax.add_patch(Circle((x, y), 0.17, facecolor=colour, edgecolor="white", lw=1, zorder=3))


def _words(ax: Axes, title: str, formula: str, note: str) -> None:
    ax.text(0, 1.62, title, ha="center", va="bottom", fontsize=11.5, fontweight="bold")
    ax.text(0, -1.42, formula, ha="center", va="top", fontsize=11)
    ax.text(0, -1.78, note, ha="center", va="top", fontsize=9, color="#333333")


def _posterior(ax: Axes) -> None:
    for (x0, y0), (x1, y1) in itertools.combinations(RING, 2):
        ax.plot([x0, x1], [y0, y1], color=NEURON, lw=0.9, alpha=0.55, zorder=1)
    _neurons(ax, RING, NEURON)
    _words(
        ax,
        "network posterior",
        r"$p(w_1,a_1,\dots,w_N,a_N\,|\,\mathrm{data})$",
        "each fits what all others leave over",
    )


def _mean_field(ax: Axes) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (-0.42, -0.24), 0.84, 0.48, boxstyle="round,pad=0.06", facecolor="#F6E7F1",
            edgecolor=FIELD, lw=1.5, zorder=2,
        )
    )  # fmt: skip
    ax.text(0, 0, r"$r_\mu$", ha="center", va="center", fontsize=13, color=FIELD, zorder=4)
    for x, y in RING:
        ax.add_patch(
            FancyArrowPatch(
                (0.5 * x, 0.5 * y), (0.83 * x, 0.83 * y), arrowstyle="<|-|>", mutation_scale=9,
                color=FIELD, lw=1.1, zorder=1,
            )
        )  # fmt: skip
    _neurons(ax, RING, NEURON)
    _words(
        ax,
        "MF and MF-ARD",
        r"$q(w,a\,|\,r)^{N},\quad r=y-\bar f_q$",
        "each fits what the average leaves over",
    )


def _kernel(ax: Axes) -> None:
    for x, y in RING:
        ax.add_patch(
            FancyArrowPatch(
                (0.83 * x, 0.83 * y), (0.5 * x, 0.5 * y), arrowstyle="-|>", mutation_scale=9,
                color=KERNEL, lw=1.1, zorder=1,
            )
        )  # fmt: skip
    ax.text(0, 0, "$K$", ha="center", va="center", fontsize=13, color=KERNEL)
    _neurons(ax, RING, KERNEL)
    _words(
        ax,
        "infinite width (NNGP)",
        r"$w\sim$ prior, $\;K=\sigma_a^2\,E[\varphi\varphi]$",
        "a fixed kernel: only readouts learn",
    )

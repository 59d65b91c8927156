"""A curve: points of one method against the number of samples, as figures draw them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_learning.analysis.texts import ABSENT, value_text
from feature_learning.errors import ArgumentError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points of one method: x, y, standard error (NaN if unknown), and whether they converged.

    ``live`` marks points that were computed again in this build; None if none was. All arrays have
    the shape (points,).
    """

    x: FloatArray
    y: FloatArray
    sem: FloatArray
    converged: NDArray[np.bool_]
    live: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.x)
        for name in ("x", "y", "sem", "converged", *(() if self.live is None else ("live",))):
            found = np.shape(getattr(self, name))
            if len(found) != 1 or found != shape:
                raise ArgumentError(f"{name} must have one value per point, {shape}, not {found}")

    def text(self, x: float) -> str:
        """Value ± standard error at one x, for a table of a page; a dash if there is no point.

        The first of several points at the same x is taken.
        """
        found = np.flatnonzero(self.x == x)
        return value_text(self.y[found[0]], self.sem[found[0]]) if found.size else ABSENT

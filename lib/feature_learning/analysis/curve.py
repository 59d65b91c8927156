"""Points of one method against the number of samples: what is computed, and what figures draw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_learning.analysis.texts import ABSENT, value_text
from feature_learning.errors import ArgumentError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points of one method: x, y and standard error (NaN where unknown), and whether converged.

    All four are of shape (points,).
    """

    x: FloatArray
    y: FloatArray
    sem: FloatArray
    converged: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shape = np.shape(self.x)
        for name in ("x", "y", "sem", "converged"):
            found = np.shape(getattr(self, name))
            if len(found) != 1 or found != shape:
                raise ArgumentError(f"{name} must have one value a point, {shape}, not {found}")

    def text(self, x: float) -> str:
        """Value ± standard error at one x, for a table of a page; a dash if it has no such point.

        Of several points at the same x the first.
        """
        found = np.flatnonzero(self.x == x)
        return value_text(self.y[found[0]], self.sem[found[0]]) if found.size else ABSENT

"""The result of a point: one row of numbers, and the weights of its last networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
#: Keys of a row that are numbers per chain, reported with a standard error over chains.
MEASURED = ("test_mse", "test_mse_posterior_mean", "train_mse", "m_S", "noise")


@dataclass(frozen=True)
class Point:
    """A finished point.

    Attributes
    ----------
    row : dict
        The numbers, see :func:`~feature_learning.experiments.point.run_point`.
    weights : array (chains, particles, fan_in) or None
        Hidden weights of each chain at its final measurement, the sample that the published
        protocol reports (None for the NNGP).
    readouts : array (chains, particles) or None
        Readouts a of that sample; for the collapsed solver their means given the weights.
    """

    row: dict[str, Any]
    weights: FloatArray | None = None
    readouts: FloatArray | None = None

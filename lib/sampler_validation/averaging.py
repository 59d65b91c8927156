r"""Time averages over many independent chains, with their standard errors.

The standard error of a mean is computed over chains, so that autocorrelation does not bias it. A
weighted average q̄ = Σ_c A_c / Σ_c B_c over n chains c has the error ::

    sem² = Σ_c (A_c - q̄ B_c)² / (n (n-1) B̄²),   A_c = Σ_t w_t q_t,   B_c = Σ_t w_t

Without weights B_c is the number of measurements t.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.samplers import Sampler, SamplerState

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """Sums over the measurements of every chain, in double precision.

    Attributes
    ----------
    weighted, squares, plain : array (chains, quantities)
        Σ w q, Σ w q² and Σ q.
    weights : array (chains, 1)
        Σ w with the weights of the sampler's samples; w = 1 if the sampler has no weights.
    measurements : int
        Number of measurements.
    """

    weighted: FloatArray
    squares: FloatArray
    plain: FloatArray
    weights: FloatArray
    measurements: int


def sums(
    sampler: Sampler,
    state: SamplerState,
    energy: Energy,
    observe: Callable[[Tensor], Tensor],
    random: torch.Generator,
    *,
    measurements: int,
    every: int,
    done: int,
) -> Sums:
    """Continue a run and sum up the observed quantities.

    Parameters
    ----------
    sampler, state, energy, random
        The run; the state is changed in place.
    observe : callable
        Flat parameter vector to quantities (chains, quantities); a ladder gives one row.
    measurements : int
        Number of measurements.
    every : int
        Steps before each measurement.
    done : int
        Steps made before this call.
    """
    weighted = squares = plain = total = torch.zeros((), dtype=torch.float64)
    for measurement in range(measurements):
        sampler.advance(state, energy, every, random, done=done + measurement * every)
        values, weight = observe(state.position), sampler.weight(state)
        weight = torch.ones_like(values[:, :1]) if weight is None else weight.unsqueeze(1)
        total, plain = total + weight, plain + values
        weighted, squares = weighted + weight * values, squares + weight * values.square()
    return Sums(weighted.numpy(), squares.numpy(), plain.numpy(), total.numpy(), measurements)


def ratio(parts: FloatArray, whole: FloatArray | float) -> tuple[FloatArray, FloatArray]:
    """Mean q̄ and its standard error, each (quantities,).

    ``parts`` A is (chains, quantities), ``whole`` B (chains, 1) or the same number for all.
    """
    whole = np.broadcast_to(whole, (len(parts), 1))
    mean = parts.sum(axis=0) / whole.sum()
    spread = (parts - mean * whole).std(axis=0, ddof=1)
    return mean, spread / whole.mean() / np.sqrt(len(parts))

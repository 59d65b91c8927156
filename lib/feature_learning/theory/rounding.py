r"""The distribution of quantised Langevin dynamics in a harmonic well, computed without sampling.

In the well U = λx²/2 a chain of :class:`~feature_learning.samplers.QuantisedLangevin` that starts
at x_0 stays on the lattice ``x = (n + f) Δ``, f the fractional part of x_0/Δ. One step is a
transition matrix: with z = h/Δ + (σ/Δ) ξ and c = h/Δ = -ηλ(n + f)::

    nearest      p(n → n+m) = Φ((m + ½ - c) Δ/σ) - Φ((m - ½ - c) Δ/σ)
    floor        p(n → n+m) = Φ((m + 1 - c) Δ/σ) - Φ((m - c) Δ/σ)
    stochastic   p(n → n+m) = E max(0, 1 - |z - m|)

Its stationary vector gives the moments, and its second eigenvalue the time in which the start is
forgotten. Chains keep their f, and moments are averaged over f. *(Our calculation.)*

One case needs no matrix: stochastic rounding without other noise ends on the two points around 0,
(f - 1) Δ and f Δ, with probabilities f and 1 - f. Its variance f(1-f) Δ², on average Δ²/6, depends
neither on T nor on λ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from feature_learning.errors import ArgumentError, check_integer, check_real
from feature_learning.samplers.quantised import QuantisedLangevin

FloatArray = NDArray[np.float64]
#: Largest number of lattice points; more would take minutes.
LARGEST = 2000


@dataclass(frozen=True)
class WellLaw:
    """Moments of the sampled distribution in the well.

    Attributes
    ----------
    mean, variance : float
        Mean and variance of x; NaN if they depend on the start.
    forgetting : float
        Langevin time in which the start is forgotten, -η/log of the second largest eigenvalue;
        infinite if it is never forgotten. The exact dynamics needs 1/λ.
    """

    mean: float
    variance: float
    forgetting: float


def well_distribution(
    sampler: QuantisedLangevin,
    *,
    curvature: float = 1.0,
    temperature: float = 1.0,
    offsets: int = 4,
) -> WellLaw:
    """The distribution that ``sampler`` samples in U = λx²/2 at temperature T.

    Parameters
    ----------
    sampler : QuantisedLangevin
        Its initial quantum is used throughout.
    curvature, temperature : float
        λ, with ηλ below 1, and T.
    offsets : int
        Nodes of the quadrature over f.

    Raises
    ------
    ArgumentError
        If ηλ ≥ 1, or the quantum is so small that the lattice has too many points.
    """
    check_real("curvature", curvature, above=0)
    check_real("temperature", temperature, above=0)
    check_integer("offsets", offsets, at_least=1)
    pull = sampler.step_size * curvature
    if pull >= 1:
        raise ArgumentError(f"step_size must be below 1/λ = {1 / curvature:g}, not {pull:g}/λ")
    quantum = sampler.quantum_at(0, temperature)
    noise = sampler.noise(quantum, temperature) / quantum
    # Seven standard deviations of SGLD around the centre, which floor shifts by Δ/(2ηλ).
    middle = -0.5 / pull if sampler.rounding == "floor" else 0.0
    width = 7 * math.sqrt(temperature / curvature / (1 - 0.5 * pull)) / quantum + 4
    lattice = np.arange(math.floor(middle - width), math.ceil(middle + width) + 1)
    if len(lattice) > LARGEST:
        raise ArgumentError(
            f"quantum must be at least {quantum * len(lattice) / LARGEST:.2g} here, not {quantum:g}"
        )
    nodes, weights = np.polynomial.legendre.leggauss(offsets)
    first = second = largest = 0.0
    for node, weight in zip((1 + nodes) / 2, weights / 2, strict=True):
        law = _on_lattice(lattice + node, pull, noise, sampler.rounding)
        first, second = first + weight * law[0], second + weight * law[1]
        largest = max(largest, law[2])
    return WellLaw(
        mean=first * quantum,
        variance=(second - first**2) * quantum**2,
        forgetting=math.inf if largest == 1 else -sampler.step_size / math.log(largest),
    )


def _on_lattice(
    x: FloatArray, pull: float, noise: float, rounding: str
) -> tuple[float, float, float]:
    """Mean, mean square and second eigenvalue on the points x, in units of Δ."""
    jumps = x[np.newaxis, :] - x[:, np.newaxis]  # m, from row to column
    matrix = _probability(jumps, -pull * x[:, np.newaxis], noise, rounding)
    # The tiny probability of leaving the lattice is added to staying in place.
    matrix += np.diag(1 - matrix.sum(axis=1))
    values, vectors = np.linalg.eig(matrix.T)
    order = np.argsort(-np.abs(values))
    second = float(np.abs(values[order[1]]))
    if second > 1 - 1e-12:  # the start decides: nothing is forgotten
        return math.nan, math.nan, 1.0
    law = np.abs(np.real(vectors[:, order[0]]))
    law /= law.sum()
    return float(law @ x), float(law @ x**2), second


def _probability(jump: FloatArray, drift: FloatArray, noise: float, rounding: str) -> FloatArray:
    """p(n → n+m) of the module docstring; ``drift`` is c, ``noise`` is σ/Δ."""
    jump = np.round(jump)
    if rounding == "stochastic":
        above = [_excess(drift - jump + shift, noise) for shift in (1, 0, -1)]
        return np.maximum(above[0] - 2 * above[1] + above[2], 0.0)
    low = jump - (0.5 if rounding == "nearest" else 0.0) - drift
    if noise == 0:
        return np.asarray((low <= 0) & (low + 1 > 0), dtype=float)
    return np.asarray(norm.cdf((low + 1) / noise) - norm.cdf(low / noise))


def _excess(centre: FloatArray, noise: float) -> FloatArray:
    """E max(0, centre + noise ξ)."""
    if noise == 0:
        return np.maximum(centre, 0.0)
    ratio = centre / noise
    return np.asarray(centre * norm.cdf(ratio) + noise * norm.pdf(ratio))

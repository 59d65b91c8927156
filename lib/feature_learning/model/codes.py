r"""The code of a network: which of its neurons have specialised, and on which signs.

A neuron that has learned a parity of k coordinates has a large weight on each of them. Its strength
is the smallest of these weights, in units of the standard deviation of the prior::

    z_i = min_{j∈S} |w_ij| / √(σ_w²/d)

A draw from the prior has P(z > t) = (2 Q(t))^k, with Q the tail of the normal distribution. Hence
none of N neurons exceeds t with probability 1 - α if N (2 Q(t))^k = α. A neuron above this t, at
α = 10⁻³, is called specialised, so that the prior sets the threshold. The separation is measured by
the gap, the ratio of the weakest specialised neuron to the strongest other one.

The signs of the k weights of a specialised neuron are its pattern. Patterns form pairs {s, -s}: the
two ReLU neurons of a pair differ only by a linear function, ``max(z, 0) = (z + |z|)/2``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from feature_learning.errors import ArgumentError, check_integer, check_real, check_scale

FloatArray = NDArray[np.float64]
#: Probability that any neuron of a draw from the prior counts as specialised.
FALSE_ALARM = 1e-3
#: Neurons on the two sides of a pair with their own digit in a profile's number; others share one.
_SIDES: tuple[tuple[int, ...], ...] = ((1, 0), (1, 1), (2, 0), (2, 1), (2, 2))


@dataclass(frozen=True)
class Code:
    """The specialised neurons of one network.

    Attributes
    ----------
    patterns : tuple of (str, int)
        Sign patterns such as ``+-++`` in sorted order, each with the number of its neurons.
    gap : float
        Ratio of the weakest specialised to the strongest other neuron; NaN if either is missing.
    """

    patterns: tuple[tuple[str, int], ...]
    gap: float

    @property
    def neurons(self) -> int:
        """Number of specialised neurons."""
        return sum(count for _, count in self.patterns)

    @property
    def profile(self) -> str:
        """Number of pairs {s, -s} by their neurons on either side, as a text.

        ``8 x 1+0`` has eight pairs with one neuron each, ``4 x 1+1`` four pairs with both
        orientations. Permutations and flips of coordinates do not change the profile.
        """
        texts = [f"{pairs} x {one}+{other}" for (one, other), pairs in sorted(self._sides.items())]
        return ", ".join(texts) or "none"

    @property
    def number(self) -> int:
        """The profile as a number for time series: 0 for no code, exact in double precision.

        Profiles that differ only in pairs with three or more neurons on a side may coincide.
        """
        known = {sides: 256**place for place, sides in enumerate(_SIDES)}
        others = 256 ** len(_SIDES)
        return sum(min(n, 255) * known.get(sides, others) for sides, n in self._sides.items())

    @property
    def _sides(self) -> Counter[tuple[int, ...]]:
        """Number of pairs by their neurons on the two sides, the larger number first."""
        counts = dict(self.patterns)
        return Counter(
            tuple(sorted((counts.get(each, 0), counts.get(_opposite(each), 0)), reverse=True))
            for each in {min(name, _opposite(name)) for name in counts}
        )

    def __str__(self) -> str:
        return " ".join(f"{name}:{count}" if count > 1 else name for name, count in self.patterns)


def threshold(neurons: int, sparsity: int, *, false_alarm: float = FALSE_ALARM) -> float:
    """The strength t that any of ``neurons`` prior draws exceeds with probability ``false_alarm``.

    Raises
    ------
    ArgumentError
        If a number is out of range.
    """
    check_integer("neurons", neurons, at_least=1)
    check_integer("sparsity", sparsity, at_least=1)
    check_real("false_alarm", false_alarm, above=0, at_most=0.5)
    return float(-ndtri((false_alarm / neurons) ** (1 / sparsity) / 2))


def strengths(
    w: FloatArray, *, dim: int, sparsity: int, weight_variance: float = 1.0
) -> FloatArray:
    """The strength of each neuron, (..., particles), from weights w (..., particles, ≥ dim)."""
    check_integer("dim", dim, at_least=1)
    check_integer("sparsity", sparsity, at_least=1, at_most=dim)
    check_scale("weight_variance", weight_variance)
    if w.ndim < 2 or w.shape[-1] < dim:
        raise ArgumentError(f"w must be (..., particles, at least {dim}), not of shape {w.shape}")
    return np.asarray(np.abs(w[..., :sparsity]).min(axis=-1) * math.sqrt(dim / weight_variance))


def codes_of(w: FloatArray, *, dim: int, sparsity: int, weight_variance: float = 1.0) -> list[Code]:
    """The code of each network, from weights w (chains, particles, ≥ dim).

    Raises
    ------
    ArgumentError
        If the shapes do not fit.
    """
    if w.ndim != 3:
        raise ArgumentError(f"w must be (chains, particles, fan_in), not of shape {w.shape}")
    z = strengths(w, dim=dim, sparsity=sparsity, weight_variance=weight_variance)
    limit = threshold(w.shape[1], sparsity)
    return [_code(each, strength, sparsity, limit) for each, strength in zip(w, z, strict=True)]


def _code(w: FloatArray, z: FloatArray, sparsity: int, limit: float) -> Code:
    special = z > limit
    counts = Counter(map(pattern_text, w[special, :sparsity]))
    some = bool(special.any()) and not bool(special.all())
    gap = float(z[special].min() / z[~special].max()) if some else math.nan
    return Code(tuple(sorted(counts.items())), gap)


def summary(codes: Sequence[Code]) -> str:
    """Number of networks of each profile, most frequent first: ``3 of 8 x 1+0; 1 of none``."""
    counts = Counter(code.profile for code in codes).most_common()
    return "; ".join(f"{count} of {profile}" for profile, count in counts)


def pattern_text(signs: ArrayLike) -> str:
    """Signs as a text such as ``+-++``."""
    return "".join("+" if sign > 0 else "-" for sign in np.asarray(signs))


def check_signs(signs: ArrayLike) -> FloatArray:
    """Signs (neurons, sparsity) as an array.

    Raises
    ------
    ArgumentError
        If ``signs`` is not such an array.
    """
    found = np.asarray(signs, dtype=np.float64)
    if found.ndim != 2 or not found.shape[1] or not (np.abs(found) == 1).all():
        raise ArgumentError(f"signs must be (neurons, sparsity) of +1 and -1, not {signs!r}")
    return found


def _opposite(pattern: str) -> str:
    return pattern.translate(str.maketrans("+-", "-+"))

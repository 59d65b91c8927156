r"""Tethers: some neurons of a network are held to a given distribution, and then released.

In place of their prior p, the first n hidden neurons of every network get a Gaussian distribution
q_λ of independent weights. It interpolates between a given distribution q_0 = N(μ, 1/ρ) and the
prior q_1 = p = N(0, 1/ρ_p) (in the natural parameters, so that every q_λ is Gaussian)::

    ρ_λ = (1-λ) ρ + λ ρ_p,      μ_λ = (1-λ) ρ μ/ρ_λ

A state in which these neurons have roles, such as a code (:mod:`feature_learning.model.codes`), can
thus be prepared at any noise; without the tether it would be found only by chance. Its evidence can
then be computed without a transition from another state. The idea is that of the reference crystal
of Frenkel and Ladd, J. Chem. Phys. 81, 3188 (1984).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.energies.particles import ParticleEnergy
from feature_learning.errors import ArgumentError
from feature_learning.model.student import Student

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Tether:
    """Independent Gaussian weights of the first n neurons.

    Parameters
    ----------
    mean, precision : array (n, fan_in)
        μ and ρ, 1/variance.

    Raises
    ------
    ArgumentError
        If the shapes differ, or a number is not finite, or a precision not positive.
    """

    mean: FloatArray
    precision: FloatArray

    def __post_init__(self) -> None:
        for name in ("mean", "precision"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if self.mean.ndim != 2 or self.mean.shape != self.precision.shape:
            raise ArgumentError(
                "mean and precision must both be (neurons, fan_in), not of shapes "
                f"{self.mean.shape} and {self.precision.shape}"
            )
        if not np.isfinite(self.mean).all():
            raise ArgumentError("mean must be finite")
        if not (np.isfinite(self.precision).all() and (self.precision > 0).all()):
            raise ArgumentError("precision must be finite and positive")

    @classmethod
    def prior(cls, student: Student, neurons: int) -> Tether:
        """q_1: the prior of that many neurons of a student."""
        single = student.prior_variances(1, neurons, dtype=torch.float64)
        variances = student.views(single, 1, neurons).w[0].numpy()
        return cls(np.zeros_like(variances), 1 / variances)

    @property
    def neurons(self) -> int:
        """Number n of tethered neurons."""
        return len(self.mean)

    def towards(self, other: Tether, fraction: float) -> Tether:
        """q_λ: this distribution at λ = 0, the other one at λ = 1."""
        precision = (1 - fraction) * self.precision + fraction * other.precision
        pull = (1 - fraction) * self.precision * self.mean
        return Tether((pull + fraction * other.precision * other.mean) / precision, precision)

    def draw(self, chains: int, random: torch.Generator) -> Tensor:
        """Random weights (chains, n, fan_in), in double precision, drawn on the CPU."""
        white = torch.randn(
            chains, *self.mean.shape, generator=random, dtype=torch.float64, device="cpu"
        )
        return torch.from_numpy(self.mean) + white / torch.from_numpy(self.precision).sqrt()

    def log_density(self, w: FloatArray) -> FloatArray:
        """Normalised log q of the weights (chains, n, fan_in), shape (chains,)."""
        each = 0.5 * np.log(self.precision / (2 * math.pi)) - 0.5 * self.precision * np.square(
            w - self.mean
        )
        return np.asarray(each.sum(axis=(1, 2)))


class TetheredEnergy(ParticleEnergy):
    """The network posterior with a tether in place of the prior of its first neurons.

    :meth:`tether` sets the tether; before that call this is a
    :class:`~feature_learning.energies.particles.ParticleEnergy`. The tether affects only the
    gradient and the distribution of the readouts, which Langevin moves need.
    """

    _pull: Tensor | None = None

    def tether(self, law: Tether) -> None:
        """Hold the first neurons to a distribution.

        Raises
        ------
        ArgumentError
            If it has more neurons than the network, or another number of weights per neuron.
        """
        spring_constant = self.views(self.prior.spring_constant).w
        if law.neurons > spring_constant.shape[1] or law.mean.shape[1] != spring_constant.shape[2]:
            raise ArgumentError(
                f"a tether of {law.neurons} neurons with {law.mean.shape[1]} weights does not fit "
                f"a network of {spring_constant.shape[1]} with {spring_constant.shape[2]}"
            )
        precision, mean = torch.from_numpy(law.precision), torch.from_numpy(law.mean)
        spring_constant[:, : law.neurons] = (self.temperature * precision).to(spring_constant)
        self._pull = (self.temperature * precision * mean).to(spring_constant)

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """∂U/∂θ; the tether adds T ρ (w - μ)."""
        super().gradient(theta, out)
        if self._pull is not None:
            self._recall(out, 1).w[:, : len(self._pull)].sub_(self._pull)

r"""The prior energy of a flat parameter vector, isotropic or with adaptive precisions (ARD).

Isotropic: ``T [Σ a²/(2σ_a²) + Σ d|w|²/(2σ_w²)]``. With ARD the prior precision of input coordinate
j is an order parameter ρ_j, shared by all particles. It starts at d/σ_w² and follows them::

    ρ_j ← (1-e) ρ_j + e (α₀ + M/2) / (β₀ + ½ Σ_b w_bj²),   β₀ = α₀ σ_w²/d
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from feature_learning.errors import check_integer, check_real, check_scale, store_plain
from feature_learning.model.student import Student


@dataclass(frozen=True)
class Ard:
    """Automatic relevance determination of the input coordinates.

    Parameters
    ----------
    alpha0 : float
        Shape of the Gamma(α₀, β₀) hyper-prior, β₀ = α₀ σ_w²/d so that its mean is the isotropic
        precision d/σ_w². Acts as 2α₀ pseudo-particles of variance σ_w²/d. α₀ is a free choice.
    smoothing : float
        e in ρ ← (1-e) ρ + e ρ_new.
    every : int
        Steps between two updates of ρ.
    """

    alpha0: float = 4.0
    smoothing: float = 0.5
    every: int = 1

    def __post_init__(self) -> None:
        store_plain(self)
        check_scale("alpha0", self.alpha0)
        check_real("smoothing", self.smoothing, above=0, at_most=1)
        check_integer("every", self.every, at_least=1)

    def update(self, precision: Tensor, w: Tensor, student: Student) -> None:
        """One smoothed update of ρ in place.

        ``precision`` is (chains, 1, dim), ``w`` (chains, particles, dim or more).
        """
        power = w[..., : student.dim].square().sum(dim=1, keepdim=True)
        beta0 = self.alpha0 * student.weight_variance / student.dim
        target = (self.alpha0 + 0.5 * w.shape[1]) / (beta0 + 0.5 * power)
        precision.lerp_(target, self.smoothing)


class Prior:
    """T times the prior energy of a flat parameter vector, with or without ARD."""

    def __init__(
        self,
        student: Student,
        *,
        temperature: float,
        chains: int,
        particles: int,
        readout: bool,
        ard: Ard | None,
        like: Tensor,
    ) -> None:
        variances = student.prior_variances(
            chains, particles, readout=readout, dtype=like.dtype, device=like.device
        )
        self.student, self.temperature, self.ard = student, temperature, ard
        self.spring_constant = temperature / variances  # T/s² of each entry
        w, _, _ = student.views(self.spring_constant, chains, particles, readout=readout)
        self._w_stiffness = w[..., : student.dim]
        # ρ_j, (chains, 1, dim): starts at the isotropic precision, which is the hyper-prior's mean.
        self.precision = (self._w_stiffness[:, :1] / temperature).clone()

    def refresh(self, w: Tensor) -> None:
        """Update ρ to the present weights (without ARD, do nothing)."""
        if self.ard is not None:
            self.ard.update(self.precision, w, self.student)
            self.apply()

    def apply(self) -> None:
        """Write ρ into the stiffness of every particle."""
        torch.mul(
            self.precision.expand_as(self._w_stiffness), self.temperature, out=self._w_stiffness
        )

    def value(self, theta: Tensor) -> Tensor:
        """T · prior energy of each entry; the caller takes the sum."""
        return 0.5 * self.spring_constant * theta.square()

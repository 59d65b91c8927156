r"""A ladder of noise scales: chains of one batch at different κ, for replica exchange.

Replica r has κ_r and T_r = 2κ_r². Its energy is written at the temperature T_0 of the first
replica, so that a sampler can move all replicas in the same way::

    Ũ_r = b_r L + T_0 prior,   b_r = T_0/T_r,   p_r ∝ exp(-Ũ_r/T_0) = exp(-L/T_r - prior)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from feature_learning.energies.base import Fixed
from feature_learning.energies.particles import ParticleEnergy
from feature_learning.errors import ArgumentError, check_scale
from feature_learning.model.parameters import Parameters, spread
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset


class LadderEnergy(Fixed):
    """Network posteriors at several κ, ``copies`` of each: chain ``copy * replicas + replica``.

    Parameters
    ----------
    student : Student
    data : Dataset
    kappas : sequence of float
        At least two values in increasing order; the first is the one of interest.
    copies : int
        Independent ladders.
    tile_elements : int or None
        Memory bound.
    """

    def __init__(
        self,
        student: Student,
        data: Dataset,
        *,
        kappas: Sequence[float],
        copies: int = 1,
        tile_elements: int | None = None,
    ) -> None:
        for kappa in kappas:
            check_scale("kappas", kappa)
        if len(kappas) < 2 or sorted(set(kappas)) != list(kappas):
            raise ArgumentError(f"kappas must be two or more increasing numbers, not {kappas!r}")
        self.kappas, self.replicas, self.copies = tuple(kappas), len(kappas), copies
        self.cold = ParticleEnergy(
            student,
            data,
            kappa=kappas[0],
            chains=self.replicas * copies,
            tile_elements=tile_elements,
        )
        self.temperature, self.chains = self.cold.temperature, self.cold.chains
        self.particles, self.scale = self.cold.particles, self.cold.scale
        self.forward = self.cold.forward
        ratios = torch.tensor([(kappas[0] / kappa) ** 2 for kappa in kappas], dtype=torch.float64)
        #: b of each chain, (chains,).
        self.ratios = ratios.repeat(copies).to(data.inputs.device)
        self._flat = spread(self.ratios, self.cold.prior.spring_constant, self.views)

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """∂Ũ/∂θ; b scales the loss but not the prior."""
        self.cold.gradient(theta, out)
        spring_constant = self.cold.prior.spring_constant
        out.addcmul_(theta, spring_constant, value=-1).mul_(self._flat).addcmul_(
            theta, spring_constant
        )

    def loss(self, theta: Tensor) -> Tensor:
        """L of each chain, (chains,), without b."""
        return self.cold.loss(theta)

    def value(self, theta: Tensor) -> Tensor:
        """Ũ of each chain, (chains,)."""
        return self.cold.value(theta) + (self.ratios - 1) * self.loss(theta)

    def views(self, theta: Tensor) -> Parameters:
        """Views of the flat vector."""
        return self.cold.views(theta)

    def predictor_parameters(self, theta: Tensor) -> Parameters:
        """The parameters that define the predictor."""
        return self.cold.predictor_parameters(theta)

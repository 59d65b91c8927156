r"""SGLD with mini-batches: the gradient is estimated from a block of training samples.

One step, with ĝ an unbiased estimate of ∇U from one block (see
:mod:`feature_learning.energies.minibatch`)::

    θ ← θ - η ĝ + √(2Tη) ξ,   ξ ~ N(0, 1)

Welling and Teh (2011). In a harmonic well of curvature λ where ĝ has the variance C the sampled
variance is ``(T + ηC/2)/λ · 1/(1 - ηλ/2)``: the noise of the estimate raises the temperature by
ηC/2, which can be far more than T at the small temperatures used here. A decreasing or cyclical
step (:func:`feature_learning.samplers.schedules.polynomial`,
:func:`feature_learning.samplers.schedules.cyclical`) makes this excess small for the samples that
count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import ArgumentError
from feature_learning.model.randomness import normal_
from feature_learning.samplers.base import SamplerState
from feature_learning.samplers.sgld import SGLD

if TYPE_CHECKING:
    from feature_learning.energies.minibatch import MiniBatchEnergy


@dataclass(frozen=True)
class MiniBatchSGLD(SGLD):
    """SGLD on the estimate of a :class:`~feature_learning.energies.minibatch.MiniBatchEnergy`."""

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position``; nothing is drawn."""
        if not hasattr(energy, "estimate"):
            raise ArgumentError(f"mini-batches need a MiniBatchEnergy, not {type(energy).__name__}")
        return super().init(energy, position, random)

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` steps in place."""
        batches = cast("MiniBatchEnergy", energy)
        theta, gradient, noise, eta = state.position, state.gradient, state.noise, self.step_size
        amplitude = math.sqrt(2 * energy.temperature * eta)
        for _ in range(steps):
            batches.estimate(theta, gradient, random)
            theta.add_(gradient, alpha=-eta)
            theta.add_(normal_(noise, random), alpha=amplitude)

r"""Full-batch SGLD (overdamped, unadjusted Langevin dynamics), the sampler of the paper.

One step::

    θ ← θ - η ∇U(θ) + √(2Tη) ξ,   ξ ~ N(0, 1),   U = L + T · prior

Welling and Teh (2011); Langevin time t = Σ η. The step is stable for η < 2/λ_max(∇²U); along a
direction of curvature λ the sampled variance is T/λ · 1/(1 - ηλ/2), a bias of relative size ηλ/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import check_real, store_plain
from feature_learning.model.randomness import normal_
from feature_learning.samplers.base import Overdamped, SamplerState


@dataclass(frozen=True)
class SGLD(Overdamped):
    """SGLD with a fixed step size η (Langevin time per step)."""

    step_size: float

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("step_size", self.step_size, above=0)

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position``; nothing is drawn."""
        return SamplerState.start(position)

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` SGLD steps in place."""
        theta, gradient, noise, eta = state.position, state.gradient, state.noise, self.step_size
        amplitude, every = math.sqrt(2 * energy.temperature * eta), energy.refresh_every
        for step in range(done, done + steps):
            if every and step % every == 0:
                energy.refresh(theta)
            energy.gradient(theta, gradient)
            theta.add_(gradient, alpha=-eta)
            theta.add_(normal_(noise, random), alpha=amplitude)

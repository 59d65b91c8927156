r"""Underdamped Langevin dynamics with the BAOAB splitting (unit mass).

One step::

    B: v ← v - (h/2) ∇U   A: θ ← θ + (h/2) v   O: v ← c v + √(T(1-c²)) ξ, c = e^(-fh)   A, B again

Leimkuhler and Matthews, Appl. Math. Res. Express 2013 (1). Stable for h < 2/√λ_max; exact in the
positions for a harmonic well, second order otherwise.

Two frictions. The starting loss is far hotter than T: at low friction it would turn into heat, so
the first part of burn-in ("settling") uses f = 1. Afterwards a low friction (0.01 to 0.02) lets
parameters travel ballistically over their prior width, which overdamped SGLD crosses in Langevin
time s²/T (10⁴ to 10⁶ here).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from feature_learning.energies import Energy
from feature_learning.errors import check_real, store_plain
from feature_learning.randomness import normal_
from feature_learning.samplers.base import Inertial, SamplerState


@dataclass(frozen=True)
class Underdamped(Inertial):
    """BAOAB with step size h (Langevin time per step) and two-stage friction (per unit time)."""

    step_size: float
    friction: float = 0.02
    settle_friction: float = 1.0

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("step_size", self.step_size, above=0)
        check_real("friction", self.friction, above=0)
        check_real("settle_friction", self.settle_friction, above=0)

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position`` with Maxwellian velocities, v ~ N(0, T)."""
        state = SamplerState.start(position)
        normal_(state.velocity, random).mul_(math.sqrt(energy.temperature))
        energy.gradient(state.position, state.gradient)
        return state

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` BAOAB steps in place."""
        theta, v, gradient, noise = state.position, state.velocity, state.gradient, state.noise
        half, every = 0.5 * self.step_size, energy.refresh_every
        decay = math.exp(-self.friction * self.step_size)
        amplitude = math.sqrt(energy.temperature * (1 - decay * decay))
        for step in range(done, done + steps):
            if every and step % every == 0:
                energy.refresh(theta)
            v.add_(gradient, alpha=-half)
            theta.add_(v, alpha=half)
            v.mul_(decay).add_(normal_(noise, random), alpha=amplitude)
            theta.add_(v, alpha=half)
            energy.gradient(theta, gradient)
            v.add_(gradient, alpha=-half)

    def settling(self) -> Underdamped:
        """The same sampler at the settling friction."""
        return replace(self, friction=self.settle_friction)

    def kinetic_temperature(self, state: SamplerState) -> float:
        """Mean of ``v² + (h²/4) |∇U|²`` per parameter.

        In a harmonic well of curvature λ BAOAB gives ⟨v²⟩ = T (1 - h²λ/4) and ⟨x²⟩ = T/λ, so that
        the sum is T at any stable step: a deviation is heat or friction, not discretisation.
        """
        force = 0.25 * self.step_size**2 * float(state.gradient.square().mean())
        return float(state.velocity.square().mean()) + force

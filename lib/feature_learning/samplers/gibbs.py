r"""Blocked Gibbs sampling: exact draws of readouts alternate with Langevin steps of the weights.

Given W the readouts of a network without output bias are exactly Gaussian. With s the scale of the
output, Φ (particles, samples) the features and T = 2κ²::

    a | W ~ N(Λ⁻¹ b, Λ⁻¹),   Λ = s² ΦΦᵀ/(κ²P) + 1/σ_a²,   b = s Φy/(κ²P)

(mean field: see :meth:`~feature_learning.energies.particles.ParticleEnergy.readout_distribution`).
After every ``every`` steps of underdamped dynamics of the weights (BAOAB, as in
:mod:`feature_learning.samplers.underdamped`) the readouts are redrawn by a Cholesky factorisation
in double precision, which costs particles³/3 operations and one Gram matrix per chain. Both moves
leave the posterior invariant, up to the second-order bias of BAOAB in its step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import ArgumentError, check_integer, check_real, store_plain
from feature_learning.model.randomness import normal_
from feature_learning.samplers.base import Inertial, SamplerState

if TYPE_CHECKING:
    from feature_learning.energies.particles import ParticleEnergy


@dataclass(frozen=True)
class Gibbs(Inertial):
    """Exact readouts every ``every`` steps; weights by BAOAB with step size h and two frictions."""

    step_size: float
    every: int = 20
    friction: float = 0.02
    warmup_friction: float = 1.0

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("step_size", self.step_size, above=0)
        check_integer("every", self.every, at_least=1)
        check_real("friction", self.friction, above=0)
        check_real("warmup_friction", self.warmup_friction, above=0)

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position`` with Maxwellian velocities of the weights, v ~ N(0, T)."""
        known, state = _particles(energy), SamplerState.start(position)
        normal_(state.velocity, random).mul_(math.sqrt(energy.temperature))
        known.views(state.velocity).a.zero_()
        energy.gradient(state.position, state.gradient)
        known.views(state.gradient).a.zero_()
        return state

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` BAOAB steps in place, with the draws of the readouts between them."""
        known, half = _particles(energy), 0.5 * self.step_size
        theta, v, gradient, noise = state.position, state.velocity, state.gradient, state.noise
        # The readouts do not move in these steps: no force, no noise, no velocity.
        force_of_a, noise_of_a = known.views(gradient).a, known.views(noise).a
        decay = math.exp(-self.friction * self.step_size)
        amplitude = math.sqrt(energy.temperature * (1 - decay * decay))
        for step in range(done, done + steps):
            if step % self.every == 0:
                self.draw_readouts(known, theta, random)
                energy.gradient(theta, gradient)
                force_of_a.zero_()
            v.add_(gradient, alpha=-half)
            theta.add_(v, alpha=half)
            normal_(noise, random)
            noise_of_a.zero_()
            v.mul_(decay).add_(noise, alpha=amplitude)
            theta.add_(v, alpha=half)
            energy.gradient(theta, gradient)
            force_of_a.zero_()
            v.add_(gradient, alpha=-half)

    def draw_readouts(self, energy: ParticleEnergy, theta: Tensor, random: torch.Generator) -> None:
        """Overwrite the readouts by an exact draw given the weights."""
        a = energy.views(theta).a
        mean, factor = energy.readout_distribution(theta)
        white = normal_(torch.empty_like(mean), random)
        # Λ = F Fᵀ, so that F⁻ᵀ ξ has the covariance Λ⁻¹.
        shift = torch.linalg.solve_triangular(factor.mT, white.unsqueeze(2), upper=True)
        a.copy_(mean + shift.squeeze(2))

    def for_warmup(self) -> Gibbs:
        """The same sampler at the settling friction."""
        return replace(self, friction=self.warmup_friction)

    def kinetic_temperature(self, state: SamplerState) -> float:
        """Mean of ``v² + (h²/4) |∇U|²`` per weight, as for the underdamped sampler."""
        moving = float((state.velocity != 0).sum())
        energy = float(state.velocity.square().sum())
        return (energy + 0.25 * self.step_size**2 * float(state.gradient.square().sum())) / moving


def _particles(energy: Energy) -> ParticleEnergy:
    if not hasattr(energy, "readout_distribution") or energy.refresh_every:
        raise ArgumentError(
            "sampler gibbs needs particles with readouts and a fixed prior "
            f"(network, or mf with solver particles), not {type(energy).__name__} with "
            f"refresh_every = {energy.refresh_every}"
        )
    known = cast("ParticleEnergy", energy)
    if known.student.output_bias_variance is not None:
        raise ArgumentError(
            "sampler gibbs needs a student without output bias, not output_bias_variance = "
            f"{known.student.output_bias_variance!r}"
        )
    return known

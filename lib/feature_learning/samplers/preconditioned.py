r"""SGLD with a diagonal RMSprop preconditioner (pSGLD).

One step, element by element, with g = ∇U(θ)::

    V ← α V + (1-α) g²,   G = 1/(λ + √V/g₀)
    θ ← θ - η (G g - T Γ) + √(2TηG) ξ,   Γ = ∂G/∂θ,   ξ ~ N(0, 1)

Li et al., AAAI 2016 (arXiv 1512.07666), in units of g₀, the root mean square of g at
the start: η then has about the same meaning as for SGLD. If G follows the chain the correction Γ
matters: without it, as η → 0 at fixed α, the sampled distribution tends to e^(-U/T)/G in one
dimension, not to e^(-U/T). There are three variants:

* By default V changes in burn-in only. G is constant afterwards, Γ = 0 exactly, and only the bias
  of SGLD remains, of first order in η.
* ``always=True``: V follows the chain and Γ is omitted, which is common practice and biased.
* ``always=True, correction=True``: Γ is included, from the derivative D of V, averaged in the same
  way as V (our choice: the paper keeps only the contribution of the latest gradient)::

      D ← α D + (1-α) 2 g H,   Γ = -G² D/(2 g₀ √V)

  H is the diagonal of the Hessian, estimated by ``z (∇U(θ+εz) - ∇U(θ-εz))/(2ε)``, z = ±1. This
  takes two more gradients per step; it is unbiased, and exact if the Hessian is diagonal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import ArgumentError, check_real, store_plain
from feature_learning.model.randomness import normal_
from feature_learning.samplers.base import SamplerDefaults, SamplerState


@dataclass(frozen=True)
class PreconditionedSGLD(SamplerDefaults):
    """pSGLD with step size η, ``memory_factor`` α and ``damping`` λ.

    The run loop sets ``adapting`` in burn-in, when V changes; with ``always`` V never stops.
    """

    step_size: float
    memory_factor: float = 0.99
    damping: float = 0.1
    always: bool = False
    correction: bool = False
    adapting: bool = False

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("step_size", self.step_size, above=0)
        check_real("memory_factor", self.memory_factor, at_least=0, at_most=1)
        check_real("damping", self.damping, above=0)
        if self.correction and not self.always:
            raise ArgumentError("correction needs always: it vanishes if V is constant")

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position`` with V = g² there."""
        state = SamplerState.start(position)
        energy.gradient(state.position, state.gradient)
        # One number for all chains: the sampled distribution does not depend on it.
        reference = state.gradient.square().mean().sqrt().clamp_min(1e-30)
        state.extra["reference"] = reference
        state.extra["power"] = state.gradient.square()
        if self.correction:
            state.extra["slope"] = torch.zeros_like(position)
        return state

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` steps in place."""
        theta, gradient, noise = state.position, state.gradient, state.noise
        power, reference = state.extra["power"], state.extra["reference"]
        eta, temperature, fresh = self.step_size, energy.temperature, 1 - self.memory_factor
        every = energy.refresh_every
        scale = self._scale(power, reference)
        for step in range(done, done + steps):
            if every and step % every == 0:
                energy.refresh(theta)
            energy.gradient(theta, gradient)
            if self.adapting or self.always:
                power.lerp_(gradient.square(), fresh)
                scale = self._scale(power, reference)
            kick = normal_(noise, random).mul_(scale.mul(2 * temperature * eta).sqrt_())
            if self.correction:
                kick.add_(self._drift(state, energy, scale, random), alpha=eta * temperature)
            theta.addcmul_(gradient, scale, value=-eta).add_(kick)

    def _scale(self, power: Tensor, reference: Tensor) -> Tensor:
        """G."""
        return (power.sqrt() / reference).add_(self.damping).reciprocal_()

    def _drift(
        self, state: SamplerState, energy: Energy, scale: Tensor, random: torch.Generator
    ) -> Tensor:
        """Γ, after an update of D."""
        theta, gradient = state.position, state.gradient
        power, slope = state.extra["power"], state.extra["slope"]
        sign = torch.empty_like(theta).uniform_(-1, 1, generator=random).sign_()
        # Small compared with θ, and large enough against rounding errors of the gradient.
        epsilon = 1e-2 * float(theta.square().mean().sqrt().clamp_min(1e-6))
        ahead, behind = torch.empty_like(theta), torch.empty_like(theta)
        energy.gradient(theta + epsilon * sign, ahead)
        energy.gradient(theta - epsilon * sign, behind)
        curvature = ahead.sub_(behind).mul_(sign).div_(2 * epsilon)
        slope.lerp_(2 * gradient * curvature, 1 - self.memory_factor)
        root = power.sqrt().clamp_min_(1e-30).mul_(2 * state.extra["reference"])
        return -(scale.square() * slope / root)

    def for_burn_in(self) -> PreconditionedSGLD:
        """The same sampler with V following the chain."""
        return replace(self, adapting=True)

    def variance_bias_factor(self, curvature: float) -> float:
        """1/(1 - ηGλ_max/2) as for SGLD, with G where the gradient is as large as at the start."""
        slack = 1 - 0.5 * self.step_size * curvature / (1 + self.damping)
        return 1 / slack if slack > 0 else math.inf

    def starting_step(self, curvature: float) -> float:
        """0.05/λ_max: gradients decrease in the descent, and G grows towards 1/``damping``."""
        return 0.05 / curvature

    def largest_step(self, curvature: float) -> float:
        """Step size at which :meth:`variance_bias_factor` is 1.25."""
        return 0.4 * (1 + self.damping) / curvature

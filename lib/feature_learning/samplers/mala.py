r"""MALA: the step of SGLD as a proposal, accepted or rejected for each chain.

One step, with g = ∇U(θ) and g' = ∇U(θ')::

    θ' = θ - η g + √(2Tη) ξ,   ξ ~ N(0, 1)
    ΔH = U(θ') - U(θ) + (|θ - θ' + η g'|² - |θ' - θ + η g|²) / (4η)
    accept θ' with probability min(1, e^(-ΔH/T))

Roberts and Tweedie, Bernoulli 2 (1996). The sampler has no bias at any step size and serves as a
reference for small problems. It costs one evaluation of U besides the gradient, and its step must
shrink as the number of parameters to the power -1/3. The step is adapted to an acceptance of 0.574
during burn-in, see :mod:`feature_learning.samplers.metropolis`; Langevin times count the nominal
step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import check_real, store_plain
from feature_learning.model.randomness import normal_
from feature_learning.samplers import metropolis
from feature_learning.samplers.base import ChainwiseOps, SamplerDefaults, SamplerState, density


@dataclass(frozen=True)
class MALA(SamplerDefaults):
    """MALA with step size η, adapted in burn-in if ``adapt`` (the default).

    ``acceptance`` is the target acceptance probability; the run loop sets ``adapting``.
    """

    step_size: float
    acceptance: float = 0.574
    adapt: bool = True
    adapting: bool = False

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("step_size", self.step_size, above=0)
        check_real("acceptance", self.acceptance, at_least=0.05, at_most=0.99)

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position``, with its value and gradient."""
        known, state = density(energy, "mala"), SamplerState.start(position)
        state.extra.update(metropolis.init_adaptation(energy.chains, position.device))
        state.extra["value"] = known.value(position)
        energy.gradient(state.position, state.gradient)
        return state

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` proposals in place."""
        known = density(energy, "mala")
        per_chain = ChainwiseOps(known)
        theta, gradient, extra = state.position, state.gradient, state.extra
        proposal, ahead = torch.empty_like(theta), torch.empty_like(theta)
        for _ in range(steps):
            eta = self.step_size * metropolis.factor(extra, self.adapting)
            step = per_chain.spread(eta, theta)
            kick = normal_(state.noise, random).mul_(step.mul(2 * energy.temperature).sqrt_())
            torch.addcmul(theta, step, gradient, value=-1, out=proposal).add_(kick)
            energy.gradient(proposal, ahead)
            value = known.value(proposal)
            # θ' - θ + ηg is the kick, and θ - θ' + ηg' = η(g + g') - kick: no cancellation.
            back = gradient.add(ahead).mul_(step).sub_(kick)
            asymmetry = per_chain.sum(back.square_()) - per_chain.sum(kick.square())
            chance = metropolis.probability(
                value - extra["value"] + asymmetry / (4 * eta), energy.temperature
            )
            accept = metropolis.decide(chance, extra, random)
            if self.adapting:
                metropolis.adapt(chance, self.acceptance, extra)
            per_chain.choose(accept, proposal, theta)
            per_chain.choose(accept, ahead, gradient)
            extra["value"].copy_(torch.where(accept, value, extra["value"]))

    def for_burn_in(self) -> MALA:
        """The same sampler, adapting its step if ``adapt``."""
        return replace(self, adapting=self.adapt)

    def variance_bias_factor(self, curvature: float) -> float:
        """1: the step costs acceptance, not accuracy."""
        return math.inf if math.isnan(curvature) else 1.0

    def starting_step(self, curvature: float) -> float:
        """0.2/λ, as for SGLD; adaptation then finds the right step."""
        return 0.2 / curvature

    def largest_step(self, curvature: float) -> float:
        """2/λ: above it almost nothing is accepted."""
        return 2 / curvature

    def report(self, state: SamplerState) -> dict[str, Tensor]:
        """Mean acceptance probability since the start, and the adapted factor of the step."""
        return metropolis.report(state.extra, self.adapting)

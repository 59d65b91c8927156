r"""Hamiltonian Monte Carlo: a trajectory as a proposal, accepted or rejected for each chain.

One trajectory, from fresh velocities v ~ N(0, T) and with unit mass, consists of ℓ leapfrog steps::

    v ← v - (h/2) ∇U(θ),   θ ← θ + h v,   v ← v - (h/2) ∇U(θ)

Its end is accepted with probability ``min(1, e^(-ΔH/T))``, H = U + v²/2. Inside a trajectory the
half kicks of adjacent steps are merged. Duane et al., Phys. Lett. B 195 (1987); Neal (2011). The
sampler has no bias at any step size and serves as the reference. A step of this sampler is ONE
leapfrog step with one gradient, so that budgets are comparable with those of other samplers; the
position changes only at the end of a trajectory. Each trajectory draws its own step, uniform within
``jitter`` of h, so that no direction returns to its starting point periodically. The step is
adapted to an acceptance of 0.8 during burn-in, see :mod:`feature_learning.samplers.metropolis`;
Langevin times count the nominal h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import check_integer, check_real, store_plain
from feature_learning.model.randomness import normal_
from feature_learning.samplers import metropolis
from feature_learning.samplers.base import ChainwiseOps, SamplerDefaults, SamplerState, density


@dataclass(frozen=True)
class HMC(SamplerDefaults):
    """HMC with leapfrog step h and ``leapfrogs`` steps per trajectory.

    ``acceptance`` is the target of the adaptation of the step in burn-in, if ``adapt``. The run
    loop sets ``adapting``.
    """

    step_size: float
    leapfrogs: int = 20
    jitter: float = 0.2
    acceptance: float = 0.8
    adapt: bool = True
    adapting: bool = False

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("step_size", self.step_size, above=0)
        check_integer("leapfrogs", self.leapfrogs, at_least=1)
        check_real("jitter", self.jitter, at_least=0, at_most=0.9)
        check_real("acceptance", self.acceptance, at_least=0.05, at_most=0.99)

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position``, with its value and gradient."""
        known, state = density(energy, "hmc"), SamplerState.start(position)
        state.extra.update(metropolis.init_adaptation(energy.chains, position.device))
        state.extra["value"] = known.value(position)
        state.extra["start"] = torch.zeros_like(state.extra["value"])  # H at a trajectory's start
        state.extra["step"] = torch.zeros_like(state.extra["value"])
        state.extra["proposal"] = position.clone()
        state.extra["home_gradient"] = torch.zeros_like(position)  # ∇U at the position
        energy.gradient(state.position, state.gradient)
        return state

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` leapfrog steps; a trajectory may begin in one call and end in another."""
        per_chain = ChainwiseOps(density(energy, "hmc"))
        gradient, v, proposal = state.gradient, state.velocity, state.extra["proposal"]
        step = None
        for at in range(done, done + steps):
            if at % self.leapfrogs == 0:
                self._depart(state, energy, per_chain, random)
                step = per_chain.spread(state.extra["step"], v)
                v.addcmul_(gradient, step, value=-0.5)
            elif step is None:  # the trajectory began in an earlier call
                step = per_chain.spread(state.extra["step"], v)
            proposal.addcmul_(v, step)
            energy.gradient(proposal, gradient)
            ends = (at + 1) % self.leapfrogs == 0
            v.addcmul_(gradient, step, value=-0.5 if ends else -1)
            if ends:
                self._arrive(state, energy, per_chain, random)

    def _depart(
        self, state: SamplerState, energy: Energy, per_chain: ChainwiseOps, random: torch.Generator
    ) -> None:
        """Draw velocities and the step of this trajectory."""
        extra, v = state.extra, state.velocity
        normal_(v, random).mul_(math.sqrt(energy.temperature))
        extra["step"].copy_(self.step_size * metropolis.factor(extra, self.adapting))
        if self.jitter:
            draw = torch.empty_like(extra["step"]).uniform_(generator=random)
            extra["step"].mul_(1 + self.jitter * (2 * draw - 1))
        extra["start"].copy_(extra["value"] + 0.5 * per_chain.sum(v.square()))
        extra["home_gradient"].copy_(state.gradient)

    def _arrive(
        self, state: SamplerState, energy: Energy, per_chain: ChainwiseOps, random: torch.Generator
    ) -> None:
        """Accept the end of the trajectory, or return to its start."""
        extra, theta, proposal = state.extra, state.position, state.extra["proposal"]
        value = density(energy, "hmc").value(proposal)
        end = value + 0.5 * per_chain.sum(state.velocity.square())
        chance = metropolis.probability(end - extra["start"], energy.temperature)
        accept = metropolis.decide(chance, extra, random)
        if self.adapting:
            metropolis.adapt(chance, self.acceptance, extra)
        per_chain.choose(accept, proposal, theta)
        proposal.copy_(theta)
        per_chain.choose(~accept, extra["home_gradient"], state.gradient)
        extra["value"].copy_(torch.where(accept, value, extra["value"]))

    def for_burn_in(self) -> HMC:
        """The same sampler, adapting its step if ``adapt``."""
        return replace(self, adapting=self.adapt)

    def variance_bias_factor(self, curvature: float) -> float:
        """1: the step costs acceptance, not accuracy."""
        return math.inf if math.isnan(curvature) else 1.0

    def starting_step(self, curvature: float) -> float:
        """0.4/√λ, as for the underdamped sampler; adaptation then finds the right step."""
        return 0.4 / math.sqrt(curvature)

    def largest_step(self, curvature: float) -> float:
        """2/√λ: beyond it a trajectory is unstable and rejected."""
        return 2 / math.sqrt(curvature)

    def report(self, state: SamplerState) -> dict[str, Tensor]:
        """Mean acceptance probability since the start, and the adapted factor of the step."""
        return metropolis.report(state.extra, self.adapting)

r"""Replica exchange: chains at neighbouring κ swap their networks.

After every ``every`` steps of another sampler, pairs of neighbouring replicas r, r+1 of a ladder
(:class:`~feature_learning.energies.ladder.LadderEnergy`; r even and odd in turn) swap positions and
velocities with probability ::

    min(1, exp{ (1/T_r - 1/T_{r+1}) (L_r - L_{r+1}) })

Swendsen and Wang (1986); Hukushima and Nemoto (1996). The prior cancels, and velocities can be
swapped as well because all replicas are written at one temperature. A network that is stuck at
small κ can thus move at large κ and return. The swap is exact; the only bias is that of the other
sampler.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import ArgumentError, check_integer, store_plain
from feature_learning.samplers.base import SamplerDefaults, SamplerState

if TYPE_CHECKING:
    from feature_learning.energies.ladder import LadderEnergy
    from feature_learning.samplers.sgld import SGLD
    from feature_learning.samplers.underdamped import Underdamped

#: Steps between two rounds of swaps, by default.
SWAP_EVERY = 20


@dataclass(frozen=True)
class ReplicaExchange(SamplerDefaults):
    """``mover``, SGLD or underdamped, with a round of swaps every ``every`` steps."""

    mover: Underdamped | SGLD
    every: int = SWAP_EVERY

    def __post_init__(self) -> None:
        store_plain(self)
        check_integer("every", self.every, at_least=1)

    @property
    def step_size(self) -> float:
        """Step size of the mover."""
        return self.mover.step_size

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start of the mover; every chain begins with the network of its own number."""
        if not hasattr(energy, "replicas"):
            raise ArgumentError(
                f"replica exchange needs a LadderEnergy, not {type(energy).__name__}"
            )
        state = self.mover.init(energy, position, random)
        numbers = torch.arange(energy.chains, dtype=torch.float64, device=position.device)
        state.extra["walker"] = numbers
        state.extra["tried"] = torch.zeros_like(numbers)
        state.extra["swapped"] = torch.zeros_like(numbers)
        return state

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` steps in place, with a round of swaps after each multiple of ``every``."""
        ladder, end = cast("LadderEnergy", energy), done + steps
        while done < end:
            until = min(end, (done // self.every + 1) * self.every)
            self.mover.advance(state, energy, until - done, random, done=done)
            done = until
            if done % self.every == 0:
                self.swap(state, ladder, done // self.every % 2, random)

    def swap(
        self, state: SamplerState, energy: LadderEnergy, parity: int, random: torch.Generator
    ) -> None:
        """One round of swaps, from the first (parity 0) or second (1) replica on."""
        chains = torch.arange(energy.chains, device=state.position.device)
        replica = chains % energy.replicas
        lower = chains[(replica % 2 == parity) & (replica + 1 < energy.replicas)]
        if not len(lower):  # with two replicas, every other round has no pair
            return
        loss, inverse = energy.loss(state.position), energy.ratios / energy.temperature
        exponent = (inverse[lower] - inverse[lower + 1]) * (loss[lower] - loss[lower + 1])
        draw = torch.empty_like(exponent).uniform_(generator=random)
        accept = draw < exponent.clamp(max=0).exp()
        # Counted per pair, at its lower replica, so that a pair that never swaps is visible.
        state.extra["tried"][lower] += 1
        state.extra["swapped"][lower] += accept.to(state.extra["swapped"])
        order, swapped = chains.clone(), lower[accept]
        order[swapped], order[swapped + 1] = swapped + 1, swapped
        for flat in (state.position, state.velocity):
            for piece in energy.views(flat):
                piece.copy_(piece[order])
        state.extra["walker"].copy_(state.extra["walker"][order])
        energy.gradient(state.position, state.gradient)

    def for_warmup(self) -> ReplicaExchange:
        """Replica exchange with the mover's variant for the first descent."""
        return replace(self, mover=self.mover.for_warmup())

    def for_burn_in(self) -> ReplicaExchange:
        """Replica exchange with the mover's variant for burn-in."""
        return replace(self, mover=self.mover.for_burn_in())

    def with_step(self, step_size: float) -> ReplicaExchange:
        """Replica exchange with the mover at another step size."""
        return replace(self, mover=self.mover.with_step(step_size))

    def kinetic_temperature(self, state: SamplerState) -> float:
        """Kinetic temperature of the mover: all replicas are written at one temperature."""
        return self.mover.kinetic_temperature(state)

    @property
    def velocity_relaxation_time(self) -> float:
        """Memory of the mover's velocities."""
        return self.mover.velocity_relaxation_time

    def variance_bias_factor(self, curvature: float) -> float:
        """Inflation factor of the mover."""
        return self.mover.variance_bias_factor(curvature)

    def step_multiplier(self, state: SamplerState) -> float:
        """Present step of the mover in units of its step size."""
        return self.mover.step_multiplier(state)

    def starting_step(self, curvature: float) -> float:
        """Default step size of the mover."""
        return self.mover.starting_step(curvature)

    def largest_step(self, curvature: float) -> float:
        """Largest advisable step size of the mover."""
        return self.mover.largest_step(curvature)

    def report(self, state: SamplerState) -> dict[str, Tensor]:
        """Acceptance of swaps with the next replica since the start, and the network held now.

        The acceptance is NaN where no swap was tried, as for the last replica of a ladder.
        """
        return {
            "swapped": state.extra["swapped"] / state.extra["tried"],
            "walker": state.extra["walker"].clone(),
        }

    def weight(self, state: SamplerState) -> Tensor | None:
        """None: all samples have the same weight."""
        return None

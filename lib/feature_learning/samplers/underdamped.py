r"""Underdamped Langevin dynamics with the BAOAB splitting.

One step::

    B: v ← v - (h/2) s∇U   A: θ ← θ + (h/2) sv   O: v ← c v + √(T(1-c²)) ξ   A, B again

with c = e^(-fh) and s = 1/√m. The mass m of the weights is 1; the mass of the readouts may be
smaller. (θ/s moves with unit mass, and v is its velocity.)

Leimkuhler and Matthews, Appl. Math. Res. Express 2013 (1). Stable for h < 2/√λ_max; the positions
are exact in a harmonic well, and of second order in h otherwise.

Two frictions: the initial loss far exceeds T and would turn into heat at low friction, so the first
part of burn-in ("settling") uses f = 1. Afterwards a low friction (0.01 to 0.02) lets parameters
travel ballistically over their prior width, which overdamped SGLD crosses in Langevin time s²/T
(10⁴ to 10⁶ here).

Light readouts: readouts that the data do not constrain oscillate at the frequency √(T/m) of their
prior, which for m = 1 and the paper's scales is √d times slower than for weights. A smaller mass
makes these slowest parameters faster, until they have the largest curvature
(:mod:`feature_learning.samplers.tuning`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import check_real, check_scale, store_plain
from feature_learning.model.randomness import normal_
from feature_learning.samplers.base import Inertial, SamplerState


@dataclass(frozen=True)
class Underdamped(Inertial):
    """BAOAB with step size h (Langevin time per step) and two-stage friction (per unit time)."""

    step_size: float
    friction: float = 0.02
    warmup_friction: float = 1.0
    readout_mass: float = 1.0

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("step_size", self.step_size, above=0)
        check_real("friction", self.friction, above=0)
        check_real("warmup_friction", self.warmup_friction, above=0)
        check_scale("readout_mass", self.readout_mass)

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position`` with Maxwellian velocities, v ~ N(0, T)."""
        state = SamplerState.start(position)
        normal_(state.velocity, random).mul_(math.sqrt(energy.temperature))
        self.begin(state, energy)
        return state

    def with_tuning(self, step_size: float, friction: float, readout_mass: float) -> Underdamped:
        """The same sampler with these values; ``warmup_friction`` is kept."""
        return replace(self, step_size=step_size, friction=friction, readout_mass=readout_mass)

    def begin(self, state: SamplerState, energy: Energy) -> None:
        """Recompute the force at the present position, after a change of the masses."""
        energy.gradient(state.position, state.gradient)
        scale = self.parameter_scale(energy, state.position)
        if scale is not None:
            state.gradient.mul_(scale)

    def parameter_scale(self, energy: Energy, like: Tensor) -> Tensor | None:
        """1/√m of each parameter, shaped as ``like``; None if all are 1."""
        if self.readout_mass == 1:
            return None
        found = torch.ones_like(like)
        energy.predictor_parameters(found).a.fill_(1 / math.sqrt(self.readout_mass))
        return found

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` BAOAB steps in place."""
        theta, v, gradient, noise = state.position, state.velocity, state.gradient, state.noise
        half, every = 0.5 * self.step_size, energy.refresh_every
        scale = self.parameter_scale(energy, theta)
        decay = math.exp(-self.friction * self.step_size)
        amplitude = math.sqrt(energy.temperature * (1 - decay * decay))
        for step in range(done, done + steps):
            if every and step % every == 0:
                energy.refresh(theta)
            v.add_(gradient, alpha=-half)
            _drift(theta, v, half, scale)
            v.mul_(decay).add_(normal_(noise, random), alpha=amplitude)
            _drift(theta, v, half, scale)
            energy.gradient(theta, gradient)
            if scale is not None:
                gradient.mul_(scale)
            v.add_(gradient, alpha=-half)

    def for_warmup(self) -> Underdamped:
        """The same sampler at the settling friction."""
        return replace(self, friction=self.warmup_friction)

    def kinetic_temperature(self, state: SamplerState) -> float:
        """Mean of ``v² + (h²/4) |s∇U|²`` per parameter.

        In a harmonic well of curvature λ BAOAB gives ⟨v²⟩ = T (1 - h²λ/4) and ⟨x²⟩ = T/λ, so the
        sum is T at any stable step: a deviation is due to heat or friction, not discretisation.
        """
        force = 0.25 * self.step_size**2 * float(state.gradient.square().mean())
        return float(state.velocity.square().mean()) + force


def _drift(theta: Tensor, v: Tensor, half: float, scale: Tensor | None) -> None:
    """Half a step of the positions, in place."""
    if scale is None:
        theta.add_(v, alpha=half)
    else:
        theta.addcmul_(v, scale, value=half)

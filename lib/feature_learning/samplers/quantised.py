r"""Quantised Langevin dynamics: the step is rounded to multiples of a quantum Δ.

One step, with g = ∇U(θ)::

    h = -η g + σ ξ,   ξ ~ N(0, 1)
    θ ← θ + Δ ⌊h/Δ + u⌋        u = ½ (nearest), 0 (floor) or uniform on [0, 1) (stochastic)

Seok and Cho, arXiv 2305.18864, set σ = 0 and use the rounding error as the thermal noise, as if it
were white, independent of h and of variance Δ²/12, so that Δ = √(24ηT); they change Δ = 1/Q_p with
time (:class:`QuantumSchedule`). The effect of rounding (tested):

* nearest: h is lost where ``|h| < Δ/2``: the weight is frozen. For σ = 0 and Δ = √(24ηT), most
  ``|h| = η|g|`` are below Δ/2 wherever η is stable, so the chain does not move.
* floor: an additional drift of -Δ/2 per step.
* stochastic: correct on average, with variance Δ² t (1-t), t = h/Δ - ⌊h/Δ⌋: Δ²/6 if t is
  uniform, but only Δ|h| for small h. The size of this noise depends on the position of the chain.

So rounding noise can add to the thermal noise, but cannot replace it. By default (``thermal``)
Gaussian noise supplies the rest of the variance, σ² = 2ηT - v, with v = Δ²/6 (stochastic) or Δ²/12.
The distribution is then close to that of SGLD if Δ is not larger than about √(2ηT).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.errors import check_choice, check_integer, check_real, store_plain
from feature_learning.model.randomness import normal_
from feature_learning.samplers.base import Overdamped, SamplerState

#: Variance of the rounding error in units of Δ², if the fractional part of h/Δ is uniform.
VARIANCES = {"stochastic": 1 / 6, "nearest": 1 / 12, "floor": 1 / 12}


@dataclass(frozen=True)
class QuantumSchedule:
    """The paper's quantum, Δ = 1/Q_p with Q_p = q b^⌊log_b log(t+2)⌋, t the epoch.

    Attributes
    ----------
    start : float
        q, the factor of Q_p (η in the paper).
    base : float
        b.
    epoch : int
        Number of steps in an epoch.
    """

    start: float
    base: float = 2.0
    epoch: int = 1

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("start", self.start, above=0)
        check_real("base", self.base, above=1)
        check_integer("epoch", self.epoch, at_least=1)

    @classmethod
    def down_from(cls, quantum: float, *, base: float = 2.0, epoch: int = 1) -> QuantumSchedule:
        """The schedule that starts with this Δ."""
        check_real("quantum", quantum, above=0)
        return cls(cls(1.0, base).at(0) / quantum, base, epoch)

    def at(self, step: int) -> float:
        """Δ at that step."""
        level = math.floor(math.log(math.log(step // self.epoch + 2), self.base))
        return 1 / (self.start * self.base**level)


@dataclass(frozen=True)
class QuantisedLangevin(Overdamped):
    """Langevin dynamics with steps rounded to multiples of Δ.

    Attributes
    ----------
    step_size : float
        η.
    quantum : float, QuantumSchedule or None
        Δ; None takes the value at which rounding noise alone has the variance of the thermal noise:
        √(24ηT) for nearest and floor, √(12ηT) for stochastic rounding.
    rounding : str
        ``stochastic``, ``nearest`` or ``floor``.
    thermal : bool
        Add Gaussian noise up to the total variance 2ηT; if False, rounding is the only noise.
    """

    step_size: float
    quantum: float | QuantumSchedule | None = None
    rounding: str = "stochastic"
    thermal: bool = True

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("step_size", self.step_size, above=0)
        check_choice("rounding", self.rounding, VARIANCES)
        if isinstance(self.quantum, int | float):
            check_real("quantum", self.quantum, above=0)

    def quantum_at(self, step: int, temperature: float) -> float:
        """Δ at that step."""
        if self.quantum is None:
            return math.sqrt(2 * self.step_size * temperature / VARIANCES[self.rounding])
        return self.quantum.at(step) if isinstance(self.quantum, QuantumSchedule) else self.quantum

    def noise(self, quantum: float, temperature: float) -> float:
        """σ, the amplitude of the Gaussian noise."""
        wanted = 2 * self.step_size * temperature - VARIANCES[self.rounding] * quantum**2
        return math.sqrt(max(0.0, wanted)) if self.thermal else 0.0

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position``; nothing is drawn."""
        return SamplerState.start(position)

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` steps in place."""
        theta, gradient, noise = state.position, state.gradient, state.noise
        every = energy.refresh_every
        for step in range(done, done + steps):
            if every and step % every == 0:
                energy.refresh(theta)
            energy.gradient(theta, gradient)
            quantum = self.quantum_at(step, energy.temperature)
            amplitude = self.noise(quantum, energy.temperature)
            gradient.mul_(-self.step_size)
            if amplitude:
                gradient.add_(normal_(noise, random), alpha=amplitude)
            gradient.div_(quantum)
            if self.rounding == "stochastic":
                gradient.add_(noise.uniform_(generator=random))
            elif self.rounding == "nearest":
                gradient.add_(0.5)
            theta.add_(gradient.floor_(), alpha=quantum)

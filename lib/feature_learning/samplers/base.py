"""What all samplers share: the state they move and the functions the run loop calls."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, cast

import torch
from torch import Tensor

from feature_learning.energies.base import Density, Energy
from feature_learning.errors import ArgumentError
from feature_learning.model.parameters import against, chain_sums, spread


@dataclass(frozen=True)
class SamplerState:
    """Buffers of one batch of chains. The object is frozen; the tensors are updated in place.

    Attributes
    ----------
    position : Tensor
        Flat vector of parameters; the others have its length.
    velocity : Tensor
        Zero and unused for overdamped samplers.
    gradient : Tensor
    noise : Tensor
    extra : dict of Tensor
        What one sampler needs besides, named by it in ``init``; part of a checkpoint.
    """

    position: Tensor
    velocity: Tensor
    gradient: Tensor
    noise: Tensor = field(repr=False)
    extra: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def start(cls, position: Tensor) -> Self:
        """Fresh buffers around a copy of the starting point."""
        velocity, gradient, noise = (torch.zeros_like(position) for _ in range(3))
        return cls(position.clone(), velocity, gradient, noise)

    def memory(self) -> dict[str, Tensor]:
        """What a checkpoint must hold; the noise is redrawn every step."""
        return {
            "position": self.position,
            "velocity": self.velocity,
            "gradient": self.gradient,
            **{f"extra.{name}": tensor for name, tensor in self.extra.items()},
        }


class Sampler(Protocol):
    """A Langevin sampler: frozen configuration, and two functions."""

    @property
    def step_size(self) -> float:
        """η or h, the Langevin time of one step."""

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """State at the starting point (velocities drawn, first gradient computed)."""

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """Move ``state`` by ``steps`` steps in place; ``done`` steps came before."""

    def settling(self) -> Sampler:
        """The variant for the first descent of the loss."""

    def burning(self) -> Sampler:
        """The variant for burn-in, which may adapt; what adapts lives in the state."""

    def with_step(self, step_size: float) -> Sampler:
        """The same sampler with another step size."""

    def kinetic_temperature(self, state: SamplerState) -> float:
        """Temperature at which the velocities are, averaged over all of them; NaN without any."""

    @property
    def memory(self) -> float:
        """Langevin time over which velocities forget, 1/f; infinite without velocities."""

    def inflation(self, curvature: float) -> float:
        """Factor by which a variance is off at that curvature; inf if unstable."""

    def pace(self, state: SamplerState) -> float:
        """Present step over ``step_size``, by which a curvature is to be multiplied."""

    def with_tuning(self, step_size: float, friction: float, readout_mass: float) -> Sampler:
        """The same sampler with what :mod:`feature_learning.samplers.tuning` has found."""

    def begin(self, state: SamplerState, energy: Energy) -> None:
        """Compute the force anew, after that."""

    def parameter_scale(self, energy: Energy, like: Tensor) -> Tensor | None:
        """What the parameters are multiples of, if not of 1: one over the root of their masses."""

    def starting_step(self, curvature: float) -> float:
        """Default step size where the largest curvature of U at the START is ``curvature``."""

    def largest_step(self, curvature: float) -> float:
        """Step size at which :meth:`inflation` is 1.25: advice once a step has proved too large."""

    def report(self, state: SamplerState) -> dict[str, Tensor]:
        """Numbers of the sampler itself, each (chains,), recorded at every look."""

    def weight(self, state: SamplerState) -> Tensor | None:
        """Weight of the present sample in averages, (chains,); None if all weigh the same."""


class Plain:
    """What a sampler need not say if it has no velocities, does not adapt and reports nothing.

    A frozen data class with a field ``step_size`` builds on it.
    """

    def settling(self) -> Self:
        """The same sampler."""
        return self

    def burning(self) -> Self:
        """The same sampler."""
        return self

    def with_step(self, step_size: float) -> Self:
        """The same sampler with another step size."""
        changed: Self = replace(cast(Any, self), step_size=step_size)
        return changed

    def kinetic_temperature(self, state: SamplerState) -> float:
        """NaN: there are no velocities."""
        return math.nan

    @property
    def memory(self) -> float:
        """Infinite, as there is no velocity whose temperature could be judged."""
        return math.inf

    def with_tuning(self, step_size: float, friction: float, readout_mass: float) -> Self:
        """Refused: only underdamped dynamics is tuned while it runs."""
        raise ArgumentError(f"{type(self).__name__} cannot be tuned while it runs")

    def begin(self, state: SamplerState, energy: Energy) -> None:
        """Nothing has changed."""

    def parameter_scale(self, energy: Energy, like: Tensor) -> Tensor | None:
        """None: all masses are 1."""
        return None

    def pace(self, state: SamplerState) -> float:
        """1: all steps are alike."""
        return 1.0

    def report(self, state: SamplerState) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def weight(self, state: SamplerState) -> Tensor | None:
        """None: all samples weigh the same."""
        return None


class Overdamped(Plain):
    """Step sizes of Euler's step, θ ← θ - η ∇U + noise; ``step_size`` is η."""

    step_size: float

    def inflation(self, curvature: float) -> float:
        """1/(1 - ηλ/2), exact in a harmonic well."""
        slack = 1 - 0.5 * self.step_size * curvature
        return 1 / slack if slack > 0 else math.inf

    def starting_step(self, curvature: float) -> float:
        """0.2/λ, a tenth of the stability limit: learning makes λ grow severalfold."""
        return 0.2 / curvature

    def largest_step(self, curvature: float) -> float:
        """0.4/λ."""
        return 0.4 / curvature


class Inertial(Plain):
    """Step sizes and memory of a BAOAB splitting with unit mass; ``step_size`` is h."""

    step_size: float
    friction: float

    @property
    def memory(self) -> float:
        """1/f."""
        return 1 / self.friction

    def inflation(self, curvature: float) -> float:
        """1/(1 - h²λ/4): right over sampled variance of the velocities.

        BAOAB's positions are exact in a harmonic well; its velocities are too cold by this factor,
        which diverges where positions become unstable.
        """
        slack = 1 - 0.25 * self.step_size * (self.step_size * curvature)
        return 1 / slack if slack > 0 else math.inf

    def starting_step(self, curvature: float) -> float:
        """0.4/√λ, a fifth of the stability limit: learning makes λ grow severalfold."""
        return 0.4 / math.sqrt(curvature)

    def largest_step(self, curvature: float) -> float:
        """√(0.8/λ)."""
        return math.sqrt(0.8 / curvature)


class PerChain:
    """Sums, factors and choices of each chain of a batch whose parameters lie in one flat vector.

    All go through the views of ``energy``: a table of which entry belongs to which chain
    would cost more to read than the parameters.
    """

    def __init__(self, energy: Density) -> None:
        self._views = energy.views

    def sum(self, flat: Tensor) -> Tensor:
        """Sum over the entries of each chain, (chains,), in double precision."""
        return chain_sums(self._views(flat))

    def spread(self, values: Tensor, like: Tensor) -> Tensor:
        """(chains,) to the flat vector whose every entry is its chain's value."""
        return spread(values, like, self._views)

    def choose(self, accept: Tensor, proposed: Tensor, present: Tensor) -> None:
        """Overwrite ``present`` by ``proposed`` in the chains that accept, (chains,) of bool."""
        for new, old in zip(self._views(proposed), self._views(present), strict=True):
            torch.where(against(accept, old), new, old, out=old)


def density(energy: Energy, sampler: str) -> Density:
    """The energy, if its value is known and its law does not move.

    Raises
    ------
    ArgumentError
        For an energy that follows the particles (MF-ARD, collapsed particles).
    """
    if energy.refresh_every or not hasattr(energy, "value"):
        raise ArgumentError(
            f"sampler {sampler} needs an energy that stays as it is and whose value is known "
            f"(network, or mf with solver particles), not {type(energy).__name__} with "
            f"refresh_every = {energy.refresh_every}"
        )
    return cast(Density, energy)

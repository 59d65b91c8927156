"""The interface of all samplers: their state, and the functions that the run loop calls."""

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
        Flat vector of the parameters; velocity, gradient and noise have the same length.
    velocity : Tensor
        Zero and unused for overdamped samplers.
    gradient : Tensor
    noise : Tensor
    extra : dict of Tensor
        Further state of a particular sampler, created in its ``init``; part of a checkpoint.
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

    def state_dict(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint must hold; the noise is redrawn every step."""
        return {
            "position": self.position,
            "velocity": self.velocity,
            "gradient": self.gradient,
            **{f"extra.{name}": tensor for name, tensor in self.extra.items()},
        }


class Sampler(Protocol):
    """A Langevin sampler: an immutable configuration with functions that move a state."""

    @property
    def step_size(self) -> float:
        """η or h, the Langevin time of one step."""

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """State at the starting point (velocities drawn, first gradient computed)."""

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """Move ``state`` by ``steps`` steps in place; ``done`` steps came before."""

    def for_warmup(self) -> Sampler:
        """The variant for the first descent of the loss."""

    def for_burn_in(self) -> Sampler:
        """The variant for burn-in, which may adapt; adapted quantities are part of the state."""

    def with_step(self, step_size: float) -> Sampler:
        """The same sampler with another step size."""

    def kinetic_temperature(self, state: SamplerState) -> float:
        """Temperature of the velocities, averaged over all of them; NaN without velocities."""

    @property
    def velocity_relaxation_time(self) -> float:
        """Memory of the velocities, 1/f, in Langevin time; infinite without velocities."""

    def variance_bias_factor(self, curvature: float) -> float:
        """Factor by which the sampled variance is wrong at that curvature; inf if unstable."""

    def step_multiplier(self, state: SamplerState) -> float:
        """Present step in units of ``step_size``; guards multiply the curvature by it."""

    def with_tuning(self, step_size: float, friction: float, readout_mass: float) -> Sampler:
        """The same sampler with the values from :mod:`feature_learning.samplers.tuning`."""

    def begin(self, state: SamplerState, energy: Energy) -> None:
        """Recompute the force after a change by :meth:`with_tuning`."""

    def parameter_scale(self, energy: Energy, like: Tensor) -> Tensor | None:
        """Units of the parameters, 1/√mass, shaped as ``like``; None if all masses are 1."""

    def starting_step(self, curvature: float) -> float:
        """Default step size if the largest curvature of U at the START is ``curvature``."""

    def largest_step(self, curvature: float) -> float:
        """Step size whose :meth:`variance_bias_factor` is 1.25: advice for too large a step."""

    def report(self, state: SamplerState) -> dict[str, Tensor]:
        """Statistics of the sampler itself, each (chains,), recorded at every measurement."""

    def weight(self, state: SamplerState) -> Tensor | None:
        """Weight of the present sample in averages, (chains,); None if all are equal."""


class SamplerDefaults:
    """Defaults for samplers without momenta, adaptation or extra statistics.

    The base of frozen data classes with a field ``step_size``.
    """

    def for_warmup(self) -> Self:
        """The same sampler."""
        return self

    def for_burn_in(self) -> Self:
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
    def velocity_relaxation_time(self) -> float:
        """Infinite, as there is no velocity whose temperature could be judged."""
        return math.inf

    def with_tuning(self, step_size: float, friction: float, readout_mass: float) -> Self:
        """Raise an error: only underdamped dynamics is tuned while it runs."""
        raise ArgumentError(f"{type(self).__name__} cannot be tuned while it runs")

    def begin(self, state: SamplerState, energy: Energy) -> None:
        """Do nothing: there is no tuning."""

    def parameter_scale(self, energy: Energy, like: Tensor) -> Tensor | None:
        """None: all masses are 1."""
        return None

    def step_multiplier(self, state: SamplerState) -> float:
        """1: all steps are equal."""
        return 1.0

    def report(self, state: SamplerState) -> dict[str, Tensor]:
        """Empty: no statistics."""
        return {}

    def weight(self, state: SamplerState) -> Tensor | None:
        """None: all samples have the same weight."""
        return None


class Overdamped(SamplerDefaults):
    """Step sizes of the Euler step θ ← θ - η ∇U + noise; ``step_size`` is η."""

    step_size: float

    def variance_bias_factor(self, curvature: float) -> float:
        """1/(1 - ηλ/2): sampled over correct variance of a position, exact in a harmonic well."""
        slack = 1 - 0.5 * self.step_size * curvature
        return 1 / slack if slack > 0 else math.inf

    def starting_step(self, curvature: float) -> float:
        """0.2/λ, a tenth of the stability limit: learning makes λ grow severalfold."""
        return 0.2 / curvature

    def largest_step(self, curvature: float) -> float:
        """0.4/λ, where :meth:`variance_bias_factor` is 1.25."""
        return 0.4 / curvature


class Inertial(SamplerDefaults):
    """Step sizes and memory of a BAOAB splitting with unit mass; ``step_size`` is h."""

    step_size: float
    friction: float

    @property
    def velocity_relaxation_time(self) -> float:
        """Memory of the velocities, 1/f."""
        return 1 / self.friction

    def variance_bias_factor(self, curvature: float) -> float:
        """1/(1 - h²λ/4): correct over sampled variance of the velocities.

        The positions of BAOAB are exact in a harmonic well; its velocities are too cold by this
        factor, which diverges where the positions become unstable.
        """
        slack = 1 - 0.25 * self.step_size * (self.step_size * curvature)
        return 1 / slack if slack > 0 else math.inf

    def starting_step(self, curvature: float) -> float:
        """0.4/√λ, a fifth of the stability limit: learning makes λ grow severalfold."""
        return 0.4 / math.sqrt(curvature)

    def largest_step(self, curvature: float) -> float:
        """√(0.8/λ), where :meth:`variance_bias_factor` is 1.25."""
        return math.sqrt(0.8 / curvature)


class ChainwiseOps:
    """Sums, factors and choices per chain, for a batch stored as one flat vector.

    All operations use the views of ``energy``: reading a table of the chain of each entry would
    take longer than reading the parameters.
    """

    def __init__(self, energy: Density) -> None:
        self._views = energy.views

    def sum(self, flat: Tensor) -> Tensor:
        """Sum over the entries of each chain, (chains,), in double precision."""
        return chain_sums(self._views(flat))

    def spread(self, values: Tensor, like: Tensor) -> Tensor:
        """Flat vector in which every entry has the value of its chain, from values (chains,)."""
        return spread(values, like, self._views)

    def choose(self, accept: Tensor, proposed: Tensor, present: Tensor) -> None:
        """Overwrite ``present`` by ``proposed`` in chains where ``accept`` (chains,) is True."""
        for new, old in zip(self._views(proposed), self._views(present), strict=True):
            torch.where(against(accept, old), new, old, out=old)


def density(energy: Energy, sampler: str) -> Density:
    """The energy, after a check that its value is known and that it is fixed.

    Raises
    ------
    ArgumentError
        If the energy follows the particles (MF-ARD, collapsed particles).
    """
    if energy.refresh_every or not hasattr(energy, "value"):
        raise ArgumentError(
            f"sampler {sampler} needs a fixed energy whose value is known "
            f"(network, or mf with solver particles), not {type(energy).__name__} with "
            f"refresh_every = {energy.refresh_every}"
        )
    return cast(Density, energy)

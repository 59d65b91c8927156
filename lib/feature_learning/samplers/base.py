"""What all samplers share: the state they move and the functions the run loop calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, Self

import torch
from torch import Tensor

from feature_learning.energies import Energy


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
    """

    position: Tensor
    velocity: Tensor
    gradient: Tensor
    noise: Tensor = field(repr=False)

    @classmethod
    def start(cls, position: Tensor) -> Self:
        """Fresh buffers around a copy of the starting point."""
        return cls(position.clone(), *(torch.zeros_like(position) for _ in range(3)))

    def memory(self) -> dict[str, Tensor]:
        """What a checkpoint must hold; the noise is redrawn every step."""
        return {
            "position": self.position,
            "velocity": self.velocity,
            "gradient": self.gradient,
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

    def with_step(self, step_size: float) -> Sampler:
        """The same sampler with another step size."""

    def kinetic_temperature(self, state: SamplerState) -> float:
        """Temperature at which the velocities are, averaged over all of them; NaN without any."""

    @property
    def memory(self) -> float:
        """Langevin time over which velocities forget, 1/f; infinite without velocities."""

    def inflation(self, curvature: float) -> float:
        """Factor by which a variance is off at that curvature; inf if unstable."""

    def starting_step(self, curvature: float) -> float:
        """Default step size where the largest curvature of U at the START is ``curvature``."""

    def largest_step(self, curvature: float) -> float:
        """Step size at which :meth:`inflation` is 1.25: advice once a step has proved too large."""

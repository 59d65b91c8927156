"""The interface of an energy: all that samplers and the run loop use of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from feature_learning.model.field import Field
    from feature_learning.model.parameters import Parameters


class Energy(Protocol):
    """The interface of an energy for samplers and the run loop.

    Attributes
    ----------
    temperature : float
    chains : int
    particles : int
    scale : float
        Output scale: the predictor is scale · Σ_b a_b φ_b + c.
    refresh_every : int
        Steps between two calls of :meth:`refresh`; 0 for never.
    field : Field
        Forward pass on the training set.
    """

    temperature: float
    chains: int
    particles: int
    scale: float
    refresh_every: int
    field: Field

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """Write ∂U/∂θ of the flat parameter vector into ``out``, without large allocations."""

    def refresh(self, theta: Tensor) -> None:
        """Update self-consistent quantities (ρ, the frozen field) to the present θ."""

    def memory(self) -> dict[str, Tensor]:
        """Tensors that change in ``refresh``: part of a checkpoint."""

    def restore(self, memory: dict[str, Tensor]) -> None:
        """Restore the tensors of ``memory``."""

    def readout(self, theta: Tensor) -> Parameters:
        """Weights and (mean) readouts that define the predictor."""


class Density(Energy, Protocol):
    """An energy whose value is known, as a Metropolis test requires."""

    def value(self, theta: Tensor) -> Tensor:
        """U of each chain, (chains,), in double precision, with one pass over the data."""

    def views(self, theta: Tensor) -> Parameters:
        """Views of the flat vector, with the chains as the first axis."""

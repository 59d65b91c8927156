"""What samplers and the run loop ask of an energy; nothing else of it is known to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from feature_learning.model.field import Field
    from feature_learning.model.parameters import Parameters


class Energy(Protocol):
    """What samplers and the run loop ask of an energy.

    Attributes
    ----------
    temperature : float
    chains : int
    particles : int
    scale : float
        The predictor is scale · Σ_b a_b φ_b + c.
    refresh_every : int
        Steps between two calls of :meth:`refresh`; 0 for never.
    field : Field
        Of the training set.
    """

    temperature: float
    chains: int
    particles: int
    scale: float
    refresh_every: int
    field: Field

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """∂U/∂θ of the flat parameter vector, written into ``out``; no allocation of note."""

    def refresh(self, theta: Tensor) -> None:
        """Move self-consistent quantities (ρ, the frozen field) to follow θ."""

    def memory(self) -> dict[str, Tensor]:
        """Tensors that change in ``refresh``: part of a checkpoint."""

    def restore(self, memory: dict[str, Tensor]) -> None:
        """Put back what ``memory`` gave."""

    def readout(self, theta: Tensor) -> Parameters:
        """Weights and (mean) readouts that define the predictor."""


class Density(Energy, Protocol):
    """An energy whose value is known: what a Metropolis test asks for."""

    def value(self, theta: Tensor) -> Tensor:
        """U of each chain, (chains,), in double precision, with one pass over the data."""

    def views(self, theta: Tensor) -> Parameters:
        """Views of the flat vector, the chains leading."""

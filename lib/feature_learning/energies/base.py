"""The interface of an energy: all that samplers and the run loop use of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from feature_learning.model.forward import Forward
    from feature_learning.model.parameters import Parameters


class Energy(Protocol):
    """What samplers and the run loop ask of an energy, of whatever model.

    The parameters of all chains are one flat vector θ; the target is p(θ) ∝ exp(-U(θ)/T). An energy
    that does not change during a run inherits ``refresh``, ``state_dict`` and ``load_state_dict``
    from :class:`Fixed`.

    Attributes
    ----------
    temperature : float
        T, in the units of U; 2κ² where U holds the MSE (not half of it).
    chains : int
        Independent copies in one batch.
    refresh_every : int
        Steps between two calls of :meth:`refresh`; 0 for never.
    """

    temperature: float
    chains: int
    refresh_every: int

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """Write ∂U/∂θ of the flat parameter vector into ``out``, without large allocations."""

    def refresh(self, theta: Tensor) -> None:
        """Update self-consistent quantities (ρ, the frozen field) to the present θ."""

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that change in ``refresh``: part of a checkpoint."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the tensors of ``state_dict``."""

    def predictor_parameters(self, theta: Tensor) -> Parameters:
        """Weights and (mean) readouts that define the predictor, the chains leading in each.

        Those of another model are any three tensors; the first two are the ``weights`` and the
        ``readouts`` of a :class:`~feature_learning.inference.chain_run.ChainRun`.
        """


class NetworkEnergy(Energy, Protocol):
    """An energy of particles with a training set, which the library can start and measure itself.

    Attributes
    ----------
    particles : int
        M, the width of a network.
    scale : float
        The predictor is scale · Σ_b a_b φ_b + c.
    forward : Forward
        Forward pass on the training set.
    """

    particles: int
    scale: float
    forward: Forward


class Fixed:
    """Defaults for an energy that stays as it is: nothing follows the particles."""

    refresh_every = 0

    def refresh(self, theta: Tensor) -> None:
        """Nothing follows the particles."""

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing changes."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing to put back."""


class Density(Energy, Protocol):
    """An energy whose value is known, as a Metropolis test requires."""

    def value(self, theta: Tensor) -> Tensor:
        """U of each chain, (chains,), in double precision, with one pass over the data."""

    def views(self, theta: Tensor) -> Parameters:
        """Views of the flat vector, with the chains as the first axis."""

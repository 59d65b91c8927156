r"""The network posterior with a prior of one's own in place of the Gaussian.

Its energy, with the loss L of :mod:`feature_learning.energies.particles` (MSE, not half of it)::

    U(θ) = L(f) - T log p(θ),   T = 2κ²

The prior is one function, ``log_prior(parameters)``. It returns log p of each chain, (chains,), up
to a constant, in torch operations on w, a and c; its gradient is autograd's. For a Laplace
prior of unit scale on all parameters of a network without output bias::

    def log_prior(parameters):
        return -parameters.w.abs().sum(dim=(1, 2)) - parameters.a.abs().sum(dim=1)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from feature_learning.energies.particles import ParticleEnergy
from feature_learning.errors import ArgumentError
from feature_learning.model.parameters import Parameters
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset

LogPrior = Callable[[Parameters], Tensor]


class OwnPriorEnergy(ParticleEnergy):
    """The network posterior under any prior with a density; for every sampler but Gibbs.

    The Gaussian prior of the student still decides where chains start, and nothing else.

    Parameters
    ----------
    student : Student
    data : Dataset
    kappa : float
        Noise scale; T = 2κ².
    log_prior : callable
        :class:`~feature_learning.model.parameters.Parameters` to log p of each chain, (chains,).
    chains, homogeneity_penalty, tile_elements
        As of :func:`~feature_learning.energies.particles.network_posterior`.

    Raises
    ------
    ArgumentError
        For numbers out of range; at the first gradient for a ``log_prior`` whose result is not
        (chains,) or does not depend on the parameters.
    """

    def __init__(
        self,
        student: Student,
        data: Dataset,
        *,
        kappa: float,
        log_prior: LogPrior,
        chains: int = 1,
        homogeneity_penalty: float = 0.0,
        tile_elements: int | None = None,
    ) -> None:
        super().__init__(
            student,
            data,
            kappa=kappa,
            chains=chains,
            homogeneity_penalty=homogeneity_penalty,
            tile_elements=tile_elements,
        )
        if not callable(log_prior):
            raise ArgumentError(
                f"log_prior must be a function of the parameters, not {log_prior!r}"
            )
        self._log_prior = log_prior

    def log_prior(self, theta: Tensor) -> Tensor:
        """Log-density of the prior of each chain, (chains,), up to a constant."""
        found: object = self._log_prior(self.views(theta))
        if not isinstance(found, Tensor) or found.shape != (self.chains,):
            kind = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ArgumentError(f"log_prior must return a tensor ({self.chains},), not {kind}")
        return found

    def add_prior(self, theta: Tensor, out: Tensor) -> None:
        """Add -T ∂ log p/∂θ."""
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            total = self.log_prior(leaf).sum()
            if not total.requires_grad:
                raise ArgumentError("log_prior must depend on the parameters, by torch operations")
            (gradient,) = torch.autograd.grad(total, leaf)
        out.sub_(gradient, alpha=self.temperature)

    def prior_value(self, theta: Tensor) -> Tensor:
        """-T log p of each chain, (chains,), in double precision."""
        return -self.temperature * self.log_prior(theta).double()

    def readout_distribution(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Refused: with another prior the readouts are not Gaussian given the weights."""
        raise ArgumentError("sampler gibbs needs the Gaussian prior, not a log_prior")

r"""The *released* start: a network learns in a tilted prior, which then relaxes to its own prior.

The run begins with a prior that is tilted towards the relevant coordinates (variance τ σ_w²/d
there, τ = 10), where even a kernel learns the target and nothing is metastable. Over the first part
of burn-in the tilt is lowered to that of the student, ::

    log τ(n) = (1 - n/n₀) log 10 + (n/n₀) log τ,     n < n₀ steps

slowly enough for the network to lose neurons that it does not need. A planted network
(:mod:`feature_learning.inference.starts`) has a hundred neurons aligned with the target even where
the posterior has ten; a released network has reached its number at the end of burn-in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from feature_learning.energies.particles import ParticleEnergy
from feature_learning.errors import check_integer
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset

#: Tilt at the start.
FIRST_TILT = 10.0
#: Steps between two changes of the tilt.
_EVERY = 10


class ReleasedEnergy(ParticleEnergy):
    """The network posterior, with a tilted prior during the first steps.

    Parameters
    ----------
    student : Student
        The final prior, with the final ``tilt``.
    data : Dataset
    relevant : int
        Number of tilted coordinates, the first ones.
    kappa, chains, homogeneity_penalty, tile_elements
        As in :func:`~feature_learning.energies.particles.network_posterior`.
    """

    def __init__(
        self,
        student: Student,
        data: Dataset,
        *,
        relevant: int,
        kappa: float,
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
        check_integer("relevant", relevant, at_least=1, at_most=student.dim)
        self._relevant = self.views(self.prior.spring_constant).w[..., :relevant]
        self._last = float(self._relevant[0, 0, 0])
        self._first = self.temperature * student.dim / (student.weight_variance * FIRST_TILT)
        self.refresh_every, self.over = _EVERY, 0
        self._passed = torch.zeros(1, dtype=torch.float32, device="cpu")

    def release_over(self, steps: int) -> None:
        """Lower the tilt over the given number of steps from the start of the run."""
        self.over = check_integer("steps", steps, at_least=0)
        self._write()

    def refresh(self, theta: Tensor) -> None:
        """Lower the tilt a little."""
        if self._passed < self.over:
            self._passed += _EVERY
            self._write()

    def state_dict(self) -> dict[str, Tensor]:
        """Number of steps of the release that have passed."""
        return {"passed": self._passed}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the number of :meth:`state_dict`."""
        self._passed.copy_(state["passed"])
        self._write()

    def _write(self) -> None:
        part = min(float(self._passed) / self.over, 1.0) if self.over else 1.0
        self._relevant.fill_(self._first ** (1 - part) * self._last**part)

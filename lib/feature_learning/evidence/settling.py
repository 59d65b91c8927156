r"""The tether of a code, from networks that are planted in the code and equilibrated.

Four networks get n neurons with given signs on the relevant coordinates and exact readouts. They
are sampled by underdamped Langevin dynamics at κ. The means and variances of these neurons'
weights, over the networks and the last two thirds of the time, define the tether
(:mod:`feature_learning.energies.tether`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from feature_learning.energies.particles import network_posterior
from feature_learning.energies.tether import Tether
from feature_learning.errors import ArgumentError
from feature_learning.evidence.annealing import FloatArray
from feature_learning.model.codes import pattern_text
from feature_learning.model.randomness import offspring
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset
from feature_learning.samplers.gibbs import Gibbs
from feature_learning.samplers.steps import default_step
from feature_learning.samplers.underdamped import Underdamped

#: Number of networks, and of measurements of each.
_CHAINS, _MEASUREMENTS = 4, 60
#: Width of the tether in units of the weights' spread at κ; with a tether they spread less.
_WIDER = 1.2
#: Initial size of a specialised neuron's irrelevant weights, in units of the prior's.
_IRRELEVANT = 0.2


class Settling:
    """The networks while they equilibrate; all random numbers come from ``random``.

    Parameters
    ----------
    student : Student
    data : Dataset
    signs : array (n, sparsity)
        Signs +1 and -1 of the specialised neurons.
    kappa : float
    langevin_time : float
        Total Langevin time.
    random : torch.Generator
        Generator on the device of the data.
    tile_elements : int, optional
        Memory bound.
    """

    def __init__(
        self,
        student: Student,
        data: Dataset,
        signs: FloatArray,
        *,
        kappa: float,
        langevin_time: float,
        random: torch.Generator,
        tile_elements: int | None = None,
    ) -> None:
        self.signs, self.kappa, self.random = signs, kappa, random
        self.energy = network_posterior(
            student, data, kappa=kappa, chains=_CHAINS, tile_elements=tile_elements
        )
        like = data.labels
        position = student.sample_prior(
            _CHAINS, student.width, offspring(random), dtype=like.dtype, device=like.device
        )
        neurons, sparsity = signs.shape
        w = self.energy.views(position).w
        w[:, :neurons].mul_(_IRRELEVANT)
        w[:, :neurons, :sparsity] = torch.from_numpy(signs).to(w)
        Gibbs(1.0).draw_readouts(self.energy, position, random)
        self.sampler = Underdamped(default_step(Underdamped(1.0), self.energy, position))
        self.state = self.sampler.init(self.energy, position, random)
        self._steps = math.ceil(langevin_time / _MEASUREMENTS / self.sampler.step_size)
        self._measurement = 0
        self._sums = np.zeros((2, neurons, student.fan_in))
        self._kept = 0

    @property
    def fraction(self) -> float:
        """Share of the run that is done."""
        return self._measurement / _MEASUREMENTS

    def advance(self) -> None:
        """Run to the next measurement."""
        sampler = (
            self.sampler.for_warmup() if self._measurement < _MEASUREMENTS // 10 else self.sampler
        )
        with self.energy.forward.stepping():
            sampler.advance(
                self.state,
                self.energy,
                self._steps,
                self.random,
                done=self._measurement * self._steps,
            )
        if self._measurement >= _MEASUREMENTS // 3:
            neurons, sparsity = self.signs.shape
            w = self.energy.views(self.state.position).w[:, :neurons].double().cpu().numpy()
            self._sums += w.sum(axis=0), np.square(w).sum(axis=0)
            self._kept += int((np.sign(w[..., :sparsity]) == self.signs).all(axis=2).sum())
        self._measurement += 1

    def tether(self) -> Tether:
        """The tether with the measured means and variances of the weights.

        Raises
        ------
        ArgumentError
            If the neurons have not kept their signs: the code is unstable at this κ.
        """
        seen = _CHAINS * (_MEASUREMENTS - _MEASUREMENTS // 3)
        kept = self._kept / (seen * len(self.signs))
        if kept < 1:
            texts = " ".join(map(pattern_text, self.signs))
            raise ArgumentError(
                f"code {texts} does not hold at kappa = {self.kappa:g}: after settling its neurons "
                f"have these signs in {100 * kept:.0f} % of the measurements"
            )
        mean, square = self._sums / seen
        variance = (square - mean**2) * seen / (seen - 1)
        return Tether(mean, 1 / (_WIDER**2 * variance))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The state for a checkpoint; the caller stores that of the generator."""
        tensors = {f"settling.{name}": each for name, each in self.state.state_dict().items()}
        return {
            **{name: each.cpu().numpy() for name, each in tensors.items()},
            "settling.sums": self._sums,
            "settling.counts": np.array([self._measurement, self._kept], np.int64),
        }

    def restore(self, stored: dict[str, NDArray[Any]]) -> None:
        """Restore the state returned by :meth:`arrays`."""
        for name, tensor in self.state.state_dict().items():
            tensor.copy_(torch.from_numpy(stored[f"settling.{name}"]))
        if stored["settling.sums"].shape != self._sums.shape:
            raise ValueError(f"settling.sums has shape {stored['settling.sums'].shape}")
        self._sums = stored["settling.sums"].copy()
        self._measurement, self._kept = (int(each) for each in stored["settling.counts"])

"""An observer that keeps the predictions of a network: f at given inputs, draw by draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.energies.particles import ParticleEnergy
from feature_learning.model.forward import Forward
from feature_learning.model.teachers import Dataset

FloatArray = NDArray[np.float64]
#: Test inputs, evenly chosen, at which R-hat and effective sample size of f are judged.
_WATCHED = 16


class Predictions:
    """Observes the training MSE and f at the test inputs, and keeps f of the draws that count."""

    def __init__(self, energy: ParticleEnergy, points: Tensor) -> None:
        self.energy = energy
        self._forward = Forward(
            energy.student,
            Dataset(points, torch.zeros_like(points[:, 0])),
            chains=energy.chains,
            particles=energy.particles,
            scale=energy.scale,
        )
        chosen = np.linspace(0, len(points) - 1, min(_WATCHED, len(points))).round().astype(int)
        #: Names of the observables that are judged, and the numbers of their points.
        self.watched: dict[str, int] = {f"f[{point}]": int(point) for point in chosen}
        # One entry a measurement, None where it does not count; before the first, the start's.
        self._kept: list[Any] = []
        self._opened = 0

    def measure(self, theta: Tensor, *, average: bool | Tensor) -> dict[str, FloatArray]:
        """The training MSE (not half) and f at the watched points, each (chains,)."""
        parameters, training = self.energy.predictor_parameters(theta), self.energy.forward
        residual = training.predict(parameters) - training.labels
        f = self._forward.predict(parameters).double().cpu().numpy()
        counts = isinstance(average, Tensor) or average
        self._kept.append(f if counts else None)
        error = residual.square().mean(dim=1).double().cpu().numpy()
        return {"train_mse": error, **{name: f[:, at] for name, at in self.watched.items()}}

    def drawn(self, counted: NDArray[np.bool_]) -> FloatArray:
        """F of the measurements that count, (chains, draws, points)."""
        kept = [f for f, counts in zip(self._kept[1:], counted, strict=True) if counts]
        if not kept:
            return np.empty((self.energy.chains, 0, len(self._forward)))
        return np.stack(kept, axis=1)

    def posterior_mean(self) -> dict[str, FloatArray]:
        """Nothing: all draws are kept."""
        return {}

    def open_block(self) -> None:
        """Drop what will not count again: all but the block that ends now."""
        self._kept[: self._opened] = [None] * self._opened
        self._opened = len(self._kept)

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing: there is no checkpoint."""
        return {}

"""How far a run has come: all that grows during it, and its snapshot for a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.energies import Energy
from feature_learning.observables import Observer
from feature_learning.samplers import SamplerState

FloatArray = NDArray[np.float64]


@dataclass
class Progress:
    """Everything of a run that grows: exactly what a checkpoint holds besides tensors."""

    segment: int = 0
    within: int = 0  # steps done of the present segment
    done: int = 0  # steps done in all
    time: float = 0.0
    ceiling: float = 0.0  # the scale of the training MSE, for the divergence guard
    curvature: float = 0.0
    counted: list[bool] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)
    series: dict[str, list[FloatArray]] = field(default_factory=dict)
    final_look: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    # Weights (chains, particles, fan_in) of the chains that are done; the batch moves on.
    final_weights: Tensor | None = None

    def finish(self, done: NDArray[np.bool_], weights: Tensor) -> None:
        """Note the present look, and the weights at it, for the chains that are ``done`` now."""
        if self.final_weights is None:
            self.final_weights = torch.zeros_like(weights)
        now = torch.from_numpy(done).to(weights.device)
        self.final_weights[now] = weights[now]
        self.final_look[done] = self.segment - 1

    def weights(self, present: Tensor) -> Tensor:
        """Weights of each chain at its final look; the ``present`` ones where it is not done."""
        weights = present.clone()
        if self.final_weights is not None:
            done = torch.from_numpy(self.final_look >= 0).to(present.device)
            weights[done] = self.final_weights[done]
        return weights

    def arrays(self) -> dict[str, FloatArray]:
        """The series as arrays (chains, looks)."""
        return {name: np.stack(values, axis=1) for name, values in self.series.items()}


def _tensors(state: SamplerState, energy: Energy, observer: Observer) -> dict[str, Tensor]:
    return {
        **{f"state.{name}": tensor for name, tensor in state.memory().items()},
        **{f"energy.{name}": tensor for name, tensor in energy.memory().items()},
        **{f"observer.{name}": tensor for name, tensor in observer.memory().items()},
    }


def snapshot(
    at: Progress,
    state: SamplerState,
    energy: Energy,
    observer: Observer,
    random: torch.Generator,
) -> dict[str, NDArray[Any]]:
    """Everything that changes during a run, as arrays."""
    tensors = _tensors(state, energy, observer)
    return {
        **{name: tensor.cpu().numpy() for name, tensor in tensors.items()},
        **{f"series.{name}": values for name, values in at.arrays().items()},
        "random": random.get_state().numpy(),
        "counters": np.array([at.segment, at.within, at.done], np.int64),
        "clock": np.array([at.time, at.ceiling, at.curvature]),
        "counted": np.array(at.counted, dtype=bool),
        "times": np.array(at.times),
        "steps": np.array(at.steps, np.int64),
        "temperatures": np.array(at.temperatures),
        "final_look": at.final_look,
        **({} if at.final_weights is None else {"final_weights": at.final_weights.cpu().numpy()}),
    }


def restore(
    stored: dict[str, NDArray[Any]],
    at: Progress,
    state: SamplerState,
    energy: Energy,
    observer: Observer,
    random: torch.Generator,
) -> None:
    """Put a snapshot back."""
    for name, tensor in _tensors(state, energy, observer).items():
        tensor.copy_(torch.from_numpy(stored[name]))
    energy.restore({name: tensor.clone() for name, tensor in energy.memory().items()})
    random.set_state(torch.from_numpy(stored["random"]))
    at.segment, at.within, at.done = (int(value) for value in stored["counters"])
    at.time, at.ceiling, at.curvature = (float(value) for value in stored["clock"])
    at.counted, at.times = stored["counted"].tolist(), stored["times"].tolist()
    at.steps, at.temperatures = stored["steps"].tolist(), stored["temperatures"].tolist()
    at.final_look = stored["final_look"].copy()
    if "final_weights" in stored:
        at.final_weights = torch.from_numpy(stored["final_weights"]).to(state.position.device)
    at.series = {
        name.removeprefix("series."): list(values.T.copy())
        for name, values in stored.items()
        if name.startswith("series.")
    }

"""Progress of a run: everything that accumulates during it, and its snapshot for a checkpoint."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from feature_learning.energies.base import Energy
from feature_learning.inference.observables import Measuring
from feature_learning.model.parameters import Parameters
from feature_learning.samplers.base import SamplerState
from feature_learning.samplers.schedules import Schedule

FloatArray = NDArray[np.float64]


@dataclass
class Progress:
    """Everything that accumulates during a run: what a checkpoint holds besides tensors."""

    segment: int = 0
    within: int = 0  # steps done in the present segment
    done: int = 0  # steps done in total
    time: float = 0.0
    ceiling: float = 0.0  # the scale of the training MSE, for the divergence guard
    curvature: float = 0.0
    seconds: float = 0.0  # wall time of all calls up to the last checkpoint
    counted: list[bool] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    temperatures: list[float] = field(default_factory=list)  # per measurement, NaN in burn-in
    opened: int = 0  # the first measurement of the present block
    # Step size, friction and readout mass; empty until they are tuned.
    tuning: list[float] = field(default_factory=list)
    series: dict[str, list[FloatArray]] = field(default_factory=dict)
    final_measurement: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    # Weights (chains, particles, fan_in) and readouts (chains, particles) of the finished chains;
    # the batch itself continues.
    final: dict[str, Tensor] = field(default_factory=dict)

    def resumption(self, schedule: Schedule) -> str:
        """Message on where a run resumes that was restored from a checkpoint."""
        if self.segment == len(schedule.segments) or (self.final_measurement >= 0).all():
            return f"was finished at step {self.done}"
        time = self.time + self.within * schedule.segments[self.segment].step_size
        return (
            f"resumes at step {self.done} of {schedule.steps}, Langevin time {time:.6g}, after "
            f"{self.seconds:.1f} s"
        )

    def open_block(self) -> None:
        """Begin a block of measurements: of the earlier ones only the last block still counts."""
        self.counted[: self.opened] = [False] * self.opened
        self.opened = len(self.counted)

    def counted_temperatures(self) -> list[float]:
        """Kinetic temperatures at the measurements past burn-in."""
        pairs = zip(self.temperatures, self.counted, strict=True)
        return [each for each, counted in pairs if counted and not math.isnan(each)]

    def finish(self, done: NDArray[np.bool_], present: Parameters) -> None:
        """Record the present measurement and parameters as final for the chains in ``done``."""
        for name, tensor in (("weights", present.w), ("readouts", present.a)):
            kept = self.final.setdefault(name, torch.zeros_like(tensor))
            now = torch.from_numpy(done).to(tensor.device)
            kept[now] = tensor[now]
        self.final_measurement[done] = self.segment - 1

    def at_final_measurement(self, name: str, present: Tensor) -> Tensor:
        """``weights`` or ``readouts`` at each chain's final measurement, else the present ones."""
        found = present.clone()
        if name in self.final:
            done = torch.from_numpy(self.final_measurement >= 0).to(present.device)
            found[done] = self.final[name][done]
        return found

    def arrays(self) -> dict[str, FloatArray]:
        """The series as arrays (chains, measurements)."""
        return {name: np.stack(values, axis=1) for name, values in self.series.items()}


def progress_bar(
    total: float, initial: float, *, label: str, unit: str, shown: bool, **options: Any
) -> tqdm[Any]:
    """The progress line of a run, with the time left, on standard error."""
    return tqdm(
        total=total,
        initial=initial,
        desc=label,
        unit=unit,
        file=sys.stderr,
        disable=not shown,
        # Every redraw is a separate line in a log file: redraw rarely there.
        mininterval=0.5 if sys.stderr.isatty() else 10,
        dynamic_ncols=True,
        **options,
    )


def _tensors(state: SamplerState, energy: Energy, observer: Measuring) -> dict[str, Tensor]:
    return {
        **{f"state.{name}": tensor for name, tensor in state.state_dict().items()},
        **{f"energy.{name}": tensor for name, tensor in energy.state_dict().items()},
        **{f"observer.{name}": tensor for name, tensor in observer.state_dict().items()},
    }


def snapshot(
    at: Progress,
    state: SamplerState,
    energy: Energy,
    observer: Measuring,
    random: torch.Generator,
) -> dict[str, NDArray[Any]]:
    """Everything that changes during a run, as arrays."""
    tensors = _tensors(state, energy, observer)
    return {
        **{name: tensor.cpu().numpy() for name, tensor in tensors.items()},
        **{f"series.{name}": values for name, values in at.arrays().items()},
        "random": random.get_state().numpy(),
        "counters": np.array([at.segment, at.within, at.done, at.opened], np.int64),
        "tuning": np.array(at.tuning),
        "clock": np.array([at.time, at.ceiling, at.curvature, at.seconds]),
        "counted": np.array(at.counted, dtype=bool),
        "times": np.array(at.times),
        "steps": np.array(at.steps, np.int64),
        "temperatures": np.array(at.temperatures),
        "final_measurement": at.final_measurement,
        **{f"final_{name}": tensor.cpu().numpy() for name, tensor in at.final.items()},
    }


def _check_shapes(stored: dict[str, NDArray[Any]]) -> None:
    measurements, chains = len(stored["times"]), len(stored["final_measurement"])
    shapes = {"counters": (4,), "clock": (4,), "final_measurement": (chains,)}
    shapes |= dict.fromkeys(("counted", "times", "steps", "temperatures"), (measurements,))
    for name, values in stored.items():
        wanted = (
            (chains, measurements) if name.startswith("series.") else shapes.get(name, values.shape)
        )
        if values.shape != wanted or values.dtype.kind not in "biuf":
            raise ValueError(f"{name} has type {values.dtype} and shape {values.shape}")
    if stored["tuning"].shape not in ((0,), (3,)):
        raise ValueError(f"tuning has shape {stored['tuning'].shape}")


def restore(
    stored: dict[str, NDArray[Any]],
    at: Progress,
    state: SamplerState,
    energy: Energy,
    observer: Measuring,
    random: torch.Generator,
) -> None:
    """Restore a snapshot.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError
        If a part of it is missing or has the wrong type or shape.
    """
    _check_shapes(stored)
    for name, tensor in _tensors(state, energy, observer).items():
        tensor.copy_(torch.from_numpy(stored[name]))
    energy.load_state_dict({name: tensor.clone() for name, tensor in energy.state_dict().items()})
    random.set_state(torch.from_numpy(stored["random"]))
    at.segment, at.within, at.done, at.opened = (int(value) for value in stored["counters"])
    at.tuning = stored["tuning"].tolist()
    at.time, at.ceiling, at.curvature, at.seconds = (float(value) for value in stored["clock"])
    at.counted, at.times = stored["counted"].tolist(), stored["times"].tolist()
    at.steps, at.temperatures = stored["steps"].tolist(), stored["temperatures"].tolist()
    at.final_measurement = stored["final_measurement"].copy()
    if "final_weights" in stored:
        for name in ("weights", "readouts"):
            at.final[name] = torch.from_numpy(stored[f"final_{name}"]).to(state.position.device)
    at.series = {
        name.removeprefix("series."): list(values.T.copy())
        for name, values in stored.items()
        if name.startswith("series.")
    }

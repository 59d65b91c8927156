"""From an energy to a run: default step, starting points, schedule, observer, chains.

The same for the network posterior, MF and MF-ARD; nothing here knows which one it has.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from feature_learning import schedules
from feature_learning.chains import ChainRun, run
from feature_learning.curvature import largest_curvature
from feature_learning.energies import Energy, ParticleEnergy
from feature_learning.errors import (
    ArgumentError,
    check_choice,
    check_integer,
    check_real,
    check_scale,
)
from feature_learning.minibatch import MiniBatchEnergy
from feature_learning.observables import Observer
from feature_learning.randomness import generator
from feature_learning.release import FIRST_TILT, ReleasedEnergy
from feature_learning.samplers import (
    HMC,
    MALA,
    SGLD,
    AdaptiveSGLD,
    Gibbs,
    MiniBatchSGLD,
    PreconditionedSGLD,
    QuantisedLangevin,
    Sampler,
    Underdamped,
)
from feature_learning.samplers.quantised import VARIANCES, QuantumSchedule
from feature_learning.schedules import Schedule
from feature_learning.starts import PLANTED_EVERY, plant
from feature_learning.stopping import StopRule
from feature_learning.stopwatch import Stopwatch
from feature_learning.student import Student
from feature_learning.teachers import Dataset, Teacher

#: Name on the command line to class.
SAMPLERS: dict[str, Callable[[float], Sampler]] = {
    "sgld": SGLD,
    "underdamped": Underdamped,
    "mala": MALA,
    "hmc": HMC,
    "gibbs": Gibbs,
    "preconditioned": PreconditionedSGLD,
    "adaptive": AdaptiveSGLD,
    "quantised": QuantisedLangevin,
}
STARTS = ("prior", "planted", "spread", "released")


@dataclass(frozen=True)
class Sampling:
    """How an energy is sampled.

    Attributes
    ----------
    sampler : str
        One of :data:`SAMPLERS`, each with the other settings of its class at their defaults.
    step : float or None
        η or h; None takes :func:`default_step` at the start, times ``step_factor``.
    step_factor : float
        Above 1 where the curvature is known not to grow from its start.
    friction : float
        Of the samplers ``underdamped`` and ``gibbs`` after settling.
    langevin_time : float
        Budget Σ η (Σ h: unit-mass time, for the underdamped sampler).
    burn_in : float
        Fraction of the budget, see :func:`feature_learning.schedules.uniform`.
    settle : float
        Likewise.
    looks : int
        How often observables are measured.
    start : str
        ``prior``, ``planted`` (neurons aligned with the target), ``spread`` (every other chain
        planted) or ``released`` (from a tilted prior, :mod:`feature_learning.release`).
    step_schedule : str
        Of the sampler ``sgld``: one of :data:`feature_learning.schedules.SHAPES`. The budget counts
        the largest step; a schedule that falls reaches less Langevin time in the same steps.
    rounding : str or None
        Of the sampler ``quantised``: ``stochastic`` (None), ``nearest`` or ``floor``.
    quantum_epoch : int or None
        Of the sampler ``quantised``: steps of an epoch of Seok and Cho's schedule, in which the
        quantum falls from its first value; thermal noise fills what it leaves. None keeps it.
    quantum : float or None
        Of the sampler ``quantised``: the multiple its steps are rounded to, at the start; None
        takes √(2ηT), the size of the thermal noise.
    batch_size : int or None
        Samples of a mini-batch, for the sampler ``sgld``; None takes all.
    """

    sampler: str = "underdamped"
    step: float | None = None
    step_factor: float = 1.0
    friction: float = 0.02
    langevin_time: float = 3000.0
    burn_in: float = 0.5
    settle: float = 0.1
    looks: int = 200
    start: str = "prior"
    step_schedule: str = "constant"
    rounding: str | None = None
    quantum_epoch: int | None = None
    quantum: float | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        check_choice("sampler", self.sampler, SAMPLERS)
        for name, sampler in (
            *((name, "quantised") for name in ("rounding", "quantum_epoch", "quantum")),
            ("batch_size", "sgld"),
        ):
            if getattr(self, name) is not None and self.sampler != sampler:
                raise ArgumentError(
                    f"{name} is for sampler {sampler}, not for sampler {self.sampler}"
                )
        check_choice("step_schedule", self.step_schedule, schedules.SHAPES)
        if self.step_schedule != "constant" and self.sampler != "sgld":
            raise ArgumentError(
                f"step_schedule {self.step_schedule} is for sampler sgld, "
                f"not for sampler {self.sampler}"
            )
        if self.rounding is not None:
            check_choice("rounding", self.rounding, VARIANCES)
        if self.quantum_epoch is not None:
            check_integer("quantum_epoch", self.quantum_epoch, at_least=1)
        if self.quantum is not None:
            check_scale("quantum", self.quantum)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, at_least=1)
        check_choice("start", self.start, STARTS)
        if self.step is not None:
            check_scale("step", self.step)
        check_scale("step_factor", self.step_factor)
        check_scale("friction", self.friction)
        check_real("langevin_time", self.langevin_time, above=0)
        check_real("burn_in", self.burn_in, at_least=0, at_most=0.99)
        check_real("settle", self.settle, at_least=0, at_most=0.99)
        check_integer("looks", self.looks, at_least=1)

    def build(self, energy: Energy, position: Tensor) -> Sampler:
        """The sampler, with its default step if none is given."""
        sampler = SAMPLERS[self.sampler](1.0)
        if isinstance(sampler, Underdamped | Gibbs):
            sampler = replace(sampler, friction=self.friction)
        if self.batch_size is not None:
            sampler = MiniBatchSGLD(1.0)
        sampler = sampler.with_step(
            self.step or default_step(sampler, energy, position, factor=self.step_factor)
        )
        if isinstance(sampler, QuantisedLangevin):
            # Rounding noise must not stand for the thermal one (see the module): no larger.
            first = self.quantum or math.sqrt(2 * sampler.step_size * energy.temperature)
            quantum: float | QuantumSchedule = first
            if self.quantum_epoch is not None:
                quantum = QuantumSchedule.down_from(first, epoch=self.quantum_epoch)
            rounding = self.rounding or sampler.rounding
            sampler = replace(sampler, quantum=quantum, rounding=rounding)
        return sampler

    def batched(self, energy: Energy) -> Energy:
        """The energy, with mini-batches if there is a batch size.

        Raises
        ------
        ArgumentError
            For an energy that has none (collapsed, or with ARD), or too large a batch.
        """
        if self.batch_size is None:
            return energy
        if not isinstance(energy, ParticleEnergy):
            raise ArgumentError(f"batch_size needs particles, not {type(energy).__name__}")
        return MiniBatchEnergy(energy, self.batch_size)

    def schedule(self, sampler: Sampler) -> Schedule:
        """Equally spaced looks over the budget, with the step sizes of ``step_schedule``."""
        steady = schedules.uniform(
            step_size=sampler.step_size,
            langevin_time=self.langevin_time,
            burn_in=self.burn_in,
            settle=min(self.settle, self.burn_in),
            looks=self.looks,
        )
        return schedules.SHAPES[self.step_schedule](steady)


def default_step(
    sampler: Sampler, energy: Energy, position: Tensor, *, factor: float = 1.0
) -> float:
    """A safe step size from the curvature at the start, rounded down to two digits.

    Rounded, so that runs which differ only in their seed mostly share it.

    Raises
    ------
    ArgumentError
        If the curvature at the start is not finite and positive.
    """
    probe = torch.Generator(device=position.device).manual_seed(0)
    curvature = largest_curvature(energy, position, probe)
    if not 0 < curvature < math.inf:
        raise ArgumentError(
            f"step must be given: the curvature at the start is {curvature!r}, not positive"
        )
    step = factor * sampler.starting_step(curvature)
    unit = 10.0 ** (math.floor(math.log10(step)) - 1)
    return float(f"{math.floor(step / unit) * unit:.2g}")


def starting_position(
    energy: Energy,
    student: Student,
    teacher: Teacher,
    *,
    start: str,
    seed: int,
    readout: bool = True,
) -> Tensor:
    """Starting points of all chains, flat: prior draws, tilted or with planted neurons.

    Drawn from the ``start`` stream of the seed on the CPU, whatever the device.
    """
    random = generator(seed, "start")
    like = energy.field.labels
    if start == "released":
        student = replace(student, tilt=FIRST_TILT, tilted=teacher.sparsity)
    position = student.sample_prior(
        energy.chains,
        energy.particles,
        random,
        readout=readout,
        dtype=like.dtype,
        device=like.device,
    )
    if start in ("planted", "spread"):
        views = student.views(position, energy.chains, energy.particles, readout=readout)
        every = PLANTED_EVERY[start]
        plant(student, teacher, type(views)(*(view[::every] for view in views)), random)
    return position


def sample(
    energy: Energy,
    student: Student,
    teacher: Teacher,
    test: Dataset,
    sampling: Sampling,
    *,
    seed: int,
    readout: bool = True,
    schedule: Callable[[Sampler], Schedule] | None = None,
    stop: StopRule | None = None,
    checkpoint: Path | None = None,
    fingerprint: dict[str, Any] | None = None,
    progress: bool = False,
    label: str = "",
    stopwatch: Stopwatch | None = None,
    block_elements: int | None = None,
) -> tuple[ChainRun, Sampler]:
    """Sample an energy; returns the run and the sampler with the step size it used.

    ``seed`` gives the starts and the Langevin noise; the data are in ``energy`` already.
    ``schedule`` makes the schedule once the step size is known; without it, ``sampling.schedule``.
    Other arguments and errors as in :func:`feature_learning.chains.run`.
    """
    energy = sampling.batched(energy)
    position = starting_position(
        energy, student, teacher, start=sampling.start, seed=seed, readout=readout
    )
    sampler = sampling.build(energy, position)
    if isinstance(energy, ReleasedEnergy):
        # Half of burn-in: the other half is the network's own.
        burning = sampling.burn_in * sampling.langevin_time / sampler.step_size
        energy.release_over(round(0.5 * burning))
    observer = Observer(
        student, energy, test, sparsity=teacher.sparsity, block_elements=block_elements
    )
    result = run(
        energy,
        sampler,
        position,
        (schedule or sampling.schedule)(sampler),
        observer,
        stop=stop,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        progress=progress,
        label=label,
        stopwatch=stopwatch,
        random=generator(seed, "noise", device=position.device),
    )
    return result, sampler

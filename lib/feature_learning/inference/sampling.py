"""From an energy to a run: starting points, sampler, schedule, observer, chains.

The code is the same for the network posterior, MF and MF-ARD.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.energies.ladder import LadderEnergy
from feature_learning.energies.particles import ParticleEnergy
from feature_learning.energies.release import FIRST_TILT, ReleasedEnergy
from feature_learning.inference.chain_run import ChainRun
from feature_learning.inference.chains import run
from feature_learning.inference.diagnostics import ConvergenceRule
from feature_learning.inference.observables import Observer
from feature_learning.inference.starts import PLANTED_EVERY, plant
from feature_learning.inference.stopping import StopRule
from feature_learning.inference.stopwatch import Stopwatch
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset, Teacher
from feature_learning.randomness import generator
from feature_learning.samplers.base import Sampler
from feature_learning.samplers.options import Sampling
from feature_learning.samplers.schedules import Schedule


def starting_position(
    energy: Energy,
    student: Student,
    teacher: Teacher,
    *,
    start: str,
    signs: Tensor | None = None,
    seed: int,
    readout: bool = True,
) -> Tensor:
    """Starting points of all chains as a flat vector: prior draws, tilted or with planted neurons.

    They are drawn on the CPU from the ``start`` stream of the seed, whatever the device.
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
        # All replicas of a ladder have the same type of start.
        rungs = energy.rungs if isinstance(energy, LadderEnergy) else 1
        every = PLANTED_EVERY[start]
        planted = [chain for chain in range(energy.chains) if chain // rungs % every == 0]
        plant(student, teacher, views, random, chains=planted, signs=signs)
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
    signs: Tensor | None = None,
    schedule: Callable[[Sampler], Schedule] | None = None,
    stop: StopRule | None = None,
    rule: ConvergenceRule | None = None,
    max_time: float | None = None,
    checkpoint: Path | str | None = None,
    fingerprint: dict[str, Any] | None = None,
    progress: bool = False,
    label: str = "",
    stopwatch: Stopwatch | None = None,
    block_elements: int | None = None,
) -> tuple[ChainRun, Sampler]:
    """Sample an energy; returns the run and the sampler with its final step size.

    ``signs`` are the signs of planted neurons, (neurons, k). ``seed`` determines the starting
    points and the Langevin noise; ``energy`` already contains the data. ``schedule`` returns the
    schedule of a sampler with known step size; the default is ``sampling.schedule``. Other
    arguments and errors are those of :func:`feature_learning.inference.chains.run`.
    """
    energy = sampling.sampler.energy(energy)
    position = starting_position(
        energy, student, teacher, start=sampling.start, signs=signs, seed=seed, readout=readout
    )
    sampler = sampling.build(energy, position)
    if isinstance(energy, ReleasedEnergy):
        # Release during the first half of burn-in; the second half equilibrates the network.
        burning = sampling.burn_in * sampling.budget / sampler.step_size
        energy.release_over(round(0.5 * burning))
    observer = Observer(
        student,
        energy,
        test,
        sparsity=teacher.sparsity,
        block_elements=block_elements,
        codes=type(energy) is ParticleEnergy and not energy.self_energy,
    )
    result = run(
        energy,
        sampler,
        position,
        (schedule or sampling.schedule)(sampler),
        observer,
        stop=stop,
        tune=sampling.tuning(energy),
        max_time=max_time,
        rule=rule,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        progress=progress,
        label=label,
        stopwatch=stopwatch,
        random=generator(seed, "noise", device=position.device),
    )
    return result, result.sampler

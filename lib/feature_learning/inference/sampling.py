"""From an energy to a run: starting points, sampler, schedule, observer, chains.

The same for the network posterior, MF and MF-ARD; nothing here knows which one it has. An energy of
another model is sampled from a position and with an observer of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from feature_learning.energies.base import Energy, NetworkEnergy
from feature_learning.energies.ladder import LadderEnergy
from feature_learning.energies.particles import ParticleEnergy
from feature_learning.energies.release import FIRST_TILT, ReleasedEnergy
from feature_learning.errors import ArgumentError, check_choice
from feature_learning.inference.chain_run import ChainRun
from feature_learning.inference.chains import run_chains
from feature_learning.inference.diagnostics import ConvergenceRule
from feature_learning.inference.observables import Measuring, Observer
from feature_learning.inference.starts import PLANTED_EVERY, plant
from feature_learning.inference.stopping import StopRule
from feature_learning.inference.stopwatch import Stopwatch
from feature_learning.model.randomness import generator
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset, Teacher
from feature_learning.samplers.base import Sampler
from feature_learning.samplers.options import SamplingOptions
from feature_learning.samplers.registry import SAMPLERS, SamplerOptions
from feature_learning.samplers.schedules import Schedule


def starting_position(
    energy: NetworkEnergy,
    student: Student,
    teacher: Teacher | None,
    *,
    start: str,
    signs: Tensor | None = None,
    seed: int,
    readout: bool = True,
) -> Tensor:
    """Starting points of all chains as a flat vector: prior draws, tilted or with planted neurons.

    Drawn from the ``start`` stream of the seed on the CPU, whatever the device.

    Raises
    ------
    ArgumentError
        If there is no teacher for a start that is not ``prior``.
    """
    if teacher is None and start != "prior":
        raise ArgumentError(f"start must be prior without a teacher, not {start!r}")
    random = generator(seed, "start")
    like = energy.forward.labels
    if teacher is not None and start == "released":
        student = replace(student, tilt=FIRST_TILT, tilted=teacher.sparsity)
    position = student.sample_prior(
        energy.chains,
        energy.particles,
        random,
        readout=readout,
        dtype=like.dtype,
        device=like.device,
    )
    if teacher is not None and start in ("planted", "spread"):
        views = student.views(position, energy.chains, energy.particles, readout=readout)
        # All replicas of a ladder have the same type of start.
        replicas = energy.replicas if isinstance(energy, LadderEnergy) else 1
        every = PLANTED_EVERY[start]
        planted = [chain for chain in range(energy.chains) if chain // replicas % every == 0]
        plant(student, teacher, views, random, chains=planted, signs=signs)
    return position


def sample(
    energy: Energy,
    student: Student | None = None,
    teacher: Teacher | None = None,
    test: Dataset | None = None,
    sampling: SamplingOptions | None = None,
    *,
    seed: int,
    sampler: SamplerOptions | str | None = None,
    position: Tensor | None = None,
    observer: Measuring | None = None,
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
    tile_elements: int | None = None,
) -> tuple[ChainRun, Sampler]:
    """Sample an energy, p(θ) ∝ exp(-U(θ)/T).

    Parameters
    ----------
    energy : Energy
        One of the library's, or any object with the attributes and methods of
        :class:`~feature_learning.energies.base.Energy`; the data are in it.
    student : Student, optional
        Gives starts and predictions of an energy of particles
        (:class:`~feature_learning.energies.base.NetworkEnergy`). Without it, ``position`` and
        ``observer`` are needed.
    teacher : Teacher, optional
        For starts other than ``prior``, and for what is measured on the relevant coordinates.
    test : Dataset, optional
        Held-out points, (samples, dim) and (samples,); needed unless there is an ``observer``.
    sampling : SamplingOptions, optional
        Sampler, length, burn-in and start.
    seed : int
        Of the starts and the Langevin noise.
    sampler : SamplerOptions or str, optional
        In place of ``sampling``: a sampler, or its name, with defaults for all the rest.
    position : Tensor, optional
        Starting points, the flat parameter vector of all chains, in place of the ``start``.
    observer : Measuring, optional
        In place of an :class:`~feature_learning.inference.observables.Observer` of the test points.
    readout : bool
        Whether the particles have readouts.
    signs : Tensor, optional
        Of planted neurons, (neurons, k).
    schedule : callable, optional
        Makes the schedule once the step size is known; without it, ``sampling.schedule``.
    stop, rule, max_time, checkpoint, fingerprint, progress, label, stopwatch
        As in :func:`feature_learning.inference.chains.run_chains`. The default rule watches
        ``m_S`` and ``test_mse``: an observer that does not measure them needs a rule of its own.
    tile_elements : int, optional
        Memory bound of the test points.

    Returns
    -------
    run : ChainRun
    sampler : Sampler
        With the step size it had in the end.

    Raises
    ------
    ArgumentError
        For an object that is no energy, a start without a teacher, a position that is not finite or
        does not fit, or if something is missing.
    FeatureLearningError
        As in :func:`feature_learning.inference.chains.run_chains`.
    """
    _check_energy(energy, Energy, "energy")
    sampling = _chosen(sampling, sampler)
    energy = sampling.sampler.energy(energy)
    if position is not None:
        position = _checked(position, energy, student, readout=readout)
    elif student is not None:
        _check_energy(energy, NetworkEnergy, "without a position, energy")
        position = starting_position(
            cast(NetworkEnergy, energy),
            student,
            teacher,
            start=sampling.start,
            signs=signs,
            seed=seed,
            readout=readout,
        )
    else:
        raise ArgumentError("position must be given without a student")
    built = sampling.build(energy, position)
    if isinstance(energy, ReleasedEnergy):
        # Half of burn-in: the other half is the network's own.
        for_burn_in = sampling.burn_in * sampling.budget / built.step_size
        energy.release_over(round(0.5 * for_burn_in))
    if observer is None:
        if student is None or test is None:
            missing = "student" if student is None else "test"
            raise ArgumentError(f"{missing} must be given without an observer")
        _check_energy(energy, NetworkEnergy, "without an observer, energy")
        observer = Observer(
            student,
            cast(NetworkEnergy, energy),
            test,
            sparsity=None if teacher is None else teacher.sparsity,
            tile_elements=tile_elements,
            codes=type(energy) is ParticleEnergy and not energy.self_energy,
        )
    result = run_chains(
        energy,
        built,
        position,
        (schedule or sampling.schedule)(built),
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


def _chosen(
    sampling: SamplingOptions | None, sampler: SamplerOptions | str | None
) -> SamplingOptions:
    """How it is sampled, said in one of two ways."""
    if sampler is None:
        return SamplingOptions() if sampling is None else sampling
    if sampling is not None:
        raise ArgumentError("sampler must not be given beside sampling, which has one")
    if isinstance(sampler, str):
        sampler = SAMPLERS[check_choice("sampler", sampler, SAMPLERS)]()
    return SamplingOptions(sampler)


def _check_energy(energy: object, kind: type, name: str) -> None:
    """Refuse an object that lacks what an energy of this kind has."""
    wanted = {each for base in kind.__mro__ for each in getattr(base, "__annotations__", {})}
    if kind is Energy:
        wanted |= {"gradient", "refresh", "state_dict", "load_state_dict", "predictor_parameters"}
    missing = sorted(each for each in wanted if not hasattr(energy, each))
    if missing:
        raise ArgumentError(
            f"{name} must have {', '.join(missing)}, which {type(energy).__name__} lacks"
        )


def _checked(position: Tensor, energy: Energy, student: Student | None, *, readout: bool) -> Tensor:
    """The starting points, if they can be ones."""
    if position.dim() != 1 or not position.is_floating_point():
        raise ArgumentError(
            "position must be one flat vector of floating-point numbers, not "
            f"{tuple(position.shape)} of {position.dtype}"
        )
    if student is not None and hasattr(energy, "particles"):
        size = student.size(energy.chains, energy.particles, readout=readout)
        if len(position) != size:
            raise ArgumentError(
                f"position must have {size} entries, those of {energy.chains} chains, "
                f"not {len(position)}"
            )
    if not bool(position.isfinite().all()):
        raise ArgumentError("position must be finite")
    return position

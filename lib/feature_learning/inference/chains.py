r"""The run loop: burn-in, streaming observables, guards, stopping, checkpoints, Ctrl-C.

Chains form one batch and advance together through a schedule
(:class:`~feature_learning.samplers.schedules.Schedule`). At the end of each segment observables are
measured (floats per chain, never weights), and a stopping rule
(:mod:`feature_learning.inference.stopping`) may end the run.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.inference import checkpoints
from feature_learning.inference.chain_run import ChainRun
from feature_learning.inference.diagnostics import ConvergenceRule
from feature_learning.inference.guards import Guards
from feature_learning.inference.interruption import deferred_interrupt
from feature_learning.inference.observables import Measuring
from feature_learning.inference.progress import Progress, progress_bar, restore, snapshot
from feature_learning.inference.stopping import StopRule
from feature_learning.inference.stopwatch import Stopwatch
from feature_learning.inference.verdict import NOT_SETTLED, Verdict, judge
from feature_learning.model.forward import Forward
from feature_learning.samplers.base import Sampler, SamplerState
from feature_learning.samplers.schedules import Schedule, Segment

FloatArray = NDArray[np.float64]
#: Steps between two checks of the interrupt flag and updates of the progress bar.
_CHUNK = 50


def run_chains(
    energy: Energy,
    sampler: Sampler,
    position: Tensor,
    schedule: Schedule,
    observer: Measuring,
    *,
    stop: StopRule | None = None,
    tune: Callable[[Energy, Tensor], tuple[float, float, float]] | None = None,
    max_time: float | None = None,
    rule: ConvergenceRule | None = None,
    guards: Guards | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_every: int = 10,
    fingerprint: dict[str, Any] | None = None,
    progress: bool = False,
    label: str = "",
    stopwatch: Stopwatch | None = None,
    random: torch.Generator,
) -> ChainRun:
    """Run chains from ``position`` through ``schedule``.

    Parameters
    ----------
    energy, sampler, position, schedule, observer
        What is sampled, how, from where (flat vector), for how long, and what is measured
        (:class:`~feature_learning.inference.observables.Measuring`).
    stop : StopRule, optional
        Ends the run early, per chain; the batch continues until every chain has finished.
    tune : callable, optional
        Returns the step size, friction and readout mass of the underdamped sampler at the end of
        the initial descent of the loss. The segments of the schedule keep their Langevin time.
    max_time : float, optional
        Limit on the wall time in seconds, earlier calls included; the run then ends normally.
    rule : ConvergenceRule, optional
        Criterion of convergence at the end.
    guards : Guards, optional
        Thresholds that abort a run.
    checkpoint : Path or str, optional
        File saved every ``checkpoint_every`` measurements, at an interrupt and at the end; if it
        exists the run resumes from it. On the CPU a resumed run equals an uninterrupted one bit for
        bit.
    fingerprint : dict, optional
        Identifies the run in its checkpoint (JSON-serialisable).
    progress : bool
        Show the progress and the time left on standard error, and first the step at which the run
        resumes.
    label : str
        Name of the run in the progress line.
    stopwatch : Stopwatch, optional
        Receives the seconds of earlier calls from the checkpoint.
    random : torch.Generator
        Source of the Langevin noise, on the device of ``position``.

    Returns
    -------
    ChainRun
        After Ctrl-C as well: ``interrupted`` is set, and the series end there.

    Raises
    ------
    DivergenceError, EquipartitionError
        From the guards; the message gives the step, the step size and a size that would work.
    CheckpointError
        If the checkpoint is damaged, belongs to another run, is in use or cannot be written.
    """
    guards, rule, known = guards or Guards(), rule or ConvergenceRule(), fingerprint or {}
    stopwatch = stopwatch or Stopwatch()
    forward: Forward | None = getattr(energy, "forward", None)
    checkpoint = None if checkpoint is None else Path(checkpoint)
    with checkpoints.reserved(checkpoint):
        state, at = sampler.init(energy, position, random), Progress()
        stored = checkpoints.load(checkpoint, known) if checkpoint is not None else None
        if stored is not None:
            with checkpoints.fitting(checkpoint):
                restore(stored, at, state, energy, observer, random)
            stopwatch.earlier = at.seconds
            if progress:
                name = f"{label}: " if label else ""
                print(f"{name}{at.resumption(schedule)}, from {checkpoint}", file=sys.stderr)
        else:
            start = observer.measure(state.position, average=False).get("train_mse", np.zeros(1))
            power = 0.0 if forward is None else float(forward.labels.square().mean())
            at.ceiling = max(float(start.max()), power)
            first = sampler.with_step(max(segment.step_size for segment in schedule.segments))
            at.curvature = guards.check_curvature(first, energy, state, "at the start")
            at.final_measurement = np.full(energy.chains, -1, np.int64)

        def save() -> None:
            if checkpoint is not None:
                at.seconds = stopwatch.seconds
                arrays = snapshot(at, state, energy, observer, random)
                arrays["planned"] = np.array(
                    measurements
                )  # so that readers of the file know the end
                checkpoints.save(checkpoint, arrays, known)

        def going() -> bool:
            return not interrupt and (max_time is None or stopwatch.seconds < max_time)

        measurements, missing = len(schedule.segments), ""
        if at.tuning:
            sampler = sampler.with_tuning(*at.tuning)
        with (
            deferred_interrupt() as interrupt,
            progress_bar(schedule.steps, at.done, label=label, unit="step", shown=progress) as bar,
        ):
            while at.segment < measurements and going() and (at.final_measurement < 0).any():
                segment = schedule.segments[at.segment]
                if tune is not None and not segment.warmup and not at.tuning:
                    at.tuning = list(tune(energy, state.position))
                    sampler = sampler.with_tuning(*at.tuning)
                    sampler.begin(state, energy)
                    # The earlier curvature was measured at other masses.
                    at.curvature = guards.check_curvature(sampler, energy, state, "after settling")
                if at.tuning:
                    segment = segment.with_step(sampler.step_size)
                if segment.opens and at.opened < len(at.counted):
                    at.open_block()
                    observer.open_block()
                if schedule.grows:
                    bar.total = at.done - at.within + schedule.ahead(at.segment, segment.step_size)
                mover = sampler.with_step(segment.step_size)
                mover = mover.for_burn_in() if segment.burn_in else mover
                mover = mover.for_warmup() if segment.warmup else mover
                while at.within < segment.steps and going():
                    steps = min(_CHUNK, segment.steps - at.within)
                    with nullcontext() if forward is None else forward.stepping():
                        mover.advance(state, energy, steps, random, done=at.done)
                    at.within, at.done = at.within + steps, at.done + steps
                    bar.update(steps)
                if at.within < segment.steps:
                    break
                at.segment, at.within = at.segment + 1, 0
                at.time += segment.steps * segment.step_size
                weight = _weight(schedule, segment, mover, state, energy.chains)
                average = not segment.burn_in if weight is None or segment.burn_in else weight
                measured = observer.measure(state.position, average=average)
                # Copies: an observer may give a view of the position, which moves on.
                values = {name: np.array(each, np.float64) for name, each in measured.items()}
                report = mover.report(state) | ({} if weight is None else {"weight": weight})
                values |= {name: value.double().cpu().numpy() for name, value in report.items()}
                _record(at, values, segment.burn_in, state, energy, mover)
                _watch(guards, at, mover, energy, state, values.get("train_mse"), measurements)
                bar.set_postfix_str(
                    _shown(values) + missing,
                    refresh=False,
                )
                if stop is not None:
                    done = stop.finished(at.arrays(), np.array(at.counted))
                    if (new := (at.final_measurement < 0) & done).any():
                        at.finish(new, energy.predictor_parameters(state.position))
                    elif progress and schedule.closes(at.segment):
                        missing = f"; not settled: {_judged(at, rule).convergence.reasons[0]}"
                if at.segment % checkpoint_every == 0:
                    save()
            save()
            unfinished = at.segment < measurements and bool((at.final_measurement < 0).any())
            late = unfinished and not bool(interrupt)
        return _result(
            at,
            state,
            energy,
            observer,
            rule,
            sampler,
            interrupted=unfinished and not late,
            late=max_time if late else None,
        )


def _shown(values: dict[str, FloatArray]) -> str:
    """The numbers of the progress line, of those that are measured."""
    formats = {"m_S": "m_S={:.3f}", "test_mse": "test MSE={:.3g}"}
    known = (
        formats
        if formats.keys() & values.keys()
        else {name: f"{name}={{:.3g}}" for name in [*values][:1]}
    )
    return ", ".join(known[name].format(values[name].mean()) for name in known if name in values)


def _weight(
    schedule: Schedule, segment: Segment, mover: Sampler, state: SamplerState, chains: int
) -> Tensor | None:
    """Weight of the present sample, (chains,): its Langevin time; None if all are equal."""
    weight = mover.weight(state)
    if not schedule.weighted:
        return weight
    span = segment.steps * segment.step_size
    return torch.full((chains,), span, dtype=torch.float64) if weight is None else span * weight


def _record(
    at: Progress,
    values: dict[str, FloatArray],
    burn_in: bool,
    state: SamplerState,
    energy: Energy,
    sampler: Sampler,
) -> None:
    """Append one measurement."""
    for name, value in values.items():
        at.series.setdefault(name, []).append(value)
    at.counted.append(not burn_in)
    at.times.append(at.time)
    at.steps.append(at.done)
    temperature = sampler.kinetic_temperature(state) / energy.temperature
    at.temperatures.append(math.nan if burn_in else temperature)


def _watch(
    guards: Guards,
    at: Progress,
    mover: Sampler,
    energy: Energy,
    state: SamplerState,
    train_mse: FloatArray | None,
    measurements: int,
) -> None:
    """Apply the guards; the curvature, which costs gradients, is measured about eight times."""
    where = f"by step {at.done} with step size {mover.step_size:.4g}"
    advice = f"a step size of {mover.largest_step(at.curvature):.2g} or less would work"
    guards.check_finite(state, train_mse, at.ceiling, where, advice)
    sampled = at.time - at.times[at.counted.index(True)] if True in at.counted else 0.0
    guards.check_temperature(
        at.counted_temperatures(), sampled / mover.velocity_relaxation_time, where, advice
    )
    if at.segment % math.ceil(measurements / 8) == 0:
        curvature = guards.check_curvature(mover, energy, state, f"at step {at.done}")
        at.curvature = max(at.curvature, curvature)


def _result(
    at: Progress,
    state: SamplerState,
    energy: Energy,
    observer: Measuring,
    rule: ConvergenceRule,
    sampler: Sampler,
    *,
    interrupted: bool,
    late: float | None,
) -> ChainRun:
    series = at.arrays()
    counted = np.array(at.counted, dtype=bool)
    final = np.where(at.final_measurement < 0, len(at.counted) - 1, at.final_measurement)
    temperatures = at.counted_temperatures()
    temperature = float(np.mean(temperatures)) if temperatures else math.nan
    verdict = _judged(at, rule)
    present = energy.predictor_parameters(state.position)
    judged = verdict.convergence.of_run(temperature, interrupted=interrupted)
    if late is not None and not verdict.convergence.converged:
        judged = judged.denied(f"the time limit of {late:g} s was reached")
    verdict = verdict.judged(judged)
    return ChainRun(
        series=series,
        counted=counted,
        times=np.array(at.times),
        steps=np.array(at.steps, dtype=np.int64),
        final_measurement=final,
        posterior_mean=observer.posterior_mean(),
        verdict=verdict,
        convergence=judged,
        state=state,
        weights=at.at_final_measurement("weights", present.w),
        readouts=at.at_final_measurement("readouts", present.a),
        kinetic_temperature=temperature,
        curvature=at.curvature,
        interrupted=interrupted,
        sampler=sampler,
    )


def _judged(at: Progress, rule: ConvergenceRule) -> Verdict:
    """The verdict on the measurements past burn-in."""
    counted = np.array(at.counted, dtype=bool)
    draws = at.arrays()
    if not draws:  # interrupted before the first measurement
        return Verdict(NOT_SETTLED, np.ones(len(at.final_measurement), dtype=bool), rule.judge({}))
    return judge({name: each[:, counted] for name, each in draws.items()}, rule)

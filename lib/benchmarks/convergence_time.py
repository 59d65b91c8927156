"""Time until four chains have settled: this library, and blackjax's best samplers, self-tuned.

All start in the code of largest evidence, with everything else from the prior
(:class:`feature_learning.PointConfig` with ``start="planted"``): at κ = 0.005 the posterior is in
that code from about 400 samples on. They have settled when R-hat of m_S and of the test MSE is
below 1.01 and their effective sample sizes are at least 100
(:class:`feature_learning.ConvergenceRule`) over the second half of the measurements. This is tested
whenever their number has grown by a quarter. The time includes tuning, compilation, steps and
measurements.

A peer gets :data:`PATIENCE` times our time. If that is not enough, its effective samples per
second, in the second half and without the tuning, show how much longer it would take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.ess import Watch
from benchmarks.problem import UNDERDAMPED, Array, Problem
from benchmarks.speed import DYNAMICS, LABELS
from benchmarks.tuned import TUNED, TunedUnderdamped
from feature_learning import ConvergenceRule, Student, configure, network_posterior
from feature_learning.inference.diagnostics import effective_sample_size, standard_error
from feature_learning.inference.sampling import starting_position

#: Time limit of a peer, in units of our time.
PATIENCE = 10.0
#: Measurements before the rule is first tested, and factor of growth before each further test.
FIRST, GROWTH = 40, 1.25
#: Number of training samples P, and of chains.
SAMPLES, CHAINS = 1000, 4


@dataclass(frozen=True)
class Settling:
    """The time until chains have settled, or the time limit.

    ``rates`` are effective samples per second, ``means`` averages with their standard errors. The
    averages of a sampler with too long a step would differ from the others'.
    """

    package: str
    dynamics: str
    n_train: int
    kappa: float
    seconds: float
    steps: int
    settled: bool
    r_hat: float
    rates: dict[str, float]
    means: dict[str, tuple[float, float]]
    setting: str


def begin(n_train: int = SAMPLES, *, width: int, dim: int, kappa: float) -> Problem:
    """The problem, with chains that start in the code of largest evidence."""
    config = configure(
        n_train=n_train,
        width=width,
        dim=dim,
        sparsity=min(4, dim),
        kappa=kappa,
        chains=CHAINS,
        start="planted",
        until_settled=True,
        sampler=UNDERDAMPED,
    )
    problem = Problem.make(n_train=n_train, chains=CHAINS, width=width, dim=dim, kappa=kappa)
    student = Student(dim=dim, width=width)
    energy = network_posterior(student, problem.dataset(), kappa=kappa, chains=CHAINS)
    flat = starting_position(
        energy,
        student,
        config.teacher,
        start="planted",
        signs=torch.tensor(config.signs),
        seed=0,
    )
    w, a, _ = student.views(flat, CHAINS, width)
    return replace(problem, w=w.contiguous().numpy(), a=a.numpy().copy())


def measure(
    problem: Problem, *, seconds: float, tuning: dict[str, int], alone: bool = False
) -> Iterator[Settling]:
    """Measure this library for at most ``seconds``, then the peers unless it is ``alone``.

    Parameters
    ----------
    problem
        From :func:`begin`.
    tuning
        Length of the tuning by dynamics of the peers, see :class:`benchmarks.tuned.Tuned`.
    """
    first = run(lambda: TunedUnderdamped(problem), problem, seconds)
    yield first
    for kind in () if alone else TUNED:
        steps = tuning[kind.dynamics]
        yield run(partial(kind, problem, steps), problem, PATIENCE * first.seconds)


def run(make: Callable[[], Any], problem: Problem, seconds: float) -> Settling:
    """Build a contender and run its chains until they have settled or the time is over."""
    watch, rule = Watch(problem), ConvergenceRule()
    begun = time.perf_counter()
    contender = make()
    times, measurements, asked = [time.perf_counter()], [], FIRST
    while True:
        contender.run(contender.spacing)
        measurements.append(watch.measurement(*contender.position()))
        times.append(time.perf_counter())
        late = len(measurements) >= FIRST and times[-1] - begun > seconds
        if late or len(measurements) >= asked:
            half, asked = _second_half(measurements), int(GROWTH * len(measurements)) + 1
            verdict = rule.judge(half)
            if late or verdict.converged:
                break
    passed = times[-1] - times[len(measurements) // 2]
    return Settling(
        contender.name,
        contender.dynamics,
        problem.n_train,
        problem.kappa,
        times[-1] - begun,
        contender.spacing * len(measurements),
        verdict.converged,
        max(verdict.r_hat.values()),
        {name: effective_sample_size(draws) / passed for name, draws in half.items()},
        {name: (float(draws.mean()), standard_error(draws)) for name, draws in half.items()},
        contender.setting,
    )


def _second_half(measurements: Sequence[tuple[Array, Array]]) -> dict[str, Array]:
    """The second half of both observables, (chains, measurements) each."""
    pairs: Array = np.array(
        measurements[len(measurements) // 2 :]
    )  # (measurements, observables, chains)
    return {"m_S": pairs[:, 0].T, "test_mse": pairs[:, 1].T}


def line(run: Settling) -> str:
    """The result in one line."""
    outcome = "have settled after" if run.settled else "have not settled within"
    rates = ", ".join(f"{name} {rate:.3g}" for name, rate in run.rates.items())
    means = ", ".join(f"{name} {mean:.5f} ± {sem:.5f}" for name, (mean, sem) in run.means.items())
    return (
        f"{LABELS[run.package]}, {DYNAMICS[run.dynamics]}, P={run.n_train}, kappa={run.kappa:g}: "
        f"{CHAINS} chains {outcome} {run.seconds:.0f} s and {run.steps} steps, R-hat "
        f"{run.r_hat:.3f}; {means}; effective samples per second: {rates} ({run.setting})"
    )

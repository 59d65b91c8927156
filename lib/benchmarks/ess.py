r"""Effective samples per step, from chains that have learned.

Peers' SGLD is the same Markov chain as this library's at the same step, and posteriors' BAOA and
blackjax's HMC are the same as its BAOAB and HMC (:func:`benchmarks.packages.check` measures the
steps). Effective samples per step are therefore a property of the dynamics: they are measured once,
with this library, and divided by each package's own time per step.

The numbers measure how fast a chain forgets *within the state it has learned*. Chains from the
prior stop in different metastable states here (as R-hat shows), so that each chain has its own
effective sample size, computed by ArviZ. The observables are the overlap m_S and all readouts:
``slowest readout`` has the smallest effective sample size of its chain, ``median readout`` the
median.

An estimate from a run of few autocorrelation times is too large: below :data:`TRUSTED` effective
samples in a chain it is marked "at most". The readouts of SGLD forget in a Langevin time of about
σ_a²/T, which is 2·10⁴ at κ = 0.005 and longer than a benchmark can run. They have a sharper bound.
SGLD is reversible (up to its step error), so that the autocorrelation over m steps is a mean of
powers, ρ_m = E x with 0 ≤ x ≤ 1, and by Jensen's inequality 1 + 2 Σ_k ρ_km = E (1+x)/(1-x) is at
least (1+ρ_m)/(1-ρ_m). With ρ_m = 1 - D, D half the mean squared displacement over σ_a²::

    effective samples per step ≤ D / (m (2 - D))

which needs no mean and holds for short runs. (It is for draws m steps apart; the draws between add
about D²/12 of it.) D is averaged over the readouts: the slowest of them moves no farther.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks.packages import CONTENDERS
from benchmarks.problem import HMC, SGLD, Array, Problem
from benchmarks.speed import LABELS, OURS
from feature_learning import SparseParity, Underdamped, make_dataset
from feature_learning.inference.diagnostics import effective_sample_size
from feature_learning.inference.observables import decompose
from feature_learning.model.forward import Forward
from feature_learning.model.student import Student

#: Effective samples in a chain below which an estimate is only an upper bound.
TRUSTED = 10.0
TEST_SAMPLES = 2000
OBSERVABLES = ("m_S", "median readout", "slowest readout")


@dataclass(frozen=True)
class Effective:
    """Effective samples per step, with one value per chain."""

    dynamics: str
    observable: str
    n_train: int
    steps: int
    per_step: tuple[float, ...]
    setting: str
    bounded: bool = False

    @property
    def value(self) -> float:
        """The mean over chains."""
        return float(np.mean(self.per_step))

    @property
    def bound(self) -> str:
        """``at most`` if the value is a bound, or a chain has too few effective samples."""
        few = min(self.per_step) * self.steps < TRUSTED
        return "at most" if few or self.bounded else ""


def learned(problem: Problem, steps: int) -> Problem:
    """The problem with its chains moved from the prior by underdamped dynamics: a warm start.

    A fifth of the steps has friction 1, the others have the friction of the problem.
    """
    ours = CONTENDERS[OURS, "underdamped"](problem)
    sampler: Underdamped = ours.sampler
    ours.sampler = sampler.for_warmup()
    ours.run(steps // 5)
    ours.sampler = sampler
    ours.run(steps - steps // 5)
    w, a = ours.position()
    return replace(problem, w=w, a=a)


class Watch:
    """Measures networks on test inputs."""

    def __init__(self, problem: Problem) -> None:
        chains, width, dim = problem.w.shape
        student = Student(dim=dim, width=width)
        test = make_dataset(SparseParity(dim, min(4, dim)), TEST_SAMPLES, seed=0, stream="test")
        self._labels, self._memory = test.labels, torch.empty(student.size(chains, width))
        self._parameters = student.views(self._memory, chains, width)
        self._field = Forward(student, test, chains=chains, particles=width, scale=student.scale)

    def measurement(self, w: Array, a: Array) -> tuple[Array, Array]:
        """m_S and the test MSE of one sample, each (chains,)."""
        self._parameters.w.copy_(torch.from_numpy(w))
        self._parameters.a.copy_(torch.from_numpy(a))
        predictions = self._field.predict(self._parameters)
        overlap = decompose(predictions, self._labels)["m_S"]
        error = (predictions - self._labels).square().mean(-1)
        return overlap.double().numpy().copy(), error.double().numpy().copy()


def describe(problem: Problem, dynamics: str) -> str:
    """The constants of the dynamics, in words."""
    if dynamics == SGLD:
        return f"step {problem.step_size:g}"
    if dynamics == HMC:
        return f"{problem.leapfrogs} leapfrogs of {problem.leapfrog_step:g}"
    return f"step {problem.inertial_step:g}, friction {problem.friction:g}"


def measure(problem: Problem, dynamics: str, *, seconds: float, every: int) -> list[Effective]:
    """Run one dynamics for some time, with a measurement every few steps.

    Parameters
    ----------
    problem
        A problem with chains that have learned, from :func:`learned`.
    dynamics
        Name of the dynamics.
    seconds
        Wall time; the number of measurements is even and at least 8.
    every
        Steps between two measurements, a multiple of the trajectory for HMC.
    """
    ours = CONTENDERS[OURS, dynamics](problem)
    watch = Watch(problem)
    overlaps: list[Any] = []
    readouts: list[Any] = []
    end = time.perf_counter() + seconds
    while len(overlaps) < 8 or time.perf_counter() < end:
        ours.run(every)
        w, a = ours.position()
        overlaps.append(watch.measurement(w, a)[0])
        readouts.append(a.astype(float))
    steps, setting = every * len(overlaps), describe(problem, dynamics)
    if dynamics == HMC:
        accepted = float(ours.sampler.report(ours.state)["acceptance"].mean())
        setting += f", acceptance {accepted:.2f}"
    moved = np.stack(readouts, 1)
    sizes = effective_sizes(np.stack(overlaps, 1), moved)
    limit = steps * reversible_bound(moved, every) if dynamics == SGLD else np.inf
    # NaN for chains that never moved because all trajectories were rejected.
    return [
        Effective(
            dynamics,
            name,
            problem.n_train,
            steps,
            tuple(float(size) / steps for size in np.minimum(values, most)),
            setting,
            bool((values > most).any()),
        )
        for name, values in sizes.items()
        for most in [np.inf if name == "m_S" else limit]
        if np.isfinite(values).all()
    ]


def effective_sizes(overlaps: Array, readouts: Array) -> dict[str, Array]:
    """Effective sample sizes of each chain, by observable.

    Parameters
    ----------
    overlaps, readouts
        (chains, measurements) and (chains, measurements, width).
    """
    each = np.array(
        [
            [effective_sample_size(series[None]) for series in chain.T]
            for chain in readouts  # (measurements, width)
        ]
    )
    return {
        "m_S": np.array([effective_sample_size(chain[None]) for chain in overlaps]),
        "median readout": np.median(each, axis=1),
        "slowest readout": np.min(each, axis=1),
    }


def reversible_bound(readouts: Array, every: int) -> Array:
    """Upper bound of effective samples per step of readouts with prior variance 1, (chains,).

    It holds for reversible chains; ``readouts`` are (chains, measurements, width), ``every`` steps
    apart.
    """
    lag = max(1, readouts.shape[1] // 4)
    moved = np.square(readouts[:, lag:] - readouts[:, :-lag]).mean(axis=(1, 2)) / 2
    # At D = 1 the autocorrelation has decayed.
    bound: Array = np.minimum(moved, 1.0) / (lag * every * (2 - np.minimum(moved, 1.0)))
    return bound


def lines(found: Sequence[Effective], times: Mapping[str, float]) -> str:
    """Effective samples per million steps, and per second for every package with the dynamics.

    ``times`` are in microseconds per step of one chain.
    """
    texts = []
    for each in found:
        rates = [f"{LABELS[name]} {1e6 * each.value / time:.3g}" for name, time in times.items()]
        texts.append(
            f"{each.dynamics}, {each.observable}: {each.bound} {1e6 * each.value:.3g} effective "
            f"samples per million steps ({each.setting}; {each.steps} steps)"
            + (f"; per second: {', '.join(rates)}" if rates else "")
        )
    return "\n".join(texts)

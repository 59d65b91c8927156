"""The measured packages, and the check that they all make the same steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch

from benchmarks.machine import wait
from benchmarks.peers import (
    BlackjaxHMC,
    BlackjaxSGLD,
    PosteriorsBAOA,
    PosteriorsSGLD,
    SGMCMCJaxSGLD,
)
from benchmarks.problem import (
    HMC,
    SGLD,
    UNDERDAMPED,
    Array,
    DisagreementError,
    MissingPeerError,
    Problem,
)
from feature_learning import HMC as HMCSampler
from feature_learning import SGLD as SGLDSampler
from feature_learning import Student, Underdamped, network_posterior
from feature_learning.model.randomness import generator

__all__ = [
    "CONTENDERS",
    "Contender",
    "DisagreementError",
    "MissingPeerError",
    "Ours",
    "Problem",
    "check",
    "shapes",
]

#: Largest relative distance of a gradient from the double-precision reference; two contenders that
#: pass the check differ by less than 1e-4.
GRADIENT_TOLERANCE = 5e-5
#: Tolerance of the second moment of the normalised noise, which must be 1.
NOISE_TOLERANCE = 0.05
CHECKED_STEPS = 5
#: HMC is checked on trajectories of one leapfrog step, so short that almost all are accepted.
CHECKED_LEAPFROG = 0.02


class Contender(Protocol):
    """A package that makes steps of one dynamics from the problem's start.

    Attributes
    ----------
    name, dynamics
        The package, and one of :data:`benchmarks.problem.DYNAMICS`.
    note
        How the package is used.
    shape
        The way it runs several chains.
    unit
        It makes multiples of this number of steps (a trajectory of HMC).
    """

    name: str
    dynamics: str
    note: str
    shape: str
    unit: int

    def gradient(self) -> tuple[Array, Array]:
        """∇U at the position: (chains, width, dim) and (chains, width)."""

    def position(self) -> tuple[Array, Array]:
        """Copies of w and a, shaped like the gradient."""

    def run(self, steps: int) -> None:
        """Make this number of steps and wait until they are done."""


class Ours:
    """This library's SGLD: all chains in one flat vector."""

    name, dynamics, unit = "feature_learning", SGLD, 1
    note = "network_posterior, and advance of a sampler"

    def __init__(self, problem: Problem, shape: str = "batch") -> None:
        self.shape, self._problem = shape, problem
        _, width, dim = problem.w.shape
        student = Student(dim=dim, width=width)
        self.energy = network_posterior(
            student, problem.dataset(), kappa=problem.kappa, chains=problem.chains
        )
        self.random = generator(1, "noise", device=problem.device)
        self.sampler: Any = self._sampler(problem)
        start = torch.empty(student.size(problem.chains, width))
        w, a, _ = student.views(start, problem.chains, width)
        w.copy_(torch.from_numpy(problem.w))
        a.copy_(torch.from_numpy(problem.a))
        self.state = self.sampler.init(self.energy, start.to(problem.device), self.random)
        self.done = 0

    def _sampler(self, problem: Problem) -> Any:
        return SGLDSampler(problem.step_size)

    def gradient(self) -> tuple[Array, Array]:
        out = torch.empty_like(self.state.position)
        self.energy.gradient(self.state.position, out)
        return self._unpack(out)

    def position(self) -> tuple[Array, Array]:
        return self._unpack(self.state.position)

    def run(self, steps: int) -> None:
        with self.energy.forward.stepping():
            self.sampler.advance(self.state, self.energy, steps, self.random, done=self.done)
        self.done += steps
        wait(self._problem.device)

    def _unpack(self, flat: torch.Tensor) -> tuple[Array, Array]:
        w, a, _ = self.energy.views(flat.cpu())
        return w.numpy().copy(), a.numpy().copy()


class OursUnderdamped(Ours):
    """This library's BAOAB."""

    dynamics = UNDERDAMPED

    def _sampler(self, problem: Problem) -> Any:
        return Underdamped(problem.inertial_step, friction=problem.friction)

    def velocity(self) -> tuple[Array, Array]:
        """Velocity without the half kick at the end of a step, where BAOA ends its steps."""
        half = 0.5 * self._problem.inertial_step
        return self._unpack(self.state.velocity + half * self.state.gradient)


class OursHMC(Ours):
    """This library's HMC with a fixed step; a step is one leapfrog step."""

    dynamics = HMC

    def _sampler(self, problem: Problem) -> Any:
        self.unit = problem.leapfrogs
        return HMCSampler(problem.leapfrog_step, problem.leapfrogs, jitter=0.0, adapt=False)


CONTENDERS: dict[tuple[str, str], Any] = {
    (kind.name, kind.dynamics): kind
    for kind in (
        Ours,
        BlackjaxSGLD,
        PosteriorsSGLD,
        SGMCMCJaxSGLD,
        OursUnderdamped,
        PosteriorsBAOA,
        OursHMC,
        BlackjaxHMC,
    )
}


def shapes(name: str, chains: int) -> tuple[str, ...]:
    """The ways to run the chains of a contender that are tried."""
    if name == Ours.name:
        return ("batch",)
    return ("vmap", "one by one") if chains > 1 else ("one by one",)


def checkable(problem: Problem, dynamics: str) -> Problem:
    """The problem with steps that :func:`check` can analyse: short trajectories of HMC."""
    if dynamics != HMC:
        return problem
    return replace(problem, leapfrog_step=CHECKED_LEAPFROG, leapfrogs=1)


def check(problem: Problem, contenders: Sequence[Any]) -> None:
    """Make some steps with each contender and check that they are the steps of the problem.

    The gradient at the start is compared with :meth:`Problem.gradient`. The random part of a step,
    divided by its amplitude (√(2Tη) for SGLD), must be white noise: second moment 1, no correlation
    between steps or chains.

    Raises
    ------
    DisagreementError
        Names the contender and the deviation.
    """
    expected = problem.start_gradient
    for contender in contenders:
        who = f"{contender.name} ({contender.dynamics})"
        for found, start in zip(contender.position(), (problem.w, problem.a), strict=True):
            if not np.array_equal(found, start):
                raise DisagreementError(f"{who} does not start from the given positions")
        for name, found, right in zip("wa", contender.gradient(), expected, strict=True):
            distance = np.linalg.norm(found - right) / np.linalg.norm(right)
            if not distance < GRADIENT_TOLERANCE:
                raise DisagreementError(
                    f"the gradient of {who} with respect to {name} has a relative error of "
                    f"{distance:.2g}; {GRADIENT_TOLERANCE:g} is allowed"
                )
        _check_noise(who, [_noise(problem, contender) for _ in range(CHECKED_STEPS)])


def _noise(problem: Problem, contender: Any) -> Array:
    """The noise ξ of one step, (chains, parameters)."""
    dynamics = contender.dynamics
    before = _flat(problem, contender.position())
    slope = _flat(problem, contender.gradient())
    velocity = _flat(problem, contender.velocity()) if dynamics == UNDERDAMPED else None
    contender.run(1)
    moved = _flat(problem, contender.position()) - before
    temperature = problem.temperature
    if dynamics == SGLD:
        eta = problem.step_size
        return (moved + eta * slope) / math.sqrt(2 * temperature * eta)
    if dynamics == HMC:
        h = problem.leapfrog_step
        return (moved + 0.5 * h * h * slope) / (h * math.sqrt(temperature))
    assert velocity is not None
    h, kicked = problem.inertial_step, velocity - problem.inertial_step * slope
    after = _flat(problem, contender.velocity())
    drift = 0.5 * h * (kicked + after)
    if not np.linalg.norm(moved - drift) < 1e-3 * np.linalg.norm(drift):
        raise DisagreementError(f"{contender.name} does not move by its velocity ({dynamics})")
    decay = math.exp(-problem.friction * h)
    return (after - decay * kicked) / math.sqrt(temperature * (1 - decay * decay))


def _flat(problem: Problem, pair: tuple[Array, Array]) -> Array:
    parts = [part.astype(float).reshape(problem.chains, -1) for part in pair]
    return np.concatenate(parts, axis=1)


def _check_noise(who: str, noise: Sequence[Array]) -> None:
    streams = np.concatenate(noise)  # (steps · chains, parameters)
    moments = streams @ streams.T / streams.shape[1]
    # Sampling error of a moment: √(2/parameters) on the diagonal, 1/√parameters off it.
    error = 6 / math.sqrt(streams.shape[1])
    power, overlap = float(moments.diagonal().mean()), np.triu(moments, 1)
    if not abs(power - 1) < NOISE_TOLERANCE + error / math.sqrt(len(streams)):
        raise DisagreementError(f"the noise of {who} has {power:.3g} times the right variance")
    if not float(np.abs(overlap).max()) < error:
        raise DisagreementError(
            f"the noise of {who} is correlated between steps or chains: "
            f"{float(np.abs(overlap).max()):.2g}, {error:.2g} is allowed"
        )

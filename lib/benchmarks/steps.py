"""The time of one step of every package.

Every combination of samples and chains is a case. Within a case the contenders take turns (A B C,
B C A, ...), so that other work on the machine affects all of them. Before the timing each contender
is checked to make the same step (:func:`benchmarks.packages.check`). Peers run several chains by
vmap and one by one, in separate turns, and the smaller median counts: which way is faster depends
on the number of samples. A turn fills a given time, so that a slow contender makes fewer steps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.packages import CONTENDERS, check, checkable, shapes
from benchmarks.problem import HMC, SGLD, Problem
from benchmarks.speed import DYNAMICS, LABELS, OURS
from feature_learning.experiments.paper import PARITY

#: Steps of one chain of the published protocol at the timed step of SGLD, if it runs to the end, a
#: Langevin time of 4083 (see :mod:`feature_learning.experiments.paper`).
CELL_STEPS = PARITY.schedule(Problem.step_size).steps


@dataclass(frozen=True)
class Timing:
    """One contender in one case: microseconds per step of one chain, one value per round."""

    n_train: int
    chains: int
    contender: str
    dynamics: str
    shape: str
    steps: int
    operations: int
    microseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return median(self.microseconds)

    def share(self, rate: float) -> float:
        """Rate of the two matrix products of a step, as a share of ``rate`` in GFLOP/s."""
        return self.operations / self.median / 1e3 / rate


def _seconds(contender: Any, steps: int) -> float:
    """Wall time of a number of steps."""
    start = time.perf_counter()
    contender.run(steps)
    return time.perf_counter() - start


def _turn(contender: Any, seconds: float) -> int:
    """Number of steps in about ``seconds``; the first run, which compiles, is not timed."""
    contender.run(contender.unit)
    once = min(_seconds(contender, contender.unit) for _ in range(2))
    return int(contender.unit) * max(1, min(2000, round(seconds / once)))


def measure(
    n_train: int,
    chains: int,
    who: Sequence[tuple[str, str]],
    *,
    seconds: float,
    rounds: int,
    width: int = 512,
    dim: int = 35,
    check_hmc: bool = True,
    device: str = "cpu",
) -> list[Timing]:
    """Measure one case: build, check, take turns, and keep the faster way of each contender.

    Parameters
    ----------
    samples, chains, width, dim
        The case.
    who
        Keys of :data:`benchmarks.packages.CONTENDERS`.
    seconds
        Length of a turn.
    rounds
        Number of turns of each contender.
    check_hmc
        Whether HMC is checked; its short trajectories need another compilation by JAX.
    device
        Device of this library.
    """
    problem = Problem.make(n_train=n_train, chains=chains, width=width, dim=dim, device=device)
    entries: list[tuple[tuple[str, str], Any, int]] = []
    for key in who:
        for shape in shapes(key[0], chains):
            contender = CONTENDERS[key](problem, shape)
            if key[1] != HMC:
                check(problem, [contender])
            elif check_hmc:
                short = checkable(problem, HMC)
                check(short, [CONTENDERS[key](short, shape)])
            entries.append((key, contender, _turn(contender, seconds)))
    times: list[list[float]] = [[] for _ in entries]
    for round_ in range(rounds):
        for index in range(len(entries)):
            at = (index + round_) % len(entries)
            _, contender, turn = entries[at]
            times[at].append(_seconds(contender, turn) / (turn * chains) * 1e6)
    found = [
        Timing(
            n_train,
            chains,
            contender.name,
            contender.dynamics,
            contender.shape,
            turn,
            problem.operations,
            tuple(values),
        )
        for (_, contender, turn), values in zip(entries, times, strict=True)
    ]
    keys = [key for key, *_ in entries]
    return [
        min((each for key, each in zip(keys, found, strict=True) if key == one), key=_median)
        for one in who
    ]


def _median(timing: Timing) -> float:
    return timing.median


HEADING = (
    f"{'P':>6}{'chains':>8}  {'dynamics':<13}{'package':<14}{'us per step and chain':>26}"
    f"{'/ ours':>8}{'of mm':>8}{'steps':>7}  chains by"
)


def cells(timing: Timing) -> tuple[float, float, float]:
    """Cells of the published protocol per minute, for the median, slowest and fastest round.

    A cell is one chain of :data:`CELL_STEPS` steps of SGLD at this number of samples; a batch
    computes one cell for each of its chains. The time of measurements is not included.
    """
    per_minute = 60e6 / CELL_STEPS
    slowest, fastest = max(timing.microseconds), min(timing.microseconds)
    return per_minute / timing.median, per_minute / slowest, per_minute / fastest


def lines(case: Sequence[Timing], rate: float) -> str:
    """Lines of one case: median (min to max), ratio to ours, and share of the rate."""
    ours = {each.dynamics: each.median for each in case if each.contender == OURS}
    texts = []
    for each in case:
        low, high = min(each.microseconds), max(each.microseconds)
        spread = f"{each.median:.0f} ({low:.0f} to {high:.0f})"
        ratio = f"{each.median / ours[each.dynamics]:.2f}" if each.dynamics in ours else ""
        texts.append(
            f"{each.n_train:>6}{each.chains:>8}  {DYNAMICS[each.dynamics]:<13}"
            f"{LABELS[each.contender]:<14}{spread:>26}{ratio:>8}{each.share(rate):>8.0%}"
            f"{each.steps:>7}  {each.shape}"
        )
    return "\n".join(texts)


def throughput(cases: Sequence[Sequence[Timing]]) -> str:
    """Cells per minute of this library, by samples and chains in a batch."""
    texts = [
        f"{cells(each)[0]:.3g} at P = {each.n_train} with {each.chains}"
        for case in cases
        for each in case
        if (each.contender, each.dynamics) == (OURS, SGLD)
    ]
    return (
        f"cells of the published protocol per minute ({CELL_STEPS} steps of SGLD each; P, and "
        f"chains in a batch): {'; '.join(texts)}"
    )


def verdict(cases: Sequence[Sequence[Timing]]) -> str:
    """The smallest ratio of each peer's time to ours, by dynamics; no threshold is enforced."""
    worst: dict[tuple[str, str], float] = {}
    for case in cases:
        ours = {each.dynamics: each.median for each in case if each.contender == OURS}
        for each in case:
            if each.contender != OURS and each.dynamics in ours:
                key = (each.contender, each.dynamics)
                worst[key] = min(worst.get(key, float("inf")), each.median / ours[each.dynamics])
    return "\n".join(
        f"{LABELS[name]} {DYNAMICS[kind]}: at least {ratio:.2f} times our time, in every case"
        for (name, kind), ratio in worst.items()
    )

r"""Population annealing: many networks go along a path together, and count what they lose on it.

A path is a family of densities π_t(θ), known up to a constant, from one that can be drawn from
(t = ``begin``) to the one that is asked for (t = ``end``). R members begin as draws from the first.
At each step from t to t' every member gets the weight ::

    w_r = π_t'(θ_r)/π_t(θ_r)

R members are drawn in proportion to the weights (systematically: a member of weight w appears
R w/Σw times, rounded up or down), and all are moved by a sampler that leaves π_t' invariant. With
Z(t) the integral of π_t, ::

    log Ẑ = Σ_steps log (1/R) Σ_r w_r

estimates log Z(end)/Z(begin); Ẑ itself is unbiased if the moves are and the steps are fixed. The
step is the longest at which the effective number of members, (Σ w)²/Σ w², stays above a share of R.

Where a density has several states, a population ends in those that its members found on the way,
and knows nothing of others. Averages over independent populations are weighted by their Ẑ
(:func:`combined`), whose spread says whether they agree.

Hukushima and Iba, AIP Conf. Proc. 690, 200 (2003); Machta, Phys. Rev. E 82, 026704 (2010); Wang,
Machta and Katzgraber, Phys. Rev. E 92, 063307 (2015); of other paths than that of the temperature,
Neal, Stat. Comput. 11, 125 (2001).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.errors import ArgumentError, check_real

FloatArray = NDArray[np.float64]
#: Of the interval in which the next t is sought: a path can be that many powers of two long.
_HALVINGS = 60


class Path(Protocol):
    """Densities from one to another, t growing."""

    @property
    def begin(self) -> float:
        """Where it starts."""

    @property
    def end(self) -> float:
        """Where it ends."""

    def place(self, share: float) -> float:
        """The t at a share of the way, 0 to 1; smooth, and slow where the densities change."""

    def log_density(self, position: Tensor) -> Callable[[float], FloatArray]:
        """Of every member, (members,), log π_t as a function of t, at these positions."""

    def choose(self, position: Tensor, order: NDArray[np.int64]) -> None:
        """Put member ``order[r]`` in the place of member r, in place."""

    def move(self, population: Population, random: torch.Generator) -> None:
        """Move every member, in place, by steps that leave π invariant where the population is."""


@dataclass
class Population:
    """Members, and what they have counted so far.

    Attributes
    ----------
    position : Tensor
        Of all members, flat.
    families : array (members,) of int
        Of each member, the number of the one it began as.
    log_evidence : float
        log Ẑ so far.
    at : float or None
        Where on the present path; None before its first step.
    ladder : list of float
        t of every step so far, on all paths.
    effective : list of float
        The effective number of members at each of these steps.
    step_size : float
        Of the sampler at the last move; 0 asks for a new one at the next.
    """

    position: Tensor
    families: NDArray[np.int64]
    log_evidence: float = 0.0
    at: float | None = None
    step_size: float = 0.0
    ladder: list[float] = field(default_factory=list)
    effective: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, position: Tensor, members: int) -> Population:
        """Independent draws, each the first of its family."""
        return cls(position, np.arange(members))

    @property
    def surviving(self) -> int:
        """Families that have members left."""
        return len(np.unique(self.families))

    @property
    def concentration(self) -> float:
        """ρ_t = R Σ_f n_f², n_f the fraction of family f: 1 if none died, R if one lives.

        At the worst, averages over the population have the error of R/ρ_t independent members.
        """
        counts = np.unique(self.families, return_counts=True)[1]
        members = len(self.families)
        return float(members * np.sum((counts / members) ** 2))


def anneal(
    population: Population,
    path: Path,
    *,
    share: float = 0.9,
    random: torch.Generator,
    after: Callable[[Population], bool] | None = None,
) -> bool:
    """Take a population along a path, in place; True once it is at the end.

    Parameters
    ----------
    population : Population
        At the beginning of the path, or where an earlier call has left it on it.
    path : Path
    share : float
        Least effective number of members after a step, as a share of all.
    random : torch.Generator
        On the device of the positions.
    after : callable, optional
        Called with the population after every step; true ends the call there.

    Raises
    ------
    ArgumentError
        If the share is out of range.
    """
    check_real("share", share, above=0, at_most=0.999)
    while (at := path.begin if population.at is None else population.at) < path.end:
        log_density = path.log_density(population.position)
        before = log_density(at)
        to = _farthest(lambda t: log_density(t) - before, at, path.end, share)  # noqa: B023
        weights = log_density(to) - before
        order = _resampled(weights, random)
        path.choose(population.position, order)
        population.families, population.at = population.families[order], to
        population.log_evidence += log_mean(weights)
        population.ladder.append(to)
        population.effective.append(_effective(weights))
        path.move(population, random)
        if after is not None and after(population):
            break
    done = population.at is None or population.at >= path.end
    if done:
        population.at = None
    return done


def combined(log_evidences: Sequence[float] | FloatArray) -> tuple[float, float, FloatArray]:
    """Several independent populations as one.

    Returns
    -------
    log_evidence : float
        log of the mean of their Ẑ.
    sem : float
        Its standard error from their spread, √(Σ (u - 1)²/(n (n - 1))) with u = Ẑ/mean; NaN for
        one. It is near 1 where one population outweighs all others: they do not agree then.
    weights : array (n,)
        Ẑ/Σ Ẑ, with which their averages are to be averaged.

    Raises
    ------
    ArgumentError
        If there is none, one is NaN or infinite, or all are -inf: an Ẑ of 0.
    """
    logs = np.asarray(log_evidences, dtype=np.float64)
    if logs.ndim != 1 or not len(logs) or not -math.inf < logs.max() < math.inf:
        raise ArgumentError(
            f"log_evidences must be numbers below inf, one above -inf, not {log_evidences!r}"
        )
    mean = log_mean(logs)
    ratios = np.exp(logs - mean)
    n = len(logs)
    sem = math.sqrt(float(np.sum((ratios - 1) ** 2)) / (n * (n - 1))) if n > 1 else math.nan
    return mean, sem, ratios / n


def log_mean(logs: FloatArray) -> float:
    """The log of the mean of exp(logs), without overflow."""
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).mean()))


def _farthest(
    log_weights: Callable[[float], FloatArray], at: float, end: float, share: float
) -> float:
    """The t up to ``end`` to which enough members stay effective, by bisection."""

    def allowed(to: float) -> bool:
        weights = log_weights(to)
        return _effective(weights) >= share * len(weights)

    if allowed(end):
        return end
    # The effective number falls from R at ``at``, as the densities part.
    low, high = at, end
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return low if low > at else high


def _effective(log_weights: FloatArray) -> float:
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / np.square(weights).sum())


def _resampled(log_weights: FloatArray, random: torch.Generator) -> NDArray[np.int64]:
    """Which member stands in each place from now on."""
    weights = np.exp(log_weights - log_weights.max())
    members = len(weights)
    start = float(torch.rand((), generator=random, dtype=torch.float64, device=random.device))
    places = (start + np.arange(members)) / members
    chosen = np.searchsorted(np.cumsum(weights) / weights.sum(), places, side="right")
    return np.minimum(chosen, members - 1)

r"""Population annealing: many networks follow a path of densities, and their weights give log Z.

A path is a family of densities π_t(θ), known up to a constant, from one that can be sampled
directly (t = ``begin``) to the target density (t = ``end``). R members start as draws from the
first. At each step from t to t' every member gets the weight ::

    w_r = π_t'(θ_r)/π_t(θ_r)

R members are drawn in proportion to the weights (systematically: a member of weight w appears
R w/Σw times, rounded up or down), and all are moved by a sampler that leaves π_t' invariant. With
Z(t) the integral of π_t, ::

    log Ẑ = Σ_steps log (1/R) Σ_r w_r

estimates log Z(end)/Z(begin); Ẑ itself is unbiased if the moves are and the steps are fixed. The
step is the longest at which the effective number of members, (Σ w)²/Σ w², stays above a share of R.

If a density has several states, a population ends in those that its members found on the path and
misses the others. Averages over independent populations are weighted by their Ẑ
(:func:`combined`), whose spread shows whether they agree.

Hukushima and Iba, AIP Conf. Proc. 690, 200 (2003); Machta, Phys. Rev. E 82, 026704 (2010); Wang,
Machta and Katzgraber, Phys. Rev. E 92, 063307 (2015); for paths other than temperature, Neal,
Stat. Comput. 11, 125 (2001).
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
#: Bisections of the interval in which the next t is sought; a path can span this many factors of 2.
_HALVINGS = 60


class Path(Protocol):
    """A path of densities π_t with increasing t."""

    @property
    def begin(self) -> float:
        """The t at which the path starts."""

    @property
    def end(self) -> float:
        """The t at which the path ends."""

    def place(self, share: float) -> float:
        """The t at a share of the path, 0 to 1; smooth, and slow where the densities change."""

    def log_density(self, position: Tensor) -> Callable[[float], FloatArray]:
        """The function t → log π_t of every member, (members,), at these positions."""

    def choose(self, position: Tensor, order: NDArray[np.int64]) -> None:
        """Replace member r by member ``order[r]``, in place."""

    def move(self, population: Population, random: torch.Generator) -> None:
        """Move every member, in place, by steps that leave π_t at the present t invariant."""


@dataclass
class Population:
    """The members of a population, and its estimates so far.

    Attributes
    ----------
    position : Tensor
        Positions of all members, flat.
    families : array (members,) of int
        Family of each member: the number of its ancestor at the start.
    log_evidence : float
        log Ẑ so far.
    at : float or None
        Present t on the path; None before its first step.
    ladder : list of float
        t of every step so far, on all paths.
    effective : list of float
        Effective number of members at each of these steps.
    step_size : float
        Step size of the sampler at the last move; 0 requests a new one for the next.
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
        """A population of independent draws, each of which starts a family."""
        return cls(position, np.arange(members))

    @property
    def surviving(self) -> int:
        """Number of families that have members left."""
        return len(np.unique(self.families))

    @property
    def concentration(self) -> float:
        """ρ_t = R Σ_f n_f² with the fraction n_f of family f.

        It is 1 if no family has died out, and R if one is left. In the worst case averages over the
        population have the error of R/ρ_t independent members.
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
    """Move a population along a path, in place; returns True if it has reached the end.

    Parameters
    ----------
    population : Population
        At the start of the path, or where an earlier call has left it.
    path : Path
    share : float
        Smallest effective number of members after a step, as a share of all.
    random : torch.Generator
        Generator on the device of the positions.
    after : callable, optional
        Called with the population after every step; the call ends if it returns True.

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
    """Combine several independent populations.

    Returns
    -------
    log_evidence : float
        log of the mean of their Ẑ.
    sem : float
        Its standard error from their spread, √(Σ (u - 1)²/(n (n - 1))) with u = Ẑ/mean; NaN for one
        population. It is near 1 if one population outweighs all others, which then do not agree.
    weights : array (n,)
        Weights Ẑ/Σ Ẑ for averages over the populations.

    Raises
    ------
    ArgumentError
        If there is no population, one value is NaN or inf, or all are -inf (Ẑ = 0).
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
    """The largest t up to ``end`` at which enough members stay effective, by bisection."""

    def allowed(to: float) -> bool:
        weights = log_weights(to)
        return _effective(weights) >= share * len(weights)

    if allowed(end):
        return end
    # The effective number falls from R at ``at`` as the densities move apart.
    low, high = at, end
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        low, high = (middle, high) if allowed(middle) else (low, middle)
    return low if low > at else high


def _effective(log_weights: FloatArray) -> float:
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / np.square(weights).sum())


def _resampled(log_weights: FloatArray, random: torch.Generator) -> NDArray[np.int64]:
    """Index of the member that replaces each member."""
    weights = np.exp(log_weights - log_weights.max())
    members = len(weights)
    start = float(torch.rand((), generator=random, dtype=torch.float64, device=random.device))
    places = (start + np.arange(members)) / members
    chosen = np.searchsorted(np.cumsum(weights) / weights.sum(), places, side="right")
    return np.minimum(chosen, members - 1)

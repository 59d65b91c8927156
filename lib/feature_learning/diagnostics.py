"""Convergence of several chains: rank-normalised R-hat and effective sample size, from ArviZ."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from arviz_stats.base.array import BaseArray
from numpy.typing import NDArray

from feature_learning.errors import check_integer, check_real

FloatArray = NDArray[np.float64]
#: ArviZ carries no types: this is its documented interface for plain arrays.
_ARVIZ: Any = BaseArray()


def r_hat(draws: FloatArray) -> float:
    """Rank-normalised split R-hat (Vehtari et al. 2021) of draws (chains, draws).

    NaN with fewer than two chains or four draws, where it says nothing.
    """
    if draws.shape[0] < 2 or not _informative(draws):
        return math.nan
    return float(_ARVIZ.rhat(draws, chain_axis=0, draw_axis=1, method="rank"))


def effective_sample_size(draws: FloatArray) -> float:
    """Bulk effective sample size of draws (chains, draws), all chains together; NaN below four."""
    if not _informative(draws):
        return math.nan
    return float(_ARVIZ.ess(draws, chain_axis=0, draw_axis=1, method="bulk"))


def _informative(draws: FloatArray) -> bool:
    """Whether there are draws to judge: enough, finite, and not chains that never move."""
    moving = draws.shape[1] >= 4 and bool(np.ptp(draws, axis=1).any())
    return moving and bool(np.isfinite(draws).all())


@dataclass(frozen=True)
class Convergence:
    """What several chains say about themselves.

    Attributes
    ----------
    r_hat : dict
        Per observable.
    ess : dict
        Effective sample size, per observable.
    reasons : tuple of str
        Why the chains are not converged, a sentence each; empty if they are. Of a
        :class:`ConvergenceRule`: R-hat of every watched observable must be below the threshold,
        the effective sample size at least its threshold, over at least ``min_chains`` chains and
        ``min_draws`` draws of each. A run asks for more, see
        :class:`~feature_learning.chains.ChainRun`.
    """

    r_hat: dict[str, float]
    ess: dict[str, float]
    reasons: tuple[str, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether there is no reason against it."""
        return not self.reasons

    def denied(self, reason: str) -> Convergence:
        """The same with one more reason against it."""
        return replace(self, reasons=(*self.reasons, reason))


@dataclass(frozen=True)
class ConvergenceRule:
    """When chains count as converged: R-hat below and effective sample size above thresholds."""

    observables: tuple[str, ...] = ("m_S", "test_mse")
    r_hat: float = 1.01
    ess: float = 100.0
    min_chains: int = 4
    min_draws: int = 40

    def __post_init__(self) -> None:
        check_real("r_hat", self.r_hat, above=1)
        check_real("ess", self.ess, above=0)
        check_integer("min_chains", self.min_chains, at_least=2)
        check_integer("min_draws", self.min_draws, at_least=4)

    def judge(self, series: dict[str, FloatArray]) -> Convergence:
        """Judge series of shape (chains, draws)."""
        watched = {name: series[name] for name in self.observables if name in series}
        hats = {name: r_hat(draws) for name, draws in watched.items()}
        sizes = {name: effective_sample_size(draws) for name, draws in watched.items()}
        reasons = [f"{name} was not measured" for name in self.observables if name not in series]
        # All observables have as many chains and draws: said once.
        shapes = {draws.shape for draws in watched.values()}
        for chains, draws in sorted(shapes):
            if chains < self.min_chains:
                reasons.append(f"{_counted(chains, 'chain')} of at least {self.min_chains}")
            if draws < self.min_draws:
                reasons.append(f"{_counted(draws, 'draw')} a chain of at least {self.min_draws}")
        # What cannot be computed is no number below a threshold.
        for name, value in hats.items():
            if not value < self.r_hat:
                reasons.append(f"R-hat of {name} is {_shown(value)}, not below {self.r_hat:g}")
        for name, value in sizes.items():
            if not value >= self.ess:
                reasons.append(
                    f"effective sample size of {name} is {_shown(value)}, not at least {self.ess:g}"
                )
        return Convergence(hats, sizes, tuple(reasons))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shown(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.5g}"

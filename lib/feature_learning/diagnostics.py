"""Convergence of several chains: rank-normalised R-hat and effective sample size, from ArviZ."""

from __future__ import annotations

import math
from dataclasses import dataclass
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
    converged : bool
        By this rule alone; a run asks for more, see :class:`~feature_learning.chains.ChainRun`.
        R-hat of every watched observable below the threshold, effective sample size at least its
        threshold, over at least ``min_chains`` chains and ``min_draws`` draws of each.
    """

    r_hat: dict[str, float]
    ess: dict[str, float]
    converged: bool


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
        shapes = [draws.shape for draws in watched.values()]
        enough = len(watched) == len(self.observables) and all(
            chains >= self.min_chains and draws >= self.min_draws for chains, draws in shapes
        )
        good = enough and all(
            hats[name] < self.r_hat and sizes[name] >= self.ess for name in watched
        )
        return Convergence(hats, sizes, good)

r"""Convergence of several chains: rank-normalised R-hat and effective sample size, from ArviZ.

The integrated autocorrelation time τ follows from the effective sample size: M chains of n draws
with the spacing Δ in Langevin time are worth M n Δ/τ independent draws,

    τ = M n Δ / ESS,   for one stationary chain  τ = Δ (1 + 2 Σ_t ρ_t)

so that the variance of a mean over the time t is σ² τ/t. If R-hat shows that the chains disagree,
ESS counts modes rather than draws, and τ is not a time of the dynamics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from arviz_stats.base.array import BaseArray
from numpy.typing import NDArray

from feature_learning.errors import ArgumentError, check_integer, check_real

FloatArray = NDArray[np.float64]
#: The documented interface of ArviZ for plain arrays; it has no type annotations.
_ARVIZ: Any = BaseArray()


def r_hat(draws: FloatArray) -> float:
    """Rank-normalised split R-hat (Vehtari et al. 2021) of draws (chains, draws).

    NaN with fewer than two chains or four draws, where it is not defined.
    """
    if draws.shape[0] < 2 or not _informative(draws):
        return math.nan
    return float(_ARVIZ.rhat(draws, chain_axis=0, draw_axis=1, method="rank"))


def effective_sample_size(draws: FloatArray) -> float:
    """Bulk effective sample size of draws (chains, draws), all chains pooled; NaN below 4 draws."""
    if not _informative(draws):
        return math.nan
    return float(_ARVIZ.ess(draws, chain_axis=0, draw_axis=1, method="bulk"))


def tail_effective_sample_size(draws: FloatArray) -> float:
    """Smaller effective sample size of the 5 % and the 95 % quantile; NaN below 4 draws."""
    if not _informative(draws):
        return math.nan
    return float(_ARVIZ.ess(draws, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)))


def standard_error(draws: FloatArray) -> float:
    """Monte-Carlo standard error of the mean of draws (chains, draws); NaN below 4 draws."""
    if not _informative(draws):
        return math.nan
    return float(_ARVIZ.mcse(draws, chain_axis=0, draw_axis=1, method="mean"))


def _informative(draws: FloatArray) -> bool:
    """Whether the draws can be judged: at least four, all finite, and not all constant."""
    moving = draws.shape[1] >= 4 and bool(np.ptp(draws, axis=1).any())
    return moving and bool(np.isfinite(draws).all())


@dataclass(frozen=True)
class Convergence:
    """Convergence diagnostics of several chains.

    Attributes
    ----------
    r_hat : dict
        R-hat of each observable.
    ess : dict
        Effective sample size of each observable.
    reasons : tuple of str
        Why the chains are not converged, one sentence per reason; empty if they are. A
        :class:`ConvergenceRule` requires that R-hat of every watched observable is below its
        threshold and the effective sample size reaches its own, over at least ``min_chains`` chains
        of at least ``min_draws`` draws. A run has further requirements, see
        :class:`~feature_learning.inference.chain_run.ChainRun`.
    """

    r_hat: dict[str, float]
    ess: dict[str, float]
    reasons: tuple[str, ...] = ()

    @property
    def converged(self) -> bool:
        """Whether there are no reasons against convergence."""
        return not self.reasons

    def denied(self, reason: str) -> Convergence:
        """The same diagnostics with one more reason against convergence."""
        return replace(self, reasons=(*self.reasons, reason))

    def of_run(self, kinetic_temperature: float, *, interrupted: bool) -> Convergence:
        """Add the requirements of a run (a kinetic temperature of NaN: no velocities)."""
        judged = self
        if abs(kinetic_temperature - 1) > 0.02:
            judged = judged.denied(
                f"the kinetic temperature is {kinetic_temperature:.4f} T, not within 2 %"
            )
        return judged.denied("the run was interrupted") if interrupted else judged

    def of_snapshot(self) -> Convergence:
        """The same for a single last sample, which is never converged: its time is finite."""
        return self.denied("it is the last sample of the published protocol")


@dataclass(frozen=True)
class ConvergenceRule:
    """Criterion of convergence: R-hat below and effective sample size above thresholds.

    In a batch of ladders with ``replicas`` replicas each, only the first replica of a ladder is
    judged: the others sample other distributions. ``planted`` is True if every chain started in one
    planted code of specialised neurons, which affects :mod:`feature_learning.inference.verdict`.
    """

    observables: tuple[str, ...] = ("m_S", "test_mse")
    r_hat: float = 1.01
    ess: float = 100.0
    min_chains: int = 4
    min_draws: int = 40
    replicas: int = 1
    planted: bool = False

    def __post_init__(self) -> None:
        check_real("r_hat", self.r_hat, above=1)
        check_real("ess", self.ess, above=0)
        check_integer("min_chains", self.min_chains, at_least=2)
        check_integer("min_draws", self.min_draws, at_least=4)
        check_integer("replicas", self.replicas, at_least=1)

    def judge(self, series: dict[str, FloatArray]) -> Convergence:
        """Judge series of shape (chains, draws)."""
        watched = {
            name: series[name][:: self.replicas] for name in self.observables if name in series
        }
        hats = {name: r_hat(draws) for name, draws in watched.items()}
        sizes = {name: effective_sample_size(draws) for name, draws in watched.items()}
        reasons = [f"{name} was not measured" for name in self.observables if name not in series]
        if "weight" in series:
            reasons.append("draws are weighted; R-hat and effective sample size ignore the weights")
        # All observables have the same numbers of chains and draws: report them once.
        shapes = {draws.shape for draws in watched.values()}
        for chains, draws in sorted(shapes):
            if chains < self.min_chains:
                reasons.append(f"{_counted(chains, 'chain')}, at least {self.min_chains} needed")
            if draws < self.min_draws:
                reasons.append(
                    f"{_counted(draws, 'draw')} per chain, at least {self.min_draws} needed"
                )
        # Written with "not", so that NaN fails the criterion.
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


@dataclass(frozen=True)
class Diagnosis:
    """Statistics of one observable over the draws of several chains, all chains pooled.

    Attributes
    ----------
    mean, sd : float
        Mean and standard deviation of all draws.
    mcse : float
        Monte-Carlo standard error of the mean.
    r_hat : float
        Rank-normalised split R-hat.
    ess_bulk, ess_tail : float
        Effective sample sizes of the bulk and of the tails (5 % and 95 % quantiles).
    autocorrelation_time : float
        Integrated autocorrelation time, in Langevin time (module docstring).
    spacing : float
        Langevin time between two draws.
    agree : bool
        Whether R-hat is below its threshold. If not, the chains are stuck in different modes or
        still in transit, and ``mcse``, both sample sizes and the autocorrelation time are
        unreliable.
    """

    mean: float
    sd: float
    mcse: float
    r_hat: float
    ess_bulk: float
    ess_tail: float
    autocorrelation_time: float
    spacing: float
    agree: bool

    @property
    def resolved(self) -> bool:
        """Whether the spacing resolves the autocorrelation time: two draws or more within it."""
        return self.autocorrelation_time >= 2 * self.spacing


def report(
    series: Mapping[str, FloatArray], times: FloatArray, *, threshold: float = 1.01
) -> dict[str, Diagnosis]:
    """Diagnose every observable.

    Parameters
    ----------
    series : mapping of name to array (chains, draws)
        Draws past burn-in; at least two chains of at least four draws.
    times : array (draws,)
        Langevin times of the draws, increasing and about equally spaced.
    threshold : float
        Threshold of R-hat.

    Raises
    ------
    ArgumentError
        If there are too few chains or draws, or if the times do not fit them.
    """
    check_real("threshold", threshold, above=1)
    if len(times) < 4 or not (np.diff(times) > 0).all():
        raise ArgumentError(
            f"times must be at least 4 increasing numbers, not {len(times)} of them from "
            f"{times[0] if len(times) else math.nan:g} to {times[-1] if len(times) else math.nan:g}"
        )
    spacing = float(times[-1] - times[0]) / (len(times) - 1)
    found: dict[str, Diagnosis] = {}
    for name, draws in series.items():
        if draws.ndim != 2 or draws.shape[0] < 2 or draws.shape[1] != len(times):
            raise ArgumentError(
                f"series {name} must have at least 2 chains of {len(times)} draws, one per time, "
                f"not shape {draws.shape}"
            )
        hat, size = r_hat(draws), effective_sample_size(draws)
        found[name] = Diagnosis(
            mean=float(draws.mean()),
            sd=float(draws.std(ddof=1)),
            mcse=standard_error(draws),
            r_hat=hat,
            ess_bulk=size,
            ess_tail=tail_effective_sample_size(draws),
            autocorrelation_time=draws.size * spacing / size,
            spacing=spacing,
            agree=hat < threshold,
        )
    return found

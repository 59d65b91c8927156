r"""Convergence of several chains: rank-normalised R-hat and effective sample size, from ArviZ.

The integrated autocorrelation time τ is that of the effective sample size: M chains of n draws that
lie Δ apart in Langevin time are worth M n Δ/τ independent ones,

    τ = M n Δ / ESS,   for one stationary chain  τ = Δ (1 + 2 Σ_t ρ_t)

so that the variance of a mean over the time t is σ² τ/t. Where R-hat says that the chains are not
in one place, ESS counts places rather than draws, and τ is not a time of the dynamics.
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


def tail_effective_sample_size(draws: FloatArray) -> float:
    """Smaller of the effective sample sizes of the 5 % and the 95 % quantile; NaN below four."""
    if not _informative(draws):
        return math.nan
    return float(_ARVIZ.ess(draws, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)))


def standard_error(draws: FloatArray) -> float:
    """Monte-Carlo standard error of the mean of draws (chains, draws); NaN below four."""
    if not _informative(draws):
        return math.nan
    return float(_ARVIZ.mcse(draws, chain_axis=0, draw_axis=1, method="mean"))


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
        :class:`~feature_learning.inference.chain_run.ChainRun`.
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

    def of_run(self, kinetic_temperature: float, *, interrupted: bool) -> Convergence:
        """The same with what a run has to say besides its draws (NaN: there are no velocities)."""
        judged = self
        if abs(kinetic_temperature - 1) > 0.02:
            judged = judged.denied(
                f"the kinetic temperature is {kinetic_temperature:.4f} T, not within 2 %"
            )
        return judged.denied("the run was interrupted") if interrupted else judged

    def of_snapshot(self) -> Convergence:
        """The same for a last sample: at a finite time, whatever its chains say."""
        return self.denied("it is the last sample of the published protocol")


@dataclass(frozen=True)
class ConvergenceRule:
    """When chains count as converged: R-hat below and effective sample size above thresholds.

    Of a batch of ladders with ``rungs`` rungs, only the first rung of each is judged: the others
    have laws of their own. ``planted`` says that every chain was put into one code of specialised
    neurons at the start, which decides on the word of :mod:`feature_learning.inference.verdict`.
    """

    observables: tuple[str, ...] = ("m_S", "test_mse")
    r_hat: float = 1.01
    ess: float = 100.0
    min_chains: int = 4
    min_draws: int = 40
    rungs: int = 1
    planted: bool = False

    def __post_init__(self) -> None:
        check_real("r_hat", self.r_hat, above=1)
        check_real("ess", self.ess, above=0)
        check_integer("min_chains", self.min_chains, at_least=2)
        check_integer("min_draws", self.min_draws, at_least=4)
        check_integer("rungs", self.rungs, at_least=1)

    def judge(self, series: dict[str, FloatArray]) -> Convergence:
        """Judge series of shape (chains, draws)."""
        watched = {name: series[name][:: self.rungs] for name in self.observables if name in series}
        hats = {name: r_hat(draws) for name, draws in watched.items()}
        sizes = {name: effective_sample_size(draws) for name, draws in watched.items()}
        reasons = [f"{name} was not measured" for name in self.observables if name not in series]
        if "weight" in series:
            reasons.append("samples have weights, which R-hat and effective sample size ignore")
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


@dataclass(frozen=True)
class Diagnosis:
    """What the draws of several chains say of one observable, all chains together.

    Attributes
    ----------
    mean, sd : float
        Of all draws.
    mcse : float
        Monte-Carlo standard error of the mean.
    r_hat : float
        Rank-normalised split R-hat.
    ess_bulk, ess_tail : float
        Effective sample sizes of the bulk and of the tails (5 % and 95 % quantiles).
    autocorrelation_time : float
        Integrated, in Langevin time (module docstring).
    spacing : float
        Langevin time between two draws.
    agree : bool
        R-hat is below its threshold. If not, the chains are stuck in different places or still on
        their way, and ``mcse``, both sample sizes and the autocorrelation time are not to be
        believed.
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
        """Whether draws lie close enough to see the autocorrelation time: two of them within it."""
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
        Their Langevin times, increasing and about equally spaced.
    threshold : float
        Of R-hat.

    Raises
    ------
    ArgumentError
        For too few chains or draws, or times that do not fit.
    """
    check_real("threshold", threshold, above=1)
    if len(times) < 4 or not (np.diff(times) > 0).all():
        raise ArgumentError(
            f"times must be at least 4 that increase, not {len(times)} of them from "
            f"{times[0] if len(times) else math.nan:g} to {times[-1] if len(times) else math.nan:g}"
        )
    spacing = float(times[-1] - times[0]) / (len(times) - 1)
    found: dict[str, Diagnosis] = {}
    for name, draws in series.items():
        if draws.ndim != 2 or draws.shape[0] < 2 or draws.shape[1] != len(times):
            raise ArgumentError(
                f"series {name} must be at least 2 chains of {len(times)} draws, one a time, "
                f"not {draws.shape}"
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

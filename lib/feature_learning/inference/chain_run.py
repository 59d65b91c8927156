"""What a run of chains returns: their series, their verdict, and where they are now."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.inference.diagnostics import Convergence
from feature_learning.inference.verdict import Verdict
from feature_learning.samplers.base import Sampler, SamplerState

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ChainRun:
    """Result of :func:`feature_learning.inference.chains.run`.

    Attributes
    ----------
    series : dict of array (chains, looks)
        Every observable at every look.
    counted : array (looks,) of bool
        Looks past burn-in.
    times : array (looks,)
        Langevin time at each look.
    steps : array (looks,) of int
        Number of steps at each look.
    final_look : array (chains,) of int
        The look at which each chain was done (the last one without a stopping rule).
    posterior_mean : dict of array (chains,)
        Test MSE, m_S and noise of the predictor averaged over the looks past burn-in.
    verdict : Verdict
        What the looks past burn-in have earned to be called.
    convergence : Convergence
        Of the chains of the verdict: converged, or the reasons why not. Converged means: R-hat
        below 1.01 for m_S and the test MSE over at least four chains of 40 draws and effective
        sample size at least 100 (the defaults of the rule), a kinetic temperature within 2 % of T,
        and not interrupted.
    state : SamplerState
        Where the chains are now: the batch runs on after a chain's final look.
    weights : Tensor (chains, particles, fan_in)
        Hidden weights of each chain at its final look.
    readouts : Tensor (chains, particles)
        Its readouts there; of a collapsed energy their means given the weights.
    kinetic_temperature : float
        Temperature of the velocities in units of T, averaged over the looks past burn-in; NaN for
        overdamped samplers.
    curvature : float
        Largest curvature measured during the run.
    interrupted : bool
    sampler : Sampler
        With the step size, friction and masses it had in the end.
    """

    series: dict[str, FloatArray]
    counted: NDArray[np.bool_]
    times: FloatArray
    steps: NDArray[np.int64]
    final_look: NDArray[np.int64]
    posterior_mean: dict[str, FloatArray]
    verdict: Verdict
    convergence: Convergence
    state: SamplerState
    weights: Tensor
    readouts: Tensor
    kinetic_temperature: float
    curvature: float
    interrupted: bool
    sampler: Sampler

    def mean(self, name: str) -> FloatArray:
        """Average of an observable over the looks past burn-in, per chain; NaN if there is none.

        Weighted where the sampler or the schedule says so: then the series has a ``weight``.
        R-hat and effective sample size know nothing of weights.
        """
        draws = self.draws(name)[:, self.counted]
        if not draws.shape[1]:
            return np.full(draws.shape[0], math.nan)
        if "weight" in self.series:
            weights = self.series["weight"][:, self.counted]
            draws = np.asarray(draws * weights / weights.mean(axis=1, keepdims=True))
        return np.asarray(draws.mean(axis=1))

    def last(self, name: str) -> FloatArray:
        """An observable at the final look of each chain, (chains,)."""
        draws, chains = self.draws(name), len(self.final_look)
        return (
            draws[np.arange(chains), self.final_look] if draws.size else np.full(chains, math.nan)
        )

    def first_rungs(self, rungs: int) -> ChainRun:
        """The same of every ``rungs``-th chain: of a batch of ladders, the first rung of each."""
        return replace(
            self,
            series={name: draws[::rungs] for name, draws in self.series.items()},
            final_look=self.final_look[::rungs],
            verdict=replace(self.verdict, chains=self.verdict.chains[::rungs]),
            posterior_mean={name: each[::rungs] for name, each in self.posterior_mean.items()},
            weights=self.weights[::rungs],
            readouts=self.readouts[::rungs],
        )

    def draws(self, name: str) -> FloatArray:
        """An observable at every look, (chains, looks); none if interrupted before the first."""
        return self.series.get(name, np.empty((len(self.final_look), 0)))

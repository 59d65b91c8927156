"""The result of a run of chains: time series, convergence verdict and final state."""

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
    """Result of :func:`feature_learning.inference.chains.run_chains`.

    Attributes
    ----------
    series : dict of array (chains, measurements)
        Every observable at every measurement.
    counted : array (measurements,) of bool
        Whether each measurement is past burn-in.
    times : array (measurements,)
        Langevin time of each measurement.
    steps : array (measurements,) of int
        Number of steps before each measurement.
    final_measurement : array (chains,) of int
        Index of the measurement at which each chain finished (the last one without a stopping
        rule).
    posterior_mean : dict of array (chains,)
        Test MSE, m_S and noise of the predictor averaged over the measurements past burn-in.
    verdict : Verdict
        Verdict on the measurements past burn-in.
    convergence : Convergence
        Whether the chains of the verdict converged, with the reasons if they did not. Converged
        means: R-hat below 1.01 for m_S and the test MSE over at least four chains of 40 draws and
        effective sample size at least 100 (the defaults of the rule), a kinetic temperature within
        2 % of T, and no interruption.
    state : SamplerState
        State at the end of the run; the batch continues after the final measurement of a chain.
    weights : Tensor (chains, particles, fan_in)
        Hidden weights of each chain at its final measurement.
    readouts : Tensor (chains, particles)
        Readouts at the same measurement; for a collapsed energy, their means given the weights.
    kinetic_temperature : float
        Temperature of the velocities in units of T, averaged over the measurements past burn-in;
        NaN for overdamped samplers.
    curvature : float
        Largest curvature measured during the run.
    interrupted : bool
    sampler : Sampler
        The sampler with its final step size, friction and masses.
    """

    series: dict[str, FloatArray]
    counted: NDArray[np.bool_]
    times: FloatArray
    steps: NDArray[np.int64]
    final_measurement: NDArray[np.int64]
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
        """Average of an observable over the measurements past burn-in, (chains,); NaN if none.

        The average is weighted if the sampler or the schedule records a ``weight`` in the series.
        R-hat and effective sample size ignore the weights.
        """
        draws = self.draws(name)[:, self.counted]
        if not draws.shape[1]:
            return np.full(draws.shape[0], math.nan)
        if "weight" in self.series:
            weights = self.series["weight"][:, self.counted]
            draws = np.asarray(draws * weights / weights.mean(axis=1, keepdims=True))
        return np.asarray(draws.mean(axis=1))

    def last(self, name: str) -> FloatArray:
        """An observable at the final measurement of each chain, (chains,)."""
        draws, chains = self.draws(name), len(self.final_measurement)
        return (
            draws[np.arange(chains), self.final_measurement]
            if draws.size
            else np.full(chains, math.nan)
        )

    def first_replicas(self, replicas: int) -> ChainRun:
        """The run restricted to every ``replicas``-th chain: the first replica of each ladder."""
        return replace(
            self,
            series={name: draws[::replicas] for name, draws in self.series.items()},
            final_measurement=self.final_measurement[::replicas],
            verdict=replace(self.verdict, chains=self.verdict.chains[::replicas]),
            posterior_mean={name: each[::replicas] for name, each in self.posterior_mean.items()},
            weights=self.weights[::replicas],
            readouts=self.readouts[::replicas],
        )

    def draws(self, name: str) -> FloatArray:
        """An observable, (chains, measurements); empty if there is none yet."""
        return self.series.get(name, np.empty((len(self.final_measurement), 0)))

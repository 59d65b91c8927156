r"""The family of samplers on posteriors with known moments.

Many independent chains start from the prior. After burn-in each is averaged over its own time, and
the error is computed over chains (:mod:`sampler_validation.averaging`). The number of independent
draws with the same error is Var(q)/sem².

Unadjusted samplers have a bias that depends on the step; here the steps are so short that the bias
is below the error. Tests and a page of the book measure how it grows with the step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from feature_learning.errors import check_integer
from feature_learning.model.randomness import generator
from feature_learning.samplers import (
    HMC,
    MALA,
    SGLD,
    AdaptiveSGLD,
    Gibbs,
    MiniBatchSGLD,
    PreconditionedSGLD,
    QuantisedLangevin,
    ReplicaExchange,
    Sampler,
    Underdamped,
)
from sampler_validation.averaging import ratio, sums
from sampler_validation.known_answers import KnownAnswer

FloatArray = NDArray[np.float64]
#: Steps between two measurements: whole trajectories and rounds of swaps.
_EVERY = 10


@dataclass(frozen=True)
class SamplerCase:
    """A sampler of the family and the settings of its test.

    Attributes
    ----------
    name : str
    sampler : Sampler
        Its step is replaced by ``share`` times the default for the problem's curvature.
    share : float
    coarse : float
        Factor of the step in the first two thirds of burn-in.
    steps : int
        Steps after burn-in, which is half as long.
    chains : int
    kind : str
        Kind of energy, see :data:`sampler_validation.known_answers.KINDS`.
    """

    name: str
    sampler: Sampler
    share: float = 1.0
    coarse: float = 1.0
    steps: int = 600
    chains: int = 500
    kind: str = "full"


#: Default steps are 0.2/λ, 0.05/λ for preconditioned SGLD, and 0.4/√λ for the splittings.
CASES = (
    SamplerCase("SGLD", SGLD(1), share=0.05, coarse=8),
    SamplerCase(
        "SGLD, mini-batches",
        MiniBatchSGLD(1),
        share=0.1,
        coarse=4,
        steps=400,
        chains=40,
        kind="batches",
    ),
    SamplerCase("underdamped", Underdamped(1, friction=0.3), share=0.5),
    SamplerCase("light readouts", Underdamped(1, friction=0.3, readout_mass=0.3), share=0.3),
    SamplerCase("MALA", MALA(1), share=2.0, steps=300),
    SamplerCase("HMC", HMC(1, leapfrogs=5), share=1.5),
    SamplerCase("Gibbs", Gibbs(1, every=5, friction=0.3), share=0.5, steps=300, chains=600),
    SamplerCase("preconditioned SGLD", PreconditionedSGLD(1, damping=0.5), share=0.2, coarse=8),
    SamplerCase(
        "preconditioned SGLD, corrected",
        PreconditionedSGLD(1, damping=1.0, memory_factor=0.9, always=True, correction=True),
        share=0.3,
        coarse=8,
    ),
    SamplerCase("quantised", QuantisedLangevin(1), share=0.05, coarse=8),
    SamplerCase("adaptive SGLD", AdaptiveSGLD(1, smallest=0.3, largest=3.0), share=0.05, coarse=8),
    SamplerCase(
        "replica exchange",
        ReplicaExchange(Underdamped(1, friction=0.3), every=5),
        share=0.5,
        chains=400,
        kind="ladder",
    ),
)


@dataclass(frozen=True)
class MomentTest:
    """The result of a test; each array has the shape (quantities,).

    Attributes
    ----------
    mean, sem : array
        Mean and standard error.
    exact : array
    draws : array
        Number of independent draws with this standard error.
    """

    mean: FloatArray
    sem: FloatArray
    exact: FloatArray
    draws: FloatArray

    @property
    def deviations(self) -> FloatArray:
        """Deviations (mean - exact)/sem."""
        return (self.mean - self.exact) / self.sem


def averages(
    problem: KnownAnswer,
    sampler: Sampler,
    *,
    chains: int,
    burn_in: int,
    measurements: int,
    every: int,
    seed: int,
    rough: Sampler | None = None,
    kind: str = "full",
) -> MomentTest:
    """Averages of a sampler on a posterior with known moments, started from the prior.

    Parameters
    ----------
    problem : KnownAnswer
    sampler : Sampler
    chains : int
    burn_in : int
        Steps of burn-in.
    measurements : int
        Number of measurements after burn-in.
    every : int
        Steps between two measurements.
    seed : int
    rough : Sampler, optional
        Sampler of the first two thirds of burn-in; by default the sampler itself.
    kind : str
        Kind of energy, see :data:`sampler_validation.known_answers.KINDS`.
    """
    check_integer("chains", chains, at_least=2)
    check_integer("measurements", measurements, at_least=1)
    check_integer("every", every, at_least=1)
    random = generator(seed, "noise")
    energy = problem.energy(chains, kind)
    state = sampler.init(energy, problem.start(energy, random), random)
    first = 2 * burn_in // 3
    (rough or sampler).for_burn_in().advance(state, energy, first, random, done=0)
    sampler.for_burn_in().advance(state, energy, burn_in - first, random, done=first)
    found = sums(
        sampler,
        state,
        energy,
        lambda theta: problem.observe(energy, theta),
        random,
        measurements=measurements,
        every=every,
        done=burn_in,
    )
    mean, sem = ratio(found.weighted, found.weights)
    variance = found.squares.sum(axis=0) / found.weights.sum() - mean**2
    return MomentTest(mean, sem, problem.exact, variance / sem**2)


def trial(member: SamplerCase, problem: KnownAnswer, *, seed: int) -> MomentTest:
    """Test a member of the family on a posterior with known moments."""
    step = member.share * member.sampler.starting_step(problem.curvature)
    sampler = member.sampler.with_step(step)
    if isinstance(sampler, QuantisedLangevin):
        # Half the thermal noise of a step.
        quantum = 0.5 * math.sqrt(2 * step * 2 * problem.kappa**2)
        sampler = replace(sampler, quantum=quantum)
    return averages(
        problem,
        sampler,
        chains=member.chains,
        burn_in=member.steps // 2,
        measurements=member.steps // _EVERY,
        every=_EVERY,
        seed=seed,
        rough=sampler.with_step(member.coarse * step),
        kind=member.kind,
    )

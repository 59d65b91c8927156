"""All samplers on one small network posterior agree with long HMC, within the errors.

The test compares m_S, the test MSE, and the densities of relevant weights, other weights and
readouts.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from feature_learning import (
    HMC,
    MALA,
    SGLD,
    AdaptiveSGLD,
    Gibbs,
    LadderEnergy,
    MiniBatchEnergy,
    MiniBatchSGLD,
    Observer,
    PreconditionedSGLD,
    QuantisedLangevin,
    ReplicaExchange,
    SparseParity,
    Student,
    Underdamped,
    make_dataset,
    network_posterior,
    run_chains,
)
from feature_learning.samplers.schedules import uniform

SIGMAS, CHAINS = 4.5, 16
#: Bins of the densities, by the standard deviation in the prior: of weights on S, off S, readouts.
BINS = np.array([-np.inf, -2.0, -1.0, -0.4, 0.4, 1.0, 2.0, np.inf])
DENSITIES = {"w_S": 8**-0.5, "w_rest": 8**-0.5, "a": 1.0}


class Densities(Observer):
    """Measures the fraction of weights and readouts in each bin, too."""

    def measure(self, theta, *, average):
        values = super().measure(theta, average=average)
        w, a, _ = self.energy.predictor_parameters(theta)
        edges = torch.from_numpy(BINS[1:-1]).float()
        for name, part in (("w_S", w[..., :2]), ("w_rest", w[..., 2:]), ("a", a)):
            places = torch.bucketize(part.flatten(1) / DENSITIES[name], edges)
            for place in range(len(BINS) - 1):
                values[f"{name} {place}"] = (places == place).double().mean(dim=1).numpy()
        return values


def sampled(sampler, time, *, seed, kappa=0.1, batch_size=None, replicas=1):
    """Averages of each chain at d = 8, k = 2, N = 16, P = 40; of a ladder those of its first κ."""
    teacher, student = SparseParity(8, 2), Student(dim=8, width=16)
    data = make_dataset(teacher, 40, seed=0)
    test = make_dataset(teacher, 256, seed=0, stream="test")
    energy = network_posterior(student, data, kappa=kappa, chains=CHAINS)
    if batch_size is not None:
        energy = MiniBatchEnergy(energy, batch_size)
    if replicas > 1:
        kappas = [kappa * 1.4**replica for replica in range(replicas)]
        energy = LadderEnergy(student, data, kappas=kappas, copies=CHAINS)
    observer = Densities(student, energy, test, sparsity=2)
    start = student.sample_prior(energy.chains, 16, torch.Generator().manual_seed(seed))
    schedule = uniform(
        step_size=sampler.step_size, langevin_time=time, measurements=120, burn_in=0.3
    )
    random = torch.Generator().manual_seed(seed)
    result = run_chains(energy, sampler, start, schedule, observer, random=random)
    return {name: result.mean(name)[::replicas] for name in result.series}


def apart(one, other, names=("m_S", "test_mse")):
    """Differences of some averages in standard errors, and these errors over the value."""
    differences, errors = [], []
    for name in names:
        left, right = one[name], other[name]
        sem = math.hypot(left.std(ddof=1), right.std(ddof=1)) / math.sqrt(CHAINS)
        differences.append(abs(left.mean() - right.mean()) / sem)
        errors.append(sem / abs(right.mean()))
    return np.array(differences), np.array(errors)


FRACTIONS = [f"{name} {place}" for name in DENSITIES for place in range(len(BINS) - 1)]


@pytest.fixture(scope="module")
def arbiter():
    return sampled(HMC(0.3, leapfrogs=10), 2000, seed=1)


CASES = [
    (MALA(0.2), 250, {}),
    (Underdamped(0.3, friction=0.1), 600, {}),
    (Gibbs(0.3, every=10, friction=0.1), 500, {}),
    (SGLD(0.05), 400, {}),
    (PreconditionedSGLD(0.01), 120, {}),
    (AdaptiveSGLD(0.05), 250, {}),
    (QuantisedLangevin(0.05, 0.04), 400, {}),
    (MiniBatchSGLD(0.015), 50, {"batch_size": 20}),
    (ReplicaExchange(Underdamped(0.3, friction=0.1), every=10), 600, {"replicas": 2}),
]


@pytest.mark.parametrize(
    ("sampler", "time", "options"), CASES, ids=[type(case[0]).__name__ for case in CASES]
)
def test_each_sampler_agrees_with_long_hmc(sampler, time, options, arbiter):
    other = sampled(sampler, time, seed=2, **options)
    differences, errors = apart(other, arbiter)
    assert (differences < SIGMAS).all(), differences
    # It would notice a few per cent of m_S = 0.39 and of the test MSE,
    assert (errors < 0.05).all(), errors
    differences, errors = apart(other, arbiter, FRACTIONS)
    assert (differences < SIGMAS).all(), dict(zip(FRACTIONS, differences, strict=True))
    # and 10 % of a density, where it is not small.
    large = [arbiter[name].mean() > 0.1 for name in FRACTIONS]
    assert errors[large].max() < 0.1


def test_the_densities_are_not_those_of_the_prior(arbiter):
    """Else their agreement would say nothing."""
    prior = np.tile(np.diff(stats.norm.cdf(BINS)), len(DENSITIES))
    for name in ("w_S", "a"):
        bins = [at for at, each in enumerate(FRACTIONS) if each.startswith(name)]
        found = np.array([arbiter[FRACTIONS[at]] for at in bins])
        sem = found.std(axis=1, ddof=1) / math.sqrt(CHAINS)
        assert (np.abs(found.mean(axis=1) - prior[bins]) / sem).max() > 2 * SIGMAS


def test_hmc_was_accepted_as_wanted_and_another_temperature_is_far_away(arbiter):
    assert arbiter["acceptance"].mean() == pytest.approx(0.8, abs=0.1)
    hot = sampled(HMC(0.3, leapfrogs=10), 800, seed=3, kappa=0.1 * math.sqrt(2))
    differences, _ = apart(hot, arbiter)
    assert (differences > 2 * SIGMAS).all()
    differences, _ = apart(hot, arbiter, FRACTIONS)
    assert differences.max() > 2 * SIGMAS

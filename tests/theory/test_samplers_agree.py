"""All samplers on one small network posterior: m_S and test MSE of long HMC, within the errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from feature_learning import (
    HMC,
    MALA,
    SGLD,
    AdaptiveSGLD,
    Gibbs,
    MiniBatchEnergy,
    MiniBatchSGLD,
    Observer,
    PreconditionedSGLD,
    QuantisedLangevin,
    SparseParity,
    Student,
    Underdamped,
    draw,
    network_posterior,
    run,
)
from feature_learning.schedules import uniform

SIGMAS, CHAINS = 4.5, 16


def sampled(sampler, time, *, seed, kappa=0.15, batch_size=None):
    """Averages of each chain at d = 8, k = 2, N = 16, P = 40."""
    teacher, student = SparseParity(8, 2), Student(8, 16)
    data = draw(teacher, 40, seed=0)
    test = draw(teacher, 256, seed=0, stream="test")
    energy = network_posterior(student, data, kappa=kappa, chains=CHAINS)
    if batch_size is not None:
        energy = MiniBatchEnergy(energy, batch_size)
    observer = Observer(student, energy, test, sparsity=2)
    start = student.sample_prior(CHAINS, 16, torch.Generator().manual_seed(seed))
    schedule = uniform(step_size=sampler.step_size, langevin_time=time, looks=120, burn_in=0.3)
    random = torch.Generator().manual_seed(seed)
    return run(energy, sampler, start, schedule, observer, random=random)


def apart(one, other):
    """Differences in m_S and test MSE in standard errors, and these errors over the value."""
    differences, errors = [], []
    for name in ("m_S", "test_mse"):
        left, right = one.mean(name), other.mean(name)
        sem = math.hypot(left.std(ddof=1), right.std(ddof=1)) / math.sqrt(CHAINS)
        differences.append(abs(left.mean() - right.mean()) / sem)
        errors.append(sem / abs(right.mean()))
    return np.array(differences), np.array(errors)


@pytest.fixture(scope="module")
def arbiter():
    return sampled(HMC(0.3, leapfrogs=10), 2000, seed=1)


CASES = [
    (MALA(0.2), 150, None),
    (Underdamped(0.3, friction=0.1), 600, None),
    (Gibbs(0.3, every=10, friction=0.1), 500, None),
    (SGLD(0.05), 250, None),
    (PreconditionedSGLD(0.01), 60, None),
    (AdaptiveSGLD(0.05), 150, None),
    (QuantisedLangevin(0.05, 0.06), 250, None),
    (MiniBatchSGLD(0.02), 50, 20),
]


@pytest.mark.parametrize(
    ("sampler", "time", "batch_size"), CASES, ids=[type(case[0]).__name__ for case in CASES]
)
def test_each_sampler_agrees_with_long_hmc(sampler, time, batch_size, arbiter):
    other = sampled(sampler, time, seed=2, batch_size=batch_size)
    differences, errors = apart(other, arbiter)
    assert (differences < SIGMAS).all(), differences
    # It would notice a few per cent of the test MSE; of m_S = 0.13 only what is large.
    assert errors[1] < 0.02
    assert errors[0] < 0.12


def test_hmc_was_accepted_as_wanted_and_another_temperature_is_far_away(arbiter):
    assert arbiter.series["acceptance"][:, -1].mean() == pytest.approx(0.8, abs=0.1)
    hot = sampled(HMC(0.3, leapfrogs=10), 800, seed=3, kappa=0.15 * math.sqrt(2))
    differences, _ = apart(hot, arbiter)
    assert (differences > 2 * SIGMAS).all()

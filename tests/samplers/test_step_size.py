"""The step size does not change the answer: half of it gives the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from feature_learning import (
    SamplingOptions,
    SparseParity,
    Student,
    make_dataset,
    network_posterior,
    sample,
)
from feature_learning.samplers.registry import UnderdampedOptions

SIGMAS = 4.0
CHAINS = 48


def sampled(step: float, *, seed: int, kappa: float = 0.15) -> dict[str, np.ndarray]:
    """Averages of each chain, (chains,), with a step of the underdamped sampler."""
    teacher, student = SparseParity(6, 2), Student(dim=6, width=24)
    data = make_dataset(teacher, 60, seed=0)
    test = make_dataset(teacher, 400, seed=0, stream="test")
    energy = network_posterior(student, data, kappa=kappa, chains=CHAINS)
    sampling = SamplingOptions(
        UnderdampedOptions(step=step, friction=0.1),
        langevin_time=360.0,
        burn_in=0.3,
        measurements=240,
    )
    run, _ = sample(energy, student, teacher, test, sampling, seed=seed)
    return {name: run.mean(name) for name in ("m_S", "test_mse", "train_mse", "anisotropy")}


@pytest.fixture(scope="module")
def halved():
    # Seeds of their own: the standard errors are those of independent runs.
    return sampled(0.3, seed=1), sampled(0.15, seed=2)


@pytest.mark.parametrize("name", ["m_S", "test_mse", "train_mse", "anisotropy"])
def test_half_the_step_gives_the_same_number_within_the_monte_carlo_error(halved, name):
    whole, half = (run[name] for run in halved)
    sem = math.hypot(*(values.std(ddof=1) / math.sqrt(CHAINS) for values in (whole, half)))
    assert abs(whole.mean() - half.mean()) < SIGMAS * sem
    # It would notice a bias of a few per cent.
    assert sem < 0.02 * abs(half.mean())


def test_another_temperature_would_be_noticed(halved):
    # A factor 2 in T, as a step-size bias can be, is many standard errors away.
    hot = sampled(0.15, seed=3, kappa=0.15 * math.sqrt(2))
    for name in ("m_S", "test_mse"):
        half = halved[1][name]
        sem = math.hypot(half.std(ddof=1), hot[name].std(ddof=1)) / math.sqrt(CHAINS)
        assert abs(hot[name].mean() - half.mean()) > 2 * SIGMAS * sem

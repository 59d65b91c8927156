"""Simulation-based calibration: uniform ranks for a correct sampler, and not for a wrong one."""

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
    PreconditionedSGLD,
    QuantisedLangevin,
    Student,
    Underdamped,
    network_posterior,
)
from feature_learning.errors import ArgumentError
from feature_learning.model.teachers import Dataset
from sampler_validation.calibration import Calibration, OwnLabels, run_sbc

STUDENT, SAMPLES, KAPPA = Student(dim=3, width=4), 8, 0.3
#: A right sampler fails once in a thousand seeds; the seeds here are fixed.
FALSE_ALARMS = 0.001


def ranked(sampler, steps, *, replications=160, **options):
    common = {"n_train": SAMPLES, "kappa": KAPPA, "draws": 15, "seed": 1}
    return run_sbc(STUDENT, sampler, steps=steps, replications=replications, **common | options)


UNDERDAMPED = Underdamped(0.5, friction=0.3)
CORRECTED = PreconditionedSGLD(0.03, damping=1.0, memory_factor=0.9, always=True, correction=True)
CASES = [
    (UNDERDAMPED, 80),
    (HMC(0.5, leapfrogs=8), 96),
    (Gibbs(0.5, every=10, friction=0.3), 80),
    (SGLD(0.06), 400),
    (QuantisedLangevin(0.06, 0.05), 400),
    (PreconditionedSGLD(0.03, damping=0.5), 400),
    (CORRECTED, 400),
    (MALA(0.1), 400),
]


@pytest.mark.parametrize(("sampler", "steps"), CASES, ids=[str(each) for each, _ in CASES])
def test_ranks_of_a_right_sampler_are_uniform(sampler, steps):
    result = ranked(sampler, steps)
    assert result.calibrated(FALSE_ALARMS, bins=8), result.p_values(8)


@pytest.mark.parametrize(
    "mistake",
    [
        {"heat": 2.0},
        {"heat": 0.5},
        {"noise_variance": 2 * KAPPA**2 * SAMPLES},
        {"noise_variance": KAPPA**2 * SAMPLES / 2},
        {"noise_variance": KAPPA**2},
    ],
    ids=["T x 2", "T / 2", "likelihood x 2", "likelihood / 2", "no factor P"],
)
def test_a_factor_of_2_or_of_P_is_found_beyond_doubt(mistake):
    p_values = ranked(UNDERDAMPED, 80, **mistake).p_values(8)
    assert min(p_values.values()) < 1e-8


def test_a_posterior_that_is_too_hot_or_too_cold_has_its_shape():
    hot = ranked(UNDERDAMPED, 80, heat=2.0).histogram("|w|²", 4)
    cold = ranked(UNDERDAMPED, 80, heat=0.5).histogram("|w|²", 4)
    assert hot[0] > 2 * hot[-1]  # the draws' weights are too large, the truth ranks low
    assert cold[-1] > 2 * cold[0]


def test_the_false_alarm_rate_is_what_it_says():
    """Over simulated uniform ranks of independent quantities."""
    random, alarms, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        ranks = {name: random.integers(0, 16, size=200) for name in "abcde"}
        alarms += not Calibration(ranks, 15).calibrated(0.2, bins=8)
    # At most 20 %, and near it: Bonferroni's bound for five independent tests is 18.5 %.
    assert stats.binomtest(alarms, trials, 0.2, alternative="greater").pvalue > 1e-3
    assert alarms > 0.12 * trials


@pytest.mark.parametrize(
    "options", [{}, {"activation": "tanh", "hidden_bias_variance": 0.4, "gamma": 0.8}]
)
def test_each_chain_has_the_posterior_of_its_own_labels(options):
    """Gradient, value and law of the readouts, against one network posterior for each chain."""
    student, chains, random = (
        Student(dim=3, width=4, **options),
        3,
        torch.Generator().manual_seed(0),
    )
    inputs = torch.randn(6, 3, generator=random, dtype=torch.float64)
    labels = torch.randn(chains, 6, generator=random, dtype=torch.float64)
    ours = OwnLabels(student, inputs, labels, kappa=0.3)
    theta = student.sample_prior(chains, 4, random, dtype=torch.float64)
    gradient = torch.empty_like(theta)
    ours.gradient(theta, gradient)
    mean, factor = ours.readout_distribution(theta)
    for chain in range(chains):
        data = Dataset(inputs, labels[chain])
        plain = network_posterior(student, data, kappa=0.3, chains=chains)
        expected = torch.empty_like(theta)
        plain.gradient(theta, expected)
        for mine, theirs in zip(ours.views(gradient), plain.views(expected), strict=True):
            torch.testing.assert_close(mine[chain], theirs[chain])
        torch.testing.assert_close(ours.value(theta)[chain], plain.potential(theta)[chain])
        other_mean, other_factor = plain.readout_distribution(theta)
        torch.testing.assert_close(mean[chain], other_mean[chain])
        torch.testing.assert_close(factor[chain], other_factor[chain])


def test_ranks_are_counted_and_binned():
    result = Calibration({"q": np.array([0, 1, 3, 3, 2])}, draws=3)
    assert result.histogram("q", 4).tolist() == [1, 1, 1, 2]
    assert result.histogram("q", 2).tolist() == [2, 3]
    assert result.p_values(2)["q"] == pytest.approx(stats.chisquare([2, 3]).pvalue)


def test_the_same_seed_gives_the_same_ranks():
    one, two = (ranked(UNDERDAMPED, 10, replications=5) for _ in range(2))
    for name, ranks in one.ranks.items():
        assert np.array_equal(ranks, two.ranks[name])


def test_what_cannot_be_is_refused():
    for options in (
        {"n_train": 0},
        {"kappa": -1.0},
        {"draws": 0},
        {"noise_variance": 0.0},
        {"heat": math.nan},
        {"replications": 0},
    ):
        with pytest.raises(ArgumentError, match=f"^{next(iter(options))} must be"):
            ranked(UNDERDAMPED, 4, **options)
    with pytest.raises(ArgumentError, match=r"^calibration needs draws without weights"):
        ranked(AdaptiveSGLD(0.05), 4, replications=2)
    biased = Student(dim=3, width=4, output_bias_variance=1.0)
    with pytest.raises(ArgumentError, match=r"^labels of each chain need a student without"):
        run_sbc(biased, UNDERDAMPED, n_train=3, kappa=1, steps=4, replications=2, seed=0)
    inputs = torch.zeros(3, 3)
    with pytest.raises(ArgumentError, match=r"^labels must be \(chains, n_train = 3\)"):
        OwnLabels(STUDENT, inputs, torch.zeros(2, 5), kappa=1)
    result = Calibration({"q": np.zeros(3, dtype=int)}, draws=15)
    with pytest.raises(ArgumentError, match=r"^bins must divide"):
        result.histogram("q", 5)

"""The code of a network: specialised neurons, their patterns, and the threshold of the prior."""

import math

import numpy as np
import pytest

from feature_learning.errors import ArgumentError
from feature_learning.model.codes import codes_of, strengths, summary, threshold

DIM, WIDTH, SPARSITY = 35, 512, 4


def prior(chains, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(chains, WIDTH, DIM)) / math.sqrt(DIM)


def with_code(patterns, chains=1, seed=0):
    w = prior(chains, seed)
    for neuron, signs in enumerate(patterns):
        w[:, 7 * neuron, :SPARSITY] = [1.0 if sign == "+" else -1.0 for sign in signs]
    return w


def test_draws_from_the_prior_have_no_code_but_for_one_in_a_thousand():
    found = sum(
        code.neurons > 0
        for seed in range(10)
        for code in codes_of(prior(200, seed), dim=DIM, sparsity=SPARSITY)
    )
    # Of 2000 networks 2 are expected; 11 or more have the probability 10⁻⁵.
    assert found <= 10
    looser = strengths(prior(200), dim=DIM, sparsity=SPARSITY).max(axis=1)
    limit = threshold(WIDTH, SPARSITY, false_alarm=0.1)
    assert 6 <= (looser > limit).sum() <= 36


def test_the_threshold_is_that_of_the_tail_of_the_prior():
    from scipy.stats import norm

    for neurons, sparsity in ((1, 1), (512, 2), (512, 4), (4096, 5)):
        t = threshold(neurons, sparsity)
        assert neurons * (2 * norm.sf(t)) ** sparsity == pytest.approx(1e-3)


def test_a_code_is_read_with_its_patterns_and_its_gap():
    patterns = ["++++", "----", "+-+-", "+-+-", "-+++"]
    (code,) = codes_of(with_code(patterns), dim=DIM, sparsity=SPARSITY)
    assert code.neurons == 5
    assert dict(code.patterns) == {"++++": 1, "----": 1, "+-+-": 2, "-+++": 1}
    assert str(code) == "++++ +-+-:2 -+++ ----"
    assert code.profile == "1 x 1+0, 1 x 1+1, 1 x 2+0"
    assert code.gap > 2


def test_the_profile_does_not_know_the_order_of_coordinates_nor_flips():
    patterns = np.array(["++++", "+-+-", "--++", "+++-"])
    random = np.random.default_rng(1)
    (first,) = codes_of(with_code(patterns), dim=DIM, sparsity=SPARSITY)
    for _ in range(5):
        w = with_code(patterns)
        order = random.permutation(SPARSITY)
        w[:, :, :SPARSITY] = w[:, :, order] * random.choice([-1, 1], size=SPARSITY)
        (other,) = codes_of(w, dim=DIM, sparsity=SPARSITY)
        assert other.profile == first.profile


def test_nothing_learned_has_no_code():
    (code,) = codes_of(prior(1), dim=DIM, sparsity=SPARSITY)
    assert code.neurons == 0
    assert code.profile == "none"
    assert str(code) == ""
    assert math.isnan(code.gap)


def test_networks_are_counted_by_profile():
    w = np.concatenate([with_code(["++++"], 3), with_code(["++++", "+---"], 2, seed=1)])
    assert summary(codes_of(w, dim=DIM, sparsity=SPARSITY)) == "3 of 1 x 1+0; 2 of 2 x 1+0"


def test_strength_is_in_units_of_the_deviation_of_the_prior():
    w = prior(1)
    z = strengths(w, dim=DIM, sparsity=SPARSITY)
    np.testing.assert_allclose(strengths(3 * w, dim=DIM, sparsity=SPARSITY, weight_variance=9.0), z)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dim": 0}, "dim"),
        ({"sparsity": 0}, "sparsity"),
        ({"sparsity": DIM + 1}, "sparsity"),
        ({"weight_variance": 0.0}, "weight_variance"),
        ({"dim": DIM + 1}, "w must be"),
    ],
)
def test_what_does_not_fit_is_refused(change, words):
    with pytest.raises(ArgumentError, match=words):
        codes_of(prior(1), **{"dim": DIM, "sparsity": SPARSITY, **change})


def test_one_network_is_no_batch():
    with pytest.raises(ArgumentError, match=r"w must be \(chains, particles, fan_in\)"):
        codes_of(prior(1)[0], dim=DIM, sparsity=SPARSITY)
    with pytest.raises(ArgumentError, match="false_alarm"):
        threshold(5, 2, false_alarm=0.0)

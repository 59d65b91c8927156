"""Small test distributions: their gradients and moments, and averages over chains."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad

from feature_learning import HMC, SGLD, AdaptiveSGLD
from feature_learning.errors import ArgumentError
from sampler_validation.toy_potentials import averages, harmonic, quartic, ridge

LAWS = {
    "harmonic": lambda chains, **options: harmonic([0.7, 3.0], chains=chains, **options),
    "quartic": lambda chains, **options: quartic(chains=chains, **options),
    "ridge": lambda chains, **options: ridge(chains=chains, steepness=2.0, **options),
}


def start(law, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(law.size * law.chains, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("build", LAWS.values(), ids=LAWS)
def test_the_gradient_is_that_of_the_value(build):
    law = build(5)
    theta = start(law).requires_grad_()
    (exact,) = torch.autograd.grad(law.value(theta).sum(), theta)
    out = torch.empty(law.size * law.chains, dtype=torch.float64)
    law.gradient(theta.detach(), out)
    torch.testing.assert_close(out, exact)
    assert law.value(theta).shape == (5,)
    assert law.views(theta).w.shape == (5, 1, law.size)
    torch.testing.assert_close(law.views(theta).w[:, 0].t(), law.coordinates(theta))


def moment(weight, value):
    inside, _ = quad(lambda x: weight(x) * value(x), -12, 12, limit=200)
    return inside / quad(weight, -12, 12, limit=200)[0]


@pytest.mark.parametrize(
    ("build", "weight"),
    [
        (LAWS["harmonic"], lambda x: math.exp(-0.7 * x**2 / 1.2)),
        (LAWS["quartic"], lambda x: math.exp(-(x**2 / 2 + x**4 / 4) / 0.6)),
        (LAWS["ridge"], lambda x: math.exp(-(x**2) / 1.2) / math.sqrt(1 + 2 * x**2)),
    ],
    ids=LAWS,
)
def test_an_exact_sampler_finds_the_moments(build, weight):
    law = build(3000, temperature=0.6)
    found = averages(
        HMC(0.25, leapfrogs=5),
        law,
        start(law),
        lambda x: x[0].square(),
        steps=300,
        burn_in=200,
        every=5,
        seed=3,
    )
    exact = moment(weight, lambda x: x * x)
    assert found.plain_sem < 0.02 * exact
    assert abs(found.plain - exact) < 4.5 * found.plain_sem
    assert (found.weighted, found.weighted_sem) == pytest.approx((found.plain, found.plain_sem))


def test_the_error_is_that_over_chains():
    """Averages of chains that never move are their starts."""
    law = harmonic([1.0], chains=400, temperature=1e-20)
    begin = start(law)
    found = averages(SGLD(1e-12), law, begin, lambda x: x[0], steps=10, burn_in=0)
    assert found.plain == pytest.approx(float(begin.mean()), abs=1e-8)
    assert found.plain_sem == pytest.approx(float(begin.std()) / 20, rel=1e-6)


def test_weights_are_those_of_the_sampler():
    law = quartic(chains=300)
    sampler = AdaptiveSGLD(0.05, scale=1.0, sharpness=1.0)
    found = averages(sampler, law, start(law), lambda x: x[0] ** 2, steps=1, burn_in=40, seed=2)
    random = torch.Generator().manual_seed(2)
    state = sampler.init(law, start(law), random)
    for done, count in ((0, 40), (40, 1)):
        sampler.advance(state, law, count, random, done=done)
    weight, value = sampler.weight(state), state.position**2
    assert found.weighted == pytest.approx(float((weight * value).sum() / weight.sum()))
    assert found.plain == pytest.approx(float(value.mean()))


def test_a_step_that_is_too_long_is_named():
    law = ridge(chains=50, steepness=25.0)
    with pytest.raises(ArgumentError, match=r"^step_size must be smaller than 0.5: \d+ of 50"):
        averages(SGLD(0.5), law, start(law), lambda x: x[0] ** 2, steps=400, burn_in=0)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: harmonic([1.0, 0.0], chains=2), "curvatures"),
        (lambda: harmonic([], chains=2), "curvatures"),
        (lambda: ridge(chains=2, steepness=-1.0), "steepness"),
        (lambda: quartic(chains=0), "chains"),
        (lambda: quartic(chains=2, temperature=0.0), "temperature"),
    ],
)
def test_what_is_no_law_is_refused_by_name(build, name):
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        build()


@pytest.mark.parametrize("options", [{"steps": 0}, {"burn_in": -1}, {"every": 11}, {"discard": -1}])
def test_budgets_out_of_range_are_refused_by_name(options):
    law, (name,) = quartic(chains=2), options
    budget = {"steps": 10, "burn_in": 0, **options}
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        averages(SGLD(0.1), law, start(law), lambda x: x[0], **budget)

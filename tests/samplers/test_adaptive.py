"""SA-SGLD: uniform samples in its own clock, and weights that restore the distribution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toys import SIGMAS, Toy, exact_draws, expectation, quartic, ridge

from feature_learning import SGLD, AdaptiveSGLD
from feature_learning.errors import ArgumentError


def averages(sampler, energy, start, observable, *, time, every):
    """Weighted and plain average of each chain's observable, and its mean weight."""
    random = torch.Generator().manual_seed(1)
    state = sampler.init(energy, start, random)
    steps = round(time / sampler.step_size)
    sampler.advance(state, energy, steps // 5, random, done=0)
    weighted = total = plain = 0.0
    for _ in range(steps // every):
        sampler.advance(state, energy, every, random, done=0)
        value, weight = observable(state.position), sampler.weight(state)
        weighted, total, plain = weighted + weight * value, total + weight, plain + value
    return weighted.numpy(), total.numpy(), plain.numpy() / (steps // every)


def ratio(weighted, total):
    """Mean and standard error of a ratio of means over chains."""
    mean = weighted.mean() / total.mean()
    sem = (weighted - mean * total).std(ddof=1) / total.mean() / math.sqrt(len(total))
    return mean, sem


#: E x² of U = x²/2 + y²(1+x²)/2 at T = 1, by quadrature: 0.7154.
RIDGE = expectation(lambda x: x**2 / 2 + np.log1p(x**2) / 2, np.square)


def test_the_weighted_average_is_right_and_the_plain_one_is_not():
    assert pytest.approx(0.7154, abs=5e-5) == RIDGE
    chains = 3000
    random = torch.Generator().manual_seed(0)
    start = torch.randn(2 * chains, generator=random, dtype=torch.float64)
    sampler = AdaptiveSGLD(0.02, scale=1.0, sharpness=1.0)
    weighted, total, plain = averages(
        sampler, Toy(ridge, 2, chains), start, lambda x: x[:chains] ** 2, time=40, every=20
    )
    mean, sem = ratio(weighted, total)
    assert sem < 0.01
    assert abs(mean - RIDGE) < SIGMAS * sem
    assert plain.mean() > RIDGE + 10 * sem


def test_its_bias_falls_with_the_step():
    chains = 8000
    right = expectation(lambda x: x**2 / 2 + x**4 / 4, np.square)
    start = exact_draws(lambda x: x**2 / 2 + x**4 / 4, chains, seed=2)
    errors = {}
    for step in (0.16, 0.02):
        sampler = AdaptiveSGLD(step, scale=1.0)
        mean, sem = ratio(
            *averages(sampler, Toy(quartic, 1, chains), start, torch.square, time=30, every=4)[:2]
        )
        errors[step] = (mean - right, sem)
    (coarse, far), (fine, near) = errors.values()
    assert coarse > 5 * far
    assert abs(fine) < 0.4 * coarse + SIGMAS * near


def test_one_step_is_its_formula():
    energy, alpha, m, big, r, s = Toy(ridge, 2, 1, 0.7), 0.8, 0.2, 5.0, 0.5, 1.5
    sampler = AdaptiveSGLD(
        0.1, smallest=m, largest=big, rate=alpha, power=s, sharpness=r, scale=3.0
    )
    start = torch.tensor([0.4, -1.1], dtype=torch.float64)
    random = torch.Generator().manual_seed(9)
    state = sampler.init(energy, start, random)
    sampler.advance(state, energy, 3, random, done=0)

    def psi(zeta):
        return m * (zeta**r + big) / (zeta**r + m)

    def gradient(theta):
        x, y = theta
        return torch.stack([x + x * y * y, y * (1 + x * x)])

    theta, keep = start.clone(), math.exp(-alpha * 0.1 / 2)
    zeta = float(gradient(theta).norm()) ** s / 3.0 / alpha
    noise = torch.Generator().manual_seed(9)
    for _ in range(3):
        zeta = keep * zeta + (1 - keep) * float(gradient(theta).norm()) ** s / 3.0 / alpha
        span = psi(zeta) * 0.1
        xi = torch.empty(2, dtype=torch.float64).normal_(generator=noise)
        theta = theta - span * gradient(theta) + math.sqrt(2 * 0.7 * span) * xi
        size = float(gradient(theta).norm()) ** s / 3.0 / alpha
        zeta = keep * zeta + (1 - keep) * size
    torch.testing.assert_close(state.position, theta, rtol=1e-12, atol=0)
    ahead = keep * zeta + (1 - keep) * size
    assert float(sampler.weight(state)) == pytest.approx(psi(ahead))


def test_a_fixed_ratio_is_sgld():
    start = torch.linspace(-1, 1, 30, dtype=torch.float64)
    ends = []
    for sampler in (AdaptiveSGLD(0.05, smallest=1.0, largest=1.0), SGLD(0.05)):
        random = torch.Generator().manual_seed(3)
        state = sampler.init(Toy(quartic, 1, 30), start, random)
        sampler.advance(state, Toy(quartic, 1, 30), 40, random, done=0)
        ends.append(state.position)
    torch.testing.assert_close(*ends)


def test_steps_stay_between_the_bounds_and_are_short_where_it_is_steep():
    chains = 500
    sampler = AdaptiveSGLD(0.01, scale=1.0, sharpness=1.0)
    start = torch.linspace(0.05, 4, chains, dtype=torch.float64)
    state = sampler.init(Toy(quartic, 1, chains), start, torch.Generator())
    weight = sampler.weight(state)
    assert ((weight >= 0.1) & (weight <= 10)).all()
    assert (weight.diff() < 0).all()


def test_numbers_out_of_range_are_refused():
    for name in ("smallest", "rate", "power", "sharpness", "scale"):
        with pytest.raises(ArgumentError, match=f"^{name} must be"):
            AdaptiveSGLD(0.1, **{name: 0.0})
    with pytest.raises(ArgumentError, match=r"^largest must be"):
        AdaptiveSGLD(0.1, smallest=2.0, largest=1.0)

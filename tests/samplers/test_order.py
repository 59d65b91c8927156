"""Error against step size: SGLD of first order, BAOAB's positions of second or better."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toys import SIGMAS, Toy, deviation, exact_draws, expectation, moved, quartic

from feature_learning import SGLD, Underdamped


def well(x):
    return x**2 / 2 + x**4 / 4


def stationary(step):
    """E x² of the chain that SGLD is in the quartic well, from its transition matrix on a grid."""
    grid = np.linspace(-4, 4, 801)
    mean = grid - step * (grid + grid**3)
    kernel = np.exp(-((grid - mean[:, None]) ** 2) / (4 * step))
    kernel /= kernel.sum(axis=1, keepdims=True)
    law = np.exp(-well(grid))
    law /= law.sum()
    for _ in range(round(6 / step)):
        law = law @ kernel
    return float(law @ grid**2)


def test_the_bias_of_sgld_is_what_its_transition_matrix_says_and_of_first_order():
    right = expectation(well, np.square)
    coarse, middle, fine = (stationary(step) - right for step in (0.08, 0.04, 0.02))
    assert coarse / middle == pytest.approx(2, abs=0.2)
    assert middle / fine == pytest.approx(2, abs=0.1)
    chains = 60_000
    start = exact_draws(well, chains, seed=6)
    state = moved(SGLD(0.08), Toy(quartic, 1, chains), start, 50)
    draws = state.position.square().numpy()
    assert abs(deviation(draws, stationary(0.08))) < SIGMAS
    assert deviation(draws, right) > SIGMAS


def ripples(x):
    """U = x²/2 + cos(2x)/2: curvatures from -1 to 3."""
    return (x.square() / 2 + 0.5 * torch.cos(2 * x)).sum(dim=1)


def rippled(x):
    return x**2 / 2 + 0.5 * np.cos(2 * x)


def test_the_bias_of_baoab_falls_at_least_as_the_square_of_the_step():
    right = expectation(rippled, np.square)
    chains, error = 120_000, {}
    start = exact_draws(rippled, chains, seed=7)
    for step in (1.0, 0.5):
        sampler = Underdamped(step, friction=1.0)
        state = moved(sampler, Toy(ripples, 1, chains), start, round(12 / step))
        draws = state.position.square().numpy()
        error[step] = draws.mean() - right, draws.std() / math.sqrt(chains)
    (coarse, far), (fine, near) = error[1.0], error[0.5]
    assert abs(coarse) > 2 * SIGMAS * far, error
    assert abs(fine) < abs(coarse) / 4 + SIGMAS * math.hypot(near, far / 4), error

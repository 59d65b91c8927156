"""pSGLD: its distribution with and without a preconditioner that follows the chain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import SIGMAS, Toy, deviation, exact_draws, expectation, moved, quartic

from feature_learning import SGLD, PreconditionedSGLD
from feature_learning.errors import ArgumentError

CHAINS = 15_000


def well(x):
    return x**2 / 2 + x**4 / 4


RIGHT = expectation(well, np.square)


def sampled(sampler, time=5.0, **options):
    energy, start = Toy(quartic, 1, CHAINS), exact_draws(well, CHAINS, seed=4)
    return moved(sampler, energy, start, round(time / sampler.step_size), **options)


def without_correction(state, damping):
    """E x² under e^(-U/T)/G, the law that is sampled as η → 0."""
    reference = float(state.extra["reference"])
    return expectation(
        lambda x: well(x) - np.log(damping + np.abs(x + x**3) / reference), np.square
    )


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_a_preconditioner_that_follows_the_chain_samples_another_law(factor):
    """Its limit is known: e^(-U/T)/G, far from the right law."""
    sampler = PreconditionedSGLD(0.01, memory_factor=factor, damping=1.0, always=True)
    state = sampled(sampler)
    draws, wrong = state.position.square().numpy(), without_correction(state, 1.0)
    assert wrong > 1.4 * RIGHT
    assert abs(deviation(draws, wrong)) < SIGMAS
    assert deviation(draws, RIGHT) > 8 * SIGMAS


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.9])
def test_the_correction_brings_the_right_law_back(factor):
    sampler = PreconditionedSGLD(
        0.01, memory_factor=factor, damping=1.0, always=True, correction=True
    )
    draws = sampled(sampler).position.square().numpy()
    # A step of 0.01 leaves a bias of first order, below 3 % here.
    assert draws.mean() == pytest.approx(RIGHT, rel=0.03 + SIGMAS * draws.std() / CHAINS**0.5)


def test_a_preconditioner_of_burn_in_is_constant_afterwards_and_samples_the_right_law():
    sampler = PreconditionedSGLD(0.004, memory_factor=0.999, damping=0.5)
    energy, random = Toy(quartic, 1, CHAINS), torch.Generator().manual_seed(1)
    state = sampler.init(energy, exact_draws(well, CHAINS, seed=4), random)
    before = state.extra["power"].clone()
    sampler.for_burn_in().advance(state, energy, 300, random, done=0)
    power = state.extra["power"].clone()
    assert not torch.equal(power, before)
    # The burn-in of a following preconditioner leaves its mark on the positions: forget it.
    sampler.advance(state, energy, 1500, random, done=300)
    assert torch.equal(state.extra["power"], power)
    assert state.position.square().mean() == pytest.approx(RIGHT, rel=0.05)
    assert abs(deviation(state.position.square(), without_correction(state, 0.5))) > 2 * SIGMAS


def test_equal_gradients_make_it_sgld():
    """V = g₀² everywhere gives G = 1/(λ+1): SGLD with that step, for the same noise."""

    def slope(x):
        return 3.0 * x.sum(dim=1)

    start = torch.zeros(50, dtype=torch.float64)
    plain = moved(SGLD(0.1 / 1.25), Toy(slope, 1, 50), start, 20)
    scaled = moved(PreconditionedSGLD(0.1, damping=0.25), Toy(slope, 1, 50), start, 20)
    torch.testing.assert_close(plain.position, scaled.position)


def test_the_step_evens_out_curvatures():
    """A well 400 times stiffer in one direction: its step is shorter, its variance stays right."""
    stiff, chains = torch.tensor([1.0, 400.0], dtype=torch.float64), 4000

    def harmonic(x):
        return 0.5 * (stiff * x.square()).sum(dim=1)

    start = torch.randn(2 * chains, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    start[chains:] /= 20
    sampler = PreconditionedSGLD(0.0005, memory_factor=0.999)
    state = moved(sampler, Toy(harmonic, 2, chains), start, 400, burn_in=2000)
    root = state.extra["power"].sqrt() / state.extra["reference"]
    scale = 1 / (sampler.damping + root)
    assert scale[:chains].mean() > 5 * scale[chains:].mean()
    variance_bias_factor = 1 / (1 - 0.5 * sampler.step_size * 400 * float(scale[chains:].mean()))
    assert variance_bias_factor > 1.04
    hard = 400 * state.position[chains:].square().mean()
    assert hard == pytest.approx(variance_bias_factor, rel=SIGMAS * (2 / chains) ** 0.5)


def test_a_constant_preconditioner_has_no_correction():
    with pytest.raises(ArgumentError, match=r"^correction needs always"):
        PreconditionedSGLD(0.1, correction=True)
    sampler = PreconditionedSGLD(0.1, always=True)
    assert replace(sampler, correction=True).correction
    for options in ({"memory_factor": 1.5}, {"damping": 0.0}):
        with pytest.raises(ArgumentError, match=f"^{next(iter(options))} must be"):
            PreconditionedSGLD(0.1, **options)

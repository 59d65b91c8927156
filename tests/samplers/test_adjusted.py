"""MALA and HMC: correct distribution at every step size, and reversible steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toys import SIGMAS, Toy, deviation, exact_draws, expectation, moved, quartic, ridge

from feature_learning import (
    HMC,
    MALA,
    SGLD,
    SparseParity,
    Student,
    make_dataset,
    mean_field_energy,
    network_posterior,
)
from feature_learning.energies.collapsed import CollapsedEnergy
from feature_learning.errors import ArgumentError
from feature_learning.model.priors import Ard
from feature_learning.samplers import metropolis
from feature_learning.samplers.base import ChainwiseOps

CHAINS = 60_000


def well(x):
    return x**2 / 2 + x**4 / 4


def squared(state):
    return state.position.square().numpy()


@pytest.mark.parametrize(
    "sampler",
    [MALA(0.3), MALA(0.9), HMC(0.5, leapfrogs=3), HMC(0.9, leapfrogs=2, jitter=0.5)],
    ids=str,
)
def test_the_variance_of_a_quartic_well_is_right_at_every_step(sampler):
    energy = Toy(quartic, 1, CHAINS)
    state = moved(sampler, energy, torch.zeros(CHAINS, dtype=torch.float64), 60)
    assert abs(deviation(squared(state), expectation(well, np.square))) < SIGMAS
    rate = float((state.extra["accepted"] / state.extra["tried"]).mean())
    assert rate < 0.995  # some are refused: without the test the law would be another


def test_the_same_step_without_the_test_is_far_off():
    energy = Toy(quartic, 1, CHAINS)
    state = moved(SGLD(0.15), energy, torch.zeros(CHAINS, dtype=torch.float64), 60)
    assert abs(deviation(squared(state), expectation(well, np.square))) > 4 * SIGMAS


def flows(sampler, chains=200_000):
    """Net flow between cells of a partition in one transition from exact draws, in its errors."""
    start = exact_draws(well, chains, seed=3)
    steps = getattr(sampler, "leapfrogs", 1)
    end = moved(sampler, Toy(quartic, 1, chains), start, steps).position
    edges = torch.tensor([-0.9, -0.3, 0.2, 0.8], dtype=torch.float64)
    before, after = torch.bucketize(start, edges), torch.bucketize(end, edges)
    counts = np.zeros((5, 5))
    np.add.at(counts, (before.numpy(), after.numpy()), 1)
    upper = np.triu_indices(5, 1)
    there, back = counts[upper], counts.T[upper]
    assert (there + back > 30).sum() >= 7
    seen = there + back > 30
    return (there - back)[seen] / np.sqrt((there + back)[seen])


@pytest.mark.parametrize("sampler", [MALA(0.4), HMC(0.6, leapfrogs=3)], ids=str)
def test_as_many_chains_go_from_here_to_there_as_back(sampler):
    """Detailed balance, from exact draws of the law."""
    assert np.abs(flows(sampler)).max() < SIGMAS


def test_the_flow_test_sees_that_sgld_has_no_detailed_balance():
    assert np.abs(flows(SGLD(0.4))).max() > 2 * SIGMAS


def test_a_trajectory_of_one_leapfrog_is_mala():
    """η = h²/2: the same proposals and the same decisions for the same random numbers."""
    start = exact_draws(well, 1000, seed=5)
    ends = [
        moved(sampler, Toy(quartic, 1, 1000, 0.5), start, 20)
        for sampler in (MALA(0.32), HMC(0.8, leapfrogs=1, jitter=0.0))
    ]
    torch.testing.assert_close(ends[0].position, ends[1].position, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ends[0].extra["accepted"], ends[1].extra["accepted"])


def test_a_trajectory_is_the_leapfrog_steps_it_says_however_the_run_is_cut():
    """Half kicks, drifts and half kicks one by one, against kicks that are made as one."""
    h, energy = 0.3, Toy(quartic, 1, 4, 0.5)
    start = torch.tensor([-1.0, 0.2, 0.5, 1.5], dtype=torch.float64)
    ends = []
    for pieces in ([6], [1, 4, 1], [2, 3, 1]):
        random = torch.Generator().manual_seed(4)
        sampler = HMC(h, leapfrogs=3, jitter=0.0)
        state, done = sampler.init(energy, start, random), 0
        for piece in pieces:
            sampler.advance(state, energy, piece, random, done=done)
            done += piece
        ends.append((state.position, state.velocity))
    for position, velocity in ends[1:]:
        assert torch.equal(position, ends[0][0])
        assert torch.equal(velocity, ends[0][1])

    random = torch.Generator().manual_seed(4)
    state = sampler.init(energy, start, random)
    sampler.advance(state, energy, 2, random, done=0)
    before = state.extra["proposal"].clone()  # two steps from the start, at half a kick
    random = torch.Generator().manual_seed(4)
    v = math.sqrt(0.5) * torch.empty_like(start).normal_(generator=random)
    theta, force = start.clone(), torch.empty_like(start)

    def kick(v):
        energy.gradient(theta, force)
        return v - 0.5 * h * force

    for step in range(3):
        v = kick(v)
        theta = theta + h * v
        if step == 1:
            torch.testing.assert_close(before, theta, rtol=1e-12, atol=1e-14)
        v = kick(v)
    state.extra["value"].fill_(1e9)  # so high a start that every end is accepted
    state.extra["start"].fill_(1e9)
    sampler.advance(state, energy, 1, random, done=2)
    torch.testing.assert_close(state.position, theta, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(state.velocity, v, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "sampler", [MALA(0.01), HMC(0.01, leapfrogs=5), MALA(5.0), HMC(5.0, leapfrogs=8)]
)
def test_burn_in_finds_the_wanted_acceptance_from_any_step_and_then_leaves_the_step_alone(sampler):
    chains = 400
    energy, random = Toy(ridge, 2, chains, 0.3), torch.Generator().manual_seed(2)
    state = sampler.init(energy, torch.zeros(2 * chains, dtype=torch.float64), random)
    steps = 400 * getattr(sampler, "leapfrogs", 1)
    sampler.for_burn_in().advance(state, energy, steps, random, done=0)
    factor = metropolis.factor(state.extra, adapting=False).clone()
    state.extra["accepted"].zero_()
    state.extra["tried"].zero_()
    sampler.advance(state, energy, steps, random, done=steps)
    assert torch.equal(sampler.report(state)["step_factor"], factor)
    rate = float(sampler.report(state)["acceptance"].mean())
    assert rate == pytest.approx(sampler.acceptance, abs=0.12)


def test_a_proposal_that_leaves_the_numbers_is_refused():
    energy = Toy(quartic, 1, 10)
    start = torch.linspace(-2, 2, 10, dtype=torch.float64)
    state = moved(HMC(1e3, leapfrogs=9, adapt=False), energy, start, 9)
    assert torch.equal(state.position, start)
    assert not state.extra["accepted"].any()


def small(**options):
    student = Student(dim=4, width=5, **options)
    data = make_dataset(SparseParity(4, 2), 9, seed=1, dtype=torch.float64)
    return student, data


@pytest.mark.parametrize("self_energy", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": "erf", "hidden_bias_variance": 0.4},
        {"activation": "tanh", "output_bias_variance": 0.3, "gamma": 0.8},
    ],
)
def test_the_value_by_one_pass_is_the_potential(self_energy, options):
    student, data = small(**options)
    build = mean_field_energy if self_energy else network_posterior
    energy = build(student, data, kappa=0.3, chains=3, tile_elements=40)
    theta = student.sample_prior(3, 5, torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(energy.value(theta), energy.potential(theta), rtol=1e-12, atol=0)


def test_sums_factors_and_choices_reach_every_parameter_of_a_chain_and_no_other():
    student, data = small(output_bias_variance=0.3)
    energy = network_posterior(student, data, kappa=0.2, chains=3)
    per_chain, size = ChainwiseOps(energy), student.size(1, 5)
    ours = torch.ones(3 * size, dtype=torch.float64)
    numbers = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)
    spread = per_chain.spread(numbers, ours)
    assert torch.equal(per_chain.sum(spread), size * numbers)
    assert torch.equal(spread.unique(return_counts=True)[1], torch.tensor([size] * 3))
    per_chain.choose(torch.tensor([True, False, True]), spread, ours)
    assert torch.equal(per_chain.sum(ours), size * torch.tensor([2.0, 1.0, 5.0]).double())


def test_chains_are_decided_one_by_one():
    """A chain does not notice which others share its batch."""
    student, data = small()
    energy = network_posterior(student, data, kappa=0.2, chains=40)
    start = student.sample_prior(40, 5, torch.Generator().manual_seed(0), dtype=torch.float64)
    state = moved(MALA(0.4, adapt=False), energy, start, 1)
    stayed = [
        torch.stack([(piece[chain] == old[chain]).all() for piece, old in pieces]).all().item()
        for chain in range(40)
        for pieces in [
            [
                (piece, old)
                for piece, old in zip(
                    energy.views(state.position), energy.views(start), strict=True
                )
                if piece.shape[1]
            ]
        ]
    ]
    assert 0 < sum(stayed) < 40
    torch.testing.assert_close(state.extra["value"], energy.potential(state.position))
    gradient = torch.empty_like(start)
    energy.gradient(state.position, gradient)
    torch.testing.assert_close(state.gradient, gradient)


@pytest.mark.parametrize("make", [MALA, HMC])
def test_energies_that_move_or_have_no_value_are_refused(make):
    student, data = small()
    for energy in (
        mean_field_energy(student, data, kappa=0.2, ard=Ard()),
        CollapsedEnergy(student, data, kappa=0.2),
    ):
        size = student.size(1, 5, readout=not isinstance(energy, CollapsedEnergy))
        with pytest.raises(ArgumentError, match="needs a fixed energy"):
            make(0.1).init(energy, torch.zeros(size, dtype=torch.float64), torch.Generator())


def test_one_neuron_on_a_grid():
    """The network posterior itself: one ReLU neuron in one dimension and one datum."""
    student, data, kappa = *small_neuron(), 0.5
    w, a = np.meshgrid(np.linspace(-8, 8, 801), np.linspace(-8, 8, 801), indexing="ij")
    field = a * np.maximum(w * 1.3, 0)
    weight = np.exp(-((field - 0.8) ** 2) / (2 * kappa**2) - a**2 / 2 - w**2 / 2)
    chains = 6000
    energy = network_posterior(student, data, kappa=kappa, chains=chains)
    start = student.sample_prior(chains, 1, torch.Generator().manual_seed(0), dtype=torch.float64)
    for sampler, steps in ((MALA(0.15), 600), (HMC(0.4, leapfrogs=4), 320)):
        views = energy.views(moved(sampler, energy, start, steps).position)
        for draws, values in (
            (views.a[:, 0] * (1.3 * views.w[:, 0, 0]).clamp(min=0), field),
            (views.a[:, 0] ** 2, a**2),
            (views.w[:, 0, 0] ** 2, w**2),
        ):
            exact = float((weight * values).sum() / weight.sum())
            assert abs(deviation(draws, exact)) < SIGMAS, (sampler, exact)


def small_neuron():
    student = Student(dim=1, width=1)
    data = make_dataset(SparseParity(1, 1), 1, seed=0, dtype=torch.float64)
    inputs, labels = torch.full((1, 1), 1.3).double(), torch.tensor([0.8]).double()
    return student, type(data)(**{**vars(data), "inputs": inputs, "labels": labels})


@pytest.mark.parametrize("value", [0, -1.0, math.nan])
def test_numbers_out_of_range_are_refused(value):
    for make, name in (
        (lambda: MALA(value), "step_size"),
        (lambda: HMC(value), "step_size"),
        (lambda: MALA(0.1, acceptance=value), "acceptance"),
        (lambda: HMC(0.1, jitter=value - 0.5), "jitter"),
        (lambda: HMC(0.1, leapfrogs=value), "leapfrogs"),
    ):
        with pytest.raises(ArgumentError, match=f"^{name} must be "):
            make()

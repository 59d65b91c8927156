"""Replica exchange: every replica keeps its distribution, and networks travel."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import SIGMAS, deviation

from feature_learning import (
    SGLD,
    LadderEnergy,
    ReplicaExchange,
    SparseParity,
    Student,
    Underdamped,
    make_dataset,
    network_posterior,
)
from feature_learning.errors import ArgumentError

KAPPAS = (0.2, 0.4, 0.9)


def neuron(activation="relu"):
    """One neuron in one dimension and one datum."""
    student = Student(dim=1, width=1, activation=activation)
    data = make_dataset(SparseParity(1, 1), 1, seed=0, dtype=torch.float64)
    inputs, labels = torch.full((1, 1), 1.3).double(), torch.tensor([0.8]).double()
    return student, replace(data, inputs=inputs, labels=labels)


def started(copies, seed=0, activation="relu"):
    student, data = neuron(activation)
    energy = LadderEnergy(student, data, kappas=KAPPAS, copies=copies)
    random = torch.Generator().manual_seed(seed)
    return energy, student.sample_prior(energy.chains, 1, random, dtype=torch.float64)


def test_each_replica_is_the_posterior_at_its_kappa():
    student, data = (
        Student(dim=4, width=5),
        make_dataset(SparseParity(4, 2), 9, seed=1, dtype=torch.float64),
    )
    ladder = LadderEnergy(student, data, kappas=KAPPAS, copies=2)
    theta = student.sample_prior(6, 5, torch.Generator().manual_seed(0), dtype=torch.float64)
    out, plain = torch.empty_like(theta), torch.empty_like(theta)
    ladder.gradient(theta, out)
    for replica, kappa in enumerate(KAPPAS):
        energy = network_posterior(student, data, kappa=kappa, chains=6)
        energy.gradient(theta, plain)
        for chain in (replica, 3 + replica):
            ratio = ladder.temperature / energy.temperature
            value = ladder.value(theta)[chain] / ladder.temperature
            torch.testing.assert_close(value, energy.potential(theta)[chain] / energy.temperature)
            for ours, theirs in zip(ladder.views(out), energy.views(plain), strict=True):
                torch.testing.assert_close(ours[chain], ratio * theirs[chain])


def test_every_replica_has_its_law_on_a_grid():
    copies = 2000
    energy, start = started(copies)
    sampler, random = ReplicaExchange(Underdamped(0.2, friction=0.3), every=5), torch.Generator()
    state = sampler.init(energy, start, random.manual_seed(1))
    sampler.advance(state, energy, 500, random, done=0)
    w, a = np.meshgrid(np.linspace(-8, 8, 801), np.linspace(-8, 8, 801), indexing="ij")
    field = a * np.maximum(1.3 * w, 0)
    views = energy.views(state.position)
    for replica, kappa in enumerate(KAPPAS):
        weight = np.exp(-((field - 0.8) ** 2) / (2 * kappa**2) - a**2 / 2 - w**2 / 2)
        mine = slice(replica, None, 3)
        readouts, weights = views.a[mine, 0], views.w[mine, 0, 0]
        for draws, values in (
            (readouts * (1.3 * weights).clamp(min=0), field),
            (readouts**2, a**2),
            (weights**2, w**2),
        ):
            exact = float((weight * values).sum() / weight.sum())
            # The step of 0.2 leaves a bias below 2 %.
            sem = float(draws.std()) / math.sqrt(copies)
            assert abs(float(draws.mean()) - exact) < SIGMAS * sem + 0.02 * exact, (kappa, exact)
    rate = sampler.report(state)["swapped"].view(copies, 3).mean(dim=0)
    assert (rate[:2] > 0.1).all()
    assert (rate[:2] < 0.95).all()
    assert rate[2].isnan()  # it has no next one


def test_each_pair_of_replicas_has_its_own_rate():
    """Two close rungs and one far away: the far pair is not hidden by the close one."""
    student, data = (
        Student(dim=6, width=8),
        make_dataset(SparseParity(6, 2), 400, seed=1, dtype=torch.float64),
    )
    energy = LadderEnergy(student, data, kappas=(0.05, 0.0502, 0.5))
    random = torch.Generator().manual_seed(0)
    start = student.sample_prior(3, 8, random, dtype=torch.float64)
    sampler = ReplicaExchange(SGLD(1e-4), every=1)
    state = sampler.init(energy, start, random)
    sampler.advance(state, energy, 200, random, done=0)
    assert sampler.report(state)["swapped"][0] > 0.5
    assert sampler.report(state)["swapped"][1] < 0.05


def test_networks_travel_within_their_ladder_and_none_is_lost():
    energy, start = started(50)
    sampler, random = ReplicaExchange(SGLD(0.05), every=3), torch.Generator().manual_seed(2)
    state = sampler.init(energy, start, random)
    sampler.advance(state, energy, 600, random, done=0)
    walker = state.extra["walker"]
    assert sorted(walker.tolist()) == list(range(150))
    assert torch.equal(walker // 3, torch.arange(150) // 3)
    assert (walker != torch.arange(150)).double().mean() > 0.4
    gradient = torch.empty_like(start)
    state.gradient.zero_()
    sampler.swap(state, energy, 0, random)
    energy.gradient(state.position, gradient)
    assert torch.equal(state.gradient, gradient)


@pytest.mark.parametrize("exchange", [False, True])
def test_the_sign_of_a_stuck_neuron_is_forgotten_with_exchange_only(exchange):
    """tanh: (w, a) and (-w, -a) are the same network, with a barrier between them at κ = 0.05."""
    student, data = neuron("tanh")
    energy = LadderEnergy(student, data, kappas=(0.05, 0.15, 0.4, 1.0), copies=200)
    start = torch.full((1600,), 1.0, dtype=torch.float64)
    sampler = ReplicaExchange(Underdamped(0.2, friction=0.1), every=10 if exchange else 10**9)
    random = torch.Generator().manual_seed(3)
    state = sampler.init(energy, start, random)
    sampler.advance(state, energy, 6000, random, done=0)
    positive = (energy.views(state.position).w[::4, 0, 0] > 0).double().numpy()
    if exchange:
        assert abs(deviation(positive, 0.5)) < SIGMAS
    else:
        assert positive.mean() > 0.85


def test_what_is_no_ladder_is_refused():
    student, data = neuron()
    for kappas in ((0.1,), (0.2, 0.1), (0.1, 0.1)):
        with pytest.raises(ArgumentError, match=r"^kappas must be"):
            LadderEnergy(student, data, kappas=kappas)
    with pytest.raises(ArgumentError, match=r"^every must be"):
        ReplicaExchange(SGLD(0.1), every=0)
    plain = network_posterior(student, data, kappa=0.1)
    with pytest.raises(ArgumentError, match=r"needs a LadderEnergy"):
        ReplicaExchange(SGLD(0.1)).init(plain, torch.zeros(2).double(), torch.Generator())

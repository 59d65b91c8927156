"""Every sampler on posteriors with known moments, and the dependence of its bias on the step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import SIGMAS

from feature_learning import (
    HMC,
    MALA,
    SGLD,
    AdaptiveSGLD,
    Gibbs,
    PreconditionedSGLD,
    QuantisedLangevin,
    ReplicaExchange,
    Underdamped,
)
from feature_learning.errors import ArgumentError
from feature_learning.samplers import __all__ as samplers
from sampler_validation.known_answers import (
    PROBLEMS,
    QUANTITIES,
    KnownAnswer,
    gaussian,
    one_neuron,
)
from sampler_validation.moment_tests import CASES, MomentTest, averages, trial

MEMBERS = {member.name: member for member in CASES}


def test_the_whole_family_is_tried():
    def kind(sampler):
        return type(sampler).__name__

    assert {kind(member.sampler) for member in CASES} == {*samplers} - {"Sampler", "SamplerState"}


@pytest.mark.parametrize("make", PROBLEMS, ids=[make.__name__ for make in PROBLEMS])
@pytest.mark.parametrize("member", CASES, ids=[*MEMBERS])
def test_every_sampler_has_the_exact_moments_of_every_problem(member, make):
    """f, f², |a|² and L, against closed form or quadrature."""
    problem = make()
    found = trial(member, problem, seed=1)
    assert np.abs(found.deviations).max() < SIGMAS, (found, QUANTITIES)
    # It could tell: a temperature off by a factor 2 changes L by a factor of about 2.
    limit = 0.03 if member.kind != "batches" else 0.1
    assert found.sem[3] < limit * problem.exact[3]


@pytest.mark.parametrize("make", PROBLEMS, ids=[make.__name__ for make in PROBLEMS])
@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_factor_of_2_in_the_temperature_is_far_away(make, factor):
    """κ√2 or κ/√2: the sampler is right, and its posterior another."""
    right = make()
    wrong = replace(right, kappa=right.kappa * math.sqrt(factor))
    found = trial(MEMBERS["underdamped"], wrong, seed=1)
    assert np.abs(found.deviations).max() > 5 * SIGMAS


def test_a_preconditioner_that_follows_the_chain_is_seen_to_be_wrong():
    follows = PreconditionedSGLD(1, damping=0.1, memory_factor=0.5, always=True)
    member = replace(MEMBERS["preconditioned SGLD, corrected"], sampler=follows)
    found = trial(member, one_neuron(), seed=1)
    assert np.abs(found.deviations).max() > 2 * SIGMAS


def test_the_exact_moments_are_those_of_direct_draws():
    """Prior draws weighted by the likelihood: another way to the same numbers."""
    for make in PROBLEMS:
        problem, chains = make(), 200_000
        energy = problem.energy(chains)
        theta = problem.start(energy, torch.Generator().manual_seed(5))
        values = problem.observe(energy, theta).numpy()
        weight = np.exp(-values[:, 3] / (2 * problem.kappa**2))
        mean = weight @ values / weight.sum()
        error = weight[:, None] * (values - mean) / weight.mean()
        sem = error.std(axis=0, ddof=1) / math.sqrt(chains)
        assert (sem < 0.03 * np.abs(problem.exact)).all(), "the test could not tell"
        assert (np.abs(mean - problem.exact) < SIGMAS * sem).all(), make.__name__


#: The longest step, in units of the stability limit, and the least factor by which halving it
#: reduces the bias of L: 2 for a first-order method (with 10 % for the next order), 4 for a second.
ORDERS = {
    "SGLD": (SGLD, 0.2, 1.8),
    "preconditioned": (lambda step: PreconditionedSGLD(step, damping=0.5), 0.15, 1.8),
    "quantised": (lambda step: QuantisedLangevin(step, 0.5 * math.sqrt(step)), 0.2, 1.8),
    "adaptive": (lambda step: AdaptiveSGLD(step, smallest=0.3, largest=3.0), 0.2, 1.8),
    "underdamped": (lambda step: Underdamped(step, friction=0.5), 0.55, 4.0),
    "Gibbs": (lambda step: Gibbs(step, every=3, friction=0.5), 0.6, 4.0),
}


def biased(problem: KnownAnswer, make, share: float, time: float, **options) -> MomentTest:
    """Averages after ``time`` of a step in units of the stability limit, 2/λ or 2/√λ."""
    inertial = isinstance(make(0.1), Underdamped | Gibbs | HMC | ReplicaExchange)
    step = share * 2 / (math.sqrt(problem.curvature) if inertial else problem.curvature)
    steps = round(time / step)
    return averages(
        problem,
        make(step),
        burn_in=steps // 2,
        measurements=10,
        every=max(1, steps // 20),
        **options,
    )


@pytest.mark.parametrize("name", ORDERS)
def test_halving_the_step_reduces_the_bias_by_its_order(name):
    make, share, factor = ORDERS[name]
    problem = one_neuron("tanh")
    inertial = name in ("underdamped", "Gibbs")
    coarse, fine = (
        biased(problem, make, part * share, 40 if inertial else 16, chains=20_000, seed=seed)
        for seed, part in ((1, 1.0), (2, 0.5))
    )
    bias = [(found.mean - found.exact)[3] for found in (coarse, fine)]
    error = math.hypot(fine.sem[3], coarse.sem[3] / factor)
    assert bias[0] > 3 * SIGMAS * coarse.sem[3]
    assert abs(bias[1]) < bias[0] / factor + SIGMAS * error


@pytest.mark.parametrize(
    "make",
    [lambda step: MALA(step, adapt=False), lambda step: HMC(step, leapfrogs=3, adapt=False)],
    ids=["MALA", "HMC"],
)
def test_the_adjusted_samplers_have_no_bias_at_the_step_where_sgld_is_far_off(make):
    problem = one_neuron("tanh")
    found = biased(problem, make, 0.3, 16, chains=20_000, seed=3)
    assert np.abs(found.deviations).max() < SIGMAS
    sgld = biased(problem, SGLD, 0.3, 16, chains=20_000, seed=3)
    assert np.abs(sgld.deviations).max() > 10 * SIGMAS


def exact_pairs(problem: KnownAnswer, count: int, seed: int) -> torch.Tensor:
    """Independent draws of (w, a) of one neuron from its density on a grid."""
    random, axis = np.random.default_rng(seed), np.linspace(-6, 6, 1201)
    w, a = np.meshgrid(axis, axis, indexing="ij")
    x, y = float(problem.data.inputs), float(problem.data.labels)
    f = a * problem.student.phi.function(torch.from_numpy(x * w)).numpy()
    law = np.exp(-((f - y) ** 2) / (2 * problem.kappa**2) - a**2 / 2 - w**2 / 2).ravel()
    chosen = random.choice(law.size, size=count, p=law / law.sum())
    jitter = random.uniform(-0.5, 0.5, size=(2, count)) * (axis[1] - axis[0])
    draws = np.stack([w.ravel()[chosen], a.ravel()[chosen]]) + jitter
    return torch.from_numpy(draws.ravel())


def net_flows(sampler, chains=100_000):
    """Flows there and back between cells of the plane in one move from exact draws, in errors."""
    problem = one_neuron()
    energy, random = problem.energy(chains), torch.Generator().manual_seed(7)
    start = exact_pairs(problem, chains, seed=4)
    state = sampler.init(energy, start, random)
    sampler.advance(state, energy, getattr(sampler, "leapfrogs", 1), random, done=0)

    def cell(flat):
        w, a = flat[:chains], flat[chains:]
        edges = [torch.tensor(each).double() for each in ([-0.6, 0.2, 0.9], [-0.3, 0.5, 1.1])]
        return 4 * torch.bucketize(w, edges[0]) + torch.bucketize(a, edges[1])

    counts = np.zeros((16, 16))
    np.add.at(counts, (cell(start).numpy(), cell(state.position).numpy()), 1)
    upper = np.triu_indices(16, 1)
    there, back = counts[upper], counts.T[upper]
    seen = there + back > 30
    assert seen.sum() > 15
    return (there - back)[seen] / np.sqrt((there + back)[seen])


@pytest.mark.parametrize("sampler", [MALA(0.15), HMC(0.4, leapfrogs=3)], ids=["MALA", "HMC"])
def test_detailed_balance_on_the_posterior_of_a_neuron(sampler):
    assert np.abs(net_flows(sampler)).max() < SIGMAS


def test_sgld_breaks_it_at_the_same_step():
    assert np.abs(net_flows(SGLD(0.15))).max() > 2 * SIGMAS


def test_what_cannot_be_is_refused():
    with pytest.raises(ArgumentError, match=r"^kind must be one of"):
        gaussian().energy(2, "halves")
    for options in ({"chains": 1}, {"measurements": 0}, {"every": 0}):
        common = {"chains": 2, "burn_in": 2, "measurements": 1, "every": 1, "seed": 0}
        with pytest.raises(ArgumentError, match=f"^{next(iter(options))} must be"):
            averages(gaussian(), SGLD(0.1), **(common | options))

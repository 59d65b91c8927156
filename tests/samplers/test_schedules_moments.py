"""Varying step sizes: the run loop with each schedule on a posterior with known moments."""

import math

import numpy as np
import pytest
from toys import SIGMAS

from feature_learning import SGLD
from feature_learning.inference.chains import run_chains
from feature_learning.inference.guards import Guards
from feature_learning.inference.observables import Observer
from feature_learning.model.randomness import generator
from feature_learning.samplers.schedules import SHAPES, uniform
from sampler_validation.known_answers import PROBLEMS, one_neuron


def loss(problem, shape, share, *, steps, chains, seed=0):
    """Mean of L over the looks that count, its standard error and its exact value."""
    energy = problem.energy(chains)
    start = problem.start(energy, generator(seed, "start"))
    sampler = SGLD(share * SGLD(1).starting_step(problem.curvature))
    schedule = SHAPES[shape](
        uniform(step_size=sampler.step_size, steps=steps, burn_in=0.5, warmup=0, measurements=80)
    )
    observer = Observer(problem.student, energy, problem.data, sparsity=1)
    found = run_chains(
        energy,
        sampler,
        start,
        schedule,
        observer,
        guards=Guards(max_variance_bias=math.inf),
        random=generator(seed, "noise"),
    )
    means = found.mean("train_mse")
    return means.mean(), means.std(ddof=1) / math.sqrt(chains), problem.exact[3]


@pytest.mark.parametrize("make", PROBLEMS, ids=[make.__name__ for make in PROBLEMS])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_schedule_has_the_exact_mean_loss(shape, make):
    problem = make()
    mean, sem, exact = loss(problem, shape, 0.1, steps=3000, chains=300)
    assert sem < 0.03 * exact
    assert abs(mean - exact) < SIGMAS * sem


def test_steps_that_fall_lose_most_of_the_bias_of_the_step_they_start_from():
    problem = one_neuron("tanh")
    biases = {}
    for shape in SHAPES:
        mean, sem, exact = loss(problem, shape, 2.0, steps=2000, chains=4000)
        biases[shape] = np.array([mean - exact, sem])
    constant, sem = biases.pop("constant")
    assert constant > 5 * SIGMAS * sem
    for bias, error in biases.values():
        assert bias < 0.6 * constant - SIGMAS * math.hypot(0.6 * sem, error)

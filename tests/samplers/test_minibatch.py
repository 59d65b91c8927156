"""Mini-batches: an unbiased gradient, and exactly the extra noise of the theory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import SIGMAS, deviation

from feature_learning import (
    SGLD,
    MiniBatchEnergy,
    MiniBatchSGLD,
    Observer,
    SparseParity,
    Student,
    make_dataset,
    mean_field_energy,
    network_posterior,
    run_chains,
)
from feature_learning.energies.minibatch import HELD
from feature_learning.errors import ArgumentError
from feature_learning.model.priors import Ard
from feature_learning.samplers.schedules import cyclical, polynomial, uniform


def problem(chains=2, build=network_posterior, batch_size=4, **options):
    student = Student(dim=4, width=5, **options)
    data = make_dataset(SparseParity(4, 2), 10, seed=1, dtype=torch.float64)
    energy = build(student, data, kappa=0.3, chains=chains)
    theta = student.sample_prior(chains, 5, torch.Generator().manual_seed(0), dtype=torch.float64)
    return energy, MiniBatchEnergy(energy, batch_size), theta


@pytest.mark.parametrize("build", [network_posterior, mean_field_energy])
@pytest.mark.parametrize(
    "options", [{}, {"activation": "erf", "hidden_bias_variance": 0.3, "output_bias_variance": 0.2}]
)
def test_the_mean_over_blocks_is_the_gradient(build, options):
    """With blocks of 4, 4 and 2 samples, each as likely as it is large."""
    energy, batches, theta = problem(build=build, **options)
    chances = [0.4, 0.4, 0.2]
    assert len(batches) == 3
    total, out = torch.zeros_like(theta), torch.empty_like(theta)
    for block, chance in enumerate(chances):
        batches.estimate_from(theta, out, [block, block])
        total += chance * out
    energy.gradient(theta, out)
    torch.testing.assert_close(total, out)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("build", [network_posterior, mean_field_energy])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
# The compiled kernel takes 64 inputs of ±1 and more from tables, whose codes are of the samples.
@pytest.mark.parametrize(("batch_size", "tile_elements"), [(1, None), (3, 10), (64, None)])
def test_blocks_that_take_turns_are_each_right(build, activation, dtype, batch_size, tile_elements):
    """More blocks than are held, in an order in which each one displaces another."""
    student = Student(dim=4, width=5, activation=activation, hidden_bias_variance=0.3)
    n_train = 100 if batch_size < 10 else 2300
    data = make_dataset(SparseParity(4, 2), n_train, seed=1, dtype=dtype)
    energy = build(student, data, kappa=0.3, tile_elements=tile_elements)
    batches = MiniBatchEnergy(energy, batch_size)
    assert len(batches) > 2 * HELD
    theta = student.sample_prior(1, 5, torch.Generator().manual_seed(0), dtype=dtype)
    order = torch.randperm(2 * len(batches), generator=torch.Generator().manual_seed(1))
    out, total = torch.empty_like(theta), torch.zeros_like(theta)
    for block in (int(each) % len(batches) for each in order):
        batches.estimate_from(theta, out, [block])
        cut = batches.cut(block)
        part = replace(data, inputs=data.inputs[cut], labels=data.labels[cut])
        alone, expected = build(student, part, kappa=0.3), torch.empty_like(theta)
        alone.gradient(theta, expected)
        torch.testing.assert_close(out, expected)
        total += 0.5 * len(part) / len(data) * out
    energy.gradient(theta, out)
    torch.testing.assert_close(total, out, rtol=1e-4, atol=1e-6)
    # The training set is what it was.
    again = make_dataset(SparseParity(4, 2), n_train, seed=1, dtype=dtype)
    assert torch.equal(data.inputs, again.inputs)
    assert torch.equal(data.labels, again.labels)


def test_each_chain_has_a_block_of_its_own():
    energy, batches, theta = problem()
    one, other, mixed = (torch.empty_like(theta) for _ in range(3))
    batches.estimate_from(theta, one, [0, 0])
    batches.estimate_from(theta, other, [2, 2])
    batches.estimate_from(theta, mixed, [0, 2])
    for left, right, both in zip(
        *(energy.views(each) for each in (one, other, mixed)), strict=True
    ):
        assert torch.equal(both[0], left[0])
        assert torch.equal(both[1], right[1])


def test_blocks_come_as_often_as_they_are_large():
    _, batches, _ = problem(chains=30_000)
    counts = np.bincount(batches.draw(torch.Generator().manual_seed(0)), minlength=3)
    errors = np.sqrt(30_000 * np.array([0.24, 0.24, 0.16]))
    assert (np.abs(counts - [12_000, 12_000, 6000]) < SIGMAS * errors).all()


def test_one_block_of_everything_is_sgld():
    energy, batches, theta = problem(batch_size=10)
    ends = []
    for sampler, target in ((SGLD(0.1), energy), (MiniBatchSGLD(0.1), batches)):
        random = torch.Generator().manual_seed(3)
        state = sampler.init(target, theta, random)
        if sampler == SGLD(0.1):  # the other draws its blocks from the same stream
            for _ in range(5):
                batches.draw(random)
                sampler.advance(state, target, 1, random, done=0)
        else:
            sampler.advance(state, target, 5, random, done=0)
        ends.append(state.position)
    torch.testing.assert_close(*ends)


class Readouts:
    """Only the readouts of a network count: the weights are put back before each estimate."""

    refresh_every = 0

    def __init__(self, batches, weights):
        self.batches, self.weights = batches, weights
        self.temperature, self.chains = batches.temperature, batches.chains

    def estimate(self, theta, out, random):
        self.batches.views(theta).w.copy_(self.weights)
        self.batches.estimate(theta, out, random)


def test_the_extra_noise_of_a_linear_problem_is_known_exactly():
    """Frozen features: θ' = (1 - ηA_b)θ + ηc_b + noise, whose moments obey a linear system."""
    chains, eta = 80, 0.15
    energy, batches, theta = problem(chains=chains, gamma=0.0, activation="tanh")
    weights = energy.views(theta).w
    weights[:] = 1.5 * weights[:1].clone()
    frozen, sampler = Readouts(batches, weights.clone()), MiniBatchSGLD(eta)
    features = torch.tanh(weights[0] @ energy.data.inputs.t()).numpy()
    labels, size, temperature = energy.data.labels.numpy(), 5, energy.temperature
    mean_map, mean_drive = np.zeros((size, size)), np.zeros(size)
    second_map, blocks = np.zeros((size**2, size**2)), []
    for at, chance in ((slice(0, 4), 0.4), (slice(4, 8), 0.4), (slice(8, 10), 0.2)):
        phi, count = features[:, at], len(labels[at])
        step = np.eye(size) * (1 - eta * temperature) - 2 * eta * phi @ phi.T / count
        drive = 2 * eta * phi @ labels[at] / count
        blocks.append((chance, step, drive))
        mean_map += chance * step
        mean_drive += chance * drive
        second_map += chance * np.kron(step, step)
    mean = np.linalg.solve(np.eye(size) - mean_map, mean_drive)
    source = 2 * temperature * eta * np.eye(size)
    for chance, step, drive in blocks:
        cross = np.outer(step @ mean, drive)
        source += chance * (cross + cross.T + np.outer(drive, drive))
    assert np.abs(np.linalg.eigvals(second_map)).max() < 1
    second = np.linalg.solve(np.eye(size**2) - second_map, source.ravel()).reshape(size, size)
    energy.views(theta).a[:] = torch.from_numpy(mean)
    # Along the directions of the full gradient's matrix, the stiffest last.
    full = 2 * features @ features.T / len(labels) + temperature * np.eye(size)
    spring_constant, axes = np.linalg.eigh(full)
    mean, second = mean @ axes, axes.T @ second @ axes
    random, sums = torch.Generator().manual_seed(1), np.zeros((2, chains, size))
    state = sampler.init(frozen, theta, random)
    for step in range(100):
        sampler.advance(state, frozen, 5, random, done=0)
        if step >= 20:
            draws = energy.views(state.position).a.numpy() @ axes
            sums += np.stack([draws, draws**2]) / 80
    for i in range(size):
        assert abs(deviation(sums[0, :, i], mean[i])) < SIGMAS
        assert abs(deviation(sums[1, :, i], second[i, i])) < SIGMAS
    # Full batches would be colder: the test can tell.
    plain = mean**2 + temperature / spring_constant / (1 - eta * spring_constant / 2)
    assert deviation(sums[1, :, -1], plain[-1]) > 2 * SIGMAS


def test_a_polynomial_schedule_falls_as_it_says_and_keeps_the_measurements():
    base = uniform(step_size=0.2, steps=100, measurements=10, burn_in=0.3)
    schedule = polynomial(base, power=0.5, scale=0.25)
    sizes = [segment.step_size for segment in schedule.segments]
    assert sizes == pytest.approx([0.2 * (1 + done / 25) ** -0.5 for done in range(0, 100, 10)])
    assert [s.burn_in for s in schedule.segments] == [s.burn_in for s in base.segments]
    assert schedule.steps == 100
    assert schedule.weighted
    assert schedule.langevin_time < base.langevin_time


def test_a_cyclical_schedule_restarts_and_counts_the_small_steps_only():
    base = uniform(step_size=0.2, steps=240, measurements=24, burn_in=0.25, warmup=0.0)
    schedule = cyclical(base, cycles=3, explore=0.5, floor=0.1)
    sizes = np.array([segment.step_size for segment in schedule.segments]).reshape(3, 8)
    assert (np.diff(sizes, axis=1) < 0).all()
    np.testing.assert_allclose(sizes[0], sizes[1])
    part = (np.arange(8) + 0.5) / 8
    np.testing.assert_allclose(sizes[0], 0.2 * (0.1 + 0.9 * (np.cos(np.pi * part) + 1) / 2))
    counted = np.array([not segment.burn_in for segment in schedule.segments]).reshape(3, 8)
    assert counted.tolist() == [[False] * 6 + [True] * 2, *[[False] * 4 + [True] * 4] * 2]


def test_averages_of_a_schedule_weigh_measurements_by_their_time():
    teacher, student = SparseParity(4, 2), Student(dim=4, width=5)
    data = make_dataset(teacher, 10, seed=1, dtype=torch.float64)
    test = make_dataset(teacher, 16, seed=1, stream="test", dtype=torch.float64)
    energy = MiniBatchEnergy(network_posterior(student, data, kappa=0.3, chains=2), 4)
    observer = Observer(student, energy, test, sparsity=2)
    schedule = polynomial(uniform(step_size=0.03, steps=60, measurements=6, burn_in=0.5))
    start = student.sample_prior(2, 5, torch.Generator().manual_seed(0), dtype=torch.float64)
    seen, measure = [], observer.measure

    def watched(theta, *, average):
        seen.append(observer.forward.predict(energy.predictor_parameters(theta)).clone())
        return measure(theta, average=average)

    observer.measure = watched
    random = torch.Generator().manual_seed(1)
    result = run_chains(energy, MiniBatchSGLD(0.03), start, schedule, observer, random=random)
    spans = [segment.steps * segment.step_size for segment in schedule.segments]
    np.testing.assert_allclose(result.series["weight"], [spans, spans])
    weights = np.array(spans[3:])
    expected = (result.series["m_S"][:, 3:] * weights).sum(axis=1) / weights.sum()
    np.testing.assert_allclose(result.mean("m_S"), expected)
    mean = sum(w * f for w, f in zip(weights, seen[4:], strict=True)) / weights.sum()
    error = (mean - test.labels).square().mean(dim=1)
    np.testing.assert_allclose(result.posterior_mean["test_mse"], error.numpy())


def test_what_cannot_be_is_refused():
    energy, _, theta = problem()
    student, data = energy.student, energy.data
    with pytest.raises(ArgumentError, match=r"^mini-batches need a MiniBatchEnergy"):
        MiniBatchSGLD(0.1).init(energy, theta, torch.Generator())
    with pytest.raises(ArgumentError, match=r"^batch_size must be"):
        MiniBatchEnergy(energy, 11)
    with pytest.raises(ArgumentError, match=r"^batch_size needs an energy without ARD"):
        MiniBatchEnergy(mean_field_energy(student, data, kappa=0.1, ard=Ard()), 2)
    base = uniform(step_size=0.1, steps=20, measurements=10)
    for name, make in (
        ("power", lambda: polynomial(base, power=2.0)),
        ("scale", lambda: polynomial(base, scale=0.0)),
        ("cycles", lambda: cyclical(base, cycles=6)),
        ("explore", lambda: cyclical(base, explore=1.0)),
        ("floor", lambda: cyclical(base, floor=0.0)),
    ):
        with pytest.raises(ArgumentError, match=f"^{name} must be"):
            make()

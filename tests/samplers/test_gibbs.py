"""Exact draws of readouts: their distribution, and their part in the network posterior."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toys import SIGMAS, deviation, moved

from feature_learning import (
    Gibbs,
    SparseParity,
    Student,
    make_dataset,
    mean_field_energy,
    network_posterior,
)
from feature_learning.energies.collapsed import CollapsedEnergy
from feature_learning.errors import ArgumentError
from feature_learning.model.priors import Ard


def problem(chains, *, self_energy=False, **options):
    student = Student(dim=3, width=4, **options)
    data = make_dataset(SparseParity(3, 2), 6, seed=3, dtype=torch.float64)
    build = mean_field_energy if self_energy else network_posterior
    energy = build(student, data, kappa=0.35, chains=chains)
    start = student.sample_prior(chains, 4, torch.Generator().manual_seed(2), dtype=torch.float64)
    return student, data, energy, start


@pytest.mark.parametrize("self_energy", [False, True])
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_the_law_of_the_readouts_is_read_off_the_energy(self_energy, activation):
    """U is quadratic in a: the mean is where its gradient vanishes, Λ is its Hessian over T."""
    student, _, energy, theta = problem(
        2, self_energy=self_energy, activation=activation, gamma=0.4, readout_variance=0.7
    )
    mean, factor = energy.readout_distribution(theta)

    def of_readouts(a):
        flat = theta.clone()
        energy.views(flat).a[:] = a
        return energy.potential(flat)

    slope = torch.autograd.functional.jacobian(lambda a: of_readouts(a).sum(), mean)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-10)
    for chain in range(2):
        hessian = torch.autograd.functional.hessian(
            lambda a, chain=chain: of_readouts(torch.stack([a, a]))[chain], mean[chain]
        )
        precision = factor[chain] @ factor[chain].T
        torch.testing.assert_close(precision, hessian / energy.temperature)
    assert student.readout_variance == 0.7


def test_draws_have_the_mean_and_the_covariance_of_that_law():
    chains = 20_000
    _, _, energy, theta = problem(chains)
    views = energy.views(theta)
    views.w[:] = views.w[:1].clone()
    mean, factor = (part[0].numpy() for part in energy.readout_distribution(theta))
    Gibbs(0.1).draw_readouts(energy, theta, torch.Generator().manual_seed(0))
    draws, covariance = views.a.numpy(), np.linalg.inv(factor @ factor.T)
    for i in range(4):
        assert abs(deviation(draws[:, i], mean[i])) < SIGMAS
        for j in range(i + 1):
            product = (draws[:, i] - mean[i]) * (draws[:, j] - mean[j])
            assert abs(deviation(product, covariance[i, j])) < SIGMAS


def test_only_weights_move_between_draws():
    _, _, energy, start = problem(3)
    sampler, random = Gibbs(0.1, every=5), torch.Generator().manual_seed(0)
    state = sampler.init(energy, start, random)
    sampler.advance(state, energy, 1, random, done=0)
    readouts = energy.views(state.position).a.clone()
    weights = energy.views(state.position).w.clone()
    sampler.advance(state, energy, 4, random, done=1)
    assert torch.equal(energy.views(state.position).a, readouts)
    assert not energy.views(state.velocity).a.any()
    assert (energy.views(state.position).w != weights).all()
    sampler.advance(state, energy, 1, random, done=5)
    assert (energy.views(state.position).a != readouts).all()


@pytest.mark.parametrize("self_energy", [False, True])
def test_one_neuron_on_a_grid(self_energy):
    student, chains, kappa = Student(dim=1, width=1), 6000, 0.5
    data = make_dataset(SparseParity(1, 1), 1, seed=0, dtype=torch.float64)
    build = mean_field_energy if self_energy else network_posterior
    energy = build(student, data, kappa=kappa, chains=chains)
    x, y = float(data.inputs), float(data.labels)
    w, a = np.meshgrid(np.linspace(-8, 8, 801), np.linspace(-8, 8, 801), indexing="ij")
    phi = np.maximum(w * x, 0)
    log = -((a * phi - y) ** 2) / (2 * kappa**2) - a**2 / 2 - w**2 / 2
    weight = np.exp(log - self_energy * a**2 * phi**2 / (2 * kappa**2))
    start = student.sample_prior(chains, 1, torch.Generator().manual_seed(0), dtype=torch.float64)
    state = moved(Gibbs(0.2, every=5, friction=0.3), energy, start, 300)
    views = energy.views(state.position)
    for draws, values in (
        (views.a[:, 0] * (x * views.w[:, 0, 0]).clamp(min=0), a * phi),
        (views.a[:, 0] ** 2, a**2),
        (views.w[:, 0, 0] ** 2, w**2),
    ):
        assert abs(deviation(draws, float((weight * values).sum() / weight.sum()))) < SIGMAS
    # Velocities of the weights alone, at the temperature.
    ratio = Gibbs(0.2).kinetic_temperature(state) / energy.temperature
    assert abs(ratio - 1) < SIGMAS * math.sqrt(2 / chains) + 0.01


def test_what_has_no_exact_readouts_is_refused():
    student, data, *_ = problem(1)
    biased = network_posterior(Student(dim=3, width=4, output_bias_variance=0.2), data, kappa=0.2)
    for energy, words in (
        (mean_field_energy(student, data, kappa=0.2, ard=Ard()), "needs particles with readouts"),
        (CollapsedEnergy(student, data, kappa=0.2), "needs particles with readouts"),
        (biased, "needs a student without output bias"),
    ):
        theta = torch.zeros(30, dtype=torch.float64)
        with pytest.raises(ArgumentError, match=words):
            Gibbs(0.1).init(energy, theta, torch.Generator())
    for name in ("step_size", "every", "friction", "warmup_friction"):
        with pytest.raises(ArgumentError, match=f"^{name} must be"):
            Gibbs(**{"step_size": 0.1, name: 0})

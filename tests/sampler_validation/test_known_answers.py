"""Samplers against answers known in closed form or by quadrature.

Every tolerance is a number of Monte-Carlo standard errors over independent chains. All
chains of a test run in one batch; temperatures and sizes are chosen so that a wrong factor 2, P or
N^γ anywhere in energy or sampler is many standard errors away.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from feature_learning import (
    SGLD,
    SparseParity,
    Student,
    Underdamped,
    make_dataset,
    mean_field_energy,
    network_posterior,
)
from feature_learning.energies.collapsed import CollapsedEnergy
from feature_learning.energies.particles import ParticleEnergy
from feature_learning.model.forward import Forward
from feature_learning.model.priors import Ard
from feature_learning.theory import kernel_limit

SIGMAS = 5.0


def average(energy, sampler, position, observable, *, steps, every=5, burn_in=0.3, seed=1):
    """Per-chain averages of ``observable(theta)``, each (chains, ...), after burn-in."""
    random = torch.Generator().manual_seed(seed)
    state = sampler.init(energy, position, random)
    total, count = 0.0, 0
    for step in range(0, steps, every):
        sampler.advance(state, energy, every, random, done=step)
        if step >= burn_in * steps:
            total, count = total + observable(state.position), count + 1
    return total / count


def assert_close(chains, exact, *, slack=0.0):
    """Mean over the chain axis equals ``exact`` within SIGMAS standard errors (plus ``slack``)."""
    chains = np.asarray(chains, dtype=float)
    exact = np.asarray(exact, dtype=float)
    mean, sem = chains.mean(0), chains.std(0, ddof=1) / math.sqrt(len(chains))
    assert (sem < 0.2 * np.abs(exact).max() + 1e-12).all(), "the test could not tell"
    assert (np.abs(mean - exact) <= SIGMAS * sem + slack).all(), (mean, exact, sem)


class Frozen:
    """The readouts of a network with fixed hidden weights: exactly Gaussian.

    Everything the sampler sees comes from the library's gradient; only the weights stay put.
    """

    refresh_every = 0

    def __init__(self, energy: ParticleEnergy, w: torch.Tensor) -> None:
        self.energy, self.temperature, self.chains = energy, energy.temperature, energy.chains
        self.full = torch.zeros_like(energy.prior.spring_constant)
        energy.views(self.full).w[:] = w
        self.out = torch.empty_like(self.full)

    def gradient(self, theta, out):
        self.energy.views(self.full).a[:] = theta.view(self.chains, -1)
        self.energy.gradient(self.full, self.out)
        out.copy_(self.energy.views(self.out).a.reshape(-1))


def frozen_problem(activation="relu", chains=400):
    student = Student(dim=3, width=4, activation=activation, gamma=0.4, readout_variance=0.7)
    data = make_dataset(SparseParity(3, 2), 6, seed=3, dtype=torch.float64)
    energy = network_posterior(student, data, kappa=0.35, chains=chains)
    w = torch.randn(4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return student, data, Frozen(energy, w), student.features(w, data.inputs).numpy()


def exact_readout(student, data, features, kappa):
    """Mean and covariance of a | W: noise of variance κ²P per datum, prior σ_a²."""
    noise, scale = kappa**2 * len(data), student.width**-student.gamma
    precision = scale**2 * features @ features.T / noise + np.eye(4) / student.readout_variance
    covariance = np.linalg.inv(precision)
    return scale * covariance @ features @ data.labels.numpy() / noise, covariance


@pytest.mark.parametrize("activation", ["relu", "linear", "erf"])
@pytest.mark.parametrize("sampler", [SGLD(0.02), Underdamped(0.4, friction=0.3)])
def test_frozen_features_readout_is_the_exact_gaussian(activation, sampler):
    """The temperature test: mean and covariance of the readout, known exactly."""
    student, data, frozen, features = frozen_problem(activation)
    mean, covariance = exact_readout(student, data, features, 0.35)
    start = torch.zeros(400 * 4, dtype=torch.float64)
    steps = 6000 if isinstance(sampler, SGLD) else 1500

    def moments(theta):
        a = theta.view(400, 4)
        return torch.cat([a, (a[:, :, None] * a[:, None, :]).flatten(1)], dim=1)

    chains = average(frozen, sampler, start, moments, steps=steps)
    second = covariance + np.outer(mean, mean)
    # SGLD's covariance is too large by the factor 1/(1 - ηλ/2) along each eigenvector: η = 0.02.
    slack = 0.02 * np.abs(second).max() if isinstance(sampler, SGLD) else 0.0
    assert_close(chains, np.concatenate([mean, second.ravel()]), slack=slack)


@pytest.mark.parametrize("wrong", [{"kappa": 0.35 * math.sqrt(2)}, {"kappa": 0.35 / math.sqrt(6)}])
def test_the_temperature_test_would_notice_a_factor_of_2_or_of_P(wrong):
    """The posterior at κ√2 (a factor 2 in T) or κ/√P differs by many times the tolerance."""
    student, data, frozen, features = frozen_problem()
    _, right = exact_readout(student, data, features, 0.35)
    _, other = exact_readout(student, data, features, **wrong)
    start = torch.zeros(400 * 4, dtype=torch.float64)
    chains = average(
        frozen,
        Underdamped(0.4, friction=0.3),
        start,
        lambda theta: theta.view(400, 4).square(),
        steps=1500,
    )
    mean, _ = exact_readout(student, data, features, 0.35)
    spread = np.trace(right)
    sem = float(chains.sum(1).std() / math.sqrt(400))
    assert abs(np.trace(other) - spread) > 2 * SIGMAS * sem
    assert abs(float(chains.sum(1).mean()) - spread - mean @ mean) < SIGMAS * sem


def one_neuron(**options):
    """One neuron in one dimension, one datum: the density of (w, a) lives on a plane."""
    student = Student(dim=1, width=1, **options)
    x, y, kappa = 1.3, 0.8, 0.5
    data = make_dataset(SparseParity(1, 1), 1, seed=0, dtype=torch.float64)
    data = replace(data, inputs=torch.full((1, 1), x).double(), labels=torch.tensor([y]).double())
    w, a = np.meshgrid(np.linspace(-8, 8, 1601), np.linspace(-8, 8, 1601), indexing="ij")
    phi = student.phi.function(torch.from_numpy(w * x)).numpy()
    field = a * phi
    return student, data, kappa, w, a, phi, field, y


def grid_moments(log_density, *values):
    weight = np.exp(log_density - log_density.max())
    return [float((weight * value).sum() / weight.sum()) for value in values]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("sampler", [SGLD(0.01), Underdamped(0.15, friction=0.3)])
@pytest.mark.parametrize("self_energy", [False, True])
def test_one_neuron_one_datum_equals_quadrature(activation, sampler, self_energy):
    """Network and mean-field particle (with Ω), against integration on a grid."""
    student, data, kappa, w, a, phi, field, y = one_neuron(activation=activation)
    log = -((field - y) ** 2) / (2 * kappa**2) - a**2 / 2 - w**2 / 2
    if self_energy:
        log -= a**2 * phi**2 / (2 * kappa**2)
    exact = grid_moments(log, a * phi, a**2, w**2)
    energy = ParticleEnergy(student, data, kappa=kappa, chains=1500, self_energy=self_energy)
    start = student.sample_prior(1500, 1, torch.Generator().manual_seed(0), dtype=torch.float64)

    def moments(theta):
        views = energy.views(theta)
        f = views.a[:, 0] * student.phi.function(views.w[:, 0, 0] * 1.3)
        return torch.stack([f, views.a[:, 0] ** 2, views.w[:, 0, 0] ** 2], dim=1)

    steps = 6000 if isinstance(sampler, SGLD) else 1200
    chains = average(energy, sampler, start, moments, steps=steps, every=10)
    assert_close(chains, exact, slack=0.01 * max(exact))


def test_large_noise_returns_the_prior():
    """κ → ∞: nothing is left of the data, with and without Ω."""
    student = Student(dim=3, width=4, readout_variance=0.6, weight_variance=1.5)
    data = make_dataset(SparseParity(3, 2), 5, seed=0)
    for self_energy in (False, True):
        energy = ParticleEnergy(student, data, kappa=300.0, chains=300, self_energy=self_energy)
        start = torch.zeros_like(energy.prior.spring_constant)
        # The prior's stiffness is T/s², so time runs with T: steps are chosen from the curvature.
        step = 0.3 / math.sqrt(float(energy.prior.spring_constant.max()))
        chains = average(
            energy,
            Underdamped(step, friction=0.1 / step),
            start,
            lambda theta, energy=energy: torch.cat(
                [energy.views(theta).w.flatten(1) ** 2, energy.views(theta).a ** 2], dim=1
            ),
            steps=1500,
        )
        assert_close(chains.numpy(), [0.5] * 12 + [0.6] * 4, slack=0.005)


def test_mean_field_without_self_energy_is_the_network():
    """Ω off and M = N: the same trajectory for the same seed.

    The mean-field energy has its Ω taken off by hand, written from its definition; SGLD on what is
    left must move the particles exactly as it moves the network's neurons.
    """
    student = Student(dim=5, width=7)
    data = make_dataset(SparseParity(5, 2), 9, seed=0, dtype=torch.float64)
    start = student.sample_prior(2, 7, torch.Generator().manual_seed(0), dtype=torch.float64)
    network = network_posterior(student, data, kappa=0.1, chains=2)
    field = mean_field_energy(student, data, kappa=0.1, chains=2)

    class WithoutSelfEnergy:
        temperature, refresh_every = field.temperature, 0

        def gradient(self, theta, out):
            field.gradient(theta, out)
            leaf = theta.clone().requires_grad_()
            w, a, _ = field.views(leaf)
            power = student.features(w, data.inputs).square().mean(dim=2)
            (a.square() * power / student.width).sum().backward()
            out.sub_(leaf.grad)

    ends = []
    for energy in (network, WithoutSelfEnergy()):
        random = torch.Generator().manual_seed(3)
        sampler = SGLD(0.2)
        state = sampler.init(energy, start, random)
        sampler.advance(state, energy, 50, random, done=0)
        ends.append(state.position)
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-12)
    state = SGLD(0.2).init(field, start, torch.Generator())
    SGLD(0.2).advance(state, field, 50, torch.Generator().manual_seed(3), done=0)
    assert not torch.allclose(state.position, ends[0], rtol=1e-3)


def predictor_mean(energy, student, start, test, *, sampler, steps, readout=True):
    """Posterior-mean predictions of each chain on the test inputs, (chains, points)."""
    field = Forward(
        student, test, chains=energy.chains, particles=energy.particles, scale=energy.scale
    )
    return average(
        energy,
        sampler,
        start,
        lambda theta: field.predict(energy.predictor_parameters(theta)),
        steps=steps,
    )


@pytest.mark.parametrize("model", ["network", "mean field", "collapsed"])
def test_infinite_width_is_the_kernel_limit(model):
    """γ = ½: network, particles and collapsed particles at N = 1000 all give the NNGP's mean."""
    student = Student(dim=4, width=1000)
    data = make_dataset(SparseParity(4, 2), 6, seed=5, dtype=torch.float64)
    test = make_dataset(SparseParity(4, 2), 16, seed=5, stream="test", dtype=torch.float64)
    kappa = 0.1
    exact = kernel_limit.solve(student, data, test, kappa=kappa).predictions.numpy()
    chains = 12
    if model == "collapsed":
        energy = CollapsedEnergy(student, data, kappa=kappa, chains=chains)
    else:
        energy = ParticleEnergy(
            student, data, kappa=kappa, chains=chains, self_energy=model == "mean field"
        )
    start = student.sample_prior(
        chains,
        1000,
        torch.Generator().manual_seed(1),
        readout=model != "collapsed",
        dtype=torch.float64,
    )
    result = predictor_mean(
        energy, student, start, test, sampler=Underdamped(0.6, friction=0.05), steps=300
    ).numpy()
    mean, sem = result.mean(0), result.std(0, ddof=1) / math.sqrt(chains)
    # Finite width moves the mean by O(1/N) times a few: allow 0.03 of predictions of order 1.
    assert (np.abs(mean - exact) < SIGMAS * sem + 0.03).all(), np.abs(mean - exact).max()
    assert np.abs(exact).max() > 0.3


@pytest.mark.parametrize("adapting", [False, True])
def test_the_two_mean_field_solvers_agree(adapting):
    """Particles with Ω and collapsed particles with a linear solve: one fixed point as M → ∞.

    Four neurons, where the mean field (m_S about 0.37) is far from both the kernel limit (0.55) and
    the network (0.90). At finite M the joint measure of particles and the collapsed law differ by
    O(1/M), in opposite directions: two values of M are extrapolated. With adapting precisions the
    pseudo-particles of the hyper-prior are as many as the particles, so that there is a limit.
    """
    student, teacher, kappa, chains = Student(dim=6, width=4), SparseParity(6, 2), 0.05, 16
    data = make_dataset(teacher, 40, seed=1)
    test = make_dataset(teacher, 256, seed=1, stream="test")
    # Adapting precisions let weights grow and the curvature with them: a shorter step.
    step, steps = (0.2, 3000) if adapting else (0.4, 1500)
    limits = {}
    for name in ("particles", "collapsed"):
        overlaps = {}
        for particles in (64, 256):
            build = mean_field_energy if name == "particles" else CollapsedEnergy
            ard = Ard(alpha0=particles / 2) if adapting else None
            energy = build(student, data, kappa=kappa, chains=chains, particles=particles, ard=ard)
            start = student.sample_prior(
                chains, particles, torch.Generator().manual_seed(1), readout=name == "particles"
            )
            mean = predictor_mean(
                energy, student, start, test, sampler=Underdamped(step, friction=0.05), steps=steps
            )
            overlaps[particles] = (mean @ test.labels).double().numpy() / len(test)
        limits[name] = (4 * overlaps[256] - overlaps[64]) / 3
    sem = math.hypot(*(limit.std(ddof=1) / math.sqrt(chains) for limit in limits.values()))
    assert sem < 0.005, "the test could not tell"
    assert abs(limits["particles"].mean() - limits["collapsed"].mean()) < SIGMAS * sem, limits
    kernel = kernel_limit.solve(student, data, test, kappa=kappa)
    assert abs(limits["particles"].mean() - kernel.m_S) > 20 * sem


def test_ard_precision_has_its_stationary_value_under_the_prior():
    """At large noise ρ settles where (α₀ + M/2)/(β₀ + ½ Σ w²) does: the prior's precision."""
    student = Student(dim=3, width=400)
    data = make_dataset(SparseParity(3, 2), 4, seed=0)
    energy = mean_field_energy(student, data, kappa=200.0, chains=20, ard=Ard(alpha0=50.0))
    step = 0.3 / math.sqrt(float(energy.prior.spring_constant.max()))
    start = student.sample_prior(20, 400, torch.Generator().manual_seed(0))
    precisions = average(
        energy,
        Underdamped(step, friction=0.1 / step),
        start,
        lambda _: energy.prior.precision[:, 0].clone(),
        steps=600,
    )
    assert_close(precisions.numpy(), [3.0] * 3, slack=0.15)

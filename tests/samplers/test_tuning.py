"""Tuning after settling; light readouts sample the same posterior."""

from __future__ import annotations

import math

import pytest
import torch

from feature_learning import Student, Underdamped
from feature_learning.energies.collapsed import CollapsedEnergy
from feature_learning.energies.curvature import largest_curvature
from feature_learning.energies.particles import network_posterior
from feature_learning.errors import ArgumentError
from feature_learning.model.randomness import generator
from feature_learning.model.teachers import SparseParity, make_dataset
from feature_learning.samplers.tuning import tuned


def network(kappa=0.05, *, width=64, dim=12, **options):
    student = Student(dim=dim, width=width, **options)
    data = make_dataset(SparseParity(dim, 2), 100, seed=0)
    energy = network_posterior(student, data, kappa=kappa, chains=2)
    position = student.sample_prior(2, width, generator(0, "start"))
    return energy, position


def block(energy, position, *, w, a):
    """Largest curvature if only weights or only readouts move, by the dense Hessian of a chain."""
    single = position.clone().requires_grad_()
    hessian = torch.autograd.functional.hessian(lambda x: energy.potential(x).sum(), single)
    mask = torch.zeros_like(position)
    energy.views(mask).w.fill_(w)
    energy.views(mask).a.fill_(a)
    matrix = mask.unsqueeze(1) * hessian * mask
    return float(torch.linalg.eigvalsh(matrix.double()).abs().max())


@pytest.fixture
def small():
    # Smooth: differences see the kinks of ReLU, second derivatives do not.
    return network(width=8, dim=5, activation="tanh")


@pytest.mark.parametrize(("w", "a"), [(1.0, 0.0), (0.0, 1.0), (1.0, 2.5)])
def test_the_curvature_of_some_parameters_is_that_of_the_dense_hessian(small, w, a):
    energy, position = small
    scale = torch.zeros_like(position)
    energy.views(scale).w.fill_(w)
    energy.views(scale).a.fill_(a)
    found = largest_curvature(
        energy,
        position,
        torch.Generator().manual_seed(1),
        scale=scale,
        iterations=300,
        tolerance=1e-5,
    )
    assert found == pytest.approx(block(energy, position, w=w, a=a), rel=0.02)


def test_mass_step_and_friction_follow_from_the_curvatures():
    energy, position = network(width=16, activation="tanh")
    of_w, of_a = block(energy, position, w=1, a=0), block(energy, position, w=0, a=1)
    step, friction, mass = tuned(energy, position)
    # Power iteration finds curvatures from below, here within a few per cent.
    assert mass == pytest.approx(min(1, max(of_a / of_w, 1 / 12)), rel=0.25)
    whole = block(energy, position, w=1, a=1 / math.sqrt(mass))
    assert step == pytest.approx(1.1 / math.sqrt(whole), rel=0.1)
    root = math.sqrt(2) * 0.05
    assert friction == pytest.approx(2 * root * min(math.sqrt(12), 1 / math.sqrt(mass)), rel=0.01)
    assert tuned(energy, position, friction=0.123) == (step, 0.123, mass)


@pytest.mark.parametrize(
    ("variance", "least"),
    [
        (1e-4, 1.0),  # faster than weights already: no heavier
        (1.0, 1 / 12),  # as fast as weights at most
        (1e4, 1e-4 / 12),
    ],
)
def test_readouts_are_made_no_heavier_and_no_faster_than_weights(variance, least):
    energy, position = network(readout_variance=variance)
    mass = tuned(energy, position)[2]
    assert 0.99 * least <= mass <= 1
    if least < 1:
        assert mass < 0.5


def test_only_particles_are_tuned():
    student = Student(dim=12, width=16)
    data = make_dataset(SparseParity(12, 2), 50, seed=0)
    energy = CollapsedEnergy(student, data, kappa=0.05)
    position = student.sample_prior(1, 16, generator(0, "start"), readout=False)
    with pytest.raises(ArgumentError, match="tuning needs particles, not CollapsedEnergy"):
        tuned(energy, position)


@pytest.mark.parametrize("mass", [0.0, -1.0, math.nan])
def test_a_mass_is_positive(mass):
    with pytest.raises(ArgumentError, match="readout_mass must be"):
        Underdamped(0.1, readout_mass=mass)


def test_a_light_readout_moves_as_one_of_mass_1_in_a_stretched_well():
    """θ = sz: in z the mass is 1, so that a run in z is the same run, bit for bit but rounding."""
    energy, position = network()
    mass, scale = 0.25, torch.ones_like(position)
    energy.views(scale).a.fill_(2.0)

    class Stretched:
        temperature, refresh_every, chains = energy.temperature, 0, 2

        def gradient(self, z, out):
            energy.gradient(scale * z, out)
            out.mul_(scale)

    stretched = Stretched()
    light, plain = Underdamped(0.1, friction=0.2, readout_mass=mass), Underdamped(0.1, friction=0.2)
    one = light.init(energy, position, generator(3, "noise"))
    two = plain.init(stretched, position / scale, generator(3, "noise"))
    light.advance(one, energy, 50, generator(4, "noise"), done=0)
    plain.advance(two, stretched, 50, generator(4, "noise"), done=0)
    torch.testing.assert_close(one.position, scale * two.position, rtol=1e-3, atol=1e-4)
    assert light.kinetic_temperature(one) == pytest.approx(plain.kinetic_temperature(two), rel=1e-3)

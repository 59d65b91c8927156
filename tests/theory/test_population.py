"""The population equation by quadrature, against Monte Carlo and against particles."""

from __future__ import annotations

import math

import pytest
import torch

from feature_learning import Student, Underdamped
from feature_learning.energies.collapsed import CollapsedEnergy
from feature_learning.errors import ArgumentError
from feature_learning.model.overlaps import gaussian_overlap, sign_cube
from feature_learning.model.teachers import Dataset
from feature_learning.theory import population


def right_side(student: Student, sparsity: int, kappa: float, m: float, seed: int) -> tuple:
    """N (1-m) ⟨J²/D⟩ by weighted draws from the prior, from the equation; with its error."""
    random = torch.Generator().manual_seed(seed)
    draws = torch.randn(400_000, student.dim, generator=random, dtype=torch.float64)
    w = draws * math.sqrt(student.weight_variance / student.dim)
    square, overlap = w.square().sum(dim=1), gaussian_overlap(w, sparsity)
    d = kappa**2 * student.width ** (2 * student.gamma) / student.readout_variance + square / 2
    weight = torch.exp((1 - m) ** 2 * overlap**2 / (2 * kappa**2 * d)) / d.sqrt()
    ratio = overlap**2 / d
    mean = float((weight * ratio).sum() / weight.sum())
    error = float((weight * (ratio - mean)).norm() / weight.sum())
    return student.width * (1 - m) * mean, student.width * (1 - m) * error


@pytest.mark.parametrize(
    ("student", "sparsity", "kappa"),
    [
        (Student(dim=12, width=30), 2, 0.15),
        (Student(dim=12, width=30, gamma=0.8), 2, 0.06),
        (Student(dim=12, width=30, readout_variance=0.3, weight_variance=2.0), 2, 0.15),
        (Student(dim=16, width=200), 4, 0.05),
    ],
)
def test_the_solution_solves_the_equation(student, sparsity, kappa):
    """The root of the quadrature is a root of the Monte-Carlo right side."""
    result = population.solve(student, sparsity=sparsity, kappa=kappa, points=24)
    right, error = right_side(student, sparsity, kappa, result.m_S, seed=1)
    assert result.residual < 1e-8
    assert error < 0.1 * right, "the test could not tell"
    assert abs(right - result.m_S) < 5 * error + 3 * result.discretisation
    assert result.test_mse == pytest.approx((1 - result.m_S) ** 2)


def test_particles_on_the_whole_cube_find_the_same_solution():
    """Collapsed particles with all 2^10 inputs as data: no noise of a data set, no start."""
    student, kappa = Student(dim=10, width=20), 0.05
    cube = sign_cube(10)
    data = Dataset(cube, cube[:, :2].prod(dim=1))
    energy = CollapsedEnergy(student, data, kappa=kappa, chains=1, particles=400)
    random = torch.Generator().manual_seed(0)
    start = student.sample_prior(1, 400, random, readout=False, dtype=torch.float64)
    sampler, overlaps = Underdamped(0.4, friction=0.05), []
    state = sampler.init(energy, start, random)
    for measurement in range(60):
        sampler.advance(state, energy, 10, random, done=10 * measurement)
        if measurement >= 20:
            field = energy.forward.predict(energy.predictor_parameters(state.position))[0]
            overlaps.append(float(field @ data.labels) / len(data))
    mean = sum(overlaps) / len(overlaps)
    result = population.solve(student, sparsity=2, kappa=kappa)
    # Eight irrelevant coordinates are few for the central limit theorem, 400 particles finite.
    assert abs(mean - result.m_S) < 0.03, (mean, result)
    assert 0.2 < result.m_S < 0.95


def test_large_noise_leaves_nothing_and_small_noise_learns():
    overlaps = [
        population.solve(Student(dim=20, width=100), sparsity=2, kappa=kappa, points=24).m_S
        for kappa in (10.0, 0.1, 0.01, 0.001)
    ]
    assert overlaps == sorted(overlaps)
    assert overlaps[0] < 1e-3
    assert overlaps[-1] > 0.95


def test_a_coarse_grid_says_that_it_is_coarse():
    result = population.solve(Student(dim=35, width=512), sparsity=4, kappa=0.005, points=8)
    assert not result.converged
    assert result.discretisation > 0.005


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"kappa": 0.0}, "kappa"),
        ({"sparsity": 0}, "sparsity"),
        ({"sparsity": 6}, "sparsity"),
        ({"points": 4}, "points"),
        ({"student": Student(dim=9, width=5, activation="erf")}, "activation"),
        ({"student": Student(dim=9, width=5, hidden_bias_variance=1.0)}, "hidden_bias_variance"),
    ],
)
def test_bad_input_is_refused_by_name(options, name):
    defaults = {"student": Student(dim=9, width=5), "sparsity": 2, "kappa": 0.1}
    arguments = {**defaults, **options}
    with pytest.raises(ArgumentError, match=name):
        population.solve(arguments.pop("student"), **arguments)

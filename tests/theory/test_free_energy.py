"""Thermodynamic integration against known evidences: Gaussian, grid, replica exchange."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from toys import SIGMAS

from feature_learning import (
    LadderEnergy,
    ReplicaExchange,
    SparseParity,
    Student,
    Underdamped,
    make_dataset,
    network_posterior,
)
from feature_learning.errors import ArgumentError
from feature_learning.theory.free_energy import (
    Integral,
    advantage,
    crossing,
    integrate,
    log_evidence,
    prior_loss,
    tilt_work,
)

AXIS = np.linspace(-9, 9, 601)
W, A = np.meshgrid(AXIS, AXIS, indexing="ij")
CELL = (AXIS[1] - AXIS[0]) ** 2
KAPPAS = np.geomspace(0.05, 3.0, 16)


def test_a_cubic_is_integrated_exactly_and_errors_add_up():
    x = np.array([0.0, 0.3, 1.0, 1.2, 2.0])
    sem = np.array([0.1, 0.2, 0.0, 0.3, 0.1])
    found = integrate(x, 1 + x - 2 * x**3, sem)
    assert found.value == pytest.approx(2 + 2 - 8)
    random = np.random.default_rng(0)
    values = [integrate(x, random.normal(0, sem), sem).value for _ in range(4000)]
    assert np.std(values) == pytest.approx(found.sem, rel=0.05)
    assert found.discretisation > 0
    assert integrate(x, 3 * x, sem).discretisation == pytest.approx(0, abs=1e-12)


def test_sums_and_differences_of_integrals():
    total = Integral(3.0, 0.3, 0.1) - Integral(1.0, 0.4, 0.2)
    assert (total.value, total.sem) == (2.0, pytest.approx(0.5))
    assert total.discretisation == pytest.approx(0.3)


def test_evidence_of_a_linear_regression_from_its_exact_mean_losses():
    """f = θ·x, θ ~ N(0, 1): ⟨L⟩ and log Z are sums over eigenvalues."""
    random = np.random.default_rng(1)
    x, y = random.normal(size=(30, 6)), random.normal(size=30)
    eigenvalues, vectors = np.linalg.eigh(x @ x.T)
    eigenvalues, power = eigenvalues.clip(0), (vectors.T @ y) ** 2

    def exact(kappa):
        noise = kappa**2 * 30
        log_z = -0.5 * (power / (eigenvalues + noise) + np.log1p(eigenvalues / noise)).sum()
        residual = power * (noise / (eigenvalues + noise)) ** 2
        loss = (residual + eigenvalues * noise / (eigenvalues + noise)).sum() / 30
        return log_z, loss

    kappas = np.geomspace(0.1, 3, 25)
    losses = np.array([exact(kappa)[1] for kappa in kappas])
    prior = (y @ y + eigenvalues.sum()) / 30
    found = log_evidence(kappas, losses, 0 * losses, prior=prior)
    assert found.value == pytest.approx(exact(0.1)[0], rel=1e-3)
    assert abs(found.value - exact(0.1)[0]) < 3 * found.discretisation + 0.01
    shuffled = random.permutation(25)
    again = log_evidence(kappas[shuffled], losses[shuffled], 0 * losses, prior=prior)
    assert again.value == pytest.approx(found.value)


def test_the_loss_of_the_prior():
    data = make_dataset(SparseParity(9, 2), 40, seed=0, dtype=torch.float64)
    for tilt in (1.0, 6.0):
        student = Student(
            dim=9, width=50, weight_variance=1.5, readout_variance=0.7, tilt=tilt, tilted=2
        )
        energy = network_posterior(student, data, kappa=1.0, chains=3000)
        theta = student.sample_prior(3000, 50, torch.Generator().manual_seed(0)).double()
        loss = energy.loss(theta).numpy()
        sem = loss.std() / math.sqrt(3000)
        assert abs(loss.mean() - prior_loss(student)) < SIGMAS * sem
    with pytest.raises(ArgumentError, match="the loss of the prior is known for"):
        prior_loss(Student(dim=9, width=50, activation="erf"))
    with pytest.raises(ArgumentError, match="with biases"):
        prior_loss(Student(dim=9, width=50, output_bias_variance=1.0))


def two_wells(tilt=1.0):
    """One ReLU neuron, y = 1 at x = 1 and y = 0.6 at x = -1: it can explain one of them."""
    student = Student(dim=1, width=1, tilt=tilt, tilted=1)
    data = make_dataset(SparseParity(1, 1), 2, seed=0, dtype=torch.float64)
    inputs = torch.tensor([[1.0], [-1.0]]).double()
    return student, replace(data, inputs=inputs, labels=torch.tensor([1.0, 0.6]).double())


def on_grid(kappa, tilt=1.0, side=None):
    """log Z, ⟨L⟩ and ⟨w²⟩ by quadrature, restricted to the side w > 0 (1), w < 0 (-1) or not."""
    right, left = A * np.maximum(W, 0), A * np.maximum(-W, 0)
    loss = 0.5 * ((right - 1.0) ** 2 + (left - 0.6) ** 2)
    density = np.exp(-loss / (2 * kappa**2) - A**2 / 2 - W**2 / (2 * tilt))
    density = density * (np.ones_like(W) if side is None else side * W > 0)
    total = density.sum()
    log_z = math.log(total * CELL / (2 * math.pi * math.sqrt(tilt)))
    return log_z, (density * loss).sum() / total, (density * W**2).sum() / total


def test_both_legs_on_one_side_of_two_wells_from_exact_means():
    """log Z of each side, at τ = 3, and the way down to τ = 1; the sides begin with log ½."""
    ratios = {}
    for side in (1, -1):
        means = np.array([on_grid(kappa, 3.0, side) for kappa in KAPPAS])
        start = on_grid(1e6, 3.0, side)
        up = log_evidence(KAPPAS, means[:, 1], 0 * KAPPAS, prior=start[1])
        assert start[0] + up.value == pytest.approx(means[0, 0], abs=0.05)
        tilts = np.geomspace(1, 3, 5)
        squares = np.array([on_grid(KAPPAS[0], tilt, side)[2] for tilt in tilts])
        down = tilt_work(tilts, squares, 0 * squares, weights=1, prior_variance=1.0)
        assert down.value == pytest.approx(means[0, 0] - on_grid(KAPPAS[0], 1.0, side)[0], abs=1e-3)
        ratios[side] = (up - down).value
    exact = on_grid(KAPPAS[0], 1.0, 1)[0] - on_grid(KAPPAS[0], 1.0, -1)[0]
    assert ratios[1] - ratios[-1] == pytest.approx(exact, abs=0.05)


def test_the_free_energy_difference_is_the_occupation_that_replica_exchange_finds():
    """At κ = 0.3 a neuron prefers y = 1 to y = 0.6; chains cross by way of the hotter rungs."""
    student, data = two_wells()
    replicas, copies = (0.3, 0.6, 1.5), 1500
    energy = LadderEnergy(student, data, kappas=replicas, copies=copies)
    random = torch.Generator().manual_seed(0)
    theta = student.sample_prior(energy.chains, 1, random, dtype=torch.float64)
    energy.views(theta).w.abs_()
    sampler = ReplicaExchange(Underdamped(0.2, friction=0.2), every=10)
    state = sampler.init(energy, theta, random)
    sampler.advance(state, energy, 1500, random, done=0)
    right = (energy.views(state.position).w[:: len(replicas), 0, 0] > 0).double().numpy()
    kappas, log_z = np.geomspace(0.3, 30, 24), []
    for side in (1, -1):
        losses = np.array([on_grid(kappa, 1.0, side)[1] for kappa in kappas])
        prior = on_grid(1e6, 1.0, side)[1]
        log_z.append(log_evidence(kappas, losses, 0 * losses, prior=prior).value)
    expected = 1 / (1 + math.exp(log_z[1] - log_z[0]))
    assert expected > 0.6
    sem = math.sqrt(expected * (1 - expected) / copies)
    assert abs(right.mean() - expected) < SIGMAS * sem


def test_sampled_means_give_the_evidence_within_their_error():
    chains, tilts, kappas = 1000, np.geomspace(1, 4, 5), np.geomspace(0.4, 4, 8)
    student, data = two_wells(4.0)

    def means(kappa, tilt):
        student, data = two_wells(float(tilt))
        energy = network_posterior(student, data, kappa=float(kappa), chains=chains)
        random = torch.Generator().manual_seed(1)
        theta = student.sample_prior(chains, 1, random, dtype=torch.float64)
        # The curvature grows as w²: 0.08 is stable up to w = 25.
        step = min(0.08, 0.3 / math.sqrt(energy.temperature))
        sampler = Underdamped(step, friction=0.3)
        state = sampler.init(energy, theta, random)
        losses, squares = [], []
        for _ in range(20):
            sampler.advance(state, energy, 60, random, done=0)
            losses.append(energy.loss(state.position).numpy())
            squares.append(energy.views(state.position).w.flatten().square().numpy())
        found = [np.mean(each[5:], axis=0) for each in (losses, squares)]
        return [g(x) for x in found for g in (np.mean, lambda v: v.std() / math.sqrt(chains))]

    up = np.array([means(kappa, 4.0) for kappa in kappas])
    down = np.array([means(kappas[0], tilt) for tilt in tilts])
    # The inputs are ±1 and the labels not: the loss of the prior is not that of labels ±1.
    prior = prior_loss(student) - 1 + float(data.labels.square().mean())
    found = log_evidence(kappas, up[:, 0], up[:, 1], prior=prior) - tilt_work(
        tilts, down[:, 2], down[:, 3], weights=1, prior_variance=1.0
    )
    error = abs(found.value - on_grid(kappas[0])[0])
    assert error < SIGMAS * found.sem + found.discretisation
    assert found.sem < 0.05


def legs(**changed):
    base = {"n_train": 9, "seed": 0, "width": 8, "dim": 5, "sparsity": 2, "weight_variance": 1.0}
    kappas = np.geomspace(0.1, 2, 8)
    rows = pd.DataFrame({**base, "kappa": kappas, "train_mse": 1.3, "train_mse_sem": 0.01})
    rows["relevant_variance"], rows["relevant_variance_sem"] = 0.2, 0.001
    tilted = pd.concat([rows.iloc[:1]] * 4, ignore_index=True).assign(tilt=[1.0, 2.0, 3.0, 4.0])
    return [rows.assign(tilt=1.0), rows.assign(tilt=5.0), tilted.assign(**changed)]


def test_the_advantage_joins_the_legs():
    unlearned, learned, tilt = legs()
    found = advantage(unlearned, learned, tilt)
    # ⟨L⟩ is the same on both ways but at β = 0, where it is exact: 1 + ½ (1 + k (τ-1)/d).
    ways = []
    for leg, tau in ((unlearned, 1.0), (learned, 5.0)):
        prior = prior_loss(Student(dim=5, width=8, tilt=tau, tilted=2))
        ways.append(log_evidence(leg["kappa"], leg["train_mse"], leg["train_mse_sem"], prior=prior))
    tilts = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    down = tilt_work(tilts, 0 * tilts + 0.2, 0 * tilts + 0.001, weights=16, prior_variance=0.2)
    assert found == ways[1] - ways[0] - down
    assert down.value == pytest.approx(8 * (1 - 1 / 5) - 8 * math.log(5), abs=0.02)
    for bad, message in (({"seed": 1}, "must share seed"), ({"kappa": 0.2}, "do not meet")):
        with pytest.raises(ArgumentError, match=message):
            advantage(*legs(**bad))


def test_where_values_cross_zero_between_neighbours():
    found = crossing([350, 400, 500], [-400.0, -50.0, 150.0], [10.0, 10.0, 10.0])
    assert found.value == pytest.approx(425)
    assert (found.between, found.extrapolated) == ((400, 500), False)
    assert found.slope == pytest.approx(2)
    random = np.random.default_rng(0)
    draws = [
        crossing([400, 500], random.normal([-50, 150], 10), [10, 10]).value for _ in range(4000)
    ]
    assert np.std(draws) == pytest.approx(found.sem, rel=0.05)
    assert crossing([1, 2, 3], [-1.0, 0.0, 1.0], [1, 1, 1]).value == pytest.approx(2)


def test_beyond_all_points_the_nearer_end_is_continued_and_says_so():
    below = crossing([400, 450, 500], [20.0, 120.0, 400.0], [10.0, 10.0, 10.0])
    assert below.value == pytest.approx(390)
    assert (below.between, below.extrapolated) == ((400, 450), True)
    above = crossing([400, 450, 500], [-400.0, -120.0, -20.0], [10.0, 10.0, 10.0])
    assert above.value == pytest.approx(510)
    assert above.extrapolated
    assert above.sem == pytest.approx(math.hypot(10 * 10, 60 * 10) / 100)


def test_a_crossing_that_cannot_be_is_refused():
    with pytest.raises(ArgumentError, match="two points or more"):
        crossing([1], [1], [1])
    with pytest.raises(ArgumentError, match="error above 0"):
        crossing([1, 2], [1, 2], [0, 1])
    with pytest.raises(ArgumentError, match="must increase"):
        crossing([2, 1], [1, 2], [1, 1])
    with pytest.raises(ArgumentError, match="no slope"):
        crossing([1, 2], [1, 1], [1, 1])


@pytest.mark.parametrize(
    ("x", "y", "sem", "message"),
    [
        ([0, 1, 2], [0, 1, 2], [0, 0, 0], "at least four"),
        ([0, 1, 2, 3], [0, 1, 2], [0, 0, 0, 0], "same length"),
        ([0, 1, 1, 2], [0, 0, 0, 0], [0, 0, 0, 0], "must increase"),
        ([0, 1, 2, 3], [0, math.nan, 0, 0], [0, 0, 0, 0], "finite"),
        ([0, 1, 2, 3], [0, 0, 0, 0], [0, 0, -1, 0], "at least 0"),
    ],
)
def test_what_cannot_be_integrated_is_refused(x, y, sem, message):
    with pytest.raises(ArgumentError, match=message):
        integrate(x, y, sem)


def test_scales_that_cannot_be_are_refused():
    four = np.ones(4)
    with pytest.raises(ArgumentError, match="kappa"):
        log_evidence([0.1, 0.2, -0.3, 0.4], four, four, prior=1.5)
    with pytest.raises(ArgumentError, match="prior"):
        log_evidence([0.1, 0.2, 0.3, 0.4], four, four, prior=-1)
    with pytest.raises(ArgumentError, match="tilt"):
        tilt_work([1, 2, 3, 0], four, four, weights=8, prior_variance=0.1)
    with pytest.raises(ArgumentError, match="prior_variance"):
        tilt_work([1, 2, 3, 4], four, four, weights=8, prior_variance=0)

"""The homogeneity penalty: its formula, its gradient, and what it does to weights."""

import math

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from feature_learning import configure, run_point
from feature_learning.cli.main import main
from feature_learning.energies.minibatch import MiniBatchEnergy
from feature_learning.energies.particles import ParticleEnergy, network_posterior
from feature_learning.errors import ArgumentError
from feature_learning.model.penalties import HomogeneityPenalty
from feature_learning.model.student import Student
from feature_learning.model.teachers import SparseParity, make_dataset
from feature_learning.samplers import SGLD

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def energy_with(penalty, *, dtype=torch.float64, chains=3, **options):
    options = {"hidden": None, "activation": "relu", "self_energy": False, **options}
    student = Student(
        dim=6, width=5, activation=options["activation"], hidden_bias_variance=options["hidden"]
    )
    data = make_dataset(SparseParity(6, 2), 11, seed=0, dtype=dtype)
    energy = ParticleEnergy(
        student,
        data,
        kappa=0.3,
        chains=chains,
        self_energy=options["self_energy"],
        homogeneity_penalty=penalty,
    )
    random = torch.Generator().manual_seed(1)
    return energy, student.sample_prior(chains, 5, random, dtype=dtype)


@pytest.mark.parametrize("hidden", [None, 0.7])
@pytest.mark.parametrize("self_energy", [False, True])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_the_gradient_with_a_penalty_is_autograds(hidden, self_energy, activation):
    energy, theta = energy_with(3.0, hidden=hidden, self_energy=self_energy, activation=activation)
    leaf = theta.clone().requires_grad_()
    (expected,) = torch.autograd.grad(energy.potential(leaf).sum(), leaf)
    found = torch.full_like(theta, math.nan)
    energy.gradient(theta, found)
    energy.gradient(theta, found)  # nothing is left over from the call before
    torch.testing.assert_close(found, expected, **EXACT)


def test_the_penalty_is_the_variance_of_the_magnitudes_summed_over_neurons():
    w = torch.tensor([[[1.0, -3.0], [2.0, 2.0]], [[0.0, 4.0], [-1.0, 1.0]]])
    # |w| = (1, 3): variance 1; (2, 2): 0; (0, 4): 4; (1, 1): 0.
    assert HomogeneityPenalty(10.0, 2).value(w).tolist() == [10.0, 40.0]


def test_a_bias_is_no_coordinate():
    w = torch.tensor([[[1.0, -1.0, 50.0]]])
    assert HomogeneityPenalty(10.0, 2).value(w).item() == 0


def test_without_a_penalty_an_energy_is_what_it_was():
    with_none, theta = energy_with(0.0)
    penalised, _ = energy_with(2.0)
    plain, also = torch.empty_like(theta), torch.empty_like(theta)
    with_none.gradient(theta, plain)
    penalised.gradient(theta, also)
    added = torch.zeros_like(theta)
    w = penalised.views(theta).w
    term = penalised.penalty
    term.add_gradient(w, penalised.views(added).w, term.buffers(w))
    torch.testing.assert_close(also, plain + added, **EXACT)
    assert with_none._penalty_buffers is None


def test_the_gradient_of_a_penalty_allocates_nothing_of_the_size_of_the_weights():
    energy, theta = energy_with(2.0)
    w, out = energy.views(theta).w, torch.zeros_like(theta)
    target, buffers = energy.views(out).w, energy.penalty.buffers(w)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        energy.penalty.add_gradient(w, target, buffers)
    assert max(event.self_cpu_memory_usage for event in seen.events()) <= 8  # a scalar


def test_weights_of_one_magnitude_feel_no_penalty():
    energy, theta = energy_with(2.0)
    w = torch.sign(energy.views(theta).w) * 0.3
    out = torch.zeros_like(w)
    energy.penalty.add_gradient(w, out, energy.penalty.buffers(w))
    torch.testing.assert_close(out, torch.zeros_like(out), **EXACT)


def test_a_strong_penalty_leaves_the_spread_that_temperature_allows():
    # P = 1, hardly a data term: d - 1 directions of stiffness 2λ/d + T d/σ_w² at temperature T.
    dim, width, kappa, strength = 10, 200, 0.02, 50.0
    temperature = 2 * kappa**2
    student, data = Student(dim=dim, width=width), make_dataset(SparseParity(dim, 2), 1, seed=0)
    energy = network_posterior(student, data, kappa=kappa, homogeneity_penalty=strength, chains=2)
    random = torch.Generator().manual_seed(0)
    state = SGLD(0.02).init(energy, student.sample_prior(2, width, random), random)
    found = []
    for _ in range(60):
        SGLD(0.02).advance(state, energy, 20, random, done=0)
        found.append(energy.penalty.value(energy.views(state.position).w).mean() / strength / width)
    variance = torch.stack(found[20:]).mean().item()
    spring_constant = 2 * strength / dim + temperature * dim
    expected = (dim - 1) / dim * temperature / spring_constant
    # A step of 0.02 at stiffness 10 heats by 1/(1 - 0.1). So cold no magnitude touches zero, and
    # the mean magnitude has not had the time to relax towards it either.
    assert variance == pytest.approx(expected / (1 - 0.01 * spring_constant), rel=0.06)


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_a_penalty_is_a_number_of_at_least_zero(wrong):
    with pytest.raises(ArgumentError, match="penalty"):
        configure(homogeneity_penalty=wrong)
    with pytest.raises(ArgumentError, match="penalty"):
        energy_with(wrong)


@pytest.mark.parametrize("method", ["mf", "mf-ard", "nngp"])
def test_a_penalty_is_refused_where_it_has_no_effect(method, capsys):
    with pytest.raises(ArgumentError, match=f"penalty has no effect with method {method}"):
        configure(method=method, homogeneity_penalty=1.0)
    with pytest.raises(SystemExit, match="2"):
        main(["point", "--method", method, "--homogeneity-penalty", "1"])
    assert "penalty has no effect with" in capsys.readouterr().err


def test_a_point_with_a_penalty_has_weights_of_nearly_one_magnitude():
    common = {"dim": 8, "sparsity": 2, "width": 16, "n_train": 20, "n_test": 50}
    common |= {
        "chains": 1,
        "sampler": "sgld",
        "langevin_time": 30.0,
        "measurements": 4,
        "kappa": 0.02,
    }
    spread = {}
    for penalty in (0.0, 10.0):
        point = run_point(configure(homogeneity_penalty=penalty, **common))
        magnitudes = abs(point.weights[0])
        spread[penalty] = (magnitudes.std(axis=1) / magnitudes.mean(axis=1)).mean()
    assert spread[10.0] < 0.2 < spread[0.0]


def test_every_way_to_the_energy_and_its_gradient_knows_the_penalty():
    student = Student(dim=5, width=6)
    data = make_dataset(SparseParity(5, 2), 12, seed=0, dtype=torch.float64)
    energy = network_posterior(student, data, kappa=0.2, chains=2, homogeneity_penalty=3.0)
    theta = student.sample_prior(2, 6, torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = network_posterior(student, data, kappa=0.2, chains=2)
    torch.testing.assert_close(energy.value(theta), energy.potential(theta))
    extra = energy.penalty.value(energy.views(theta).w)
    torch.testing.assert_close(energy.value(theta) - plain.value(theta), extra)
    whole, batch = torch.empty_like(theta), torch.empty_like(theta)
    energy.gradient(theta, whole)
    # One block with all samples is the gradient itself.
    MiniBatchEnergy(energy, 12).estimate_from(theta, batch, [0, 0])
    torch.testing.assert_close(batch, whole)

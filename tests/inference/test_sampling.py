"""Sampling without a teacher, and energies that are not the library's."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import GRID

from feature_learning import (
    SamplingOptions,
    SparseParity,
    Student,
    make_dataset,
    network_posterior,
    sample,
)
from feature_learning.energies.base import Fixed
from feature_learning.errors import ArgumentError, DivergenceError
from feature_learning.inference.diagnostics import ConvergenceRule
from feature_learning.model.parameters import Parameters
from feature_learning.samplers.registry import (
    HMCOptions,
    MALAOptions,
    SGLDOptions,
    UnderdampedOptions,
)

TEACHER = SparseParity(6, 2)
STUDENT = Student(dim=6, width=8)
TEST = make_dataset(TEACHER, 30, seed=0, stream="test")
SHORT = {"langevin_time": 20.0, "measurements": 10}


def posterior(chains=2):
    return network_posterior(STUDENT, make_dataset(TEACHER, 20, seed=0), kappa=0.1, chains=chains)


class Well(Fixed):
    """U = x²/2 + x⁴/4 of one parameter a chain."""

    temperature = 0.5

    def __init__(self, chains):
        self.chains = chains

    def gradient(self, theta, out):
        torch.add(theta, theta**3, out=out)

    def value(self, theta):
        return (theta.square() / 2 + theta**4 / 4).double()

    def views(self, theta):
        empty = theta.new_empty(self.chains, 0)
        return Parameters(theta.view(-1, 1, 1), empty, empty)

    predictor_parameters = views


class Squares:
    """Measures x² of each chain."""

    def measure(self, theta, *, average):
        return {"square": theta.square().double().numpy()}

    def posterior_mean(self):
        return {}

    def open_block(self):
        pass

    def state_dict(self):
        return {}


def test_a_run_without_a_teacher_is_the_same_run_without_relevant_coordinates():
    sampling = SamplingOptions(UnderdampedOptions(0.1), **SHORT)
    known, _ = sample(posterior(), STUDENT, TEACHER, TEST, sampling, seed=3)
    own, _ = sample(posterior(), STUDENT, test=TEST, sampling=sampling, seed=3)
    assert known.series.keys() - own.series.keys() == {
        *("anisotropy", "specialised", "relevant_variance", "code")
    }
    for name, values in own.series.items():
        np.testing.assert_array_equal(values, known.series[name], err_msg=name)
    assert torch.equal(own.weights, known.weights)


def test_a_sampler_is_given_by_name_or_by_its_options():
    stop = SimpleNamespace(finished=lambda series, counted: np.array([True, True]))
    common = {"test": TEST, "seed": 1, "stop": stop}
    named, sampler = sample(posterior(), STUDENT, sampler="sgld", **common)
    given, _ = sample(posterior(), STUDENT, sampler=SGLDOptions(), **common)
    assert type(sampler).__name__ == "SGLD"
    np.testing.assert_array_equal(named.draws("m_S"), given.draws("m_S"))
    slower, sampler = sample(posterior(), STUDENT, sampler=SGLDOptions(0.01), **common)
    assert sampler.step_size == 0.01
    assert (slower.draws("m_S") != named.draws("m_S")).any()


def test_chains_start_where_they_are_told():
    position = torch.linspace(-1, 1, STUDENT.size(2, 8))
    sampling = SamplingOptions(
        UnderdampedOptions(1e-6), langevin_time=1e-6, measurements=1, burn_in=0
    )
    run, _ = sample(posterior(), STUDENT, test=TEST, sampling=sampling, seed=0, position=position)
    torch.testing.assert_close(run.state.position, position, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [UnderdampedOptions(0.2, friction=0.5), MALAOptions()])
def test_an_energy_of_another_model_has_its_moments(options):
    chains = 400
    run, _ = sample(
        Well(chains),
        sampling=SamplingOptions(options, langevin_time=60.0, measurements=40),
        position=torch.zeros(chains, dtype=torch.float64),
        observer=Squares(),
        rule=ConvergenceRule(observables=("square",), min_draws=20),
        seed=0,
    )
    weight = np.exp(-(GRID**2 / 2 + GRID**4 / 4) / Well.temperature)
    exact = (weight * GRID**2).sum() / weight.sum()
    means = run.mean("square")
    assert abs(means.mean() - exact) < 4.5 * means.std(ddof=1) / math.sqrt(chains)
    assert run.convergence.r_hat.keys() == {"square"}
    assert run.weights.shape == (chains, 1, 1)


def test_an_observer_may_return_the_position_itself():
    class Itself(Squares):
        def measure(self, theta, *, average):
            return {"x": theta.numpy()}

    run, _ = sample(
        Well(2),
        sampling=SamplingOptions(MALAOptions(), langevin_time=20.0, measurements=10),
        position=torch.zeros(2, dtype=torch.float64),
        observer=Itself(),
        seed=0,
    )
    assert len(np.unique(run.series["x"])) > 10
    np.testing.assert_array_equal(run.last("x"), run.state.position.numpy())


def test_another_model_that_diverges_is_stopped():
    class Hill(Well):
        def gradient(self, theta, out):
            torch.neg(theta, out=out)

    sampling = SamplingOptions(SGLDOptions(0.5), langevin_time=200.0, burn_in=0.0, measurements=1)
    with pytest.raises(DivergenceError, match=r"diverged by step 400 .*: not finite; a step size"):
        sample(Hill(3), sampling=sampling, position=torch.ones(3), observer=Squares(), seed=0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"energy": object()}, "energy must have chains, gradient, .*, which object lacks"),
        ({"energy": Well(2)}, "without a position, energy must have forward, particles, scale"),
        ({"student": None}, "position must be given without a student"),
        ({"test": None}, "test must be given without an observer"),
        ({"sampler": "sgd"}, "sampler must be one of .*, not 'sgd'"),
        (
            {"sampler": "sgld", "sampling": SamplingOptions()},
            "sampler must not be given beside sampling",
        ),
        (
            {"sampling": SamplingOptions(start="planted")},
            "start must be prior without a teacher, not 'pl",
        ),
        ({"position": torch.zeros(5)}, "position must have 112 entries, those of 2 chains, not 5"),
        ({"position": torch.zeros(112, 1)}, r"position must be one flat vector .*\(112, 1\)"),
        ({"position": torch.full((112,), math.nan)}, "position must be finite"),
        ({"position": torch.zeros(112), "student": None}, "student must be given without an obs"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(changes, words):
    options = {"energy": posterior(), "student": STUDENT, "test": TEST, "seed": 0} | changes
    with pytest.raises(ArgumentError, match=words):
        sample(**options)


def test_samplers_that_need_particles_refuse_another_model():
    options = {"position": torch.zeros(2), "observer": Squares(), "seed": 0}
    with pytest.raises(ArgumentError, match="batch_size needs particles, not Well"):
        sample(Well(2), sampler=SGLDOptions(batch_size=3), **options)
    with pytest.raises(ArgumentError, match="gibbs needs particles"):
        sample(Well(2), sampler="gibbs", **options)

    class Moving(Well):
        refresh_every = 1

    with pytest.raises(ArgumentError, match="hmc needs a fixed energy"):
        sample(Moving(2), sampler=HMCOptions(), **options)

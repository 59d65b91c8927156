"""The posterior on any data set: arrays in, draws out."""

import math

import numpy as np
import pytest
import torch

import feature_learning
from feature_learning import Student, posterior
from feature_learning.errors import ArgumentError, DeviceError
from feature_learning.model.student import Network
from feature_learning.samplers.registry import (
    AdaptiveOptions,
    HMCOptions,
    SGLDOptions,
    UnderdampedOptions,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 2))
Y = X[:, 0] - 0.5 * X[:, 1]
POINTS = RANDOM.normal(size=(5, 2))
NETWORK = Network(width=3, activation="linear")
SHORT = {"kappa": 0.3, "langevin_time": 30.0, "draws": 20, "test_inputs": POINTS}


def exact(kappa):
    """Mean and standard deviation of f at the points.

    Given Q = |a|²/N the linear network is a Gaussian process of the kernel Q x·x'/d: an integral
    over Q = e^u is left.
    """
    kernel = np.concatenate([POINTS, X]) @ np.concatenate([POINTS, X]).T / 2
    points, noise, n = len(POINTS), kappa**2 * len(X), NETWORK.width
    logs, means, seconds = [], [], []
    for u in np.linspace(-12, 4, 2001):
        whole = math.exp(u) * kernel
        solve = np.linalg.inv(whole[points:, points:] + noise * np.eye(len(X)))
        across = whole[:points, points:]
        mean = across @ solve @ Y
        variance = np.diag(whole[:points, :points] - across @ solve @ across.T)
        evidence = 0.5 * np.linalg.slogdet(solve)[1] - 0.5 * Y @ solve @ Y
        logs.append(0.5 * n * u - 0.5 * n * math.exp(u) + evidence)
        means.append(mean)
        seconds.append(mean**2 + variance)
    weight = np.exp(np.array(logs) - max(logs))
    mean, second = (weight @ np.array(each) / weight.sum() for each in (means, seconds))
    return mean, np.sqrt(second - mean**2)


def test_a_linear_network_has_its_exact_predictions():
    found = posterior(
        X, Y, NETWORK, kappa=0.3, test_inputs=POINTS, chains=200, sampler="hmc",
        langevin_time=200.0, draws=40, dtype="float64",
    )  # fmt: skip
    mean, std = exact(0.3)
    per_chain = found.predictions.mean(axis=1)
    error = per_chain.std(axis=0, ddof=1) / math.sqrt(200)
    assert (np.abs(found.mean() - mean) < 4.5 * error).all()
    np.testing.assert_allclose(found.std(), std, rtol=0.05)
    # Another noise has other answers, which these would not meet.
    assert (np.abs(found.mean() - exact(0.45)[0]) > 4.5 * error).any()
    assert found.acceptance.shape == (200,)
    assert (found.acceptance > 0.4).all()
    assert (found.standard_error() < 0.1).all()


def test_chains_that_agree_end_the_run_and_say_so():
    found = posterior(X, Y, NETWORK, kappa=0.3, test_inputs=POINTS)
    assert found.verdict == "agreed"
    assert found.converged
    assert found.r_hat < 1.01
    assert found.ess >= 100
    assert found.acceptance is None
    assert found.predictions.shape == (4, 100, 5)
    np.testing.assert_allclose(found.mean(), exact(0.3)[0], atol=0.1)
    assert found.run.times[-1] <= 256 / (math.sqrt(2) * 0.3) * 1.01
    # They are those of the last measurements, in their order.
    for point, name in enumerate(f"f[{each}]" for each in range(5)):
        watched = found.run.series[name][:, found.run.counted]
        np.testing.assert_array_equal(found.predictions[:, :, point], watched)


def test_the_last_weights_give_the_last_predictions():
    network = Student(dim=2, width=3, hidden_bias_variance=0.5, output_bias_variance=0.5)
    found = posterior(X, Y, network, **SHORT, dtype="float64", chains=3)
    assert found.predictions.shape == (3, 20, 5)
    assert found.weights.shape == (3, 3, 3)
    assert found.output_bias.shape == (3, 1)
    parts = (torch.from_numpy(x) for x in (found.weights, found.readouts, found.output_bias))
    f = found.student.forward(type(found.student.views(torch.zeros(39), 3, 3))(*parts),
                              torch.from_numpy(POINTS))  # fmt: skip
    np.testing.assert_allclose(f.numpy(), found.predictions[:, -1], rtol=1e-10)
    assert not found.converged
    assert any("3 chains, at least 4 needed" in reason for reason in found.reasons)


def test_without_test_inputs_the_training_inputs_are_predicted():
    options = {"kappa": 0.3, "langevin_time": 30.0, "draws": 20}
    found = posterior(X, Y, NETWORK, **options, seed=3)
    same = posterior(torch.tensor(X), list(Y), NETWORK, test_inputs=X, **options, seed=3)
    np.testing.assert_array_equal(found.predictions, same.predictions)
    other = posterior(X, Y, NETWORK, **options, seed=4)
    assert (found.predictions != other.predictions).any()


def test_weights_of_draws_enter_the_mean():
    sampler = AdaptiveOptions(0.02)
    found = posterior(X, Y, NETWORK, **SHORT, sampler=sampler)
    weights = found.draw_weights
    assert weights.shape == (4, 20)
    assert np.ptp(weights) > 0
    mean = (weights[..., None] * found.predictions).sum(axis=(0, 1)) / weights.sum()
    np.testing.assert_allclose(found.mean(), mean)
    assert not found.converged


def test_a_log_prior_takes_the_place_of_the_gaussian():
    def narrow(parameters):
        w, a, _ = parameters
        return -50 * (w.square().sum(dim=(1, 2)) + a.square().sum(dim=1))

    tight = posterior(X, Y, NETWORK, **SHORT, log_prior=narrow)
    wide = posterior(X, Y, NETWORK, **SHORT)
    assert np.abs(tight.mean()).max() < 0.3 * np.abs(wide.mean()).max()


def test_without_a_draw_nothing_is_made_up():
    found = posterior(X, Y, NETWORK, **SHORT, max_time=1e-9)
    assert found.predictions.shape == (4, 0, 5)
    assert np.isnan(found.mean()).all()
    assert math.isnan(found.r_hat)
    assert not found.converged


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"X": X[:, 0]}, r"X must be \(samples, dim\), with one number at least, .* \(6,\)"),
        ({"X": np.empty((0, 2)), "y": []}, r"X must be .*, not of shape \(0, 2\)"),
        ({"y": Y[:, None]}, r"y must be \(samples,\), .*, not of shape \(6, 1\)"),
        ({"y": Y[:5]}, "y must have 6 entries, those of X, not 5"),
        (
            {"y": np.where(Y[2] == Y, np.nan, Y)},
            r"y must hold finite .*, not nan at \[2\] \(1 of 6",
        ),
        ({"X": np.where(X[1, 1] == X, np.inf, X)}, r"X must hold .*, not inf at \[1, 1\]"),
        ({"X": X * 1e30}, "X must hold finite numbers of at most 1e"),
        ({"X": [["a", "b"]] * 6}, r"X must be real numbers of shape \(samples, dim\), not \[\['a'"),
        ({"X": [[1.0], [1.0, 2.0]]}, "X must be real numbers of shape"),
        ({"y": 1j * Y}, "y must be real numbers"),
        ({"test_inputs": X[:, :1]}, r"test_inputs must be \(points, dim = 2\), not \(6, 1\)"),
        ({"network": Student(dim=3)}, "network must have dim = 2, the columns of X, not 3"),
        ({"network": 512}, "network must be a Network or Student, not 512"),
        ({"kappa": 0.0}, "kappa must be a finite number of at least 1e-09 .*, not 0.0"),
        ({"kappa": -1}, "kappa must be .*, not -1"),
        ({"chains": 0}, "chains must be a whole number of at least 1, not 0"),
        ({"draws": 7}, "draws must be a whole number of at least 8, not 7"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"langevin_time": 0}, "langevin_time must be a finite number above 0, not 0"),
        ({"max_time": math.nan}, "max_time must be a finite number above 0, not nan"),
        ({"sampler": "sgd"}, "sampler must be one of adaptive, .*, not 'sgd'"),
        ({"sampler": 3}, "sampler must be options or a name, not 3"),
        ({"sampler": UnderdampedOptions(replicas=2)}, "replicas must be 1"),
        ({"sampler": SGLDOptions(batch_size=7)}, "batch_size must be .* at most 6, not 7"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64, not 'float16'"),
        ({"device": "tpu"}, "device"),
        ({"log_prior": 1.0}, r"log_prior must be a function of the parameters, not 1\.0"),
    ],
)
def test_what_cannot_be_sampled_is_named(changes, words):
    options = {"X": X, "y": Y, "network": NETWORK, "kappa": 0.3, "langevin_time": 1.0} | changes
    with pytest.raises(ArgumentError, match=words):
        posterior(**options)


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="device 'cuda' is not available"):
        posterior(X, Y, NETWORK, kappa=0.3, device="cuda")


def test_a_sampler_may_be_given_with_its_options():
    found = posterior(X, Y, NETWORK, **SHORT, sampler=HMCOptions(0.2))
    assert found.run.sampler.step_size == 0.2
    assert found.acceptance.shape == (4,)


def test_few_names_are_exported():
    assert len(feature_learning.__all__) <= 30
    assert feature_learning.posterior is posterior

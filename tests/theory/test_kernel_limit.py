"""Infinite width: the kernel against sampled neurons, and the ridge regression against NumPy."""

import math

import numpy as np
import pytest
import torch

from feature_learning.errors import ArgumentError, FeatureLearningError
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset, SingleIndex, SparseParity, make_dataset
from feature_learning.theory.kernel_limit import as_published_points, kernel, solve

DIM = 3


def student(name="relu", **options):
    return Student(dim=DIM, width=4, activation=name, **options)


def gaussian(n_train, seed=0):
    return make_dataset(SingleIndex(DIM, 1), n_train, seed=seed, dtype=torch.float64)


@pytest.mark.parametrize("name", ["relu", "erf", "linear"])
@pytest.mark.parametrize("biased", [False, True])
def test_the_kernel_is_the_covariance_of_networks_drawn_from_the_prior(name, biased):
    biases = {"hidden_bias_variance": 0.6, "output_bias_variance": 0.3} if biased else {}
    made = student(name, weight_variance=1.7, readout_variance=0.8, **biases)
    neurons = 100_000
    random = torch.Generator().manual_seed(0)
    theta = made.sample_prior(1, neurons, random, dtype=torch.float64)
    w, a, _ = made.views(theta, 1, neurons)
    x = torch.cat([gaussian(4).inputs, gaussian(1).inputs * 5])
    z = x @ w[0, :, :DIM].t() + (w[0, :, DIM] if biased else 0)
    phi = made.phi.function(z) * a[0]
    found = kernel(made, x, x)
    for i in range(5):
        for j in range(5):
            products = phi[i] * phi[j]
            error = products.std() / math.sqrt(neurons)
            expected = products.mean() + (0.3 if biased else 0)
            assert abs(found[i, j] - expected) < 5 * error


def relu_kernel(x, y, variance):
    """Cho and Saul's first-order arc-cosine kernel, one pair at a time."""
    value = np.empty((len(x), len(y)))
    for i, u in enumerate(x):
        for j, v in enumerate(y):
            lengths = np.linalg.norm(u) * np.linalg.norm(v)
            theta = math.acos(max(-1.0, min(1.0, u @ v / lengths)))
            angular = math.sin(theta) + (math.pi - theta) * math.cos(theta)
            value[i, j] = variance * lengths * angular / (2 * math.pi)
    return value


def test_the_matched_predictor_is_kernel_ridge_regression_with_ridge_kappa_squared_times_p():
    made, kappa = student(weight_variance=1.7, readout_variance=0.8), 0.4
    data, test = gaussian(6), gaussian(5, seed=1)
    x, y, points = (each.numpy() for each in (data.inputs, data.labels, test.inputs))
    k = relu_kernel(x, x, 0.8 * 1.7 / DIM)
    weights = np.linalg.solve(k + kappa**2 * 6 * np.eye(6), y)
    predicted = relu_kernel(points, x, 0.8 * 1.7 / DIM) @ weights
    result = solve(made, data, test, kappa=kappa)
    np.testing.assert_allclose(result.predictions.numpy(), predicted, rtol=1e-10)
    labels = test.labels.numpy()
    overlap = np.mean(predicted * labels) / np.mean(labels**2)
    assert result.test_mse == pytest.approx(np.mean((predicted - labels) ** 2))
    assert result.m_S == pytest.approx(overlap)
    assert result.noise == pytest.approx(np.mean((predicted - overlap * labels) ** 2))
    assert result.train_mse == pytest.approx(np.mean((k @ weights - y) ** 2))


def test_the_published_variant_has_no_1_over_d_and_the_ridge_kappa_squared():
    made, kappa = student(weight_variance=1.7, readout_variance=0.8), 0.4
    data, test = gaussian(6), gaussian(5, seed=1)
    x, y, points = (each.numpy() for each in (data.inputs, data.labels, test.inputs))
    weights = np.linalg.solve(relu_kernel(x, x, 0.8 * 1.7) + kappa**2 * np.eye(6), y)
    result = solve(made, data, test, kappa=kappa, variant="as-published")
    np.testing.assert_allclose(
        result.predictions.numpy(), relu_kernel(points, x, 0.8 * 1.7) @ weights, rtol=1e-10
    )


def test_the_published_evaluation_set_begins_with_the_training_set():
    data, fresh = gaussian(6), gaussian(50, seed=1)
    points = as_published_points(data, fresh, total=20)
    assert len(points) == 20
    assert torch.equal(points.inputs[:6], data.inputs)
    assert torch.equal(points.labels[:6], data.labels)
    assert torch.equal(points.inputs[6:], fresh.inputs[:14])
    assert torch.equal(points.labels[6:], fresh.labels[:14])
    assert len(as_published_points(data, fresh, total=4)) == 6
    # It flatters: what was trained on is predicted almost exactly.
    result = solve(student(), data, points, kappa=0.01, variant="as-published")
    errors = (result.predictions - points.labels).square()
    assert errors[:6].mean() < 1e-3 < 1 < errors[6:].mean()


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_as_kappa_vanishes_the_training_set_is_interpolated(name):
    # Parity labels, inputs all different.
    teacher = SparseParity(7, 2)
    inputs = torch.unique(make_dataset(teacher, 40, seed=0).inputs, dim=0).double()
    data = Dataset(inputs, teacher.target(inputs))
    made = Student(dim=7, width=4, activation=name, hidden_bias_variance=0.5)
    errors = [solve(made, data, data, kappa=kappa).train_mse for kappa in (1.0, 0.1, 1e-5)]
    assert errors[0] > errors[1] > errors[2]
    exact = solve(made, data, data, kappa=1e-5)
    assert exact.train_mse < 1e-8
    assert exact.test_mse < 1e-8
    assert exact.m_S == pytest.approx(1, abs=1e-4)


def test_as_kappa_grows_the_prior_mean_is_returned():
    data, test = gaussian(20), gaussian(30, seed=1)
    result = solve(student(), data, test, kappa=1e4)
    assert result.predictions.abs().max() < 1e-5
    assert result.m_S == pytest.approx(0, abs=1e-6)
    assert result.test_mse == pytest.approx(test.labels.square().mean().item(), rel=1e-5)


def test_blocks_of_evaluation_points_do_not_change_the_answer():
    data, test = gaussian(9), gaussian(11, seed=1)
    whole, small = (solve(student(), data, test, kappa=0.1, block=block) for block in (100, 3))
    torch.testing.assert_close(small.predictions, whole.predictions, rtol=1e-12, atol=1e-12)


def test_the_inputs_are_left_as_they_were():
    data, test = gaussian(9), gaussian(11, seed=1)
    copies = [each.clone() for each in (data.inputs, data.labels, test.inputs, test.labels)]
    solve(student(), data, test, kappa=0.1)
    now = (data.inputs, data.labels, test.inputs, test.labels)
    assert all(torch.equal(a, b) for a, b in zip(copies, now, strict=True))


def test_the_width_plays_no_part():
    data, test = gaussian(9), gaussian(11, seed=1)
    results = [solve(Student(dim=DIM, width=width), data, test, kappa=0.1) for width in (1, 512)]
    assert torch.equal(results[0].predictions, results[1].predictions)


def test_repeated_inputs_with_vanishing_noise_end_in_a_named_error_or_a_finite_answer():
    data = make_dataset(SparseParity(3, 2), 50, seed=0)  # 8 different inputs, 50 samples
    try:
        result = solve(student(), data, data, kappa=1e-10)
    except FeatureLearningError as error:
        assert "kappa" in str(error)  # noqa: PT017
    else:
        assert math.isfinite(result.test_mse)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"kappa": 0.0}, "kappa"),
        ({"kappa": -0.1}, "kappa"),
        ({"kappa": math.nan}, "kappa"),
        ({"variant": "published"}, "variant"),
        ({"student": student("tanh")}, "activation"),
        ({"student": student(gamma=1.0)}, "gamma"),
    ],
)
def test_bad_input_is_refused_by_name(options, name):
    arguments = {"student": student(), "kappa": 0.1, **options}
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        solve(arguments.pop("student"), gaussian(4), gaussian(4), **arguments)

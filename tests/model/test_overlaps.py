"""Overlaps of neurons and networks with the target, against enumeration of the cube."""

import itertools
import math

import pytest
import torch

from feature_learning.errors import ArgumentError
from feature_learning.inference.observables import anisotropy, decompose, weight_variances
from feature_learning.model.forward import Forward
from feature_learning.model.overlaps import (
    enumerated_overlap,
    gaussian_overlap,
    neuron_covariance,
    neuron_overlaps,
    rectified_gaussian_mean,
    relu_covariance,
    sign_cube,
)
from feature_learning.model.parameters import Parameters
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset, SingleIndex, SparseParity, make_dataset

PLAIN = {"relu": lambda z: max(z, 0.0), "tanh": math.tanh}


def weights(*shape, seed=0):
    return torch.randn(
        *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    ) / math.sqrt(shape[-1])


def test_the_cube_has_every_sign_vector_once():
    cube = sign_cube(5)
    assert sorted(map(tuple, cube.tolist())) == sorted(itertools.product((-1.0, 1.0), repeat=5))


@pytest.mark.parametrize("name", ["relu", "tanh"])
@pytest.mark.parametrize("sparsity", [0, 1, 2, 4])
def test_the_enumerated_overlap_is_a_brute_force_average(name, sparsity):
    w = weights(2, 3, 5)
    found = enumerated_overlap(w, sparsity, name=name)
    assert found.shape == (2, 3)
    for a, b in itertools.product(range(2), range(3)):
        total = 0.0
        for x in itertools.product((-1, 1), repeat=5):
            z = sum(wj * xj for wj, xj in zip(w[a, b].tolist(), x, strict=True))
            total += PLAIN[name](z) * math.prod(x[:sparsity])
        assert found[a, b].item() == pytest.approx(total / 2**5, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("dim", [1, 3, 14])
def test_the_second_moment_of_a_relu_neuron_is_half_its_squared_norm(dim):
    w = weights(6, dim)
    phi = torch.relu(w @ sign_cube(dim).t())
    torch.testing.assert_close(phi.square().mean(dim=1), w.square().sum(dim=1) / 2)


@pytest.mark.parametrize("sparsity", [3, 5, 7])
def test_a_relu_neuron_does_not_see_odd_parities_of_three_or_more(sparsity):
    w = 3 * weights(10, 9)
    assert enumerated_overlap(w, sparsity).abs().max() < 1e-14
    assert gaussian_overlap(w, sparsity).abs().max() < 1e-14
    # and does see the even ones and the single coordinate
    for visible in (1, sparsity - 1):
        assert enumerated_overlap(w, visible).abs().max() > 1e-3


@pytest.mark.parametrize("dim", [10, 14])
@pytest.mark.parametrize("sparsity", [1, 2, 4])
def test_the_gaussian_overlap_is_the_enumerated_one_with_many_irrelevant_coordinates(dim, sparsity):
    # None dominating: equal sizes. A sum of n equal signs has excess kurtosis -2/n, and its
    # smooth averages are off by a few times 1/(12 n).
    irrelevant = dim - sparsity
    w = torch.full((20, dim), 0.5 / math.sqrt(irrelevant), dtype=torch.float64)
    w[:, :sparsity] = weights(20, sparsity, seed=3)
    exact, found = enumerated_overlap(w, sparsity), gaussian_overlap(w, sparsity)
    tau = 0.5
    assert (exact - found).abs().max() < 0.3 * tau / irrelevant
    assert found.abs().max() > 0.01


def test_the_gaussian_overlap_improves_as_irrelevant_coordinates_are_added():
    errors = []
    for dim in (4, 8, 14):
        w = torch.full((1, dim), 0.6 / math.sqrt(dim - 2), dtype=torch.float64)
        w[:, :2] = torch.tensor([0.37, 0.21])
        errors.append((enumerated_overlap(w, 2) - gaussian_overlap(w, 2)).abs().item())
    assert errors[0] > errors[1] > errors[2]


def test_without_irrelevant_weights_the_gaussian_overlap_is_exact():
    w = weights(7, 6)
    w[:, 4:] = 0
    torch.testing.assert_close(gaussian_overlap(w, 4), enumerated_overlap(w, 4))
    w = weights(7, 4)
    torch.testing.assert_close(gaussian_overlap(w, 4), enumerated_overlap(w, 4))


def test_the_rectified_gaussian_mean_by_quadrature():
    g = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-g * g / 2) / math.sqrt(2 * math.pi)
    for c, tau in itertools.product((-2.0, -0.1, 0.0, 0.5, 3.0), (0.0, 1e-3, 0.7, 4.0)):
        expected = torch.trapezoid((c + tau * g).relu() * density, g).item()
        found = rectified_gaussian_mean(*torch.tensor([c, tau], dtype=torch.float64))
        assert found.item() == pytest.approx(expected, rel=1e-8, abs=1e-9)


def cube_field(student, dim):
    cube = sign_cube(dim)
    labels = SparseParity(dim, 2).target(cube)
    field = Forward(
        student, Dataset(cube, labels), chains=2, particles=student.width, scale=student.scale
    )
    theta = student.sample_prior(
        2, student.width, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return field, student.views(theta, 2, student.width)


def test_the_order_parameter_is_the_sum_of_the_neurons_overlaps():
    student = Student(dim=8, width=6, gamma=0.7)
    field, parameters = cube_field(student, 8)
    values = decompose(field.predict(parameters), field.labels)
    neurons = parameters.a * enumerated_overlap(parameters.w, 2)
    torch.testing.assert_close(values["m_S"], 6**-0.7 * neurons.sum(dim=1))


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_parseval_the_power_of_a_network_is_the_sum_over_all_parities(name):
    dim, width = 7, 5
    student = Student(dim=dim, width=width, activation=name)
    field, (w, a, c) = cube_field(student, dim)
    power = field.predict(Parameters(w, a, c))
    total = torch.zeros(2, dtype=torch.float64)
    for size in range(dim + 1):
        for subset in itertools.combinations(range(dim), size):
            order = [*subset, *(j for j in range(dim) if j not in subset)]
            overlaps = enumerated_overlap(w[..., order], size, name=name)
            total += (student.scale * (a * overlaps).sum(dim=1)).square()
    torch.testing.assert_close(total, power.square().mean(dim=1))
    assert c.numel() == 0


@pytest.mark.parametrize("teacher", [SparseParity(5, 2), SingleIndex(5, 2)])
def test_the_test_error_splits_into_overlap_and_noise(teacher):
    data = make_dataset(teacher, 400, seed=0, dtype=torch.float64)
    y = data.labels
    other = torch.randn(400, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    other -= (other @ y) / (y @ y) * y  # exactly off the target
    predictions = torch.stack([y, 0 * y, 0.3 * y + other, -y])
    values = decompose(predictions, y)
    torch.testing.assert_close(values["m_S"], torch.tensor([1, 0, 0.3, -1]).double())
    zero, off, power = torch.zeros(()).double(), other.square().mean(), y.square().mean()
    torch.testing.assert_close(values["noise"], torch.stack([zero, zero, off, zero]))
    torch.testing.assert_close(
        values["test_mse"], power * (1 - values["m_S"]).square() + values["noise"]
    )


def test_anisotropy_compares_mean_squares_on_and_off_the_target():
    w = torch.zeros(2, 3, 5)
    w[0, :, 0], w[0, :, 1] = 2.0, torch.tensor([1.0, 2.0, 3.0])
    w[0, :, 2:4], w[1] = 0.5, 1.0
    w[0, :, 4] = 100.0  # a hidden bias: not a coordinate
    expected = (4 + 14 / 3) / 2 / 0.25
    torch.testing.assert_close(anisotropy(w, 4, 2), torch.tensor([expected, 1.0]))
    assert torch.isnan(anisotropy(w[..., :2], 2, 2)).all()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: sign_cube(21), "dim"),
        (lambda: sign_cube(0), "dim"),
        (lambda: gaussian_overlap(weights(2, 3), 4), "sparsity"),
        (lambda: gaussian_overlap(weights(2, 20), 13), "sparsity"),
        (lambda: gaussian_overlap(weights(2, 3), 0), "sparsity"),
        (lambda: enumerated_overlap(weights(2, 3), 4), "sparsity"),
        (lambda: enumerated_overlap(weights(2, 3), 1, name="step"), "activation"),
    ],
)
def test_bad_input_is_refused_by_name(make, name):
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        make()


# Neurons


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_the_mean_of_the_neuron_overlaps_is_the_overlap_of_the_network(gamma):
    # Enumerated, the inputs are the whole cube: E[f χ_S] of the field is exact.
    student = Student(dim=7, width=5, gamma=gamma)
    w, a = weights(2, 5, 7), weights(2, 5, seed=1)
    cube = sign_cube(7)
    chi = cube[:, :2].prod(dim=1)
    f = student.scale * torch.einsum("cn,cnx->cx", a, torch.relu(w @ cube.t()))
    m_S = decompose(f, chi)["m_S"]
    shares = neuron_overlaps(a, enumerated_overlap(w, 2), width=5, gamma=gamma)
    assert shares.shape == (2, 5)
    torch.testing.assert_close(shares.mean(dim=1), m_S, rtol=1e-12, atol=1e-14)


def test_a_neuron_overlap_by_hand():
    shares = neuron_overlaps([2.0, -1.0, 0.0], [0.5, 0.25, 7.0], width=16)
    assert shares.tolist() == [4.0, -1.0, 0.0]
    assert neuron_overlaps([2.0], [0.5], width=16, gamma=1.0).tolist() == [1.0]


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([1.0], [1.0, 2.0]), {"width": 4}, r"^overlap must have the shape of a, \(1,\)"),
        (([1.0], [1.0]), {"width": 0}, "^width must be"),
        (([1.0], [1.0]), {"width": 4, "gamma": math.nan}, "^gamma must be"),
    ],
)
def test_neuron_overlaps_that_make_no_sense_are_refused(arguments, options, words):
    with pytest.raises(ArgumentError, match=words):
        neuron_overlaps(*arguments, **options)


def test_the_weight_variances_are_means_of_squares_over_neurons_without_the_bias():
    w = torch.tensor([[[1.0, 2.0, 9.0], [3.0, -4.0, 9.0]]])
    torch.testing.assert_close(weight_variances(w, 2), torch.tensor([[5.0, 10.0]]))
    torch.testing.assert_close(weight_variances(w[0], 2), torch.tensor([5.0, 10.0]))
    torch.testing.assert_close(anisotropy(w, 2, 1), torch.tensor([0.5]))


@pytest.mark.parametrize("dim", [1, 3, 14])
def test_the_covariance_of_a_relu_neuron_is_half_its_squared_norm_on_the_cube(dim):
    w = weights(2, 6, dim)
    torch.testing.assert_close(neuron_covariance(w, sign_cube(dim)), relu_covariance(w))
    assert relu_covariance([[3.0, 4.0]]).tolist() == [12.5]


def test_the_covariance_of_a_linear_neuron_is_its_squared_norm():
    w = weights(4, 6)
    found = neuron_covariance(w, sign_cube(6), name="linear")
    torch.testing.assert_close(found, w.square().sum(dim=1))
    # One input: the square of the activation there.
    found = neuron_covariance([[1.0, -2.0], [2.0, 1.0]], [[1.0, 1.0]])
    assert found.tolist() == [0.0, 9.0]


@pytest.mark.parametrize("shape", [(0, 3), (4, 2), (3,)])
def test_the_covariance_needs_inputs_of_the_weights_dimension(shape):
    with pytest.raises(ArgumentError, match=r"^inputs must have the shape \(samples, 3\)"):
        neuron_covariance(weights(2, 3), torch.zeros(shape))

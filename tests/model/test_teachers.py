"""Teachers: labels, exact moments, and where their random numbers come from."""

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss, hermeval

from feature_learning.errors import ArgumentError
from feature_learning.model.overlaps import sign_cube
from feature_learning.model.randomness import STREAMS, generator
from feature_learning.model.teachers import (
    Dataset,
    SingleIndex,
    SparseParity,
    Teacher,
    make_dataset,
)


def hermite(degree, z):
    return hermeval(z, [0] * degree + [1])


@pytest.mark.parametrize(("dim", "sparsity"), [(1, 1), (5, 1), (6, 3), (7, 7)])
def test_a_parity_label_is_the_product_of_the_first_coordinates(dim, sparsity):
    data = make_dataset(SparseParity(dim, sparsity), 60, seed=3)
    expected = [math.prod(row[:sparsity]) for row in data.inputs.tolist()]
    assert data.labels.tolist() == expected


def test_parity_inputs_are_independent_fair_signs():
    count = 20_000
    inputs = SparseParity(6, 2).inputs(count, generator(0, "data"))
    assert set(inputs.unique().tolist()) == {-1.0, 1.0}
    assert inputs.mean(dim=0).abs().max() < 5 / math.sqrt(count)
    second = inputs.t() @ inputs / count - torch.eye(6)
    assert second.abs().max() < 5 / math.sqrt(count)


def test_a_parity_is_orthogonal_to_every_other_parity_on_the_full_cube():
    teacher, cube = SparseParity(6, 3), sign_cube(6)
    labels = teacher.target(cube)
    assert labels.square().mean() == teacher.second_moment == 1
    for size in range(7):
        for subset in itertools.combinations(range(6), size):
            overlap = (cube[:, list(subset)].prod(dim=1) * labels).mean()
            assert overlap == (subset == (0, 1, 2))


@pytest.mark.parametrize("degree", range(1, 8))
def test_a_single_index_label_is_the_hermite_polynomial_of_the_direction(degree):
    teacher = SingleIndex(5, 3, degree)
    inputs = teacher.inputs(50, generator(1, "data")).double()
    z = inputs[:, :3].sum(dim=1).numpy() / math.sqrt(3)
    np.testing.assert_allclose(teacher.target(inputs).numpy(), hermite(degree, z), rtol=1e-10)


@pytest.mark.parametrize("degree", range(1, 8))
def test_the_second_moment_of_a_single_index_label_by_quadrature(degree):
    # Two relevant coordinates: a product rule, exact for the polynomial of degree 2p in each.
    nodes, weights = hermegauss(20)
    weights = weights / weights.sum()
    grid = torch.tensor([(a, b, 0.3) for a in nodes for b in nodes])
    weight = torch.tensor([a * b for a in weights for b in weights])
    teacher = SingleIndex(3, 2, degree)
    labels = teacher.target(grid)
    assert (weight * labels.square()).sum().item() == pytest.approx(math.factorial(degree))
    assert teacher.second_moment == math.factorial(degree)
    assert (weight * labels).sum().item() == pytest.approx(0, abs=1e-9)


def test_the_second_moment_of_the_fourth_hermite_polynomial_is_24_on_a_sample():
    nodes, weights = hermegauss(40)
    power = hermite(4, nodes) ** 2
    weights = weights / weights.sum()
    mean = (weights * power).sum()
    deviation = math.sqrt((weights * power**2).sum() - mean**2)
    assert mean == pytest.approx(24)
    count = 100_000
    labels = make_dataset(SingleIndex(4, 2), count, seed=0, dtype=torch.float64).labels
    assert abs(labels.square().mean() - 24) < 5 * deviation / math.sqrt(count)


def test_single_index_inputs_are_standard_normal():
    count = 20_000
    inputs = SingleIndex(5, 2).inputs(count, generator(0, "data"))
    assert inputs.mean(dim=0).abs().max() < 5 / math.sqrt(count)
    second = inputs.t() @ inputs / count - torch.eye(5)
    assert second.abs().max() < 5 * math.sqrt(2 / count)
    assert abs((inputs**4).mean() - 3) < 5 * math.sqrt(96 / count / 5)


@pytest.mark.parametrize("teacher", [SparseParity(6, 2), SingleIndex(6, 2)])
def test_the_same_seed_gives_the_same_data_and_another_does_not(teacher):
    first, again, other = (make_dataset(teacher, 40, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.inputs, other.inputs)


def test_streams_of_one_seed_are_independent():
    count = 20_000
    numbers = [torch.randn(count, generator=generator(5, stream)) for stream in STREAMS]
    # Neighbouring seeds too: stream 1 of seed 5 must not be stream 0 of seed 6.
    numbers += [torch.randn(count, generator=generator(6, stream)) for stream in STREAMS]
    correlation = torch.corrcoef(torch.stack(numbers)) - torch.eye(len(numbers))
    assert correlation.abs().max() < 5 / math.sqrt(count)


def test_the_order_of_the_streams_is_part_of_the_results():
    assert STREAMS[:4] == ("data", "test", "start", "noise")


def test_training_and_test_points_are_different_draws():
    teacher = SingleIndex(4, 2)
    train, test = (make_dataset(teacher, 30, seed=0, stream=stream) for stream in ("data", "test"))
    assert not torch.isin(train.inputs, test.inputs).any()


def test_drawing_neither_reads_nor_moves_the_global_random_state():
    before = torch.get_rng_state()
    first = make_dataset(SparseParity(6, 2), 40, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12345)
    assert torch.equal(make_dataset(SparseParity(6, 2), 40, seed=0).inputs, first.inputs)
    torch.set_rng_state(before)


def test_precision_changes_neither_the_draw_nor_the_accuracy_of_labels():
    single, double = (
        make_dataset(SingleIndex(5, 2, 12), 300, seed=0, dtype=dtype)
        for dtype in (torch.float32, torch.float64)
    )
    assert (single.inputs.dtype, single.labels.dtype) == (torch.float32, torch.float32)
    assert (double.inputs.dtype, double.labels.dtype) == (torch.float64, torch.float64)
    assert torch.equal(single.inputs.double(), double.inputs)
    # Rounded once, at the end: the recursion itself runs in double precision.
    assert torch.equal(double.labels, SingleIndex(5, 2, 12).target(double.inputs))
    assert torch.equal(single.labels, double.labels.float())


def test_a_data_set_knows_its_length_and_a_teacher_is_a_teacher():
    assert len(Dataset(torch.zeros(7, 3), torch.zeros(7))) == 7
    assert isinstance(SparseParity(3, 1), Teacher)
    assert isinstance(SingleIndex(3, 1), Teacher)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda: SparseParity(4, 5), "sparsity", "5"),
        (lambda: SparseParity(4, 0), "sparsity", "0"),
        (lambda: SparseParity(0, 1), "dim", "0"),
        (lambda: SparseParity(4.0, 1), "dim", "4.0"),
        (lambda: SparseParity(True, 1), "dim", "True"),
        (lambda: SingleIndex(4, 5), "sparsity", "5"),
        (lambda: SingleIndex(4, 2, 0), "degree", "0"),
        (lambda: SingleIndex(4, 2, 21), "degree", "21"),
        (lambda: make_dataset(SparseParity(4, 2), 0, seed=0), "count", "0"),
        (lambda: make_dataset(SparseParity(4, 2), -3, seed=0), "count", "-3"),
        (lambda: make_dataset(SparseParity(4, 2), 2.5, seed=0), "count", "2.5"),
        (lambda: make_dataset(SparseParity(4, 2), 3, seed=-1), "seed", "-1"),
        (lambda: make_dataset(SparseParity(4, 2), 3, seed=0.5), "seed", "0.5"),
    ],
)
def test_bad_input_is_named_with_its_value(make, name, value):
    with pytest.raises(ArgumentError, match=rf"^{name} must be .*{value}"):
        make()

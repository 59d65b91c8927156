"""The student: parameters, prior, prediction, and blocks of samples."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from feature_learning.errors import ArgumentError
from feature_learning.model.activations import ACTIVATIONS
from feature_learning.model.forward import Forward
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset, SingleIndex, make_dataset

PLAIN = {
    "relu": lambda z: max(z, 0.0),
    "linear": lambda z: z,
    "erf": math.erf,
    "tanh": math.tanh,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
}
BIASES = [(None, None), (0.7, None), (None, 0.4), (0.7, 0.4)]


def gaussian(dim, n_train, seed=0):
    return make_dataset(SingleIndex(dim, 1, 1), n_train, seed=seed, dtype=torch.float64)


def position(student, chains, particles, seed=0):
    random = torch.Generator().manual_seed(seed)
    return student.sample_prior(chains, particles, random, dtype=torch.float64)


def field(student, data, chains, **options):
    return Forward(
        student, data, chains=chains, particles=student.width, scale=student.scale, **options
    )


@pytest.mark.parametrize(("hidden", "output"), BIASES)
@pytest.mark.parametrize("readout", [True, False])
def test_views_are_the_flat_vector_itself_each_entry_once(hidden, output, readout):
    student = Student(dim=5, width=7, hidden_bias_variance=hidden, output_bias_variance=output)
    flat = torch.arange(float(student.size(3, 7, readout=readout)))
    w, a, c = student.views(flat, 3, 7, readout=readout)
    fan_in = 6 if hidden else 5
    assert w.shape == (3, 7, fan_in)
    assert a.shape == (3, 7 if readout else 0)
    assert c.shape == (3, 1 if output else 0)
    entries = torch.cat([w.flatten(), a.flatten(), c.flatten()])
    assert torch.equal(entries.sort().values, flat)
    for view in (w, a, c):
        view.mul_(-1)
    assert (flat <= 0).all()


def test_prior_variances_have_each_parameter_at_its_place():
    student = Student(
        dim=4,
        width=3,
        weight_variance=2.0,
        readout_variance=3.0,
        hidden_bias_variance=0.7,
        output_bias_variance=0.25,
    )
    w, a, c = student.views(student.prior_variances(2, 3), 2, 3)
    assert (w[..., :4] == 2.0 / 4).all()
    assert torch.allclose(w[..., 4], torch.tensor(0.7))
    assert (a == 3.0).all()
    assert (c == 0.25).all()


def test_draws_from_the_prior_have_the_prior_variances():
    student = Student(
        dim=4,
        width=50,
        weight_variance=2.0,
        readout_variance=3.0,
        hidden_bias_variance=0.7,
        output_bias_variance=0.25,
    )
    chains = 1000
    w, a, c = student.views(position(student, chains, 50), chains, 50)
    for draws, variance in ((w[..., :4], 0.5), (w[..., 4], 0.7), (a, 3.0), (c, 0.25)):
        error = math.sqrt(2 / draws.numel())
        assert draws.square().mean().item() / variance == pytest.approx(1, abs=5 * error)
        assert abs(draws.mean()) < 5 * math.sqrt(variance / draws.numel())


def test_the_start_is_the_same_in_both_precisions_and_leaves_the_global_state_alone():
    student, before = Student(dim=4, width=5, hidden_bias_variance=1.0), torch.get_rng_state()
    single = student.sample_prior(2, 5, torch.Generator().manual_seed(1))
    double = student.sample_prior(2, 5, torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.equal(single.double(), double)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize(("hidden", "output"), BIASES)
def test_the_prediction_is_a_loop_over_neurons(name, hidden, output):
    student = Student(
        dim=3,
        width=4,
        gamma=0.8,
        activation=name,
        hidden_bias_variance=hidden,
        output_bias_variance=output,
    )
    data, theta = gaussian(3, 6), position(student, 2, 4)
    parameters = student.views(theta, 2, 4)
    predicted = field(student, data, 2, tile_elements=20).predict(parameters)
    plain, of_flat = student.forward(parameters, data.inputs), student.forward(theta, data.inputs)
    assert torch.equal(plain, of_flat)
    w, a, c = (view.tolist() for view in parameters)
    for chain in range(2):
        for sample, x in enumerate(data.inputs.tolist()):
            f = c[chain][0] if output else 0.0
            for i in range(4):
                z = sum(w[chain][i][j] * x[j] for j in range(3))
                z += w[chain][i][3] if hidden else 0.0
                f += 4**-0.8 * a[chain][i] * PLAIN[name](z)
            for found in (predicted, plain):
                assert found[chain, sample].item() == pytest.approx(f, rel=1e-12, abs=1e-13)


def test_the_forward_pass_takes_the_scale_of_an_energy_of_particles_and_any_number_of_them():
    student, inputs = Student(dim=3, width=8), gaussian(3, 5).inputs
    views = student.views(position(student, 2, 4), 2, 4)
    f = student.forward(views, inputs)
    torch.testing.assert_close(student.forward(views, inputs, scale=0.3), f * 0.3 / student.scale)


@pytest.mark.parametrize(
    ("entries", "shape", "words"),
    [
        (17, (5, 3), r"parameters must be a flat vector of a multiple of 16 numbers, .*\(17,\)"),
        (16, (5, 2), r"inputs must be \(samples, dim = 3\), not \(5, 2\)"),
        (16, (3,), r"inputs must be \(samples, dim = 3\), not \(3,\)"),
    ],
)
def test_a_forward_pass_of_other_shapes_is_refused(entries, shape, words):
    with pytest.raises(ArgumentError, match=words):
        Student(dim=3, width=4).forward(torch.zeros(entries), torch.zeros(shape))


def test_features_of_other_weights_are_refused():
    student = Student(dim=3, width=4, hidden_bias_variance=1.0)
    with pytest.raises(ArgumentError, match=r"w must be .*fan_in = 4\), not \(4, 3\)"):
        student.features(torch.zeros(4, 3), torch.zeros(5, 3))


@given(
    n_train=st.integers(1, 150),
    tile_elements=st.integers(1, 3000),
    name=st.sampled_from(sorted(ACTIVATIONS)),
    biased=st.booleans(),
)
def test_blocks_of_any_size_give_the_same_sums(n_train, tile_elements, name, biased):
    variance = 0.6 if biased else None
    student = Student(
        dim=3,
        width=5,
        activation=name,
        hidden_bias_variance=variance,
        output_bias_variance=variance,
    )
    data, chains = gaussian(3, n_train), 2
    parameters = student.views(position(student, chains, 5), chains, 5)
    w, a, c = parameters
    inputs = torch.cat([data.inputs, torch.ones(n_train, 1, dtype=torch.float64)], dim=1)
    inputs = inputs[:, : student.fan_in]
    z = (w @ inputs.t()).requires_grad_()
    phi = student.phi.function(z)
    (slope,) = torch.autograd.grad(phi.sum(), z)
    phi = phi.detach()
    f = student.scale * torch.einsum("cb,cbm->cm", a, phi) + (c if biased else 0.0)

    blocks = field(student, data, chains, tile_elements=tile_elements)
    torch.testing.assert_close(blocks.predict(parameters), f, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(blocks.features(w), phi, rtol=1e-11, atol=1e-11)
    gram, overlap = blocks.gram(w)
    torch.testing.assert_close(gram, phi @ phi.transpose(1, 2), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(overlap, phi @ data.labels, rtol=1e-11, atol=1e-11)
    frozen = torch.randn(chains, n_train, dtype=torch.float64, generator=torch.Generator())
    coupling = torch.randn(chains, 5, dtype=torch.float64, generator=torch.Generator())
    for s in (None, coupling):
        r = (f - data.labels).unsqueeze(1) + (0 if s is None else s.unsqueeze(2) * phi)
        sums = {
            "grad_w": torch.empty_like(w),
            "grad_a": torch.empty_like(a),
            "bias": torch.empty(chains, 1, dtype=torch.float64),
        }
        options = {"coupled": s is not None, "tile_elements": tile_elements}
        field(student, data, chains, **options).accumulate_gradients(
            parameters, scale_factor=0.7, coupling=s, **sums
        )
        expected = {
            "grad_w": 0.7 * torch.einsum("cb,cbm,cbm,mj->cbj", a, r, slope, inputs),
            "grad_a": 0.7 * torch.einsum("cbm,cbm->cb", r, phi),
            "bias": (f - data.labels).sum(dim=1, keepdim=True),
        }
        for key, value in expected.items():
            torch.testing.assert_close(sums[key], value, rtol=1e-10, atol=1e-10, msg=key)
    sums = {name: torch.empty_like(w) for name in ("grad_w", "grad_square")}
    sums |= {name: torch.empty_like(a) for name in ("grad_a", "square_sum")}
    blocks.accumulate_fixed_gradients(w, residual=frozen, **sums)
    expected = {
        "grad_w": torch.einsum("cm,cbm,mj->cbj", frozen, slope, inputs),
        "grad_a": torch.einsum("cm,cbm->cb", frozen, phi),
        "grad_square": torch.einsum("cbm,cbm,mj->cbj", phi, slope, inputs),
        "square_sum": phi.square().sum(dim=2),
    }
    for key, value in expected.items():
        torch.testing.assert_close(sums[key], value, rtol=1e-10, atol=1e-10, msg=key)


@given(
    n_train=st.integers(1, 2000),
    chains=st.integers(1, 5),
    width=st.one_of(st.integers(1, 20), st.just(64)),
    tile_elements=st.integers(64, 20_000),
    name=st.sampled_from(["relu", "tanh"]),
)
def test_activations_never_need_more_memory_than_the_bound(
    n_train, chains, width, tile_elements, name
):
    student = Student(dim=2, width=width, activation=name)
    tiles = field(student, gaussian(2, n_train), chains, tile_elements=tile_elements).tiles
    buffers = {}
    for tile in tiles:
        for tensor in (tile.z, tile.scratch):
            storage = tensor.untyped_storage()
            buffers[storage.data_ptr()] = storage.nbytes() // 8
        several, block, _ = tile.z.shape
        assert (block, several) == (len(tile.inputs), len(range(chains)[tile.chains]))
    # A row of 64 may be longer by one cache line: that is all the bound is exceeded by.
    assert max(buffers.values()) <= tile_elements * (1.25 if width == 64 else 1)
    assert len(buffers) == (2 if student.phi.needs_scratch else 1)
    # Each sample of each chain is in one tile.
    covered = [
        (chain, sample)
        for tile in tiles
        for chain in range(chains)[tile.chains]
        for sample in range(n_train)[tile.span]
    ]
    assert sorted(covered) == [(c, s) for c in range(chains) for s in range(n_train)]


def test_one_sample_of_one_chain_after_the_other_if_the_bound_is_below_a_single_sample():
    student, data = Student(dim=3, width=6), gaussian(3, 5)
    parameters = student.views(position(student, 2, 6), 2, 6)
    smallest = field(student, data, 2, tile_elements=1)
    assert len(smallest.tiles) == 10
    torch.testing.assert_close(
        smallest.predict(parameters), field(student, data, 2).predict(parameters)
    )


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"dim": 0}, "dim"),
        ({"width": 0}, "width"),
        ({"width": 2.0}, "width"),
        ({"gamma": -0.1}, "gamma"),
        ({"gamma": math.nan}, "gamma"),
        ({"activation": "softplus"}, "activation"),
        ({"weight_variance": 0.0}, "weight_variance"),
        ({"weight_variance": math.inf}, "weight_variance"),
        ({"readout_variance": -1.0}, "readout_variance"),
        ({"hidden_bias_variance": 0.0}, "hidden_bias_variance"),
        ({"output_bias_variance": math.nan}, "output_bias_variance"),
    ],
)
def test_a_student_out_of_range_is_refused_by_name(options, name):
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        Student(**{"dim": 3, "width": 4, **options})


def test_inputs_of_another_dimension_are_refused():
    with pytest.raises(ArgumentError, match="dim = 3 columns, not 4"):
        field(Student(dim=3, width=2), Dataset(torch.zeros(5, 4), torch.zeros(5)), 1)


@pytest.mark.parametrize("name", ["chains", "particles", "tile_elements"])
def test_a_field_needs_positive_sizes(name):
    sizes = {"chains": 1, "particles": 2, "tile_elements": 10, name: 0}
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        Forward(Student(dim=3, width=2), gaussian(3, 5), scale=1.0, **sizes)

"""The configuration alone determines a number: no settings, seeds or types of the caller do."""

import json
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import fitting

from feature_learning.choices import LARGEST_SEED
from feature_learning.errors import ArgumentError
from feature_learning.experiments.flat import configure, flat
from feature_learning.experiments.keys import cell_key
from feature_learning.experiments.point import run_point
from feature_learning.inference.sampling import starting_position
from feature_learning.model.randomness import STREAMS, generator
from feature_learning.model.student import Student
from feature_learning.model.teachers import SparseParity, make_dataset
from feature_learning.samplers import HMC, Underdamped

#: Each with a start, a teacher or a solver that draws or allocates in a way of its own.
CASES = [
    {"start": "spread"},
    {"start": "released"},
    {"teacher": "single-index", "degree": 2, "hidden_bias_variance": 0.5},
    {"method": "mf-ard", "solver": "collapsed"},
    {"sampler": "gibbs"},
    {"replicas": 2},
    {"n_train": 400, "sampler": "sgld", "step": 0.1, "batch_size": 150},  # inputs in codes of bits
]


def numbers(config):
    """All numbers of a point, and its weights."""
    point = run_point(config)
    row = {name: value for name, value in point.row.items() if name != "seconds"}
    return json.dumps(row), point.weights.tobytes(), point.readouts.tobytes()


@pytest.fixture
def meddling():
    """Settings of a calling program, put back at the end."""
    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    with np.errstate(all="raise"), torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
        torch.set_default_dtype(torch.float64)
        torch.set_float32_matmul_precision("medium")
        yield
        kept = torch.get_default_dtype(), torch.get_float32_matmul_precision()
        assert kept == (torch.float64, "medium")
        assert torch.empty(()).device.type == "meta"
        assert torch.is_autocast_enabled("cpu")
        assert np.geterr()["over"] == "raise"
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(precision)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_the_settings_of_the_caller_change_no_number(tiny, options, request):
    config = fitting(**tiny | options)
    plain = numbers(config)
    request.getfixturevalue("meddling")
    assert numbers(config) == plain


@pytest.mark.parametrize("teacher", ["parity", "single-index"])
def test_data_and_starts_are_the_same_whatever_the_default_precision(teacher):
    config = configure(teacher=teacher, dim=6, sparsity=2, width=8, n_train=20, n_test=50)
    student, known = config.student, config.teacher

    def drawn():
        data = make_dataset(known, 20, seed=3)
        energy = type("Energy", (), {"chains": 2, "particles": 8})()
        energy.forward = type("Field", (), {"labels": data.labels})()
        starts = [
            starting_position(energy, student, known, start=start, seed=3)
            for start in ("prior", "planted")
        ]
        return [data.inputs, data.labels, *starts]

    plain, before = drawn(), torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        again = drawn()
    finally:
        torch.set_default_dtype(before)
    for one, other in zip(plain, again, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert torch.equal(one, other)


SEEDS = st.integers(0, LARGEST_SEED)


@given(first=SEEDS, second=SEEDS, one=st.sampled_from(STREAMS), other=st.sampled_from(STREAMS))
def test_no_two_streams_of_any_seeds_are_the_same(first, second, one, other):
    same = generator(first, one).initial_seed() == generator(second, other).initial_seed()
    assert same == ((first, one) == (second, other))


@pytest.mark.parametrize("seed", [-1, LARGEST_SEED + 1, 2**63, 1.0, True])
def test_a_seed_that_would_share_a_stream_or_cannot_be_stored_is_refused(seed):
    for act in (lambda: generator(seed, "data"), lambda: configure(seed=seed)):
        with pytest.raises(ArgumentError, match="seed"):
            act()


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_numbers_of_numpy_are_as_good_as_pythons(tiny, kind):
    whole = {"dim": 6, "sparsity": 2, "width": 8, "n_train": 20, "n_test": 50, "chains": 2}
    theirs = {name: kind(value) for name, value in whole.items()}
    theirs |= {"kappa": np.float64(0.1), "step": np.float32(0.25), "seed": kind(0)}
    theirs |= {"method": np.str_("network"), "stop_when_converged": np.bool_(False)}
    plain = fitting(**tiny | {"step": 0.25})
    config = fitting(**tiny | theirs)
    assert (config, cell_key(config)) == (plain, cell_key(plain))
    assert {type(value) for value in flat(config).values()} <= {
        *(str, int, float, bool, type(None))
    }
    assert numbers(config) == numbers(plain)


def test_a_fraction_is_a_number_and_one_too_large_is_none():
    assert configure(kappa=Fraction(1, 200)) == configure(kappa=0.005)
    for name in ("kappa", "homogeneity_penalty", "gamma", "langevin_time", "friction"):
        with pytest.raises(ArgumentError, match=name):
            configure(**{name: 10**400})


def test_parts_of_a_configuration_take_numbers_of_numpy():
    student = Student(dim=np.int64(6), width=np.int32(8), gamma=np.float32(0.5))
    assert student == Student(dim=6, width=8, gamma=0.5)
    assert json.dumps(asdict(student))
    assert SparseParity(np.int64(6), np.int64(2)) == SparseParity(6, 2)
    assert type(HMC(np.float64(0.1), leapfrogs=np.int64(3)).leapfrogs) is int
    assert type(Underdamped(np.float32(0.5)).step_size) is float


@pytest.mark.parametrize(
    "name", ["tile_elements", "n_train", "measurements", "particles", "chains"]
)
def test_a_number_too_large_for_a_table_is_refused(name):
    method = "mf" if name == "particles" else "network"
    with pytest.raises(ArgumentError, match=name):
        configure(**{name: 2**63, "method": method})

"""One point: configuration in, row out; several points in a pool; what memory they need."""

import gc
import json
import math

import numpy as np
import pytest
import torch
from small_runs import fitting

from feature_learning import __version__
from feature_learning.analysis.chain_history import read_draws
from feature_learning.cli.point import _evidence_lines
from feature_learning.energies.minibatch import HELD
from feature_learning.energies.particles import ParticleEnergy, network_posterior
from feature_learning.errors import (
    ArgumentError,
    DeviceError,
    EquipartitionError,
    FeatureLearningError,
)
from feature_learning.evidence.annealing import combined
from feature_learning.experiments import hardware
from feature_learning.experiments import point as experiments
from feature_learning.experiments.flat import configure, flat
from feature_learning.experiments.hardware import check_device, memory_available, memory_needed
from feature_learning.experiments.keys import canonical, cell_key
from feature_learning.experiments.point import run_point
from feature_learning.experiments.row import MEASURED
from feature_learning.inference.diagnostics import Convergence, ConvergenceRule
from feature_learning.inference.observables import Observer, anisotropy
from feature_learning.inference.sampling import sample, starting_position
from feature_learning.model.codes import codes_of, summary
from feature_learning.model.student import Student
from feature_learning.model.teachers import SingleIndex, SparseParity, make_dataset
from feature_learning.samplers import SamplerState
from feature_learning.samplers.options import SamplingOptions
from feature_learning.samplers.registry import SGLDOptions, UnderdampedOptions
from feature_learning.sweeps import pool
from feature_learning.sweeps.grid import read_grid
from feature_learning.sweeps.pool import run_points
from feature_learning.sweeps.provenance import provenance
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.table import tabulate
from feature_learning.theory import kernel_limit

METHODS = [
    {"method": "network"},
    {"method": "network", "sampler": "sgld"},
    {"method": "network", "teacher": "single-index", "degree": 2, "activation": "erf"},
    {"method": "network", "dtype": "float64", "hidden_bias_variance": 0.5},
    {"method": "mf"},
    {"method": "mf", "particles": 5},
    {"method": "mf", "solver": "collapsed"},
    {"method": "mf-ard", "alpha0": 2.0},
    {"method": "mf-ard", "solver": "collapsed", "particles": 30},
    *({"sampler": name} for name in ("mala", "hmc", "gibbs", "adaptive", "quantised")),
    {"sampler": "preconditioned", "step": 0.02, "langevin_time": 4.0, "method": "mf-ard"},
    {"sampler": "sgld", "batch_size": 6, "step": 0.05, "langevin_time": 10.0, "method": "mf"},
    {"sampler": "quantised", "rounding": "floor", "quantum": 1e-4, "quantum_epoch": 20},
]
KEYS = {
    *MEASURED,
    *(f"{name}_sem" for name in MEASURED),
    *("steps", "langevin_time", "seconds", "converged", "r_hat", "ess", "config", "version"),
    "not_converged_because",
}


def comparable(row):
    return {key: value for key, value in row.items() if key != "seconds"}


def test_the_row_says_which_neurons_have_specialised(tiny):
    """Of planted neurons, which know the target, and only those at the start."""
    sizes = {"dim": 12, "sparsity": 3, "width": 120}
    still = {"measurements": 1, "burn_in": 0, "step": 1e-5, "langevin_time": 1e-4}
    config = fitting(**{**tiny, **sizes, **still, "start": "planted"})
    point = run_point(config)
    codes = codes_of(point.weights, dim=12, sparsity=3)
    # A hundred neurons are planted in each of two chains, on signs drawn at random.
    assert {code.neurons for code in codes} == {100}
    assert point.row["specialised"] == 100
    assert point.row["specialised_sem"] == 0
    assert point.row["codes"] == summary(codes)
    other = run_point(fitting(**{**tiny, "method": "mf"}))
    assert other.row["codes"] is None
    assert other.row["specialised"] >= 0


@pytest.mark.parametrize("options", METHODS, ids=str)
def test_the_row_of_every_method_says_what_was_asked_for(tiny, options):
    config = fitting(**{**tiny, **options})
    row = run_point(config).row
    assert row.keys() >= KEYS
    json.dumps(row, allow_nan=False)
    assert row["version"] == __version__
    assert row["config"] == {**row["config"], **tiny, **options}
    assert configure(**row["config"]) == config
    assert row["predictor"] == "one sample"
    assert row["steps"] == 200
    assert row["langevin_time"] == pytest.approx(flat(config)["langevin_time"])
    assert row["seconds"] > 0
    assert not row["interrupted"]
    assert row["converged"] is False
    assert "2 chains, at least 4 needed" in row["not_converged_because"]
    for name in MEASURED:
        chains = np.array(row["chains"][name])
        assert chains.shape == (2,)
        assert row[name] == pytest.approx(chains.mean())
        assert row[f"{name}_sem"] == pytest.approx(chains.std(ddof=1) / math.sqrt(2))
    # Averaging a predictor never hurts on average: the mean square is convex.
    assert row["test_mse_posterior_mean"] <= row["test_mse"] + 1e-6
    assert row["r_hat"] == max(row["r_hat_by_observable"].values())
    assert row["ess"] == min(row["ess_by_observable"].values())


def test_one_chain_has_no_standard_error_and_is_never_converged(tiny):
    row = run_point(fitting(**{**tiny, "chains": 1})).row
    for name in MEASURED:
        assert row[f"{name}_sem"] is None
        assert math.isfinite(row[name])
    assert row["r_hat"] is None
    assert row["converged"] is False
    json.dumps(row, allow_nan=False)


def test_a_point_is_a_function_of_its_configuration(tiny):
    first, again = (run_point(configure(**tiny)).row for _ in range(2))
    assert comparable(again) == comparable(first)
    other = run_point(fitting(**{**tiny, "seed": 1})).row
    assert other["test_mse"] != first["test_mse"]


def test_the_data_belong_to_the_seed_and_not_to_how_they_are_used(tiny):
    plain = configure(**tiny)
    other = fitting(**{**tiny, "chains": 5, "method": "mf", "kappa": 0.3, "sampler": "sgld"})
    for mine, theirs in zip(plain.datasets(), other.datasets(), strict=True):
        assert torch.equal(mine.inputs, theirs.inputs)
        assert torch.equal(mine.labels, theirs.labels)
    train, test = plain.datasets()
    assert (len(train), len(test)) == (20, 50)
    teacher = SparseParity(6, 2)
    assert torch.equal(train.inputs, make_dataset(teacher, 20, seed=0).inputs)
    assert torch.equal(test.inputs, make_dataset(teacher, 50, seed=0, stream="test").inputs)
    changed, _ = fitting(**{**tiny, "seed": 1}).datasets()
    assert not torch.equal(changed.inputs, train.inputs)


def test_the_row_is_the_average_of_the_run_behind_it(tiny):
    config = configure(**tiny)
    row = run_point(config).row
    train, test = config.datasets()
    energy = network_posterior(config.student, train, kappa=0.1, chains=2)
    result, sampler = sample(energy, config.student, config.teacher, test, config.sampling, seed=0)
    assert row["step"] == sampler.step_size == 0.2
    for name in ("test_mse", "train_mse", "m_S", "noise"):
        assert row[name] == pytest.approx(result.series[name][:, result.counted].mean(), rel=1e-12)
    # At every single look the error splits exactly (labels are ±1).
    series = result.series
    np.testing.assert_allclose(
        series["test_mse"], (1 - series["m_S"]) ** 2 + series["noise"], rtol=1e-4
    )


@pytest.mark.parametrize("variant", ["matched", "as-published"])
def test_the_kernel_limit_is_a_row_too(tiny, variant):
    config = fitting(**{**tiny, "method": "nngp", "nngp_variant": variant})
    row = run_point(config).row
    assert row.keys() >= KEYS
    json.dumps(row, allow_nan=False)
    assert row["predictor"] == "posterior mean"
    assert row["test_mse_posterior_mean"] == row["test_mse"]
    assert row["converged"] is True
    assert (row["steps"], row["test_mse_sem"], row["r_hat"]) == (0, None, None)
    train, test = config.datasets()
    if variant == "as-published":
        fresh = make_dataset(SparseParity(6, 2), 50_000, seed=0, stream="test")
        test = kernel_limit.as_published_points(train, fresh)
        assert len(test) == 50_000
    result = kernel_limit.solve(config.student, train, test, kappa=0.1, variant=variant)
    assert row["test_mse"] == pytest.approx(result.test_mse, rel=1e-12)
    assert row["m_S"] == pytest.approx(result.m_S, rel=1e-12)


def test_the_published_protocol_reports_the_last_sample_of_each_chain(tiny):
    options = {**tiny, "langevin_time": None, "protocol": "published", "step": 0.5, "kappa": 0.01}
    row = run_point(fitting(**options)).row
    # P ≤ 550: the training error is watched, and ends the run long before t = 4083.
    assert 235 < row["langevin_time"] < 4000
    assert row["converged"] is False
    assert row["test_mse_posterior_mean"] is None
    assert row["test_mse"] == row["test_mse_last"]
    assert row["m_S"] == row["m_S_last"]
    overlap, noise = (np.array(row["chains"][name]) for name in ("m_S", "noise"))
    assert row["test_mse"] == pytest.approx(np.mean((1 - overlap) ** 2 + noise), rel=1e-4)
    json.dumps(row, allow_nan=False)


def test_the_weights_of_the_published_protocol_are_of_the_sample_it_reports(monkeypatch):
    runs = []

    def recorded(*arguments, **keywords):
        runs.append(sample(*arguments, **keywords))
        return runs[-1]

    monkeypatch.setattr(experiments, "sample", recorded)
    # Chains that know the target at the start, and chains that do not, are done at different looks.
    config = configure(
        protocol="published",
        dim=8,
        width=16,
        n_train=600,
        kappa=0.01,
        start="spread",
        n_test=200,
    )
    point = run_point(config)
    ((run, _),) = runs
    assert len(set(run.final_measurement.tolist())) > 1  # or the batch's end would be every chain's
    np.testing.assert_array_equal(point.weights, run.weights.double().numpy())
    # The anisotropy measured at a chain's final look is that of its weights.
    found = anisotropy(torch.from_numpy(point.weights), 8, 4)
    np.testing.assert_allclose(found, run.last("anisotropy"), rtol=1e-5)
    present = anisotropy(config.student.views(run.state.position, 4, 16).w, 8, 4)
    early = run.final_measurement < run.final_measurement.max()
    assert (np.abs(present.numpy() - run.last("anisotropy"))[early] > 1e-3).all()


def test_a_snapshot_is_never_called_equilibrium(tiny, monkeypatch):
    content = Convergence({"m_S": 1.0}, {"m_S": 1e4})
    monkeypatch.setattr(ConvergenceRule, "judge", lambda rule, series: content)
    options = {**tiny, "sampler": "sgld"}
    row = run_point(configure(**options)).row
    assert (row["converged"], row["not_converged_because"]) == (True, [])
    options |= {"langevin_time": None, "protocol": "published", "step": 0.5, "kappa": 0.01}
    row = run_point(fitting(**options)).row
    assert row["converged"] is False
    assert row["not_converged_because"] == ["it is the last sample of the published protocol"]


def test_a_point_stops_when_converged_only_if_asked(tiny):
    options = {**tiny, "kappa": 0.3, "chains": 4, "step": 0.15, "friction": 0.1, "width": 32}
    options |= {"langevin_time": 700.0, "measurements": 350}
    full = run_point(configure(**options)).row
    early = run_point(configure(**options, stop_when_converged=True)).row
    assert full["steps"] == 4667
    assert full["converged"]
    assert early["converged"]
    assert early["not_converged_because"] == full["not_converged_because"] == []
    assert early["steps"] < full["steps"]
    assert early["m_S"] == pytest.approx(full["m_S"], abs=6 * (early["m_S_sem"] + full["m_S_sem"]))


def test_chains_that_sample_the_prior_at_the_default_step_can_be_converged(tiny):
    # Every direction is as stiff as the stiffest: all velocities are a little cold, by h²λ/4.
    options = {**tiny, "kappa": 3.0, "chains": 4, "step": None, "friction": 0.5, "width": 32}
    row = run_point(configure(**{**options, "langevin_time": 300.0, "measurements": 500})).row
    assert row["r_hat"] < 1.01
    assert row["ess"] > 100
    assert row["converged"]


# Starts


@pytest.mark.parametrize("teacher", [SparseParity(8, 2), SingleIndex(8, 2)])
@pytest.mark.parametrize("bias", [None, 0.5])
def test_planted_chains_know_the_target_and_spread_ones_every_other(teacher, bias):
    student = Student(dim=8, width=120, hidden_bias_variance=bias)
    data = make_dataset(teacher, 30, seed=0)
    test = make_dataset(teacher, 20_000, seed=0, stream="test")
    energy = network_posterior(student, data, kappa=0.1, chains=4)
    observer = Observer(student, energy, test, sparsity=2)
    overlap, positions = {}, {}
    for start in ("prior", "planted", "spread"):
        positions[start] = starting_position(energy, student, teacher, start=start, seed=0)
        overlap[start] = observer.measure(positions[start], average=False)["m_S"]
    # The 20 neurons left at the prior add a random overlap of their own.
    assert np.abs(overlap["prior"]).max() < 0.5
    assert np.abs(overlap["planted"] - 1).max() < 0.5
    np.testing.assert_allclose(overlap["spread"][1::2], overlap["prior"][1::2], atol=1e-6)
    assert (overlap["spread"][::2] > 0.5).all()
    again = starting_position(energy, student, teacher, start="spread", seed=0)
    assert torch.equal(again, positions["spread"])


# Validation


#: Options that a method does not have.
WITHOUT = {
    "network": {"solver", "particles", "alpha0", "nngp_variant"},
    "mf-ard": {"homogeneity_penalty", "tilt", "nngp_variant"},
    "nngp": {
        *(
            "solver",
            "particles",
            "alpha0",
            "homogeneity_penalty",
            "tilt",
            "width",
            "chains",
            "measurements",
            "step",
        ),
        *("start", "friction", "burn_in", "langevin_time", "tile_elements"),
    },
}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"teacher": "majority"}, "teacher"),
        ({"method": "gp"}, "method"),
        ({"method": None}, "method"),
        ({"sampler": "nuts"}, "sampler"),
        ({"solver": "exact"}, "solver"),
        ({"start": "zero"}, "start"),
        ({"dtype": "float16"}, "dtype"),
        ({"activation": "gelu"}, "activation"),
        ({"protocol": "ours", "langevin_time": None}, "protocol"),
        ({"nngp_variant": "other"}, "nngp_variant"),
        ({"dim": 0}, "dim"),
        ({"sparsity": 36}, "sparsity"),
        ({"teacher": "single-index", "degree": 0}, "degree"),
        ({"width": 0}, "width"),
        ({"n_train": 0}, "n_train"),
        ({"n_train": 10.0}, "n_train"),
        ({"n_test": 1}, "n_test"),
        ({"chains": 0}, "chains"),
        ({"seed": -1}, "seed"),
        ({"measurements": 0}, "measurements"),
        ({"tile_elements": 0}, "tile_elements"),
        ({"kappa": 0.0}, "kappa"),
        ({"kappa": -0.005}, "kappa"),
        ({"kappa": math.nan}, "kappa"),
        ({"kappa": math.inf}, "kappa"),
        ({"gamma": math.nan}, "gamma"),
        ({"weight_variance": 0.0}, "weight_variance"),
        ({"readout_variance": -1.0}, "readout_variance"),
        ({"hidden_bias_variance": 0.0}, "hidden_bias_variance"),
        ({"output_bias_variance": math.inf}, "output_bias_variance"),
        ({"langevin_time": 0.0}, "langevin_time"),
        ({"step": 0.0}, "step"),
        ({"step": -0.1}, "step"),
        ({"friction": 0.0}, "friction"),
        ({"burn_in": 1.0}, "burn_in"),
        ({"burn_in": -0.1}, "burn_in"),
        ({"burn_in": math.nan}, "burn_in"),
        ({"alpha0": 0.0}, "alpha0"),
        ({"tilt": 0.0}, "tilt"),
        ({"particles": 0}, "particles"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["mf-ard", "network", "nngp"])
def test_a_configuration_out_of_range_is_refused_by_name_before_any_work(options, name, method):
    known = name not in WITHOUT[method] or "method" in options
    words = "must be" if known else "has no effect with method"
    with pytest.raises(ArgumentError, match=rf"^{name} {words}"):
        configure(**{"method": method, "n_train": 20} | options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"particles": 5}, ["particles", "network"]),
        ({"particles": 5, "method": "nngp"}, ["particles", "nngp"]),
        ({"friction": 0.1, "sampler": "sgld"}, ["friction", "sgld", "underdamped"]),
        ({"friction": 0.1, "method": "nngp"}, ["friction", "nngp"]),
        (
            {"friction": 0.1, "protocol": "published"},
            ["friction", "protocol published"],
        ),
        ({"protocol": "published", "langevin_time": 5.0}, ["protocol", "langevin_time"]),
        ({"protocol": "published", "method": "mf"}, ["protocol", "mf"]),
    ],
    ids=str,
)
def test_options_that_exclude_each_other_are_named(options, words):
    with pytest.raises(ArgumentError) as caught:
        configure(**options)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "nngp", "activation": "tanh"},
        {"method": "nngp", "gamma": 1.0},
        {"method": "mf", "solver": "collapsed", "output_bias_variance": 1.0},
        {"method": "mf", "particles": 5, "output_bias_variance": 1.0},
    ],
    ids=str,
)
def test_what_a_method_cannot_do_is_an_argument_error(tiny, options):
    with pytest.raises(ArgumentError):
        run_point(configure(**{**tiny, **options}))


@pytest.mark.parametrize(
    ("method", "solver"),
    [
        ("network", "particles"),
        ("mf-ard", "particles"),
        ("mf-ard", "collapsed"),
        ("nngp", "particles"),
    ],
)
@pytest.mark.parametrize(
    "extreme",
    [
        {"kappa": 1e300},
        {"kappa": 1e-300},
        {"kappa": 1e-160},
        {"kappa": 1e30},
        {"weight_variance": 1e300},
        {"weight_variance": 1e-300},
        {"readout_variance": 1e300},
        {"readout_variance": 1e-300},
        {"hidden_bias_variance": 1e300},
        {"langevin_time": 1e300, "step": 1e-300},
        {"langevin_time": 1e-30},
        {"alpha0": 1e300},
        {"alpha0": 1e-300},
        {"friction": 1e300},
    ],
    ids=str,
)
def test_extreme_numbers_end_in_a_named_error_or_a_finite_row(tiny, method, solver, extreme):
    try:
        row = run_point(fitting(**{**tiny, "method": method, "solver": solver, **extreme})).row
    except FeatureLearningError:
        return
    json.dumps(row, allow_nan=False)
    assert math.isfinite(row["test_mse"])


# The pool


def test_points_of_a_pool_are_those_of_this_process(tiny):
    configs = {
        ("network", 20): configure(**tiny),
        "mf": fitting(**{**tiny, "method": "mf-ard", "n_train": 40}),
    }
    found = run_points(configs, workers=1)
    assert list(found) == list(configs)
    for key, config in configs.items():
        alone = run_point(config)
        assert comparable(found[key].row) == comparable(alone.row)
        np.testing.assert_array_equal(found[key].weights, alone.weights)


def test_a_pool_that_was_stopped_goes_on_where_it_was(tiny, tmp_path, monkeypatch):
    configs = {"a": configure(**tiny), "b": fitting(**{**tiny, "seed": 5})}
    fresh = run_points(configs, workers=2)
    first = run_points({"a": configs["a"]}, workers=1, folder=tmp_path)
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    both = run_points(configs, workers=2, folder=tmp_path)
    for key in configs:
        assert both[key].row["m_S"] == fresh[key].row["m_S"]
        np.testing.assert_array_equal(both[key].weights, fresh[key].weights)
    assert first["a"].row["m_S"] == both["a"].row["m_S"]
    assert kept.stat().st_mtime_ns >= written
    assert len(list(tmp_path.iterdir())) == 2
    # Another version of the code, or another configuration, never takes these for its own.
    monkeypatch.setattr(pool, "source_fingerprint", lambda: "other code")
    run_points({"a": configs["a"]}, workers=1, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_the_error_of_a_worker_surfaces_under_its_name(tiny):
    configs = {"good": configure(**tiny), "bad": fitting(**{**tiny, "step": 1e3})}
    with pytest.raises(EquipartitionError, match="step size 1000 is too large"):
        run_points(configs, workers=1)


@pytest.mark.parametrize("option", ["workers", "threads"])
def test_a_pool_needs_somebody_to_work(option):
    with pytest.raises(ArgumentError, match=f"^{option} must be"):
        run_points({}, **{option: 0})


# Memory and devices


def storage_bytes():
    """Bytes of all tensors that are alive, each piece of memory once."""
    gc.collect()
    pieces = {}
    for each in gc.get_objects():
        if type(each) is torch.Tensor:
            storage = each.untyped_storage()
            pieces[storage.data_ptr()] = storage.nbytes()
    return sum(pieces.values())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chains": 8},
        {"activation": "tanh"},
        {"teacher": "single-index"},
        {"hidden_bias_variance": 1.0},
        {"dtype": "float64"},
        {"method": "mf", "particles": 70},
    ],
    ids=str,
)
def test_the_memory_estimate_is_a_lower_bound_and_not_far_below(options):
    config = configure(
        **{
            "dim": 20,
            "width": 2000,
            "n_train": 3000,
            "n_test": 5000,
            "chains": 2,
            "tile_elements": 2**12,
            **options,
        }
    )
    before = storage_bytes()
    train, test = config.datasets()
    student = config.student
    energy = ParticleEnergy(
        student,
        train,
        kappa=0.1,
        chains=config.chains,
        particles=config.particles,
        self_energy=config.method.name == "mf",
        tile_elements=config.machine.tile_elements,
    )
    observer = Observer(
        student, energy, test, sparsity=4, tile_elements=config.machine.tile_elements
    )
    position = starting_position(energy, student, config.teacher, start="prior", seed=0)
    state = SamplerState.start(position)
    energy.gradient(state.position, state.gradient)
    observer.measure(state.position, average=True)
    used = storage_bytes() - before
    assert state.position.shape == position.shape
    assert 0.3 * used < memory_needed(config) < used


@pytest.mark.parametrize("batch_size", [1, 7, 500])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mini_batches_hold_a_few_blocks_however_many_there_are(batch_size, dtype):
    options = {"dim": 20, "width": 100, "n_train": 2000, "n_test": 50, "chains": 2}
    config = configure(**options, sampler="sgld", batch_size=batch_size, dtype=dtype)
    train, _ = config.datasets()
    batches = config.sampling.sampler.energy(network_posterior(config.student, train, kappa=0.1))
    for block in range(len(batches)):
        batches._forward(block)
    assert len({id(field) for _, field in batches._holders.values()}) == min(len(batches), HELD + 1)


@pytest.mark.parametrize("name", ["n_train", "chains", "width", "dim", "n_test"])
def test_more_of_anything_needs_more_memory(name):
    small = configure()
    large = configure(**{name: 100 * flat(small)[name]})
    assert memory_needed(large) > memory_needed(small)


def test_only_a_mean_field_is_collapsed():
    for method, expected in (("mf", True), ("mf-ard", True), ("network", False), ("nngp", False)):
        assert fitting(method=method, solver="collapsed").collapsed == expected
        assert not configure(method=method).collapsed


def test_the_kernel_and_the_collapsed_field_need_their_matrices():
    many = 50_000
    kernel = configure(method="nngp", n_train=many)
    assert memory_needed(kernel) >= 8 * many**2
    collapsed = configure(method="mf", solver="collapsed", n_train=many, particles=many, chains=1)
    assert memory_needed(collapsed) >= 8 * many**2
    # The smaller of the two systems is solved: few particles are cheap.
    few = configure(method="mf", solver="collapsed", n_train=many, particles=100, chains=1)
    assert memory_needed(few) < 8 * many**2


def test_a_generous_bound_on_blocks_needs_no_more_memory_than_the_samples(tiny):
    generous = fitting(**{**tiny, "tile_elements": 10**12})
    assert memory_needed(generous) < 10**8
    assert math.isfinite(run_point(generous).row["test_mse"])


def test_what_cannot_fit_is_refused_with_what_it_needs_and_what_is_free(tiny, monkeypatch):
    monkeypatch.setattr(hardware, "memory_available", lambda device: 1000)
    with pytest.raises(
        DeviceError,
        match=r"out of memory: network with n_train=20.* [\d.]+ GiB and [\d.]+ GiB are free",
    ):
        run_point(configure(**tiny))
    monkeypatch.setattr(hardware, "memory_available", lambda device: None)
    assert math.isfinite(run_point(configure(**tiny)).row["test_mse"])


def test_this_machine_says_what_is_free():
    assert memory_available("cpu") > 2**20


def test_cuda_is_refused_where_it_is_absent(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("cuda", "cuda:0", "cuda:7"):
        with pytest.raises(DeviceError, match=f"{name}' is not available.*use device cpu"):
            check_device(name)
    assert check_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": "hmc", "method": "mf-ard"}, "sampler hmc needs method network"),
        ({"sampler": "mala", "method": "mf", "solver": "collapsed"}, "sampler mala needs method"),
        ({"sampler": "gibbs", "method": "mf-ard"}, "sampler gibbs needs method network"),
        ({"sampler": "gibbs", "output_bias_variance": 0.1}, "without output bias"),
        (
            {"sampler": "adaptive", "method": "mf", "solver": "collapsed"},
            "sampler adaptive needs solver particles",
        ),
        (
            {"sampler": "sgld", "batch_size": 3, "method": "mf", "solver": "collapsed"},
            "batch_size needs solver particles",
        ),
        ({"sampler": "sgld", "batch_size": 21, "n_train": 20}, "^batch_size must be"),
        ({"sampler": "quantised", "quantum": -1.0}, "^quantum must be"),
        ({"quantum": 0.1}, "^quantum has no effect"),
        ({"rounding": "nearest"}, "^rounding has no effect"),
        ({"sampler": "quantised", "rounding": "up"}, "^rounding must be"),
        ({"sampler": "quantised", "quantum_epoch": 0}, "^quantum_epoch must be"),
        ({"sampler": "hmc", "quantum_epoch": 5}, "^quantum_epoch has no effect"),
        ({"sampler": "sgld", "step_schedule": "linear"}, "^step_schedule must be"),
        ({"step_schedule": "cyclical"}, "^step_schedule has no effect"),
        ({"batch_size": 3}, "^batch_size has no effect"),
        (
            {"members": 3},
            "^members has no effect with .*: it is for samplers population and integration",
        ),
        ({"code": "++++", "start": "prior"}, "^code has no effect"),
        ({"sampler": "population", "moves": 0}, "^moves must be"),
        ({"sampler": "population", "members": 1}, "^members must be"),
        ({"sampler": "population", "method": "mf"}, "^sampler population needs method"),
        (
            {"sampler": "population", "start": "planted"},
            "^start has no effect with .*, sampler population",
        ),
        (
            {"sampler": "population", "homogeneity_penalty": 1.0},
            "^sampler population needs homogeneity_penalty",
        ),
        ({"sampler": "population", "tilt": 2.0}, "^sampler population needs tilt"),
        ({"sampler": "population", "step": 0.1}, "^step has no effect with .*, sampler population"),
        (
            {"sampler": "integration", "step": 0.1},
            "^step has no effect with .*, sampler integration",
        ),
        ({"sampler": "population", "replicas": 2}, "^replicas has no effect"),
        (
            {"sampler": "population", "output_bias_variance": 0.1},
            "^sampler population needs output_bias_variance = None",
        ),
        ({"sampler": "population", "code": ""}, "^code must be patterns of 4 signs"),
        ({"sampler": "population", "code": "+++"}, "^code must be patterns of 4 signs"),
        ({"sampler": "population", "code": 0.75}, "^code must be patterns of 4 signs"),
        ({"sampler": "population", "code": "+++x"}, "^code must be patterns of 4 signs"),
        (
            {"sampler": "population", "code": "++++ ----", "width": 1},
            "^code must have at most width = 1 patterns, not 2",
        ),
        ({"tilt": 2.0, "method": "mf"}, "^tilt has no effect with method mf"),
        ({"start": "released", "method": "mf"}, "^start released .* not method mf"),
        ({"start": "released", "sampler": "hmc"}, "^start released .* sampler hmc"),
        ({"start": "released", "protocol": "published"}, "^start released .* protocol published"),
        (
            {"start": "released", "sampler": "sgld", "batch_size": 3},
            "^start released .* batch_size 3",
        ),
    ],
    ids=str,
)
def test_a_sampler_that_does_not_go_with_the_rest_is_refused(options, words):
    with pytest.raises(ArgumentError, match=words):
        configure(**options)


def test_one_code_has_one_name():
    codes = [f"{one} {other}" for one, other in (("++-+", "--++"), ("--++ ", "\t++-+"))]
    first, second = (configure(sampler="population", code=code) for code in codes)
    assert first.run.code == "++-+ --++"
    assert cell_key(first) == cell_key(second)
    assert first.signs == [[1, 1, -1, 1], [-1, -1, 1, 1]]
    assert configure(sampler="population").signs == []


#: A target that two neurons have to share.
EASY = {"dim": 1, "sparsity": 1, "width": 2, "n_train": 40, "kappa": 0.03, "n_test": 200}
POPULATION = {**EASY, "sampler": "population", "members": 8, "moves": 5, "chains": 3}


def test_the_row_of_populations_has_their_evidence_and_averages():
    config = configure(**POPULATION, code="+ -", langevin_time=200.0)
    point = run_point(config)
    row = point.row
    assert row.keys() >= KEYS
    assert len(row["populations"]) == len(row["surviving_families"]) == len(row["noises"]) == 3
    ways = math.log(2)
    log_evidence, sem, weights = combined(row["populations"])
    assert row["log_evidence"] == pytest.approx(log_evidence + ways)
    assert row["log_evidence_sem"] == pytest.approx(sem)
    for name in ("m_S", "test_mse", "train_mse", "test_mse_posterior_mean"):
        values = np.array(row["chains"][name])
        assert row[name] == pytest.approx(weights @ values)
        spread = np.sum(np.square(weights * (values - row[name]))) * 3 / 2
        assert row[f"{name}_sem"] == pytest.approx(math.sqrt(spread))
    assert row["m_S"] > 0.8
    assert row["test_mse_posterior_mean"] < row["test_mse"]
    assert not row["converged"]
    assert "3 populations; at least 4 are needed" in row["not_converged_because"]
    assert row["steps"] == 5 * sum(row["noises"])
    assert point.weights.shape == (3, 2, 1)
    assert point.readouts.shape == (3, 2)
    assert comparable(run_point(config).row) == comparable(row)
    json.dumps(row, allow_nan=False)


def test_the_row_of_integrals_agrees_with_that_of_populations():
    both = [
        run_point(
            configure(**{**POPULATION, "sampler": sampler, "members": members, "moves": moves})
        )
        for sampler, members, moves in (("population", 64, 10), ("integration", 16, 20))
    ]
    populations, integrals = (each.row for each in both)
    assert integrals["log_evidence"] == pytest.approx(np.mean(integrals["populations"]))
    apart = integrals["log_evidence"] - populations["log_evidence"]
    error = math.hypot(integrals["log_evidence_sem"], populations["log_evidence_sem"])
    assert error < 0.5
    # Two and two degrees of freedom: Student's quantile at 1 % is 4.6, and at 0.1 % is 8.6.
    assert abs(apart) < 8.6 * error
    assert integrals["steps"] == 20 * 3 * 400
    assert "3 integrals; at least 4 are needed" in integrals["not_converged_because"]
    for row, words in ((populations, ("populations", "families")), (integrals, ("integrals", ""))):
        first, second, *_ = _evidence_lines(row)
        assert f"single {words[0]}: " in first
        assert second.startswith(words[1] or "noises")


def test_populations_in_a_store_and_a_table(tmp_path):
    store, config = Store(tmp_path), configure(**POPULATION)
    point = run_point(config)
    store.write(config, point, provenance("cpu"))
    (row,) = tabulate(store.scan()[0], store.labels()).to_dict("records")
    assert row["log_evidence"] == pytest.approx(point.row["log_evidence"])
    assert row["codes"] == point.row["codes"]
    np.testing.assert_allclose(store.weights(store.read(config)), point.weights, rtol=1e-6)


def test_a_sampling_refuses_what_its_sampler_does_not_have():
    with pytest.raises(ArgumentError, match=r"quantum has no effect .* quantised"):
        configure(quantum=0.1)
    with pytest.raises(TypeError, match="batch_size"):
        UnderdampedOptions(batch_size=10)
    with pytest.raises(TypeError, match="rounding"):
        SamplingOptions(SGLDOptions(rounding="floor"))
    with pytest.raises(ArgumentError, match="sampler must be options such as"):
        SamplingOptions("hmc")


def test_rounding_and_its_schedule_reach_the_sampler(tiny):
    config = configure(
        **{**tiny, "sampler": "quantised", "rounding": "nearest", "quantum_epoch": 4}
    )
    data, _ = config.datasets()
    energy = network_posterior(config.student, data, kappa=config.kappa)
    position = starting_position(energy, config.student, config.teacher, start="prior", seed=0)
    sampler = config.sampling.build(energy, position)
    assert sampler.rounding == "nearest"
    thermal = math.sqrt(2 * sampler.step_size * energy.temperature)
    # ⌊log2 ln 2⌋ = -1 at epoch 0, and ⌊log2 ln 3⌋ = 0 at epoch 1.
    quanta = [sampler.quantum_at(step, energy.temperature) for step in (0, 3, 4)]
    assert quanta == pytest.approx([thermal, thermal, thermal / 2])


@pytest.mark.parametrize("shape", ["polynomial", "cyclical"])
def test_steps_that_change_over_the_run_weigh_its_samples(tiny, shape):
    options = {**tiny, "sampler": "sgld", "measurements": 20}
    steady = run_point(configure(**options)).row
    row = run_point(configure(**options, step_schedule=shape)).row
    assert row["steps"] == steady["steps"]
    assert row["step"] == steady["step"]  # the largest
    assert 0.3 < row["langevin_time"] / steady["langevin_time"] < 0.9
    assert row["test_mse"] != steady["test_mse"]


def test_a_cycle_needs_two_measurements(tiny):
    options = {**tiny, "sampler": "sgld", "measurements": 5, "step_schedule": "cyclical"}
    with pytest.raises(ArgumentError, match=r"^cycles must be"):
        run_point(configure(**options))


def test_points_of_before_keep_their_key():
    for options in ({}, {"sampler": "sgld", "method": "mf"}):
        plain = canonical(configure(**options))
        assert "quantum" not in plain
        assert (
            not {"batch_size", "step_schedule", "rounding", "quantum_epoch", "tilt"} & plain.keys()
        )
        assert not {"replicas", "kappa_ratio"} & plain.keys()
    batched = configure(sampler="sgld", batch_size=10)
    assert cell_key(batched) != cell_key(configure(sampler="sgld"))


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "cpu:0", "", "CPU"])
def test_a_device_without_that_name_is_an_argument_error(name):
    with pytest.raises(ArgumentError, match=r"^device must be"):
        check_device(name)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"sampler": "nuts"}, "sampler"),
        ({"langevin_time": math.nan}, "langevin_time"),
        ({"burn_in": 2.0}, "burn_in"),
        ({"measurements": 0}, "measurements"),
    ],
)
def test_settings_of_a_sampling_out_of_range_are_refused_by_name(options, name):
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        SamplingOptions(**options)
    for options, name in (({"step": 0.0}, "step"), ({"friction": -1.0}, "friction")):
        with pytest.raises(ArgumentError, match=f"^{name} must be"):
            UnderdampedOptions(**options)


def test_paths_may_be_texts(tiny, tmp_path):
    config = configure(**tiny)
    place = str(tmp_path / "c.npz")
    first = run_point(config, checkpoint=place)
    assert run_point(config, checkpoint=place).row["m_S"] == first.row["m_S"]
    assert read_draws(place).name == "c"
    assert Store(str(tmp_path / "store")).folder.is_dir()
    file = tmp_path / "f.toml"
    file.write_text('[[block]]\nname = "a"\nreason = "r"\n')
    assert len(read_grid(str(file)).cells) == 1
    kept = run_points({1: config}, workers=1, folder=str(tmp_path / "kept"))
    assert kept[1].row["m_S"] == first.row["m_S"]

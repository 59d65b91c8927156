"""The run loop: results, interrupts, exact resume, checkpoints, stopping, and the guards."""

import contextlib
import errno
import math
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from feature_learning.analysis.chain_history import read_draws
from feature_learning.errors import (
    ArgumentError,
    CheckpointError,
    DivergenceError,
    EquipartitionError,
    FeatureLearningError,
)
from feature_learning.inference import checkpoints
from feature_learning.inference.diagnostics import ConvergenceRule
from feature_learning.inference.guards import Guards
from feature_learning.inference.stopping import StopWhenConverged
from feature_learning.inference.stopwatch import Stopwatch
from feature_learning.model.forward import Forward
from feature_learning.samplers import SGLD, Underdamped
from feature_learning.samplers.schedules import Schedule, at_times, growing, uniform
from feature_learning.samplers.steps import default_step


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def at_count(target, action=interrupt):
    """Calls ``action`` when a counter reaches ``target``."""

    def watch(count):
        if count == target:
            action()

    return watch


def assert_same(left, right):
    """Bit for bit."""
    assert left.series.keys() == right.series.keys()
    for name, values in right.series.items():
        np.testing.assert_array_equal(left.series[name], values, err_msg=name)
    for name in ("counted", "times", "steps", "final_measurement"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert torch.equal(left.state.position, right.state.position)
    assert torch.equal(left.weights, right.weights)
    assert torch.equal(left.readouts, right.readouts)
    assert torch.equal(left.state.velocity, right.state.velocity)
    for name, values in right.posterior_mean.items():
        np.testing.assert_array_equal(left.posterior_mean[name], values, err_msg=name)
    np.testing.assert_array_equal(left.kinetic_temperature, right.kinetic_temperature)
    assert left.convergence.reasons == right.convergence.reasons
    np.testing.assert_equal(left.convergence.r_hat, right.convergence.r_hat)
    assert left.curvature == right.curvature


# What a run returns


def test_a_run_measures_what_it_says_when_it_says(trial, kind):
    small = trial(kind)
    result = small.run()
    assert result.steps.tolist() == [80, 160, 240, 320, 400, 480]
    np.testing.assert_allclose(result.times, 0.1 * result.steps, rtol=1e-12)
    assert result.counted.tolist() == [False] * 3 + [True] * 3
    assert result.final_measurement.tolist() == [5, 5]
    assert not result.interrupted
    for name, values in result.series.items():
        assert values.shape == (2, 6)
        # The last rung of a ladder has no next one to swap with.
        assert np.isfinite(values[:-1] if name == "swapped" else values).all()
    # The last measurement is of the state that is returned, by a plain evaluation.
    parameters = small.energy.predictor_parameters(result.state.position)
    f = small.observer.forward.predict(parameters)
    labels = small.test.labels
    error = (f - labels).square().mean(dim=1).numpy()
    np.testing.assert_allclose(result.last("test_mse"), error, rtol=1e-5)
    np.testing.assert_allclose(result.series["test_mse"][:, -1], error, rtol=1e-5)
    train = (small.energy.forward.predict(parameters) - small.data.labels).square().mean(dim=1)
    np.testing.assert_allclose(result.last("train_mse"), train.numpy(), rtol=1e-5)
    draws = result.series["m_S"][:, 3:]
    weights = result.series.get("weight", np.ones((2, 6)))[:, 3:]
    np.testing.assert_allclose(
        result.mean("m_S"), np.average(draws, axis=1, weights=weights), rtol=1e-12
    )


def test_the_posterior_mean_is_of_the_measurements_past_burn_in_only(trial):
    small, predictions = trial("sgld"), []
    plain = small.observer.measure

    def measure(theta, *, average):
        values = plain(theta, average=average)
        parameters = small.energy.predictor_parameters(theta)
        predictions.append(small.observer.forward.predict(parameters).double().clone())
        return values

    small.observer.measure = measure
    result = small.run()
    mean = torch.stack(predictions[-3:]).mean(dim=0)  # of 1 + 6: the start is measured too
    assert len(predictions) == 7
    error = (mean - small.test.labels).square().mean(dim=1)
    np.testing.assert_allclose(result.posterior_mean["test_mse"], error.numpy(), rtol=1e-6)
    assert (result.posterior_mean["test_mse"] < result.mean("test_mse")).all()


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(trial, kind):
    first, again, other = (trial(kind, seed=seed).run() for seed in (3, 3, 4))
    assert_same(again, first)
    assert not np.array_equal(other.series["m_S"], first.series["m_S"])


def test_velocities_have_the_right_temperature_and_overdamped_chains_none(trial):
    assert trial(
        "underdamped", steps=2000, measurements=100
    ).run().kinetic_temperature == pytest.approx(1, abs=0.1)
    assert math.isnan(trial("sgld").run().kinetic_temperature)


def test_no_average_is_made_up_where_nothing_counts(trial):
    small = trial("sgld")  # interrupted in the middle of burn-in
    small.before_measurement = at_count(2)
    result = small.run()
    assert result.interrupted
    assert result.counted.tolist() == [False, False]
    assert np.isnan(result.mean("test_mse")).all()
    assert np.isfinite(result.last("test_mse")).all()
    for name, values in result.posterior_mean.items():
        assert np.isnan(values).all(), name
    assert not result.convergence.converged


def test_progress_goes_to_standard_error_only(trial, capsys):
    trial("sgld").run(progress=True, label="a label")
    out, err = capsys.readouterr()
    assert out == ""
    assert "a label" in err
    assert "480/480" in err
    trial("sgld").run()
    assert capsys.readouterr() == ("", "")


# Interrupt and resume


class InterruptLater(Guards):
    """Interrupts ten gradients after the nth measurement of the curvature, within a segment."""

    def __init__(self, small, checks):
        super().__init__()
        self.__dict__.update(small=small, left=checks)

    def check_curvature(self, *arguments):
        curvature = super().check_curvature(*arguments)
        self.__dict__["left"] -= 1
        if self.left == 0:
            self.small.before_gradient = at_count(self.small.gradients + 10)
        return curvature


@pytest.mark.parametrize("where", ["measurement", "segment", "first segment"])
def test_a_run_resumed_after_an_interrupt_is_the_uninterrupted_one(trial, kind, where, tmp_path):
    whole, path = trial(kind).run(), tmp_path / "deep" / "run.npz"
    part, guards = trial(kind), Guards()
    if where == "measurement":
        part.before_measurement = at_count(3)
    else:
        guards = InterruptLater(part, checks=1 if where == "first segment" else 3)
    stopped = part.run(checkpoint=path, guards=guards)
    assert stopped.interrupted
    assert "the run was interrupted" in stopped.convergence.reasons
    measurements = {"measurement": 3, "segment": 2, "first segment": 0}[where]
    assert len(stopped.times) == measurements
    with np.load(path) as archive:
        segment, within, done, _ = archive["counters"]
    assert (segment, within) == (measurements, 0 if where == "measurement" else 50)
    assert done == 80 * segment + within
    for name, values in stopped.series.items():
        np.testing.assert_array_equal(values, whole.series[name][:, :measurements], err_msg=name)
    assert_same(trial(kind).run(checkpoint=path), whole)
    # A finished run is read back, not run again.
    before = trial(kind)
    assert_same(before.run(checkpoint=path), whole)
    assert before.measured == 0


def test_several_interrupts_in_a_row_change_nothing(trial, tmp_path):
    whole, path = trial("underdamped").run(), tmp_path / "run.npz"
    # A resumed run does not look at its start: its first look has the count 0.
    for measurement in (1, 0, 1):
        part = trial("underdamped")
        part.before_measurement = at_count(measurement)
        assert part.run(checkpoint=path, checkpoint_every=100).interrupted
    assert_same(trial("underdamped").run(checkpoint=path), whole)


def test_a_resumed_run_steps_less_than_a_whole_one(trial, tmp_path):
    whole = trial("sgld")
    whole.run()
    part, path = trial("sgld"), tmp_path / "run.npz"
    part.before_measurement = at_count(5)
    part.run(checkpoint=path)
    rest = trial("sgld")
    rest.run(checkpoint=path)
    assert rest.gradients < whole.gradients / 2


def test_an_interrupt_without_a_checkpoint_returns_what_there_is(trial):
    part, whole = trial("sgld"), trial("sgld").run()
    part.before_measurement = at_count(5)
    result = part.run()
    assert result.interrupted
    np.testing.assert_array_equal(result.series["m_S"], whole.series["m_S"][:, :5])
    assert result.final_measurement.tolist() == [4, 4]
    np.testing.assert_array_equal(result.mean("m_S"), whole.series["m_S"][:, 3:5].mean(axis=1))


def test_an_interrupt_at_the_last_measurement_is_no_interrupt(trial):
    last = trial("sgld")
    last.before_measurement = at_count(6)
    assert not last.run().interrupted


def test_a_second_interrupt_means_it_and_the_handler_is_put_back(trial):
    before = signal.getsignal(signal.SIGINT)
    impatient = trial("sgld")
    seen = []

    def twice(count):
        seen.append(count)
        if count > 100:
            interrupt()

    impatient.before_gradient = twice
    with pytest.raises(KeyboardInterrupt):
        impatient.run()
    assert len(seen) == 102
    assert signal.getsignal(signal.SIGINT) is before
    patient = trial("sgld")
    patient.before_measurement = at_count(2)
    patient.run()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_killed_while_it_saves_resumes_from_the_save_before(trial, tmp_path, environment):
    path = tmp_path / "run.npz"
    code = "import sys, small_runs; small_runs.killed_while_saving(sys.argv[1], sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), "mf-ard"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    rest = trial("mf-ard")
    assert_same(rest.run(checkpoint=path), trial("mf-ard").run())
    assert rest.measured == 4  # two of six measurements were on disk


def test_the_seconds_of_all_calls_are_in_the_checkpoint(trial, tmp_path):
    path, watch = tmp_path / "run.npz", Stopwatch()
    watch.earlier = 1000.0  # as if it had taken that long
    first = trial("sgld")
    first.before_measurement = at_count(2)
    first.run(checkpoint=path, stopwatch=watch)
    for measurement in (2, None):
        before, watch = watch.seconds, Stopwatch()
        part = trial("sgld")
        part.before_measurement = at_count(measurement)
        part.run(checkpoint=path, stopwatch=watch)
        # What the checkpoint could not know of is the time between its being written and now.
        assert 1000 < watch.earlier <= before
        assert watch.seconds > watch.earlier
    # A run that nobody measures measures itself.
    trial("sgld").run(checkpoint=path)
    with np.load(path) as archive:
        assert archive["clock"][3] > watch.earlier


def test_a_resumed_run_says_so_and_where_it_resumes(trial, tmp_path, capsys):
    path = tmp_path / "run.npz"
    said = {"progress": True, "label": "small", "checkpoint": path}
    part = trial("sgld")
    part.before_gradient = at_count(205)  # in the middle of the third segment
    part.run(**said)
    assert "resumes" not in capsys.readouterr().err
    part = trial("sgld")
    part.before_measurement = at_count(2)
    part.run(**said)
    err = capsys.readouterr().err
    first = err.splitlines()[0]
    where = r"small: resumes at step 210 of 480, Langevin time 21, after \d+\.\d s, from "
    assert re.fullmatch(where + re.escape(str(path)), first)
    trial("sgld").run(**said)
    assert "small: resumes at step 480" not in capsys.readouterr().err
    trial("sgld").run(**said)
    assert f"small: was finished at step 480, from {path}\n" in capsys.readouterr().err
    trial("sgld").run(checkpoint=path)
    assert capsys.readouterr() == ("", "")


# Checkpoints


@pytest.fixture
def stored(trial, tmp_path):
    """A checkpoint in the middle of a run with a fingerprint."""
    path, part = tmp_path / "run.npz", trial("sgld")
    part.before_measurement = at_count(3)
    part.run(checkpoint=path, fingerprint={"kappa": 0.05, "seed": 0})
    return path


def resume(trial, path, kind="sgld", **fingerprint):
    options = {"kappa": 0.05, "seed": 0, **fingerprint}
    return trial(kind).run(checkpoint=path, fingerprint=options)


def test_the_fixture_resumes(trial, stored):
    assert_same(resume(trial, stored), trial("sgld").run())


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused_with_its_name(trial, stored, keep):
    content = stored.read_bytes()
    stored.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(CheckpointError, match=re.escape(str(stored))):
        resume(trial, stored)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04", bytes(5000)])
def test_a_file_that_is_no_checkpoint_is_refused_with_its_name(trial, tmp_path, content):
    path = tmp_path / "run.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        resume(trial, path)
    assert path.read_bytes() == content  # and not overwritten


def test_another_numpy_file_is_refused_with_its_name(trial, tmp_path):
    path = tmp_path / "run.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        resume(trial, path)
    with path.open("wb") as file:
        np.savez(file, other=np.zeros(3))
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        resume(trial, path)


def test_a_checkpoint_without_one_of_its_arrays_is_refused_with_its_name(trial, stored):
    with np.load(stored) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "state.position"}
    with stored.open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(CheckpointError, match=re.escape(str(stored))):
        resume(trial, stored)


def test_a_directory_is_refused_with_its_name(trial, tmp_path):
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path))):
        resume(trial, tmp_path)


def test_another_runs_checkpoint_is_refused_with_what_differs(trial, stored):
    before = stored.read_bytes()
    with pytest.raises(CheckpointError) as caught:
        resume(trial, stored, kappa=0.07)
    for part in (str(stored), "kappa", "0.05", "0.07"):
        assert part in str(caught.value)
    with pytest.raises(CheckpointError, match="dtype is None there, 'float64' here"):
        resume(trial, stored, dtype="float64")
    assert stored.read_bytes() == before


def test_a_checkpoint_of_another_format_is_refused(trial, stored, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", checkpoints.FORMAT + 1)
    with pytest.raises(CheckpointError, match=re.escape(str(stored)) + ".*format"):
        resume(trial, stored)


@pytest.mark.parametrize("change", [{"width": 12}, {"chains": 1}, {"kind": "underdamped"}])
def test_a_checkpoint_that_does_not_fit_is_refused_even_without_a_fingerprint(
    trial, tmp_path, change
):
    path, part = tmp_path / "run.npz", trial("mf-ard")
    part.before_measurement = at_count(3)
    part.run(checkpoint=path)
    if change.get("kind"):
        # ρ is in the file and not in the run, or the other way round.
        path, part = tmp_path / "other.npz", trial("underdamped")
        part.before_measurement = at_count(3)
        part.run(checkpoint=path)
        change = {}
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        trial("mf-ard", **change).run(checkpoint=path)


ARRAYS = {"a": np.arange(40.0), "b": np.array([True, False]), "c": np.zeros((2, 0))}


def test_what_is_saved_is_what_is_loaded(tmp_path):
    path = tmp_path / "file.npz"
    assert checkpoints.load(path, {}) is None
    checkpoints.save(path, ARRAYS, {"κ": 0.1, "none": None})
    found = checkpoints.load(path, {"κ": 0.1, "none": None})
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert [each.name for each in tmp_path.iterdir()] == ["file.npz"]


def test_a_damaged_byte_is_noticed_or_harmless(tmp_path):
    path = tmp_path / "file.npz"
    checkpoints.save(path, ARRAYS, {"seed": 1})
    whole = path.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    for place in [*range(0, directory, 11), *range(directory, len(whole), 2)]:
        for flip in (1, 128):
            content = bytearray(whole)
            content[place] ^= flip
            path.write_bytes(content)
            try:
                found = checkpoints.load(path, {"seed": 1})
            except CheckpointError as error:
                assert str(path) in str(error)  # noqa: PT017
                continue
            # A date of the archive, say: no array may be lost or changed.
            assert found.keys() == ARRAYS.keys(), (place, flip)
            assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


@pytest.mark.parametrize("failing", ["savez", "fsync"])
def test_a_write_that_fails_leaves_the_checkpoint_before(tmp_path, monkeypatch, failing):
    path = tmp_path / "file.npz"
    checkpoints.save(path, ARRAYS, {"seed": 1})
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail_late(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    if failing == "savez":
        monkeypatch.setattr(np, "savez", fail)
    else:
        monkeypatch.setattr(os, "fsync", fail_late)
    with pytest.raises(CheckpointError, match="cannot be written: No space left"):
        checkpoints.save(path, {"a": np.zeros(3)}, {"seed": 1})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["file.npz"]


def test_a_run_whose_disk_fills_resumes_from_the_save_before(trial, tmp_path, monkeypatch):
    path, saved, plain = tmp_path / "run.npz", [], os.fsync

    def fsync(handle):
        saved.append(handle)
        if len(saved) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(CheckpointError, match="cannot be written: No space left"):
            trial("sgld").run(checkpoint=path, checkpoint_every=1)
    rest = trial("sgld")
    assert_same(rest.run(checkpoint=path), trial("sgld").run())
    assert rest.measured == 4


# Stopping


class StopAt:
    """Stops chain c from measurement ``measurements[c]`` on."""

    def __init__(self, *measurements):
        self.measurements = np.array(measurements)

    def finished(self, series, counted):
        return len(counted) - 1 >= self.measurements


def test_a_stopping_rule_ends_each_chain_at_its_own_measurement(trial):
    whole, result = trial("sgld").run(), trial("sgld").run(stop=StopAt(3, 1))
    assert result.final_measurement.tolist() == [3, 1]
    assert len(result.times) == 4  # the batch ends with its last chain
    assert not result.interrupted
    np.testing.assert_array_equal(result.series["m_S"], whole.series["m_S"][:, :4])
    expected = [whole.series["m_S"][0, 3], whole.series["m_S"][1, 1]]
    np.testing.assert_array_equal(result.last("m_S"), expected)


def test_the_weights_of_a_chain_are_those_at_its_own_final_measurement(trial, kind):
    # The same run cut off after each measurement: what its chains weigh there.
    at_measurement = [
        short.energy.predictor_parameters(
            short.run(schedule=Schedule(short.schedule.segments[:n])).state.position
        )
        for n in range(1, 6)
        for short in [trial(kind)]
    ]
    result = trial(kind).run(stop=StopAt(4, 1))
    assert result.final_measurement.tolist() == [4, 1]
    assert torch.equal(result.weights[0], at_measurement[4].w[0])
    assert torch.equal(result.weights[1], at_measurement[1].w[1])
    assert torch.equal(result.readouts[0], at_measurement[4].a[0])
    assert torch.equal(result.readouts[1], at_measurement[1].a[1])
    # The batch ran on with the chain that was done.
    assert not torch.equal(at_measurement[4].w[1], at_measurement[1].w[1])
    # Without a rule, and for a chain that never meets it, the final measurement is the last.
    last = trial(kind).run()
    present = trial(kind).energy.predictor_parameters(last.state.position)
    assert torch.equal(last.weights, present.w)
    stopped = trial(kind).run(stop=StopAt(0, 99))
    assert torch.equal(stopped.weights[1], present.w[1])
    if not kind.startswith("collapsed"):  # there they are means, solved for at the final state
        assert torch.equal(last.readouts, present.a)
        assert torch.equal(stopped.readouts[1], present.a[1])


def test_a_rule_that_is_met_by_one_chain_only_runs_to_the_end(trial):
    result = trial("sgld").run(stop=StopAt(2, 99))
    assert result.final_measurement.tolist() == [2, 5]
    assert len(result.times) == 6
    assert not result.interrupted


def test_a_stopped_run_resumes_to_the_same_stop(trial, tmp_path):
    path, part = tmp_path / "run.npz", trial("sgld")
    whole = trial("sgld").run(stop=StopAt(1, 4))
    part.before_measurement = at_count(3)
    assert part.run(checkpoint=path, stop=StopAt(1, 4)).final_measurement.tolist() == [1, 2]
    assert_same(trial("sgld").run(checkpoint=path, stop=StopAt(1, 4)), whole)
    # Stopped after the first chain was done: its weights come from the checkpoint.
    assert whole.final_measurement.tolist() == [1, 4]
    finished = trial("sgld")
    assert_same(finished.run(checkpoint=path, stop=StopAt(1, 4)), whole)
    assert finished.measured == 0


def test_stop_when_converged_waits_for_enough_counted_measurements_and_for_its_turn(trial):
    lenient = ConvergenceRule(r_hat=1e6, ess=1e-6, min_chains=2, min_draws=5)
    schedule = uniform(step_size=0.1, steps=200, measurements=40, burn_in=0.25)
    result = trial("sgld").run(schedule=schedule, stop=StopWhenConverged(lenient, every=3))
    assert len(result.times) == 10 + 6  # the first multiple of 3 with at least 5 draws
    strict = ConvergenceRule(r_hat=1.0000001, min_chains=2)
    result = trial("sgld").run(schedule=schedule, stop=StopWhenConverged(strict))
    assert len(result.times) == 40
    assert not result.convergence.converged


# Guards


def advised(message):
    """The step size a message says would work."""
    number = r"(\d[\d.]*(?:e-?\d+)?)"
    found = re.search(rf"use at most {number}", message) or re.search(
        rf"a step size of {number} or less", message
    )
    assert found, message
    return float(found[1])


def with_step(trial, kind, step):
    small = trial(kind, step_size=step)
    small.sampler = small.sampler.with_step(step)
    return small


@pytest.mark.parametrize("kind", ["sgld", "underdamped", "mf-ard", "collapsed", "adaptive"])
def test_too_large_a_step_is_refused_at_the_start_with_one_that_works(trial, kind):
    with pytest.raises(EquipartitionError) as caught:
        with_step(trial, kind, 40.0).run()
    assert "at the start" in str(caught.value)
    assert "step size 40" in str(caught.value)
    step = advised(str(caught.value))
    assert 0 < step < 40
    # The advice is of the start. Learning makes the curvature grow: the run may advise again.
    result, seen = None, [40.0, step]
    while result is None and len(seen) < 4:
        try:
            result = with_step(trial, kind, seen[-1]).run()
        except EquipartitionError as error:
            seen.append(advised(str(error)))
    assert result is not None, seen
    assert seen == sorted(seen, reverse=True)
    assert np.isfinite(result.series["test_mse"]).all()


@pytest.mark.parametrize("kind", ["sgld", "underdamped", "adaptive"])
def test_divergence_is_named_with_its_step_its_size_and_a_size_that_works(trial, kind):
    blind = Guards(max_variance_bias=math.inf)
    with pytest.raises(DivergenceError) as caught:
        with_step(trial, kind, 20.0).run(guards=blind)
    message = str(caught.value)
    assert re.search(r"by step \d+ with step size 20", message)
    result = with_step(trial, kind, advised(message)).run()
    assert np.isfinite(result.series["test_mse"]).all()


def test_the_step_that_an_adaptive_sampler_makes_is_the_one_that_is_watched(trial):
    """Right at the start; then gradients fall, and the step grows with nothing to stop it."""
    small = with_step(trial, "adaptive", 0.7)
    small.schedule = uniform(step_size=0.7, steps=4000, measurements=40)
    with pytest.raises(EquipartitionError, match=r"the step size 0\.7 is too large at step \d+"):
        small.run()
    # It does not diverge: without the guard nobody would know.
    small = with_step(trial, "adaptive", 0.7)
    small.schedule = uniform(step_size=0.7, steps=4000, measurements=40)
    result = small.run(guards=Guards(max_variance_bias=math.inf))
    assert small.sampler.step_multiplier(result.state) > 1.2
    assert (
        small.sampler.variance_bias_factor(
            result.curvature * small.sampler.step_multiplier(result.state)
        )
        > 4
    )


def test_hot_velocities_are_named_with_their_temperature(trial):
    # The step is small for the forces: only the velocities, scaled by hand, are hot.
    class Hot(Underdamped):
        """A right step with velocities made hot by hand."""

        def advance(self, state, energy, steps, random, *, done):
            super().advance(state, energy, steps, random, done=done)
            state.velocity.mul_(1.5)

    small = trial("underdamped", steps=4000, measurements=40)
    small.sampler = Hot(0.1, friction=0.5)
    with pytest.raises(EquipartitionError, match=r"kinetic temperature is \d") as caught:
        small.run()
    assert re.search(r"by step \d+ with step size 0.1", str(caught.value))
    ratio = float(re.search(r"is (\d+\.\d+)", str(caught.value))[1])
    assert ratio == pytest.approx(1.5**2, abs=0.5)
    assert advised(str(caught.value)) > 0
    small = trial("underdamped", steps=4000, measurements=40)
    small.sampler = Underdamped(0.1, friction=0.5)
    result = small.run()
    assert result.kinetic_temperature == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(("ratio", "warm"), [(1.03, True), (0.97, True), (1.01, False)])
def test_a_kinetic_temperature_off_by_more_than_2_percent_denies_convergence(trial, ratio, warm):
    class Warm(Underdamped):
        """Too little for the guard, too much to be certified."""

        def kinetic_temperature(self, state):
            return ratio * small.energy.temperature

    small = trial("underdamped")
    small.sampler = Warm(0.1, friction=0.5)
    reasons = small.run(rule=ConvergenceRule(r_hat=1e9, ess=1e-9, min_chains=2, min_draws=4))
    denied = [each for each in reasons.convergence.reasons if "temperature" in each]
    assert denied == [f"the kinetic temperature is {ratio:.4f} T, not within 2 %"] * warm


def test_a_long_step_cools_the_velocities_and_not_the_measured_temperature(trial):
    # At high noise all directions have the prior's stiffness 2κ²d = 64: all velocities are cold
    # by h²λ/4 = 0.16, positions are right, and the estimate counts the missing part.
    small = trial("underdamped", step_size=0.1, kappa=2.0, steps=4000, measurements=40)
    small.sampler = Underdamped(0.1, friction=1.0)
    result = small.run()
    assert result.kinetic_temperature == pytest.approx(1, abs=0.02)
    cold = float(result.state.velocity.square().mean()) / small.energy.temperature
    assert cold < 0.95


def test_velocities_that_are_kept_cold_are_an_error(trial):
    class Cold(Underdamped):
        def advance(self, state, energy, steps, random, *, done):
            super().advance(state, energy, steps, random, done=done)
            state.velocity.mul_(0.7)

    small = trial("underdamped", steps=4000, measurements=40)
    small.sampler = Cold(0.1, friction=0.5)
    with pytest.raises(EquipartitionError, match=r"kinetic temperature is 0\.\d+ T"):
        small.run()


def test_a_chain_that_becomes_nan_ends_the_run_and_is_never_converged(trial):
    small = trial("sgld")

    def poison(count):
        if count == 4:
            state["position"][3] = math.nan

    state = {}
    plain = small.sampler.init

    class Watched(SGLD):
        def init(self, energy, position, random):
            made = plain(energy, position, random)
            state["position"] = made.position
            return made

    small.sampler, small.before_measurement = Watched(0.1), poison
    with pytest.raises(DivergenceError, match="diverged by step 320"):
        small.run(guards=Guards(growth=math.inf))


@pytest.mark.parametrize("kind", ["sgld", "underdamped", "mf-ard", "collapsed"])
def test_the_default_step_works_and_is_rounded_down_to_two_digits(trial, kind):
    small = trial(kind)
    step = default_step(small.sampler, small.energy, small.position)
    assert step == float(f"{step:.1e}")
    result = with_step(trial, kind, step).run()
    assert np.isfinite(result.series["test_mse"]).all()
    # It is a fraction of the limit, and not a tiny one.
    assert small.sampler.with_step(2 * step).variance_bias_factor(result.curvature) < math.inf
    variance_bias_factor = small.sampler.with_step(step).variance_bias_factor(result.curvature)
    assert 1.001 < variance_bias_factor < 2


def test_a_default_step_without_curvature_is_refused(trial):
    small = trial("sgld")
    with pytest.raises(ArgumentError, match=r"^step must be given"):
        default_step(small.sampler, small.energy, small.position * math.nan)


def test_named_errors_are_what_the_command_line_catches():
    for error in (ArgumentError, CheckpointError, DivergenceError, EquipartitionError):
        assert issubclass(error, FeatureLearningError)


def test_measurements_at_given_times_use_their_own_step_sizes(trial):
    small = trial("sgld")
    result = small.run(schedule=at_times([1.0, 2.55, 4.0], step_size=0.1))
    np.testing.assert_allclose(result.times, [1.0, 2.55, 4.0], rtol=1e-12)
    assert result.steps.tolist() == [10, 26, 41]
    assert result.counted.all()


def test_a_checkpoint_is_for_one_run_at_a_time(trial, tmp_path):
    path, link = tmp_path / "c.npz", tmp_path / "link.npz"
    link.symlink_to(path)
    refused = []

    def meddle(number):
        if number == 100:
            for place in (path, link, str(path)):
                with pytest.raises(CheckpointError, match="in use") as caught:
                    trial().run(checkpoint=place)
                refused.append(caught)

    first = trial(before_gradient=meddle).run(checkpoint=path)
    assert len(refused) == 3
    assert not first.interrupted
    assert sorted(each.name for each in tmp_path.iterdir()) == ["c.npz", "link.npz"]
    # Through the link, it is found again and goes on being a link.
    again = trial().run(checkpoint=str(link))
    np.testing.assert_array_equal(again.series["m_S"], first.series["m_S"])
    assert link.is_symlink()


def test_a_checkpoint_that_can_never_be_saved_is_refused_before_the_first_step(trial, tmp_path):
    (tmp_path / "file").touch()
    each = trial()
    for place in (tmp_path, tmp_path / "file" / "c.npz", "/proc/c.npz", "-"):
        with pytest.raises(CheckpointError, match="checkpoint"):
            each.run(checkpoint=place)
    assert each.gradients == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_library_run_saves_before_a_signal_does_what_it_did(trial, tmp_path, name):
    number, heard = getattr(signal, name), []
    path, plain = tmp_path / "c.npz", trial().run()

    def send(count):
        if count == 200:
            os.kill(os.getpid(), number)
            assert not heard

    before = signal.signal(number, lambda *arguments: heard.append(path.exists()))
    try:
        stopped = trial(before_gradient=send).run(checkpoint=path)
    finally:
        signal.signal(number, before)
    assert heard == [True]
    assert stopped.interrupted
    resumed = trial().run(checkpoint=path)
    np.testing.assert_array_equal(resumed.series["m_S"], plain.series["m_S"])


WRONG = [
    *((name, np.array("text")) for name in ("counted", "times", "series.m_S", "temperatures")),
    *(
        (name, np.zeros(()))
        for name in ("times", "steps", "final_measurement", "counters", "clock")
    ),
    *((name, np.zeros(0)) for name in ("counters", "clock", "counted", "series.m_S")),
    *((name, np.zeros((2, 2, 2, 2))) for name in ("series.test_mse", "final_measurement", "steps")),
]


@pytest.mark.parametrize(("name", "values"), WRONG, ids=lambda each: str(each)[:20])
def test_a_checkpoint_of_other_types_or_shapes_is_refused(trial, tmp_path, name, values):
    path = tmp_path / "c.npz"
    trial().run(checkpoint=path)
    arrays, known = checkpoints.read(path)
    checkpoints.save(path, {**arrays, name: values}, known)
    with pytest.raises(CheckpointError, match=r"c\.npz"):
        trial().run(checkpoint=path)
    # What the report does not need it does not measurement at.
    with contextlib.suppress(CheckpointError):
        read_draws(path)


# Runs that grow


def grown(small, **options):
    """A growing run to its limit: 13 blocks of 4 measurements, of Langevin time 64."""
    schedule = growing(step_size=0.1, langevin_time=64.0, measurements=16)
    return small.run(schedule=schedule, **options)


def retuned(energy, position):
    return 0.07, 0.3, 0.5


@pytest.mark.parametrize("stop_at", [12, 20, 52])
def test_of_a_growing_run_the_second_half_counts(trial, stop_at):
    small, predictions = trial("underdamped"), []
    measure = small.observer.measure

    def remember(theta, *, average):
        values = measure(theta, average=average)
        predictions.append(small.observer._predictions.double().clone())
        return values

    small.observer.measure = remember
    result = grown(small, stop=StopAt(stop_at - 1, stop_at - 1))
    assert len(result.times) == stop_at
    assert result.counted.tolist() == [False] * (stop_at - 8) + [True] * 8
    assert result.times[-9] == pytest.approx(result.times[-1] / 2)
    mean = torch.stack(predictions[-8:]).mean(dim=0)
    error = (mean - small.test.labels).square().mean(dim=1)
    np.testing.assert_allclose(result.posterior_mean["test_mse"], error, rtol=1e-6)
    assert result.mean("m_S") == pytest.approx(result.series["m_S"][:, -8:].mean(axis=1))


def test_between_two_lengths_the_last_two_blocks_count(trial):
    result = grown(trial("underdamped"), stop=StopAt(21, 21))
    assert (
        result.counted.tolist() == [False] * 16 + [True] * 6
    )  # a whole block and two measurements


def test_what_is_tuned_holds_from_the_end_of_settling_on(trial):
    result = grown(trial("underdamped"), tune=retuned)
    tuned = result.sampler
    assert (tuned.step_size, tuned.friction, tuned.readout_mass) == (0.07, 0.3, 0.5)
    plain = grown(trial("underdamped"))
    np.testing.assert_allclose(result.times, plain.times)  # the same Langevin times
    # Two measurements of four settle, of 0.25 each in steps of 0.1; then steps of 0.07 at most.
    assert result.steps[:4].tolist() == [3, 6, 10, 14]
    assert plain.steps[:4].tolist() == [3, 6, 9, 12]
    assert result.kinetic_temperature == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        *(("before_measurement", count) for count in (1, 4, 5, 8, 13, 30)),
        *(("before_gradient", count) for count in (30, 31, 33, 61, 90, 400)),
    ],
)
def test_a_growing_tuned_run_resumes_bit_for_bit(trial, where, count, tmp_path):
    whole, path = grown(trial("underdamped"), tune=retuned), tmp_path / "run.npz"
    part = trial("underdamped")
    setattr(part, where, at_count(count))
    assert grown(part, tune=retuned, checkpoint=path).interrupted
    assert_same(grown(trial("underdamped"), tune=retuned, checkpoint=path), whole)


def test_only_underdamped_dynamics_is_tuned(trial):
    with pytest.raises(ArgumentError, match="SGLD cannot be tuned while it runs"):
        grown(trial("sgld"), tune=retuned)


def test_a_run_ends_when_its_time_is_over(trial, tmp_path):
    path = tmp_path / "run.npz"
    watch = Stopwatch()
    small = trial("underdamped")

    def later(count):
        if count == 10:
            watch.earlier = 1000.0

    small.before_measurement = later
    result = grown(small, max_time=500.0, stopwatch=watch, checkpoint=path)
    assert not result.interrupted
    assert len(result.times) == 10
    assert result.convergence.reasons[-1] == "the time limit of 500 s was reached"
    assert result.verdict.word == "not settled"
    # With more time the same run goes on.
    assert_same(grown(trial("underdamped"), checkpoint=path), grown(trial("underdamped")))


def test_while_it_runs_it_says_what_is_missing(trial, capsys):
    grown(trial("underdamped"), stop=StopAt(100, 100), progress=True)
    assert "not settled: 2 chains, at least 4 needed" in capsys.readouterr().err


def test_a_run_holds_the_forward_pass_and_knows_the_size_of_the_labels(trial, monkeypatch):
    """The ceiling of divergence includes E[y²] = 1: a planted start may be far below it."""
    held, ceilings = [], []
    plain, check = Forward.stepping, Guards.check_finite

    def stepping(self):
        held.append(self)
        return plain(self)

    def watched(self, state, train_mse, ceiling, *rest):
        ceilings.append(ceiling)
        return check(self, state, train_mse, ceiling, *rest)

    monkeypatch.setattr(Forward, "stepping", stepping)
    monkeypatch.setattr(Guards, "check_finite", watched)
    small = trial("sgld")
    small.position.zero_()
    labels = small.energy.forward.labels
    labels.mul_(3)
    start = small.observer.measure(small.position, average=False)["train_mse"]
    small.run()
    assert held
    assert held[0] is small.energy.forward
    assert min(ceilings) >= float(labels.square().mean()) - 1e-3
    assert start.max() <= 9.01

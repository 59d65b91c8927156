"""Points by replica exchange: each chain is a ladder, and its first replica is reported."""

import contextlib
import io
import os
import signal

import numpy as np
import pytest
import torch

from feature_learning.analysis.chain_history import read_draws
from feature_learning.cli.main import main
from feature_learning.energies.ladder import LadderEnergy
from feature_learning.errors import ArgumentError, DeviceError
from feature_learning.experiments import hardware
from feature_learning.experiments.flat import configure, replaced
from feature_learning.experiments.hardware import check_memory, memory_needed
from feature_learning.experiments.keys import cell_key
from feature_learning.experiments.point import run_point
from feature_learning.inference.diagnostics import ConvergenceRule
from feature_learning.inference.observables import Observer
from feature_learning.inference.sampling import sample, starting_position
from feature_learning.model.student import Student
from feature_learning.model.teachers import SparseParity, make_dataset
from feature_learning.samplers import ReplicaExchange, Underdamped
from feature_learning.samplers.options import SamplingOptions
from feature_learning.samplers.registry import KAPPA_RATIO, HMCOptions
from feature_learning.sweeps.plan import work
from feature_learning.sweeps.provenance import provenance
from feature_learning.sweeps.schema import schema
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.table import read_csv, tabulate, write_csv


@pytest.fixture
def ladders(tiny):
    """Two ladders of three rungs."""
    return configure(**tiny | {"langevin_time": 400.0}, replicas=3, kappa_ratio=1.1)


def test_the_row_is_that_of_the_first_replicas_of_a_ladder_run_by_hand(ladders):
    student, teacher, sampling = (
        ladders.student,
        ladders.teacher,
        ladders.sampling,
    )
    data, test = ladders.datasets()
    assert ladders.kappas == pytest.approx((0.1, 0.11, 0.121))
    energy = LadderEnergy(student, data, kappas=ladders.kappas, copies=2)
    run, sampler = sample(energy, student, teacher, test, sampling, seed=0)
    assert isinstance(sampler, ReplicaExchange)
    point = run_point(ladders)
    for name in ("test_mse", "m_S", "train_mse"):
        assert point.row["chains"][name] == run.mean(name)[::3].tolist()
    assert point.row["chains"]["m_S"] != run.mean("m_S")[:2].tolist()
    assert point.row["chains"]["test_mse_posterior_mean"] == pytest.approx(
        run.posterior_mean["test_mse"][::3]
    )
    np.testing.assert_array_equal(point.weights, run.weights[::3].double().numpy())
    np.testing.assert_array_equal(point.readouts, run.readouts[::3].double().numpy())
    pairs = run.draws("swapped")[:, -1].reshape(2, 3)[:, :2]
    assert point.row["swap_rate"] == pairs.min()
    assert 0 < pairs.min() < pairs.max() <= 1


def test_a_point_without_replicas_has_no_swaps(tiny):
    assert run_point(configure(**tiny)).row["swap_rate"] is None
    with pytest.raises(ArgumentError, match="kappas must be two or more"):
        LadderEnergy(
            Student(dim=6, width=8), make_dataset(SparseParity(6, 2), 20, seed=0), kappas=(0.1,)
        )


def test_the_first_replica_samples_the_posterior_of_a_run_without_exchange(tiny):
    """The same law with and without: means of many chains agree within their errors."""
    options = tiny | {"chains": 60, "langevin_time": 400.0, "measurements": 40, "kappa": 0.3}
    plain = run_point(configure(**options)).row
    ladder = run_point(configure(**options, replicas=3, kappa_ratio=1.2, seed=0)).row
    for name in ("test_mse", "m_S", "train_mse"):
        error = np.hypot(plain[f"{name}_sem"], ladder[f"{name}_sem"])
        assert abs(plain[name] - ladder[name]) < 4.5 * error, name


@pytest.mark.parametrize(("start", "planted"), [("planted", (0, 1)), ("spread", (0,))])
def test_all_replicas_of_a_ladder_start_alike(start, planted):
    teacher, student = SparseParity(8, 2), Student(dim=8, width=120)
    data, test = (
        make_dataset(teacher, 30, seed=0),
        make_dataset(teacher, 20_000, seed=0, stream="test"),
    )
    energy = LadderEnergy(student, data, kappas=(0.1, 0.2, 0.3), copies=2)
    position = starting_position(energy, student, teacher, start=start, seed=0)
    overlap = Observer(student, energy, test, sparsity=2).measure(position, average=False)["m_S"]
    knows = (overlap > 0.5).reshape(2, 3)
    assert knows.all(axis=1).tolist() == [ladder in planted for ladder in (0, 1)]
    assert knows.any(axis=1).tolist() == [ladder in planted for ladder in (0, 1)]


def test_convergence_is_that_of_the_first_replicas():
    draws = np.random.default_rng(0).standard_normal((8, 400))
    draws[1::2] += 5  # the second rungs have another law
    series = {"m_S": draws, "test_mse": draws}
    assert ConvergenceRule(replicas=2).judge(series).converged
    assert not ConvergenceRule().judge(series).converged
    few = ConvergenceRule(replicas=4).judge(series)
    assert few.reasons[0] == "2 chains, at least 4 needed"
    with pytest.raises(ArgumentError, match=r"^replicas must be"):
        ConvergenceRule(replicas=0)


def test_a_run_of_ladders_stops_when_its_first_replicas_have_converged(tiny):
    options = tiny | {
        "chains": 4,
        "langevin_time": 4000.0,
        "measurements": 400,
        "kappa": 0.3,
        "friction": 0.3,
    }
    row = run_point(configure(**options, replicas=2, kappa_ratio=1.5, stop_when_converged=True)).row
    assert row["converged"]
    assert row["langevin_time"] < 4000


def test_a_checkpoint_of_ladders_is_judged_by_its_first_replicas(ladders, tmp_path):
    config, path = replaced(ladders, chains=4, start="spread"), tmp_path / "point.npz"
    row = run_point(config, checkpoint=path).row
    run = read_draws(path)
    assert run.starts == ("planted", "prior") * 2
    for name, found in run.report().items():
        assert len(run.series[name]) == 4
        if name in ("m_S", "test_mse"):
            assert found.r_hat == row["r_hat_by_observable"][name]
            assert found.mean == pytest.approx(row[name])


@pytest.mark.parametrize("measurements_done", [3, 14])
def test_an_interrupted_ladder_goes_on_as_if_nothing_had_been(
    ladders, tmp_path, monkeypatch, measurements_done
):
    """In burn-in, or past it: the same numbers, swaps among them, as without the interrupt."""
    whole, path, seen = run_point(ladders).row, tmp_path / "point.npz", []
    plain = Observer.measure

    def measure(self, theta, *, average):
        seen.append(average)
        if len(seen) == measurements_done + 1:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, theta, average=average)

    with monkeypatch.context() as patch:
        patch.setattr(Observer, "measure", measure)
        half = run_point(ladders, checkpoint=path).row
    assert half["interrupted"]
    assert half["steps"] < whole["steps"]
    assert (half["test_mse"] is None) == (measurements_done < 10)
    resumed = run_point(ladders, checkpoint=path).row
    assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}


def test_a_ladder_interrupted_before_its_first_measurement_makes_no_number_up(ladders, monkeypatch):
    plain, calls = Underdamped.advance, []

    def advance(self, *arguments, **options):
        if not calls:  # a second one would mean: at once
            os.kill(os.getpid(), signal.SIGINT)
        calls.append(1)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(Underdamped, "advance", advance)
    row = run_point(replaced(ladders, measurements=1, langevin_time=400.0)).row
    assert row["interrupted"]
    assert row["swap_rate"] is row["m_S"] is row["m_S_last"] is None


def test_a_ladder_too_short_for_a_swap_has_no_rate(tiny):
    row = run_point(configure(**tiny | {"langevin_time": 3.0, "measurements": 3}, replicas=2)).row
    assert row["steps"] < 20
    assert row["swap_rate"] is None


def test_the_table_has_the_ladder_and_its_swaps(ladders, tmp_path):
    store = Store(tmp_path / "store")
    store.write(ladders, run_point(ladders), provenance("cpu"), weights=False)
    (cell,), _ = store.scan()
    frame = tabulate([cell], {})
    assert frame["replicas"].tolist() == [3]
    assert frame["swap_rate"].tolist() == [cell.row["swap_rate"]]
    write_csv(frame, tmp_path / "table.csv")
    assert read_csv(tmp_path / "table.csv").equals(frame)
    older = frame.drop(columns=["replicas", "kappa_ratio", "swap_rate"])
    older.to_csv(tmp_path / "older.csv", index=False)
    read = read_csv(tmp_path / "older.csv")
    assert list(read.columns) == list(schema())
    assert read["replicas"].tolist() == [1]
    assert read["swap_rate"].isna().all()


def test_a_ladder_has_a_key_a_price_and_a_memory_of_its_own(tiny):
    plain, ladder = configure(**tiny), configure(**tiny, replicas=5)
    assert cell_key(plain) != cell_key(ladder) != cell_key(replaced(ladder, kappa_ratio=1.1))
    assert ladder.networks == 10
    assert ladder.kappas[1] == pytest.approx(0.1 * KAPPA_RATIO)
    assert memory_needed(ladder) > 2 * memory_needed(plain)
    assert work(ladder) == 5 * work(plain)


def test_too_many_networks_for_the_memory_are_counted_in_the_message(tiny, monkeypatch):
    monkeypatch.setattr(hardware, "memory_available", lambda device: 1000)
    with pytest.raises(
        DeviceError, match=r"chains=2, 10 networks in all, needs .* replicas, samples"
    ):
        check_memory(configure(**tiny, replicas=5))
    with pytest.raises(DeviceError, match=r"chains=2 needs .* use fewer chains, samples or neur"):
        check_memory(configure(**tiny))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"replicas": 0}, "^replicas must be a whole number of at least 1 and at most 250, not 0"),
        (
            {"replicas": 2, "kappa_ratio": 1.0},
            "^kappa_ratio must be a finite number above 1.*not 1.0",
        ),
        ({"replicas": 2, "kappa_ratio": 1e200}, "^kappa_ratio must be .* not 1e\\+200"),
        ({"replicas": 251}, "^replicas must be .*250, not 251"),
        ({"replicas": 200, "kappa_ratio": 10.0}, "^kappa of the last of replicas must be"),
        ({"kappa_ratio": 1.1}, "^kappa_ratio has no effect with replicas 1"),
        ({"replicas": 2, "method": "mf"}, "^replicas has no effect with method mf"),
        ({"replicas": 2, "sampler": "hmc"}, "^replicas has no effect .* sampler hmc"),
        ({"replicas": 2, "protocol": "published"}, "^replicas has no effect .* protocol published"),
        ({"replicas": 2, "start": "released"}, "^replicas = 2 .* start released"),
        ({"replicas": 2, "homogeneity_penalty": 0.1}, "^replicas = 2 .* homogeneity_penalty 0.1"),
        ({"replicas": 2, "sampler": "sgld", "batch_size": 5}, "^replicas = 2 .* batch_size 5"),
    ],
    ids=str,
)
def test_ladders_that_cannot_be_are_refused(options, words):
    with pytest.raises(ArgumentError, match=words):
        configure(**options)


def test_a_ladder_moves_by_underdamped_or_sgld_only():
    student, data = Student(dim=6, width=8), make_dataset(SparseParity(6, 2), 20, seed=0)
    energy = LadderEnergy(student, data, kappas=(0.1, 0.2))
    with pytest.raises(ArgumentError, match="needs sampler underdamped or sgld, not sampler hmc"):
        SamplingOptions(HMCOptions()).build(energy, torch.zeros(2 * 8 * 7))


def test_the_command_says_how_often_replicas_swap():
    out = io.StringIO()
    arguments = "point --dim 6 --sparsity 2 --width 8 --n-train 20 --kappa 0.1 --n-test 50"
    more = "--langevin-time 40 --step 0.2 --measurements 20 --chains 2 --replicas 3 --quiet"
    with contextlib.redirect_stdout(out):
        assert main(f"{arguments} {more}".split()) == 0
    (line,) = (line for line in out.getvalue().splitlines() if "replicas" in line)
    assert line.startswith("3 replicas; lowest swap acceptance between neighbours ")

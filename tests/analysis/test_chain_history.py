"""Reading the draws of a run from its checkpoint, and comparing runs from different starts."""

import math
import re

import numpy as np
import pytest

from feature_learning.analysis.chain_history import ChainHistory, compare, pooled, read_draws
from feature_learning.errors import ArgumentError, CheckpointError
from feature_learning.experiments.flat import configure, replaced
from feature_learning.experiments.point import run_point
from feature_learning.inference import checkpoints

CONFIG = configure(n_train=1000, kappa=0.005, start="spread", until_settled=False)


@pytest.fixture
def ran(tiny, tmp_path):
    """Runs a small point; gives the file of its checkpoint and its row."""

    def one(**options):
        path = tmp_path / "point.npz"
        return path, run_point(configure(**tiny | options), checkpoint=path).row

    return one


def drawn(name="a", *, apart=0.0, seed=0, draws=200, **options):
    """Four chains of noise, two of them planted; ``apart`` shifts the planted ones."""
    values = np.random.default_rng(seed).standard_normal((4, draws))
    values[::2] += apart
    return ChainHistory(
        **{
            "name": name,
            "series": {"m_S": values, "test_mse": values[:, ::-1], "not reported": values},
            "counted": np.ones(draws, dtype=bool),
            "times": np.arange(1.0, draws + 1),
            "starts": ("planted", "prior") * 2,
            "kinetic_temperature": 1.0,
            "finished": True,
            "config": CONFIG,
            **options,
        }
    )


def test_the_report_of_a_file_is_that_of_its_run(ran):
    path, row = ran(chains=4, start="spread", friction=0.5)
    run = read_draws(path)
    assert (run.name, run.finished, run.verdict().convergence.converged) == (
        "point",
        True,
        row["converged"],
    )
    assert run.starts == ("planted", "prior", "planted", "prior")
    assert run.config == configure(**row["config"])
    assert run.kinetic_temperature == pytest.approx(row["kinetic_temperature"])
    assert run.times[-1] == pytest.approx(row["langevin_time"])
    found = run.report()
    assert list(found) == ["m_S", "test_mse", "train_mse", "anisotropy"]
    for name in ("m_S", "test_mse"):
        assert found[name].mean == pytest.approx(row[name])
        assert found[name].r_hat == row["r_hat_by_observable"][name]
        assert found[name].ess_bulk == row["ess_by_observable"][name]
        assert found[name].spacing == pytest.approx(2)  # 20 looks over a time of 40


@pytest.mark.parametrize(
    ("start", "starts"), [("prior", ("prior",) * 3), ("planted", ("planted",) * 3)]
)
def test_the_file_knows_the_start_of_each_chain(ran, start, starts):
    assert read_draws(ran(chains=3, start=start)[0]).starts == starts


def test_a_run_that_has_not_used_up_its_time_is_unfinished(ran):
    path, _ = ran(chains=4)
    arrays, fingerprint = checkpoints.read(path)
    measurements = 15  # of 20
    cut = {
        name: values[..., :measurements] if name.startswith("series.") else values
        for name, values in arrays.items()
    }
    for name in ("counted", "times", "steps", "temperatures"):
        cut[name] = arrays[name][:measurements]
    cut["counters"] = np.array([measurements, 0, int(arrays["steps"][measurements - 1]), 0])
    checkpoints.save(path, cut, fingerprint)
    run = read_draws(path)
    assert run.finished is False
    assert len(run.past_burn_in()["m_S"][0]) == 5


def test_an_unfinished_run_and_a_snapshot_are_never_converged():
    assert drawn().verdict().convergence.converged
    assert not drawn(finished=False).verdict().convergence.converged
    assert not drawn(config=replaced(CONFIG, protocol="published")).verdict().convergence.converged
    assert not drawn(kinetic_temperature=1.03).verdict().convergence.converged
    assert (
        drawn(kinetic_temperature=math.nan).verdict().convergence.converged
    )  # there are no velocities
    weighted = drawn().series | {"weight": np.ones((4, 200))}
    assert "weights" in " ".join(drawn(series=weighted).verdict().convergence.reasons)


def test_a_run_without_a_configuration_can_be_judged_all_the_same(trial, tmp_path):
    path = tmp_path / "own.npz"
    trial(chains=3, measurements=12).run(checkpoint=path, fingerprint={"mine": 1})
    run = read_draws(path, name="other")
    assert (run.name, run.config, run.finished) == ("other", None, None)
    assert run.starts == ("?", "?", "?")
    assert run.report()["m_S"].spacing == pytest.approx(4)


def test_a_configuration_of_another_version_is_not_guessed_at(ran):
    path, _ = ran()
    arrays, fingerprint = checkpoints.read(path)
    without = {name: value for name, value in fingerprint.items() if name != "kappa"}
    for other in (fingerprint | {"flavour": 3}, without, fingerprint | {"kappa": -1.0}):
        checkpoints.save(path, arrays, other)
        assert read_draws(path).config is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chains": 1}, "holds 1 chain: R-hat compares at least 2"),
        ({"measurements": 6}, "holds 3 measurements after burn-in: at least 4"),
    ],
)
def test_too_little_to_judge_is_refused(ran, options, words):
    path, _ = ran(**options)
    with pytest.raises(CheckpointError, match=f"^checkpoint {re.escape(str(path))} {words}"):
        read_draws(path)


def test_files_that_hold_no_run_are_refused(tmp_path):
    path = tmp_path / "some.npz"
    with pytest.raises(CheckpointError, match=f"there is no checkpoint {re.escape(str(path))}"):
        read_draws(path)
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(CheckpointError, match="is not a checkpoint: it holds weights"):
        read_draws(path)
    path.write_text("# a page")
    with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
        read_draws(path)
    checkpoints.save(path, {"a": np.zeros(3)}, {})
    with pytest.raises(CheckpointError, match="holds no run"):
        read_draws(path)


def test_series_that_do_not_fit_together_are_refused(ran):
    path, _ = ran()
    arrays, fingerprint = checkpoints.read(path)
    for name in ("series.m_S", "counted"):
        checkpoints.save(path, arrays | {name: arrays[name][..., :-1]}, fingerprint)
        with pytest.raises(CheckpointError, match="do not fit together"):
            read_draws(path)


# Comparing


def test_starts_of_one_run_that_sample_one_law_agree():
    found = compare([drawn()])
    assert list(found) == ["m_S", "test_mse"]
    assert list(found["m_S"].within) == ["planted", "prior"]
    assert found["m_S"].agree
    assert found["m_S"].across == drawn().report()["m_S"].r_hat


def test_starts_that_settle_apart_disagree_though_each_agrees_with_itself():
    found = compare([drawn(apart=3.0)])["m_S"]
    assert all(hat < 1.05 for hat in found.within.values())
    assert found.across > 1.5
    assert not found.agree


def test_runs_of_one_law_are_compared_with_each_other():
    prior, planted = ("prior",) * 4, ("planted",) * 4
    first = drawn("first", starts=prior, config=replaced(CONFIG, start="prior"))
    second = drawn("second", starts=planted, seed=1, config=replaced(CONFIG, start="planted"))
    found = compare([first, second])["m_S"]
    assert list(found.within) == ["first: prior", "second: planted"]
    assert found.agree
    second.series["m_S"][:] += 2.0
    assert not compare([first, second])["m_S"].agree


def test_with_one_start_of_one_run_there_is_nothing_to_compare():
    assert compare([drawn(starts=("prior",) * 4)]) == {}


def test_a_longer_run_is_thinned_evenly_to_the_end():
    short, long = drawn("short", draws=50), drawn("long", draws=120)
    found = pooled([short, long], "m_S")
    assert found.shape == (8, 50)
    np.testing.assert_array_equal(found[:4], short.series["m_S"])
    np.testing.assert_array_equal(found[4:, -1], long.series["m_S"][:, -1])
    kept = [int(np.flatnonzero(long.series["m_S"][0] == value)[0]) for value in found[4]]
    assert set(np.diff(kept)) == {2, 3}


def test_what_is_sampled_must_be_the_same_and_how_may_differ():
    how = {"sampler": "sgld", "langevin_time": 10.0, "start": "prior", "step": 0.1, "chains": 2}
    other = drawn("b", seed=1, config=replaced(CONFIG, **how))
    assert compare([drawn(), other])["m_S"].agree
    for field, value in (("kappa", 0.01), ("n_train", 500), ("seed", 1), ("method", "mf")):
        different = drawn("b", config=replaced(CONFIG, **{field: value}))
        with pytest.raises(
            ArgumentError, match=f"same distribution: {field} is {value!r} in b, .* in a"
        ):
            compare([drawn(), different])


def test_as_many_particles_as_neurons_are_the_default():
    first = replaced(CONFIG, method="mf")
    compare([drawn(config=first), drawn("b", config=replaced(first, particles=512))])
    with pytest.raises(ArgumentError, match="particles is 100 in b, 512 in a"):
        compare([drawn(config=first), drawn("b", config=replaced(first, particles=100))])


def test_runs_that_cannot_be_told_apart_or_do_not_say_what_they_are_are_refused():
    with pytest.raises(ArgumentError, match="different names, not a 2 times"):
        compare([drawn(), drawn(seed=1)])
    with pytest.raises(ArgumentError, match="b does not say what it sampled"):
        compare([drawn(), drawn("b", config=None)])

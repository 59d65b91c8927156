"""Points that run until they have settled: the options chosen for them, and their reports."""

import json

import numpy as np
import pytest
from small_runs import fitting

from feature_learning.cli.main import main
from feature_learning.errors import ArgumentError
from feature_learning.experiments.flat import configure, flat
from feature_learning.experiments.keys import canonical
from feature_learning.experiments.point import run_point
from feature_learning.inference.verdict import AGREED, NOT_SETTLED, WITHIN

HALF_CUBE = "++++ +++- ++-+ ++-- +-++ +-+- +--+ +---"
#: Two coordinates that matter of six: learned and agreed in a second.
EASY = {"dim": 6, "sparsity": 2, "width": 32, "n_train": 40, "kappa": 0.1, "n_test": 200}


@pytest.fixture(scope="module")
def easy():
    return run_point(configure(**EASY))


def test_a_network_whose_length_nobody_sets_runs_until_it_is_settled():
    config = configure()
    assert (config.run.until_settled, config.chains, config.run.start) == (True, 8, "spread")
    assert config.run.code == HALF_CUBE
    sampling = config.sampling
    assert sampling.until_settled
    assert sampling.langevin_time == 36_000  # 256/(√2 · 0.005), to two digits
    assert sampling.sampler.friction is None


@pytest.mark.parametrize(
    "options",
    [
        {"langevin_time": 100.0},
        {"burn_in": 0.3},
        {"step": 0.1},
        {"start": "prior"},
        {"chains": 3},
        {"replicas": 2},
        {"stop_when_converged": True},
        {"sampler": "gibbs"},
        {"protocol": "published"},
        {"method": "mf"},
        {"method": "nngp"},
        {"sampler": "population"},
        {"until_settled": False},
    ],
)
def test_whatever_sets_a_length_or_another_way_keeps_it(options):
    config = configure(**options)
    assert flat(config)["until_settled"] is False
    assert flat(config)["start"] == "prior"
    assert flat(config)["chains"] == options.get("chains", 4)
    assert flat(config)["code"] is None
    assert "until_settled" not in canonical(config)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"sparsity": 2}, "++ +-"),
        ({"sparsity": 1}, "+"),
        ({"start": "planted"}, HALF_CUBE),
        ({"code": "---- ++++"}, "++++ ----"),
        ({"teacher": "single-index"}, None),
        ({"sparsity": 11, "width": 4096}, None),
        ({"width": 7}, None),
        ({"sparsity": 35}, None),
    ],
)
def test_the_code_that_is_planted_has_one_neuron_of_each_pair(options, code):
    assert configure(**options).run.code == code


def test_what_is_chosen_is_what_it_would_be_if_it_were_given():
    chosen = configure(n_train=500)
    given = configure(n_train=500, until_settled=True, chains=8, start="spread", code=HALF_CUBE)
    assert chosen == given == configure(**flat(chosen))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until_settled": True, "burn_in": 0.3}, "burn_in must be 0.5 with until_settled"),
        ({"measurements": 15}, "measurements must be a whole number of at least 16, not 15"),
        ({"until_settled": True, "sampler": "sgld", "step_schedule": "cyclical"}, "step_schedule"),
        ({"until_settled": True, "protocol": "published"}, "until_settled has no effect"),
        ({"until_settled": True, "method": "nngp"}, "until_settled has no effect"),
        ({"code": "+-"}, "code must be patterns of 4 signs"),
        ({"code": "++++", "method": "mf", "start": "planted"}, "code has no effect"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        configure(**options)


def test_the_row_says_what_was_earned_and_by_how_many(easy):
    row = easy.row
    assert row["agreement"] == AGREED
    assert row["agreeing_chains"] == 8
    assert row["converged"] is True
    assert row["not_converged_because"] == []
    assert row["r_hat"] < 1.01
    assert row["ess"] >= 100
    assert row["step"] != pytest.approx(0.1)
    assert row["config"]["until_settled"] is True
    # The second half, at the first length at which it was good enough.
    limit = configure(**EASY).sampling.langevin_time
    assert row["langevin_time"] * 32 / limit in [
        pytest.approx(each) for each in (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    ]


def test_both_kinds_of_start_end_where_a_long_run_of_fixed_length_does(easy):
    other = {**EASY, "start": "prior", "chains": 8, "langevin_time": 6000.0, "measurements": 600}
    fixed = run_point(configure(**other)).row
    for name in ("m_S", "test_mse"):
        found = np.array(easy.row["chains"][name])
        error = np.hypot(easy.row[f"{name}_sem"], fixed[f"{name}_sem"])
        assert abs(found[::2].mean() - found[1::2].mean()) < 10 * error
        assert abs(found.mean() - fixed[name]) < 5 * error


def test_averages_are_over_the_chains_of_the_code(monkeypatch):
    """A run that is put into two codes by hand: the word, and whose numbers are reported."""
    from feature_learning.inference import observables

    def codes(self, w):
        return np.array([8.0] * 5 + [256.0] * 3)

    def measure(self, theta, *, average, plain=observables.Observer.measure):
        values = plain(self, theta, average=average)
        away = np.array([0.0] * 5 + [0.7] * 3)
        return values | {"m_S": values["m_S"] - away}

    monkeypatch.setattr(observables.Observer, "_codes", codes)
    monkeypatch.setattr(observables.Observer, "measure", measure)
    row = run_point(configure(**EASY)).row
    assert row["agreement"] == WITHIN
    assert row["agreeing_chains"] == 5
    assert row["converged"] is False
    assert row["m_S"] == pytest.approx(np.mean(row["chains"]["m_S"][:5]))
    assert row["m_S"] > np.mean(row["chains"]["m_S"]) + 0.1
    (reason,) = row["not_converged_because"]
    assert reason.startswith("5 of 8 chains agree within one code, the rest are in others")


def test_time_that_is_over_is_said_and_is_no_interrupt(capsys):
    command = "point --dim 6 --sparsity 2 --width 32 --n-train 40 --kappa 0.0001 --n-test 200"
    command += " --max-time 0.5 --json --quiet"
    assert main(command.split()) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["interrupted"] is False
    assert row["agreement"] == NOT_SETTLED
    assert row["agreeing_chains"] == 0
    assert row["not_converged_because"][-1] == "the time limit of 0.5 s was reached"
    assert 0.5 <= row["seconds"] < 5


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_is_positive(seconds, capsys):
    assert main(["point", "--n-train", "20", "--max-time", seconds]) == 2
    assert "max_time must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [{"method": "nngp"}, {"sampler": "population"}, {"sampler": "integration"}]
)
def test_what_runs_no_chains_has_no_time_limit(options):
    with pytest.raises(ArgumentError, match="max_time has no effect with"):
        run_point(fitting(**EASY, **options), max_time=3.0)


def test_a_population_has_no_time_limit(capsys):
    command = "point --n-train 20 --sampler population --max-time 3"
    with pytest.raises(SystemExit, match="2"):
        main(command.split())
    assert "--max-time has no effect with" in capsys.readouterr().err


def test_the_command_prints_the_word(capsys):
    command = "point --dim 6 --sparsity 2 --width 32 --n-train 40 --kappa 0.1 --n-test 200"
    assert main([*command.split(), "--quiet"]) == 0
    assert capsys.readouterr().out.endswith(" s\nagreed\n")
    assert main([*command.split(), "--quiet", "--no-until-settled"]) == 0
    assert "Langevin time 3000" in capsys.readouterr().out

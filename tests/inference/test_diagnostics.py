"""R-hat and effective sample size on series whose answers are known."""

import math
import re

import numpy as np
import pytest

from feature_learning.errors import ArgumentError
from feature_learning.inference.diagnostics import (
    ConvergenceRule,
    effective_sample_size,
    r_hat,
    report,
    tail_effective_sample_size,
)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def autoregression(chains, draws, rho, seed=0):
    """x_t = ρ x_{t-1} + √(1-ρ²) ξ_t, stationary from the first draw."""
    xi = noise(chains, draws, seed=seed)
    x = xi.copy()
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + math.sqrt(1 - rho**2) * xi[:, t]
    return x


def test_r_hat_is_one_for_independent_draws():
    assert r_hat(noise(4, 1000)) == pytest.approx(1, abs=0.01)


def test_r_hat_is_large_for_chains_that_sit_in_different_places():
    apart = noise(4, 500) + np.array([[0.0], [0.0], [0.0], [5.0]])
    assert r_hat(apart) > 1.5
    drifting = noise(4, 500) + np.linspace(0, 8, 500)
    assert r_hat(drifting) > 1.5


def test_r_hat_does_not_need_moments():
    heavy = np.random.default_rng(0).standard_cauchy((4, 1000))
    assert r_hat(heavy) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_effective_sample_size_of_an_autoregression(rho):
    chains, draws = 4, 4000
    found = effective_sample_size(autoregression(chains, draws, rho))
    assert found == pytest.approx(chains * draws * (1 - rho) / (1 + rho), rel=0.2)


def test_nothing_is_said_where_there_is_nothing_to_say():
    assert math.isnan(r_hat(noise(1, 100)))
    assert math.isnan(r_hat(noise(4, 3)))
    assert math.isnan(r_hat(noise(4, 0)))
    assert math.isnan(effective_sample_size(noise(4, 3)))
    assert math.isfinite(effective_sample_size(noise(1, 100)))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_single_bad_number_spoils_the_verdict(bad):
    draws = noise(4, 200)
    draws[2, 50] = bad
    assert math.isnan(r_hat(draws))
    assert math.isnan(effective_sample_size(draws))
    judged = ConvergenceRule().judge({"m_S": draws, "test_mse": noise(4, 200)})
    assert not judged.converged


GOOD = {"m_S": noise(4, 400, seed=1), "test_mse": noise(4, 400, seed=2)}


def test_good_chains_are_converged():
    judged = ConvergenceRule().judge(GOOD)
    assert judged.converged is True
    assert judged.reasons == ()
    assert set(judged.r_hat) == set(judged.ess) == {"m_S", "test_mse"}
    assert judged.r_hat["m_S"] == r_hat(GOOD["m_S"])
    assert judged.ess["test_mse"] == effective_sample_size(GOOD["test_mse"])


def test_every_threshold_counts_and_sits_where_it_says():
    judged = ConvergenceRule().judge(GOOD)
    worst, least = max(judged.r_hat.values()), min(judged.ess.values())
    just = {"r_hat": 1.0000001 * worst, "ess": least, "min_chains": 4, "min_draws": 400}
    assert ConvergenceRule(**just).judge(GOOD).converged
    for tighter, reason in (
        ({"r_hat": worst}, f"R-hat of .* is {worst:.5g}, not below {worst:g}"),
        ({"ess": least * 1.0001}, f"effective sample size of .* is {least:.5g}, not at least"),
        ({"min_chains": 5}, "4 chains, at least 5 needed"),
        ({"min_draws": 401}, "400 draws per chain, at least 401 needed"),
    ):
        judged = ConvergenceRule(**{**just, **tighter}).judge(GOOD)
        assert not judged.converged
        (said,) = judged.reasons  # that one alone
        assert re.match(reason, said)


@pytest.mark.parametrize("name", ["m_S", "test_mse"])
def test_one_bad_observable_is_enough_and_is_named(name):
    bad = noise(4, 400, seed=3) + np.array([[0.0], [0.0], [0.0], [3.0]])
    judged = ConvergenceRule().judge({**GOOD, name: bad})
    assert not judged.converged
    assert judged.reasons == (
        f"R-hat of {name} is {judged.r_hat[name]:.5g}, not below 1.01",
        f"effective sample size of {name} is {judged.ess[name]:.5g}, not at least 100",
    )


def test_one_chain_of_few_draws_says_all_that_is_missing():
    judged = ConvergenceRule().judge({"m_S": noise(1, 3), "test_mse": noise(1, 3)})
    assert judged.reasons == (
        "1 chain, at least 4 needed",
        "3 draws per chain, at least 40 needed",
        "R-hat of m_S is unknown, not below 1.01",
        "R-hat of test_mse is unknown, not below 1.01",
        "effective sample size of m_S is unknown, not at least 100",
        "effective sample size of test_mse is unknown, not at least 100",
    )


def test_a_reason_more_denies_convergence_and_changes_nothing_else():
    judged = ConvergenceRule().judge(GOOD)
    denied = judged.denied("the moon is full").denied("it rains")
    assert judged.converged
    assert not denied.converged
    assert denied.reasons == ("the moon is full", "it rains")
    assert (denied.r_hat, denied.ess) == (judged.r_hat, judged.ess)


def test_other_observables_are_not_watched():
    bad = noise(4, 400) + np.array([[0.0], [0.0], [0.0], [9.0]])
    assert ConvergenceRule().judge({**GOOD, "anisotropy": bad}).converged
    assert not ConvergenceRule(observables=("anisotropy",)).judge({"anisotropy": bad}).converged


def test_chains_that_never_move_are_not_converged():
    still = np.ones((4, 400))
    apart = still * np.array([[0.0], [0.0], [0.0], [1.0]])
    for draws in (still, apart):
        assert not ConvergenceRule().judge({"m_S": draws, "test_mse": draws}).converged


def test_no_series_is_not_converged():
    assert ConvergenceRule().judge({}).converged is False
    # Half of what is watched is not enough either.
    half = ConvergenceRule().judge({"m_S": GOOD["m_S"]})
    assert not half.converged
    assert half.reasons == ("test_mse was not measured",)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"r_hat": 1.0}, "r_hat"),
        ({"r_hat": math.nan}, "r_hat"),
        ({"ess": 0.0}, "ess"),
        ({"min_chains": 1}, "min_chains"),
        ({"min_draws": 3}, "min_draws"),
    ],
)
def test_a_rule_out_of_range_is_refused_by_name(options, name):
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        ConvergenceRule(**options)


# The report of a run


def test_the_autocorrelation_time_of_an_autoregression_is_in_langevin_time():
    rho, spacing = 0.8, 2.5
    times = 100 + spacing * np.arange(1, 4001)
    found = report({"m_S": autoregression(4, 4000, rho)}, times)["m_S"]
    assert found.spacing == pytest.approx(spacing)
    assert found.autocorrelation_time == pytest.approx(spacing * (1 + rho) / (1 - rho), rel=0.2)
    assert found.ess_bulk * found.autocorrelation_time == pytest.approx(4 * 4000 * spacing)
    # Variance of a mean: σ² τ over the total time.
    expected = math.sqrt(found.sd**2 * found.autocorrelation_time / (4 * 4000 * spacing))
    assert found.mcse == pytest.approx(expected, rel=0.05)
    assert abs(found.mean) < 4.5 * found.mcse
    assert found.sd == pytest.approx(1, rel=0.05)
    assert found.agree
    assert found.resolved


def test_draws_too_far_apart_do_not_show_the_autocorrelation_time():
    found = report({"m_S": noise(4, 400)}, np.arange(1.0, 401))["m_S"]
    assert found.autocorrelation_time == pytest.approx(1, rel=0.25)
    assert not found.resolved


def test_chains_that_sit_apart_are_said_to_disagree():
    apart = noise(4, 400) + np.array([[0.0], [0.0], [0.0], [5.0]])
    found = report({"m_S": apart, "test_mse": noise(4, 400)}, np.arange(1.0, 401))
    assert not found["m_S"].agree
    assert found["test_mse"].agree
    # What is then not to be believed: about as many draws as places.
    assert found["m_S"].ess_bulk < 20
    assert found["m_S"].autocorrelation_time > 50
    assert report({"m_S": apart}, np.arange(1.0, 401), threshold=99.0)["m_S"].agree


def test_the_tails_of_a_chain_can_be_slower_than_its_bulk():
    # Rare visits of a far place: ranks near the middle know nothing of them.
    draws = noise(4, 2000)
    draws[:, 900:1000] += 8.0
    found = report({"m_S": draws}, np.arange(1.0, 2001))["m_S"]
    assert found.ess_tail == tail_effective_sample_size(draws)
    assert found.ess_tail < 0.2 * found.ess_bulk
    independent = tail_effective_sample_size(noise(4, 2000))
    assert independent == pytest.approx(8000, rel=0.2)


def test_a_series_that_never_moves_has_no_answer():
    found = report({"m_S": np.ones((4, 50))}, np.arange(1.0, 51))["m_S"]
    assert math.isnan(found.r_hat)
    assert math.isnan(found.ess_tail)
    assert math.isnan(found.mcse)
    assert math.isnan(found.autocorrelation_time)
    assert not found.agree
    assert not found.resolved


@pytest.mark.parametrize(
    ("series", "times", "words"),
    [
        ({"m_S": noise(1, 9)}, np.arange(9.0), "series m_S must have at least 2 chains of 9 draws"),
        ({"m_S": noise(4, 8)}, np.arange(9.0), "series m_S must have at least 2 chains of 9 draws"),
        ({"m_S": noise(9)}, np.arange(9.0), "series m_S must have"),
        ({"m_S": noise(4, 3)}, np.arange(3.0), "times must be at least 4 increasing numbers"),
        ({"m_S": noise(4, 0)}, np.arange(0.0), "times must be at least 4 increasing numbers"),
        ({"m_S": noise(4, 9)}, np.zeros(9), "times must be at least 4 increasing numbers"),
    ],
)
def test_draws_that_cannot_be_judged_are_refused(series, times, words):
    with pytest.raises(ArgumentError, match=f"^{words}"):
        report(series, times)
    with pytest.raises(ArgumentError, match=r"^threshold must be"):
        report({"m_S": noise(4, 9)}, np.arange(9.0), threshold=1.0)

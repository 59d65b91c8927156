"""The report of a mean-field solution: its residual, and whether it can be trusted."""

import math

import numpy as np
import pytest

from feature_learning.errors import ArgumentError, ConvergenceError
from feature_learning.experiments.flat import configure
from feature_learning.inference.mean_field import solve
from feature_learning.model.priors import Ard
from feature_learning.samplers.options import SamplingOptions
from feature_learning.samplers.registry import UnderdampedOptions

SHORT = {"langevin_time": 40.0, "measurements": 20}


def solution(tiny, *, kappa=0.1, sampling=None, **options):
    config = configure(**tiny)
    data, test = config.datasets()
    return solve(
        config.student,
        config.teacher,
        data,
        test,
        kappa=kappa,
        sampling=SamplingOptions(**{"sampler": UnderdampedOptions(step=0.2)} | (sampling or SHORT)),
        **options,
    )


@pytest.mark.parametrize("solver", ["particles", "collapsed"])
@pytest.mark.parametrize("ard", [None, Ard(2.0)])
def test_the_residual_is_the_drift_of_the_overlap_between_the_halves_of_what_counts(
    tiny, solver, ard
):
    found = solution(tiny, solver=solver, ard=ard, chains=3)
    counted = found.run.series["m_S"][:, found.run.counted]
    assert counted.shape == (3, 10)
    drift = [abs(np.mean(chain[:5]) - np.mean(chain[5:])) for chain in counted]
    assert found.residual == pytest.approx(np.mean(drift), rel=1e-12)
    assert found.residual_sem == pytest.approx(np.std(drift, ddof=1) / math.sqrt(3), rel=1e-12)
    assert found.iterations == 200
    for name in ("m_S", "test_mse", "noise"):
        assert getattr(found, name) == pytest.approx(found.run.posterior_mean[name].mean())
    # The posterior mean's error splits as any predictor's does.
    overlap, noise = (found.run.posterior_mean[name] for name in ("m_S", "noise"))
    assert found.test_mse == pytest.approx(np.mean((1 - overlap) ** 2 + noise), rel=1e-4)


def test_a_chain_on_its_way_has_a_residual_and_one_that_has_arrived_has_little(tiny):
    # From the prior the overlap grows to its fixed point: looks without burn-in see it grow.
    rising = solution(
        tiny, kappa=0.02, chains=8, sampling={**SHORT, "langevin_time": 16.0, "burn_in": 0.0}
    )
    long = solution(
        tiny, kappa=0.02, chains=8, sampling={"langevin_time": 800.0, "measurements": 400}
    )
    assert rising.residual > 3.5 * rising.residual_sem
    assert rising.residual > 3 * long.residual


def test_one_chain_has_a_residual_without_an_error_and_too_few_measurements_have_none(tiny):
    single = solution(tiny)
    assert math.isfinite(single.residual)
    assert math.isnan(single.residual_sem)
    single = solution(tiny, sampling={**SHORT, "measurements": 1, "burn_in": 0.0}, chains=2)
    assert math.isnan(single.residual)
    assert math.isnan(single.residual_sem)


def test_who_insists_on_convergence_gets_an_error_with_the_evidence(tiny):
    plain = solution(tiny, chains=2)
    assert not plain.converged
    with pytest.raises(ConvergenceError) as caught:
        solution(tiny, chains=2, insist=True)
    said = str(caught.value)
    assert "did not converge in 200 steps" in said
    assert said.endswith("; ".join(plain.run.convergence.reasons))
    assert "2 chains, at least 4 needed" in said


def test_who_insists_gets_the_same_solution_when_it_has_converged(tiny):
    options = {
        "kappa": 0.3,
        "chains": 4,
        "particles": 32,
        "sampling": {
            "sampler": UnderdampedOptions(step=0.15, friction=0.1),
            **{"langevin_time": 2800.0, "measurements": 700},
        },
    }
    plain, insisted = solution(tiny, **options), solution(tiny, insist=True, **options)
    assert plain.converged
    assert insisted.converged
    assert insisted.m_S == plain.m_S
    assert plain.residual < 0.1


def test_an_unknown_solver_is_refused(tiny):
    with pytest.raises(ArgumentError, match=r"^solver must be one of"):
        solution(tiny, solver="exact")

"""The distribution of quantised Langevin dynamics in a well: closed forms and simulation."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from toys import SIGMAS

from feature_learning import QuantisedLangevin
from feature_learning.errors import ArgumentError
from feature_learning.theory.rounding import well_distribution
from sampler_validation.toy_potentials import averages, harmonic

ETA = 0.05
SGLD_VARIANCE = 1 / (1 - ETA / 2)
THERMAL = math.sqrt(2 * ETA)


@pytest.mark.parametrize(("curvature", "temperature"), [(1.0, 1.0), (3.0, 0.2)])
@pytest.mark.parametrize("rounding", ["stochastic", "nearest", "floor"])
def test_a_small_quantum_gives_the_law_of_sgld_and_floor_moves_it(rounding, curvature, temperature):
    quantum = 0.4 * math.sqrt(2 * ETA * temperature)
    sampler = QuantisedLangevin(ETA, quantum, rounding=rounding)
    law = well_distribution(sampler, curvature=curvature, temperature=temperature)
    variance = temperature / curvature / (1 - ETA * curvature / 2)
    assert law.variance == pytest.approx(variance, rel=1e-6)
    shift = -quantum / (2 * ETA * curvature) if rounding == "floor" else 0.0
    assert law.mean == pytest.approx(shift, abs=1e-6 * math.sqrt(variance))
    assert law.forgetting == pytest.approx(-ETA / math.log(1 - ETA * curvature), rel=1e-6)


@pytest.mark.parametrize("curvature", [0.3, 1.0, 7.0])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_stochastic_rounding_alone_has_a_variance_without_temperature(curvature, temperature):
    sampler = QuantisedLangevin(ETA, 0.7, thermal=False)
    law = well_distribution(sampler, curvature=curvature, temperature=temperature)
    assert law.variance == pytest.approx(0.7**2 / 6, rel=1e-9)
    assert law.mean == pytest.approx(0, abs=1e-9)
    assert law.forgetting == pytest.approx(-ETA / math.log(1 - ETA * curvature), rel=1e-6)


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_rounding_that_freezes_has_no_law_of_its_own(rounding):
    law = well_distribution(QuantisedLangevin(ETA, rounding=rounding, thermal=False))
    assert math.isnan(law.variance)
    assert law.forgetting == math.inf


@pytest.mark.parametrize(
    ("rounding", "size"), [("stochastic", 2.4), ("stochastic", 3.4), ("nearest", 2.4), ("floor", 2)]
)
def test_simulation_agrees(rounding, size):
    sampler = QuantisedLangevin(ETA, size * THERMAL, rounding=rounding)
    law, chains = well_distribution(sampler), 8000
    assert abs(law.variance / SGLD_VARIANCE - 1) > 0.03  # a quantum that matters
    random = torch.Generator().manual_seed(0)
    start = law.mean + torch.randn(chains, generator=random, dtype=torch.float64)
    found = averages(
        sampler,
        harmonic([1.0], chains=chains),
        start,
        lambda x: (x[0] - law.mean) ** 2,
        steps=200,
        burn_in=400,
        every=20,
    )
    assert abs(found.plain - law.variance) < SIGMAS * found.plain_sem


def test_near_the_matched_quantum_rounding_to_nearest_forgets_exponentially_slowly():
    """A jump of Δ needs noise of half a quantum: the rate falls as that probability."""
    times = []
    for size in (2.6, 3.0, 3.2):
        sampler = QuantisedLangevin(ETA, size * THERMAL, rounding="nearest")
        ratio = 0.5 * size * THERMAL / sampler.noise(size * THERMAL, 1.0)
        times.append((well_distribution(sampler).forgetting, math.erfc(ratio / math.sqrt(2))))
    assert times[0][0] > 1
    for (before, often), (after, seldom) in pairwise(times):
        assert after / before > 0.2 * often / seldom > 1


def test_what_has_no_law_is_refused():
    with pytest.raises(ArgumentError, match=r"^step_size must be below"):
        well_distribution(QuantisedLangevin(ETA), curvature=20.0)
    with pytest.raises(ArgumentError, match=r"^quantum must be at least"):
        well_distribution(QuantisedLangevin(ETA, 1e-4))
    for name in ("curvature", "temperature", "offsets"):
        with pytest.raises(ArgumentError, match=f"^{name} must be"):
            well_distribution(QuantisedLangevin(ETA), **{name: 0})

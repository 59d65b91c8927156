"""Quantised Langevin dynamics: where rounding can replace noise, and where it cannot."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toys import SIGMAS, Toy, deviation, moved

from feature_learning import SGLD, QuantisedLangevin
from feature_learning.errors import ArgumentError
from feature_learning.samplers.quantised import QuantumSchedule

CHAINS = 20_000
ETA = 0.05


def slope(x):
    """A constant force: ∇U = -1, h = η."""
    return -x.sum(dim=1)


def harmonic(x):
    return 0.5 * x.square().sum(dim=1)


def steps(sampler, count=1, temperature=1.0):
    """Displacement per step under the constant force."""
    start = torch.zeros(CHAINS, dtype=torch.float64)
    state = moved(sampler, Toy(slope, 1, CHAINS, temperature), start, count)
    return state.position.numpy() / count


@pytest.mark.parametrize("part", [0.1, 0.4, 1.3, 2.75])
def test_stochastic_rounding_is_right_on_average_with_variance_of_its_fraction(part):
    quantum = ETA / part  # h/Δ = part
    moves = steps(QuantisedLangevin(ETA, quantum, thermal=False))
    fraction = part - math.floor(part)
    variance = quantum**2 * fraction * (1 - fraction)
    assert abs(deviation(moves, ETA)) < SIGMAS
    assert abs(deviation((moves - ETA) ** 2, variance)) < SIGMAS


@pytest.mark.parametrize("part", [0.49, 0.2, 0.01])
def test_rounding_to_nearest_freezes_every_weight_with_a_small_step(part):
    sampler = QuantisedLangevin(ETA, ETA / part, rounding="nearest", thermal=False)
    assert not steps(sampler, 100).any()


@pytest.mark.parametrize("part", [0.7, 1.3])
def test_rounding_down_drifts_and_rounding_to_nearest_does_not_where_the_noise_is_wide(part):
    """With noise of two quanta h/Δ is spread evenly: floor loses Δ/2 a step, exactly."""
    quantum = ETA / part
    thermal = (2 * quantum) ** 2 / (2 * ETA) + quantum**2 / 12 / (2 * ETA)
    for rounding, drift in (("floor", -quantum / 2), ("nearest", 0.0)):
        sampler = QuantisedLangevin(ETA, quantum, rounding=rounding)
        moves = steps(sampler, temperature=thermal)
        assert abs(deviation(moves, ETA + drift)) < SIGMAS
        # Rounding has the variance Δ²/12, and noise fills the rest: 2ηT in all.
        assert abs(deviation((moves - ETA - drift) ** 2, 2 * ETA * thermal)) < SIGMAS


def spread(sampler, time=6.0):
    """⟨x²⟩ in the well U = x²/2 at T = 1, per chain."""
    start = torch.randn(CHAINS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    energy = Toy(harmonic, 1, CHAINS)
    return moved(sampler, energy, start, round(time / sampler.step_size)).position.square().numpy()


EXACT = 1 / (1 - ETA / 2)  # of SGLD with that step


@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
@pytest.mark.parametrize("size", [0.1, 1.0])
def test_a_quantum_no_larger_than_the_thermal_noise_samples_the_law_of_sgld(rounding, size):
    quantum = size * math.sqrt(2 * ETA)
    draws = spread(QuantisedLangevin(ETA, quantum, rounding=rounding))
    assert abs(deviation(draws, EXACT)) < SIGMAS
    assert abs(deviation(spread(SGLD(ETA)), EXACT)) < SIGMAS


def test_noise_of_rounding_to_nearest_alone_freezes_the_weights_at_the_matched_quantum():
    sampler = QuantisedLangevin(ETA, rounding="nearest", thermal=False)
    quantum = sampler.quantum_at(0, 1.0)
    assert quantum == pytest.approx(math.sqrt(24 * ETA))
    start = torch.linspace(-5, 5, CHAINS, dtype=torch.float64)
    state = moved(sampler, Toy(harmonic, 1, CHAINS), start, 50)
    assert torch.equal(state.position, start)  # |h| = η|x| ≤ 0.25 < Δ/2 = 0.55


def test_noise_of_stochastic_rounding_alone_is_not_thermal_at_the_matched_quantum():
    """In the well the noise is far too small, and none is left at the minimum."""
    sampler = QuantisedLangevin(ETA, thermal=False)
    quantum = sampler.quantum_at(0, 1.0)
    assert quantum == pytest.approx(math.sqrt(12 * ETA))
    draws = spread(sampler, time=20.0)
    # Far below T: the variance is Δ|h| where |h| is below Δ, and vanishes with h.
    assert deviation(draws, 1.0) < -10 * SIGMAS
    lattice = torch.zeros(CHAINS, dtype=torch.float64)
    assert not moved(sampler, Toy(harmonic, 1, CHAINS), lattice, 50).position.any()


def test_the_schedule_is_that_of_the_paper():
    schedule = QuantumSchedule(start=10.0, base=2.0, epoch=5)
    expected = [
        1 / (10.0 * 2.0 ** math.floor(math.log2(math.log(epoch + 2)))) for epoch in range(2000)
    ]
    assert [schedule.at(5 * epoch + 4) for epoch in range(2000)] == pytest.approx(expected)
    assert np.all(np.diff(expected) <= 0)
    assert expected[-1] < expected[0]
    sampler = QuantisedLangevin(ETA, schedule, rounding="nearest", thermal=False)
    assert sampler.quantum_at(7, 1.0) == pytest.approx(expected[1])
    moves = steps(sampler, count=3)
    assert np.isclose(moves * 3 / expected[0], np.round(moves * 3 / expected[0])).all()


@pytest.mark.parametrize("base", [2.0, 3.0])
def test_a_schedule_can_be_asked_to_start_with_a_quantum(base):
    schedule = QuantumSchedule.down_from(0.3, base=base, epoch=7)
    assert schedule.at(6) == pytest.approx(0.3)
    # log_b ln(t+2) passes the integer p at t = e^(b^p) - 2: the quantum is then b^-(p+1) of that.
    for level in (0, 1):
        epoch = math.ceil(math.exp(base**level) - 2)
        assert schedule.at(7 * epoch) == pytest.approx(0.3 * base ** -(level + 1))
        assert schedule.at(7 * epoch - 1) == pytest.approx(0.3 * base**-level)


def test_a_weight_freezes_where_its_step_is_half_a_quantum_and_thaws_as_the_quantum_falls():
    """Rounding to nearest alone: ``|x|`` goes down to Δ/(2ηλ), within a quantum, and stays."""
    first = 0.4
    schedule = QuantumSchedule.down_from(first, epoch=100)
    sampler = QuantisedLangevin(ETA, schedule, rounding="nearest", thermal=False)
    start = torch.linspace(-40, 40, 1001, dtype=torch.float64)
    law = Toy(harmonic, 1, len(start))
    # ⌊log2 ln(t+2)⌋ is 1 from epoch 6 to 52, and 2 afterwards.
    for epochs, quantum in ((1, first), (20, first / 4), (60, first / 8)):
        assert schedule.at(100 * epochs - 1) == pytest.approx(quantum)
        reached = moved(sampler, law, start, 100 * epochs).position.abs()
        edge = quantum / (2 * ETA)
        assert reached.max() <= edge + 1e-9
        assert reached[start.abs() > 20].min() > edge - quantum


def test_what_cannot_be_is_refused():
    for options in (
        {"step_size": 0},
        {"step_size": 0.1, "quantum": -1.0},
        {"step_size": 0.1, "rounding": "up"},
    ):
        name = list(options)[-1]
        with pytest.raises(ArgumentError, match=f"^{name} must be"):
            QuantisedLangevin(**options)
    with pytest.raises(ArgumentError, match=r"^quantum must be"):
        QuantumSchedule.down_from(0.0)
    with pytest.raises(ArgumentError, match=r"^base must be"):
        QuantumSchedule(1.0, base=1.0)

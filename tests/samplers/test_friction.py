"""The automatic friction, and the autocorrelation times of a mode that determine it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from toys import SIGMAS, Toy

from feature_learning import Student, Underdamped, configure
from feature_learning.errors import ArgumentError
from feature_learning.experiments.keys import canonical, cell_key
from feature_learning.samplers import Gibbs
from feature_learning.samplers.friction import automatic_friction, harmonic_times, softest_frequency

PAPER = Student(dim=35, width=512)


def correlation(t, friction, frequency):
    """C(t) of the module's docstring, in the complex plane for every friction."""
    root = np.sqrt(complex(frequency**2 - friction**2 / 4))
    value = np.cos(root * t) + friction / (2 * root) * np.sin(root * t)
    return float((np.exp(-friction * t / 2) * value).real)


@pytest.mark.parametrize("friction", [0.1, 0.5, 0.99, 3.0])
def test_the_times_are_the_integrals_of_the_correlations(friction):
    frequency, end = 0.5, 400.0
    for power, expected in zip((1, 2), harmonic_times(friction, frequency), strict=True):
        found = quad(lambda t, n=power: correlation(t, friction, frequency) ** n, 0, end, limit=900)
        assert 2 * found[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("ratio", [0.25, 1.0, 8.0])
def test_the_sampler_forgets_as_they_say(ratio):
    frequency, count, every = 0.5, 2000, 5
    energy = Toy(lambda x: 0.5 * frequency**2 * x.square().sum(dim=1), count, 1)
    sampler = Underdamped(0.2, friction=ratio * frequency)
    random = torch.Generator().manual_seed(5)
    position = torch.randn(count, generator=random) / frequency  # at T = 1: stationary at once
    state = sampler.init(energy, position, random)
    draws = [position]
    for done in range(0, 300, every):
        sampler.advance(state, energy, every, random, done=done)
        draws.append(state.position.clone())
    x = torch.stack(draws).double().numpy() * frequency  # (draws, modes), of variance 1
    for lag in (1, 2, 4, 8, 16, 30):
        expected = correlation(lag * every * sampler.step_size, sampler.friction, frequency)
        of_x = float((x[0] * x[lag]).mean())
        assert of_x == pytest.approx(expected, abs=SIGMAS * math.sqrt(2 / count))
        # Var of x²y² of standard normals is at most that of x⁴, 96.
        of_squares = float((x[0] ** 2 * x[lag] ** 2).mean() - 1) / 2
        assert of_squares == pytest.approx(expected**2, abs=SIGMAS * math.sqrt(96 / 4 / count))


def test_the_larger_of_both_times_is_least_at_the_frequency_and_near_it_at_twice_that():
    frequency = 0.0071
    frictions = frequency * np.geomspace(0.1, 10, 201)
    worst = [max(harmonic_times(friction, frequency)) for friction in frictions]
    assert frictions[int(np.argmin(worst))] == pytest.approx(frequency)
    assert min(worst) == pytest.approx(2 / frequency)
    of_squares = [harmonic_times(friction, frequency)[1] for friction in frictions]
    assert harmonic_times(2 * frequency, frequency)[1] == pytest.approx(1.25 * min(of_squares))


def test_the_softest_mode_is_that_of_the_widest_prior_that_moves():
    assert softest_frequency(PAPER, kappa=0.005) == pytest.approx(math.sqrt(2) * 0.005)
    weights = math.sqrt(2 * 35) * 0.005
    assert softest_frequency(PAPER, kappa=0.005, readout=False) == pytest.approx(weights)
    biased = Student(dim=35, width=9, output_bias_variance=4.0)
    assert softest_frequency(biased, kappa=0.1) == pytest.approx(math.sqrt(2 / 4) * 0.1)
    narrow = Student(dim=2, width=9, readout_variance=0.01, weight_variance=6.0)
    assert softest_frequency(narrow, kappa=0.1) == pytest.approx(math.sqrt(2 / 3) * 0.1)


def test_the_choice_is_critical_for_it_in_two_digits():
    assert automatic_friction(PAPER, kappa=0.005) == 0.014
    assert automatic_friction(PAPER, kappa=5e-4) == 0.0014
    assert automatic_friction(PAPER, kappa=0.05) == 0.14
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ArgumentError, match=r"^kappa must be"):
            automatic_friction(PAPER, kappa=bad)
        for arguments in ((bad, 1.0), (1.0, bad)):
            with pytest.raises(ArgumentError, match=r"^fr"):
                harmonic_times(*arguments)


def test_a_configuration_that_asks_for_it_gets_the_number():
    asked = configure(friction="auto")
    assert asked == configure(friction=0.014)
    assert asked.sampling.sampler.friction == 0.014
    assert cell_key(asked) == cell_key(configure(friction=0.014))
    # Readouts that are drawn exactly or integrated out are no slow mode.
    for options in ({"sampler": "gibbs"}, {"method": "mf", "solver": "collapsed"}):
        assert configure(friction="auto", **options).run.sampler.friction == 0.084
    assert configure(friction="auto", method="mf-ard").run.sampler.friction == 0.014


def test_a_friction_that_is_not_given_means_what_it_did():
    assert configure().run.sampler.friction is None
    assert canonical(configure())["friction"] is None
    fixed = configure(until_settled=False)
    assert fixed.sampling.sampler.friction is None  # the sampler has 0.02
    assert Underdamped(1.0).friction == Gibbs(1.0).friction == 0.02
    assert configure().sampling.sampler.friction is None  # it is tuned
    assert configure(method="mf").sampling.sampler.friction == 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"friction": "fast"}, "friction must be a number or 'auto', not 'fast'"),
        ({"friction": "auto", "sampler": "sgld"}, "friction has no effect with"),
        ({"friction": "auto", "method": "nngp"}, "friction has no effect with"),
        ({"friction": "auto", "kappa": -1.0}, "kappa must be"),
        ({"friction": True}, "friction must be"),
    ],
)
def test_what_cannot_be_a_friction_is_refused(options, words):
    with pytest.raises(ArgumentError, match=words):
        configure(**options)

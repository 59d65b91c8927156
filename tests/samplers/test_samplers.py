"""One step of each sampler follows its formula, and stationary variances are as stated."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov

from feature_learning.energies.curvature import largest_curvature
from feature_learning.errors import ArgumentError
from feature_learning.samplers import SGLD, SamplerState, Underdamped


class Well:
    """A harmonic well U = ½ Σ λ θ², in float64, that counts how often it is refreshed."""

    chains = 1

    def __init__(self, spring_constant, temperature=0.7, every=0):
        self.spring_constant = torch.as_tensor(spring_constant, dtype=torch.float64)
        self.temperature, self.refresh_every = temperature, every
        self.refreshed = []

    def gradient(self, theta, out):
        torch.mul(self.spring_constant, theta, out=out)

    def refresh(self, theta):
        self.refreshed.append(theta.clone())


def noise(seed, size, count):
    random = torch.Generator().manual_seed(seed)
    return [torch.empty(size, dtype=torch.float64).normal_(generator=random) for _ in range(count)]


POSITION = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
STIFFNESS = [0.5, 1.0, 2.5]
SAMPLERS = [SGLD(0.2), Underdamped(0.4, friction=0.3)]


def test_an_sgld_step_is_its_formula():
    well, eta, temperature = Well(STIFFNESS), 0.2, 0.7
    random = torch.Generator().manual_seed(11)
    sampler = SGLD(eta)
    state = sampler.init(well, POSITION, random)
    sampler.advance(state, well, 4, random, done=0)
    theta = POSITION.clone()
    for xi in noise(11, 3, 4):
        theta = theta - eta * well.spring_constant * theta + math.sqrt(2 * temperature * eta) * xi
    torch.testing.assert_close(state.position, theta, rtol=1e-13, atol=0)


def test_a_baoab_step_is_its_formula():
    well, h, friction, temperature = Well(STIFFNESS), 0.4, 0.3, 0.7
    random = torch.Generator().manual_seed(12)
    sampler = Underdamped(h, friction=friction)
    state = sampler.init(well, POSITION, random)
    first, *kicks = noise(12, 3, 5)
    theta, v = POSITION.clone(), math.sqrt(temperature) * first
    torch.testing.assert_close(state.velocity, v, rtol=1e-13, atol=0)
    sampler.advance(state, well, 4, random, done=0)
    c = math.exp(-friction * h)
    for xi in kicks:
        v = v - h / 2 * well.spring_constant * theta
        theta = theta + h / 2 * v
        v = c * v + math.sqrt(temperature * (1 - c * c)) * xi
        theta = theta + h / 2 * v
        v = v - h / 2 * well.spring_constant * theta
    torch.testing.assert_close(state.position, theta, rtol=1e-12, atol=0)
    torch.testing.assert_close(state.velocity, v, rtol=1e-12, atol=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_steps_in_pieces_are_the_same_steps_and_the_start_is_left_alone(sampler):
    states, position = [], POSITION.clone()
    for pieces in ([7], [1, 4, 2]):
        well, random = Well(STIFFNESS, every=3), torch.Generator().manual_seed(5)
        state, done = sampler.init(well, position, random), 0
        for piece in pieces:
            sampler.advance(state, well, piece, random, done=done)
            done += piece
        # Steps 0, 3 and 6 come right after a refresh, however the run is cut.
        assert len(well.refreshed) == 3
        states.append((state, well.refreshed))
    (whole, seen), (cut, seen_again) = states
    assert torch.equal(whole.position, cut.position)
    assert torch.equal(whole.velocity, cut.velocity)
    assert all(torch.equal(a, b) for a, b in zip(seen, seen_again, strict=True))
    assert torch.equal(position, POSITION)


@pytest.mark.parametrize("friction", [0.02, 1.0, 50.0])
def test_the_thermostat_keeps_a_maxwellian_at_its_temperature(friction):
    # No force: only the thermostat acts on the velocities.
    size, temperature = 100_000, 0.3
    well, random = Well(torch.zeros(size), temperature), torch.Generator().manual_seed(0)
    sampler = Underdamped(0.5, friction=friction)
    state = sampler.init(well, torch.zeros(size, dtype=torch.float64), random)
    for _ in range(3):
        error = temperature * math.sqrt(2 / size)
        assert abs(state.velocity.square().mean() - temperature) < 5 * error
        before = state.velocity.clone()
        sampler.advance(state, well, 1, random, done=0)
        correlation = (before * state.velocity).mean() / temperature
        assert abs(correlation - math.exp(-friction * 0.5)) < 5 / math.sqrt(size)


def linear_map(sampler, spring_constant):
    """The step as C ← A C Aᵀ + b bᵀ on (position, velocity), read off the sampler itself."""

    def step(x, v, temperature):
        well, random = Well([spring_constant], temperature), torch.Generator().manual_seed(3)
        tensors = (
            torch.tensor([each], dtype=torch.float64) for each in (x, v, spring_constant * x, 0.0)
        )
        state = SamplerState(*tensors)
        sampler.advance(state, well, 1, random, done=0)
        return np.array([state.position.item(), state.velocity.item()])

    (xi,) = noise(3, 1, 1)
    matrix = np.stack([step(1.0, 0.0, 0.0), step(0.0, 1.0, 0.0)], axis=1)
    return matrix, step(0.0, 0.0, 1.0) / xi.item()


@pytest.mark.parametrize("spring_constant", [0.01, 1.0, 3.0])
@pytest.mark.parametrize("fraction", [0.05, 0.4, 0.9])
def test_sgld_inflates_positions_by_what_it_says(spring_constant, fraction):
    sampler = SGLD(fraction * 2 / spring_constant)
    matrix, kick = linear_map(sampler, spring_constant)
    a, b = matrix[0, 0], kick[0]
    stationary = b * b / (1 - a * a)  # at T = 1, where the right variance is 1/λ
    assert stationary * spring_constant == pytest.approx(
        sampler.variance_bias_factor(spring_constant), rel=1e-10
    )


@pytest.mark.parametrize("spring_constant", [0.01, 1.0, 3.0])
@pytest.mark.parametrize("fraction", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("friction", [0.02, 1.0])
def test_baoab_has_exact_positions_and_velocities_too_cold_by_the_inverse_of_the_inflation(
    spring_constant, fraction, friction
):
    h = fraction * 2 / math.sqrt(spring_constant)
    sampler = Underdamped(h, friction=friction)
    matrix, kick = linear_map(sampler, spring_constant)
    covariance = solve_discrete_lyapunov(matrix, np.outer(kick, kick))
    assert covariance[0, 0] * spring_constant == pytest.approx(1, rel=1e-8)
    assert covariance[0, 1] == pytest.approx(0, abs=1e-8)
    assert covariance[1, 1] == pytest.approx(1 - h * h * spring_constant / 4, rel=1e-8)
    assert 1 / covariance[1, 1] == pytest.approx(
        sampler.variance_bias_factor(spring_constant), rel=1e-8
    )


@pytest.mark.parametrize("make", [SGLD, Underdamped])
@pytest.mark.parametrize("spring_constant", [0.3, 4.0])
def test_the_inflation_is_infinite_exactly_where_the_step_is_unstable(make, spring_constant):
    limit = 2 / spring_constant if make is SGLD else 2 / math.sqrt(spring_constant)
    for factor, stable in ((0.98, True), (1.02, False)):
        sampler = make(factor * limit)
        matrix, _ = linear_map(sampler, spring_constant)
        # SGLD carries no velocity: its map is the position's alone.
        moving = matrix[:1, :1] if make is SGLD else matrix
        assert bool(np.abs(np.linalg.eigvals(moving)).max() < 1) is stable
        assert math.isfinite(sampler.variance_bias_factor(spring_constant)) is stable
    assert make(1.0).variance_bias_factor(math.nan) == math.inf


@pytest.mark.parametrize(
    ("sampler", "fraction"), [(SGLD(1.0), 0.1), (Underdamped(1.0), 0.2)], ids=["sgld", "baoab"]
)
@pytest.mark.parametrize("spring_constant", [0.3, 4.0])
def test_suggested_steps_are_the_fractions_of_the_stability_limit_they_say(
    sampler, fraction, spring_constant
):
    limit = 2 / (spring_constant if isinstance(sampler, SGLD) else math.sqrt(spring_constant))
    assert sampler.starting_step(spring_constant) == pytest.approx(fraction * limit)
    largest = sampler.with_step(sampler.largest_step(spring_constant))
    assert largest.variance_bias_factor(spring_constant) == pytest.approx(1.25)


def test_settling_uses_the_other_friction_and_only_that():
    sampler = Underdamped(0.3, friction=0.05, warmup_friction=2.0)
    assert sampler.for_warmup() == Underdamped(0.3, friction=2.0, warmup_friction=2.0)
    assert sampler.velocity_relaxation_time == pytest.approx(20)
    assert sampler.for_warmup().velocity_relaxation_time == pytest.approx(0.5)
    assert SGLD(0.3).for_warmup() == SGLD(0.3)


def test_another_step_keeps_everything_else():
    sampler = Underdamped(0.3, friction=0.05, warmup_friction=2.0)
    assert sampler.with_step(0.1) == Underdamped(0.1, friction=0.05, warmup_friction=2.0)
    assert SGLD(0.3).with_step(0.1) == SGLD(0.1)


def test_only_underdamped_velocities_mean_something():
    assert math.isinf(SGLD(0.1).velocity_relaxation_time)
    state = SGLD(0.1).init(Well(STIFFNESS), POSITION, torch.Generator())
    assert not state.velocity.any()
    assert math.isnan(SGLD(0.1).kinetic_temperature(state))
    assert Underdamped(0.1).velocity_relaxation_time == pytest.approx(50)


@pytest.mark.parametrize("value", [0, -0.1, math.nan, math.inf, "0.1", True])
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda value: SGLD(value), "step_size"),
        (lambda value: Underdamped(value), "step_size"),
        (lambda value: Underdamped(0.1, friction=value), "friction"),
        (lambda value: Underdamped(0.1, warmup_friction=value), "warmup_friction"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(make, name, value):
    with pytest.raises(ArgumentError, match=rf"^{name} must be a finite number above 0, not "):
        make(value)


def test_power_iteration_finds_the_largest_curvature_of_a_well():
    spring_constant = torch.linspace(0.1, 3.0, 40, dtype=torch.float64)
    spring_constant[7] = 5.0
    theta = torch.ones(40, dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    found = largest_curvature(Well(spring_constant), theta, random, iterations=100, tolerance=1e-8)
    assert found == pytest.approx(5.0, rel=1e-5)
    rough = largest_curvature(Well(spring_constant), theta, torch.Generator().manual_seed(0))
    assert 4.5 < rough <= 5.0 + 1e-9

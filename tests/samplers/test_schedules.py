"""Schedules: budgets, measurements, burn-in, and the published clock."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_learning.errors import ArgumentError
from feature_learning.experiments.paper import PARITY, SINGLE_INDEX
from feature_learning.samplers.schedules import Segment, at_times, growing, uniform


def ends(schedule):
    """Langevin time of each look."""
    return np.cumsum([segment.steps * segment.step_size for segment in schedule.segments])


def test_a_budget_in_steps_is_kept_exactly_with_equally_spaced_measurements():
    schedule = uniform(step_size=0.5, steps=100, measurements=10, burn_in=0.3, warmup=0.1)
    assert [segment.steps for segment in schedule.segments] == [10] * 10
    assert schedule.steps == 100
    assert schedule.langevin_time == 50
    assert [segment.burn_in for segment in schedule.segments] == [True] * 3 + [False] * 7
    assert [segment.warmup for segment in schedule.segments] == [True] + [False] * 9


def test_measurements_that_do_not_divide_the_budget_are_rounded():
    schedule = uniform(step_size=1.0, steps=10, measurements=4, burn_in=0, warmup=0)
    assert np.cumsum([segment.steps for segment in schedule.segments]).tolist() == [2, 5, 8, 10]


def test_there_is_at_most_one_measurement_a_step():
    assert [segment.steps for segment in uniform(step_size=1.0, steps=3).segments] == [1, 1, 1]


@pytest.mark.parametrize(
    ("time", "step", "steps"), [(1.0, 0.3, 4), (0.3, 0.1, 3), (1.0, 0.1, 10), (0.05, 0.1, 1)]
)
def test_a_budget_in_langevin_time_is_rounded_up_to_whole_steps(time, step, steps):
    schedule = uniform(step_size=step, langevin_time=time)
    assert schedule.steps == steps
    assert schedule.langevin_time == pytest.approx(steps * step)


@given(
    steps=st.integers(1, 5000),
    measurements=st.integers(1, 300),
    burn_in=st.floats(0, 0.99),
    share=st.floats(0, 1),
)
def test_every_schedule_spends_its_budget_and_burns_in_the_right_fraction(
    steps, measurements, burn_in, share
):
    schedule = uniform(
        step_size=0.25,
        steps=steps,
        measurements=measurements,
        burn_in=burn_in,
        warmup=share * burn_in,
    )
    segments = schedule.segments
    assert sum(segment.steps for segment in segments) == schedule.steps == steps
    assert len(segments) == min(measurements, steps)
    counts = [segment.steps for segment in segments]
    assert min(counts) >= 1
    assert max(counts) - min(counts) <= 1
    assert {segment.step_size for segment in segments} == {0.25}
    # Burn-in is a beginning, settling a beginning of it; the last look always counts.
    for flags in ([s.burn_in for s in segments], [s.warmup for s in segments]):
        assert flags == sorted(flags, reverse=True)
    assert not segments[-1].burn_in
    burnt = sum(segment.steps for segment in segments if segment.burn_in)
    settled = sum(segment.steps for segment in segments if segment.warmup)
    assert burnt <= burn_in * steps
    assert burnt + max(counts) > burn_in * steps
    assert settled <= share * burn_in * steps + 1e-9
    assert settled <= burnt


@given(time=st.floats(1e-9, 1e4), step_size=st.floats(1e-2, 1e3))
def test_a_time_budget_is_reached_by_less_than_one_step(time, step_size):
    schedule = uniform(step_size=step_size, langevin_time=time, measurements=3)
    assert schedule.langevin_time >= time * (1 - 1e-6)
    assert schedule.langevin_time < time + step_size * (1 + 1e-6)


@pytest.mark.parametrize("time", [1e-12, 1e-30])
def test_the_shortest_budget_is_one_step(time):
    assert uniform(step_size=0.1, langevin_time=time).steps == 1
    assert at_times([time], step_size=0.1).steps == 1


def test_a_budget_no_computer_can_count_is_refused():
    with pytest.raises(ArgumentError, match="langevin_time"):
        uniform(step_size=1e-300, langevin_time=1e300)


@given(gaps=st.lists(st.floats(1e-3, 50), min_size=1, max_size=20), step_size=st.floats(0.02, 10))
def test_given_times_are_hit_exactly_with_steps_no_longer_than_asked(gaps, step_size):
    times = np.cumsum(gaps)
    schedule = at_times(times.tolist(), step_size=step_size)
    np.testing.assert_allclose(ends(schedule), times, rtol=1e-12)
    assert schedule.langevin_time == pytest.approx(times[-1], rel=1e-12)
    for segment in schedule.segments:
        assert segment.step_size <= step_size * (1 + 1e-8)
        # Shortened a little, not needlessly: one step fewer would be too long.
        assert segment.steps == 1 or segment.step_size * segment.steps > step_size * (
            segment.steps - 1
        )
        assert not segment.burn_in
        assert not segment.warmup


PARITY_LOOKS = [235, 443, 627, 792, 941]


def test_the_published_clock_looks_when_the_paper_did():
    schedule = PARITY.schedule(0.3)
    times = ends(schedule)
    assert [round(time) for time in times[:5]] == PARITY_LOOKS
    assert len(times) == 30
    assert round(times[-1]) == 4083
    assert schedule.langevin_time == pytest.approx(PARITY.time(7_500_000), rel=1e-12)
    assert max(segment.step_size for segment in schedule.segments) <= 0.3
    exact = [PARITY.time(250_000 * measurement) for measurement in range(1, 31)]
    np.testing.assert_allclose(times, exact, rtol=1e-12)


def test_the_single_index_clock_has_80_measurements_up_to_9900():
    times = ends(SINGLE_INDEX.schedule(0.05))
    assert len(times) == 80
    assert times[-1] == pytest.approx(9.9e3, rel=0.01)


@pytest.mark.parametrize(
    ("protocol", "first", "final", "decay"),
    [(PARITY, 1e-3, 5e-4, 2_000_000), (SINGLE_INDEX, 1e-2, 5e-4, 2_500_000)],
)
def test_the_clock_is_the_sum_of_a_step_size_with_power_two_decay(protocol, first, final, decay):
    n = np.arange(0, 4_000_000, 1000)
    left = 1 - np.minimum(n + 500, decay) / decay
    summed = np.cumsum(1000 * (final + (first - final) * left**2))
    clock = [protocol.time(int(step) + 1000) for step in n]
    np.testing.assert_allclose(clock, summed, rtol=1e-5)
    assert protocol.time(0) == 0


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"step_size": 0.0}, "step_size"),
        ({"step_size": math.nan}, "step_size"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"steps": None, "langevin_time": 0.0}, "langevin_time"),
        ({"steps": None, "langevin_time": math.inf}, "langevin_time"),
        ({"burn_in": -0.1}, "burn_in"),
        ({"burn_in": 1.0}, "burn_in"),
        ({"warmup": 0.6}, "warmup"),
        ({"measurements": 0}, "measurements"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(options, name):
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        uniform(**{"step_size": 0.1, "steps": 10, **options})


@pytest.mark.parametrize("budgets", [{}, {"steps": 10, "langevin_time": 1.0}])
def test_exactly_one_budget_is_asked_for(budgets):
    with pytest.raises(ArgumentError, match="give one of steps and langevin_time"):
        uniform(step_size=0.1, **budgets)


@pytest.mark.parametrize("times", [[0.0], [1.0, 1.0], [2.0, 1.0], [math.nan], [-1.0]])
def test_times_must_increase(times):
    with pytest.raises(ArgumentError, match=r"^times must be"):
        at_times(times, step_size=0.1)


# Runs that grow


def blocks(schedule):
    """Lengths of the run at which a block ends, and the looks of each block."""
    times, starts = ends(schedule), [i for i, each in enumerate(schedule.segments) if each.opens]
    starts = [0, *starts, len(schedule.segments)]
    lengths = [times[end - 1] for end in starts[1:]]
    return lengths, [b - a for a, b in itertools.pairwise(starts)]


@pytest.mark.parametrize(("time", "step"), [(3200.0, 0.37), (64.0, 0.5), (1.0, 0.9)])
def test_at_each_length_of_a_growing_run_half_of_it_is_two_blocks(time, step):
    schedule = growing(step_size=step, langevin_time=time, measurements=40)
    lengths, measurements = blocks(schedule)
    unit = time / 32
    factors = [0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    np.testing.assert_allclose(lengths, unit * np.array(factors), rtol=1e-9)
    assert measurements == [10] * 13
    for before, now in zip(lengths, lengths[2:], strict=False):
        assert now == pytest.approx(2 * before)
    assert [each.burn_in for each in schedule.segments] == [True] * 10 + [False] * 120
    assert [each.warmup for each in schedule.segments[:10]] == [True] * 4 + [False] * 6
    assert all(each.step_size <= step * (1 + 1e-9) for each in schedule.segments)
    assert schedule.grows
    assert not uniform(step_size=1.0, steps=10).grows


def test_a_growing_run_knows_where_its_blocks_end():
    schedule = growing(step_size=0.5, langevin_time=320.0, measurements=16)
    assert [at for at in range(1, 53) if schedule.closes(at)] == list(range(4, 53, 4))
    assert schedule.ahead(0, 0.5) == sum(each.steps for each in schedule.segments[:4])
    assert schedule.ahead(5, 0.5) == sum(each.steps for each in schedule.segments[5:8])
    assert schedule.ahead(51, 0.25) == 2 * schedule.segments[51].steps


def test_a_segment_keeps_its_langevin_time_in_steps_of_another_size():
    segment = Segment(10, 0.5, burn_in=True, opens=True)
    assert segment.with_step(0.5) is segment
    shorter = segment.with_step(0.3)
    assert shorter.steps == 17
    assert shorter.steps * shorter.step_size == pytest.approx(5.0)
    assert shorter.step_size <= 0.3
    assert (shorter.burn_in, shorter.opens) == (True, True)
    assert segment.with_step(100.0).steps == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measurements": 15}, "measurements must be a whole number of at least 16, not 15"),
        ({"langevin_time": -1.0}, "langevin_time must be"),
        ({"step_size": 1e-12, "langevin_time": 1e3}, "langevin_time must be at most 1e"),
    ],
)
def test_a_growing_run_refuses_what_it_cannot_do(options, message):
    with pytest.raises(ArgumentError, match=message):
        growing(**{"step_size": 0.1, "langevin_time": 10.0, **options})

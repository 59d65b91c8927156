r"""Schedules of a run: step sizes and measurement times, as a list of segments.

A segment is a number of equal steps; observables are measured at its end, and enter the averages if
it is not part of burn-in. Budgets in steps, budgets in Langevin time and the measurement times of
the published protocol are all schedules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from feature_learning.errors import ArgumentError, check_integer, check_real

#: Larger numbers of steps are a mistake: at a microsecond per step they would take two weeks.
MAX_STEPS = 1e12


@dataclass(frozen=True)
class Segment:
    """``steps`` steps of size ``step_size``, with a measurement at the end.

    Attributes
    ----------
    steps : int
    step_size : float
    burn_in : bool
        Whether the measurement is part of burn-in.
    warmup : bool
        Whether the sampler uses its variant for the first descent.
    opens : bool
        Whether a block of measurements begins here: of the earlier measurements, only those of the
        last block still count (:func:`growing`).
    """

    steps: int
    step_size: float
    burn_in: bool
    warmup: bool = False
    opens: bool = False

    def with_step(self, step_size: float) -> Segment:
        """The same Langevin time in steps of at most this size."""
        if step_size == self.step_size:
            return self
        time = self.steps * self.step_size
        steps = max(1, math.ceil(time / step_size - 1e-9))
        return replace(self, steps=steps, step_size=time / steps)


@dataclass(frozen=True)
class Schedule:
    """Segments in order.

    Attributes
    ----------
    segments : tuple of Segment
    weighted : bool
        Whether averages weight each measurement by the Langevin time of its segment.
    """

    segments: tuple[Segment, ...]
    weighted: bool = False

    @property
    def grows(self) -> bool:
        """Whether measurements form blocks, with a possible end of the run after each block."""
        return any(segment.opens for segment in self.segments)

    def closes(self, segment: int) -> bool:
        """Whether a block ends before the segment with this index."""
        return segment == len(self.segments) or self.segments[segment].opens

    def ahead(self, segment: int, step_size: float) -> int:
        """Steps of this size from the start of a segment to the end of its block."""
        found = 0
        for each in self.segments[segment:]:
            if each.opens and found:
                break
            found += each.with_step(step_size).steps
        return found

    @property
    def steps(self) -> int:
        """Total number of steps."""
        return sum(segment.steps for segment in self.segments)

    @property
    def langevin_time(self) -> float:
        """Total Langevin time Σ η."""
        return math.fsum(segment.steps * segment.step_size for segment in self.segments)


def uniform(
    *,
    step_size: float,
    steps: int | None = None,
    langevin_time: float | None = None,
    burn_in: float = 0.5,
    warmup: float = 0.1,
    measurements: int = 200,
) -> Schedule:
    """Equally spaced measurements over a budget in steps or in Langevin time.

    Parameters
    ----------
    step_size : float
        η or h. With ``langevin_time`` the number of steps is rounded up.
    steps, langevin_time
        Exactly one of the two budgets; burn-in is part of it.
    burn_in : float
        Fraction of the budget whose measurements are discarded, in [0, 0.99].
    warmup : float
        Fraction of the budget, at most ``burn_in``, for the first descent of the loss: an
        underdamped sampler runs at high friction there.
    measurements : int
        Number of measurements, burn-in included; at most one per step.

    Raises
    ------
    ArgumentError
        If both or neither budget is given, or a number is out of range.
    """
    check_real("step_size", step_size, above=0)
    check_real("burn_in", burn_in, at_least=0, at_most=0.99)
    check_real("warmup", warmup, at_least=0, at_most=burn_in)
    check_integer("measurements", measurements, at_least=1)
    if (steps is None) == (langevin_time is None):
        raise ArgumentError(
            f"give one of steps and langevin_time, not steps={steps!r}, "
            f"langevin_time={langevin_time!r}"
        )
    if langevin_time is not None:
        check_real("langevin_time", langevin_time, above=0)
        count = langevin_time / step_size
        if count > MAX_STEPS:
            raise ArgumentError(
                f"langevin_time must be at most {MAX_STEPS:g} steps of {step_size:g}, "
                f"not {langevin_time!r}"
            )
        steps = max(1, math.ceil(count - 1e-9))
    steps = check_integer("steps", steps, at_least=1)
    measurements = min(measurements, steps)
    ends = [round(steps * (measurement + 1) / measurements) for measurement in range(measurements)]
    starts = [0, *ends[:-1]]
    return Schedule(
        tuple(
            Segment(
                end - start,
                step_size,
                burn_in=end <= burn_in * steps,
                warmup=end <= warmup * steps,
            )
            for start, end in zip(starts, ends, strict=True)
        )
    )


#: First length at which a growing run is judged, as a fraction of its limit.
FIRST = 1 / 32


def growing(*, step_size: float, langevin_time: float, measurements: int = 200) -> Schedule:
    r"""A run of variable length: at each possible end, its first half is burn-in.

    With the limit L the possible lengths are L/32 times 1, 3/2, 2, 3, 4, 6, ..., 32. Between two of
    them lies a block of ``measurements``/4 equally spaced measurements. Two blocks count, the
    present one and the one before, so that at each length the first half of the run is burn-in, and
    the second half has ``measurements``/2 measurements. The length of burn-in is not needed.

    Parameters
    ----------
    step_size : float
        h, for the first estimate of the number of steps.
    langevin_time : float
        The limit L.
    measurements : int
        Twice the number of measurements that count; at least 16.

    Raises
    ------
    ArgumentError
        If a number is out of range.
    """
    check_real("step_size", step_size, above=0)
    check_real("langevin_time", langevin_time, above=0)
    check_integer("measurements", measurements, at_least=16)
    if langevin_time / step_size > MAX_STEPS:
        raise ArgumentError(
            f"langevin_time must be at most {MAX_STEPS:g} steps of {step_size:g}, "
            f"not {langevin_time!r}"
        )
    lengths = [factor * 2**octave for octave in range(5) for factor in (1.0, 1.5)] + [32.0]
    ends = [0.5, 0.75, *lengths]
    first = FIRST * langevin_time
    segments, start, each = [], 0.0, measurements // 4
    for number, end in enumerate(ends):
        time = (end - start) * first / each
        steps = max(1, math.ceil(time / step_size - 1e-9))
        for measurement in range(each):
            segments.append(
                Segment(
                    steps,
                    time / steps,
                    burn_in=number == 0,
                    # Twice the default fraction, for a run of the first length.
                    warmup=number == 0 and measurement < 0.4 * each,
                    opens=number > 0 and measurement == 0,
                )
            )
        start = end
    return Schedule(tuple(segments))


def polynomial(schedule: Schedule, *, power: float = 1 / 3, scale: float = 0.1) -> Schedule:
    r"""The same steps and measurements with a decreasing step size η = η₀ (1 + n/(c·n_end))^(-p).

    n is the number of steps at the start of a segment: within a segment η is constant. Measurements
    are weighted by the Langevin time of their segment, since a sample of a long step represents
    more time (Welling and Teh 2011, Teh et al. 2016). The bias of an unadjusted sampler is then
    that of the time-weighted average step, and vanishes as the number of steps grows.

    Parameters
    ----------
    schedule : Schedule
        Provides η₀, steps, measurements and burn-in.
    power : float
        p in (0, 1]; 1/3 balances bias and variance for SGLD.
    scale : float
        c, the fraction of the steps after which η begins to decrease.
    """
    check_real("power", power, above=0, at_most=1)
    check_real("scale", scale, above=0)
    segments, done = [], 0
    for segment in schedule.segments:
        factor = (1 + done / (scale * schedule.steps)) ** -power
        segments.append(replace(segment, step_size=segment.step_size * factor))
        done += segment.steps
    return Schedule(tuple(segments), weighted=True)


def cyclical(
    schedule: Schedule, *, cycles: int = 4, explore: float = 0.5, floor: float = 0.05
) -> Schedule:
    r"""The same steps and measurements with a step size that decreases in cycles (cSGLD).

    With M cycles, and c the position of a segment (its middle) as a fraction of its cycle::

        η = η₀ [φ + (1-φ) (cos(πc) + 1)/2],   c in (0, 1)

    Zhang et al., ICLR 2020 (arXiv 1902.03932), there with φ = 0. The large steps in the first part
    of a cycle explore new modes and are biased: their measurements (c < ``explore``) are burn-in.
    (The paper also omits the noise there; here it is kept.) Measurements are weighted by the
    Langevin time of their segment.

    Parameters
    ----------
    schedule : Schedule
        Provides η₀, the largest step, and steps, measurements and burn-in.
    cycles : int
        M, at most half the number of measurements.
    explore : float
        Fraction of each cycle whose measurements are discarded.
    floor : float
        φ, the smallest step in units of η₀.
    """
    measurements = len(schedule.segments)
    check_integer("cycles", cycles, at_least=1, at_most=max(1, measurements // 2))
    check_real("explore", explore, at_least=0, at_most=0.99)
    check_real("floor", floor, above=0, at_most=1)
    segments = []
    for measurement, segment in enumerate(schedule.segments):
        part = math.fmod((measurement + 0.5) * cycles / measurements, 1.0)
        factor = floor + (1 - floor) * 0.5 * (math.cos(math.pi * part) + 1)
        segments.append(
            replace(
                segment,
                step_size=segment.step_size * factor,
                burn_in=segment.burn_in or part < explore,
            )
        )
    return Schedule(tuple(segments), weighted=True)


#: Step schedules by their name on the command line.
SHAPES: dict[str, Callable[[Schedule], Schedule]] = {
    "constant": lambda schedule: schedule,
    "polynomial": polynomial,
    "cyclical": cyclical,
}


def at_times(times: Sequence[float], *, step_size: float) -> Schedule:
    """Measurements at given Langevin times, reached exactly by slightly shorter steps.

    No measurement is burn-in: the caller decides which ones count.
    """
    check_real("step_size", step_size, above=0)
    segments, now = [], 0.0
    for time in times:
        span = check_real("times", time - now, above=0)
        steps = max(1, math.ceil(span / step_size - 1e-9))
        segments.append(Segment(steps, span / steps, burn_in=False))
        now = time
    return Schedule(tuple(segments))

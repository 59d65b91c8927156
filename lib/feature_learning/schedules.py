r"""When a run steps and when it looks: a schedule is a list of segments.

A segment is a number of equal steps; observables are measured at its end, and join the averages if
it is not part of burn-in. Budgets in steps, budgets in Langevin time and the
published clock with its own looks are all just schedules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from feature_learning.errors import ArgumentError, check_integer, check_real

#: More steps than this are a mistake: at a microsecond each they would take two weeks.
MAX_STEPS = 1e12


@dataclass(frozen=True)
class Segment:
    """``steps`` steps of size ``step_size``, with a look at the end.

    Attributes
    ----------
    steps : int
    step_size : float
    burn_in : bool
        The look does not count.
    settle : bool
        The sampler uses its variant for the first descent.
    """

    steps: int
    step_size: float
    burn_in: bool
    settle: bool = False


@dataclass(frozen=True)
class Schedule:
    """Segments in order.

    Attributes
    ----------
    segments : tuple of Segment
    weighted : bool
        Each look weighs as much in averages as its segment has Langevin time.
    """

    segments: tuple[Segment, ...]
    weighted: bool = False

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
    settle: float = 0.1,
    looks: int = 200,
) -> Schedule:
    """Equally spaced looks over a budget in steps or in Langevin time.

    Parameters
    ----------
    step_size : float
        η or h. With ``langevin_time`` the number of steps is rounded up.
    steps, langevin_time
        Exactly one of the two budgets; burn-in is part of it.
    burn_in : float
        Fraction of the budget whose looks do not count, in [0, 0.99].
    settle : float
        Fraction of the budget, at most ``burn_in``, in which the loss falls from its start: an
        underdamped sampler runs at high friction there.
    looks : int
        Number of looks, burn-in included; at most one per step.

    Raises
    ------
    ArgumentError
        If both or neither budget is given, or a number is out of range.
    """
    check_real("step_size", step_size, above=0)
    check_real("burn_in", burn_in, at_least=0, at_most=0.99)
    check_real("settle", settle, at_least=0, at_most=burn_in)
    check_integer("looks", looks, at_least=1)
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
    looks = min(looks, steps)
    ends = [round(steps * (look + 1) / looks) for look in range(looks)]
    starts = [0, *ends[:-1]]
    return Schedule(
        tuple(
            Segment(
                end - start,
                step_size,
                burn_in=end <= burn_in * steps,
                settle=end <= settle * steps,
            )
            for start, end in zip(starts, ends, strict=True)
        )
    )


def at_times(times: Sequence[float], *, step_size: float) -> Schedule:
    """Looks at given Langevin times; each step is shortened a little so that they are hit exactly.

    Nothing is burn-in: the caller decides which look counts.
    """
    check_real("step_size", step_size, above=0)
    segments, now = [], 0.0
    for time in times:
        span = check_real("times", time - now, above=0)
        steps = max(1, math.ceil(span / step_size - 1e-9))
        segments.append(Segment(steps, span / steps, burn_in=False))
        now = time
    return Schedule(tuple(segments))

"""Rules that end a run before the end of its schedule.

A rule sees only the series so far, so a resumed run stops where the uninterrupted one does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from feature_learning.inference.diagnostics import ConvergenceRule
from feature_learning.inference.verdict import NOT_SETTLED, judge

FloatArray = NDArray[np.float64]


class StopRule(Protocol):
    """Decides after each measurement which chains are finished; it sees only the series."""

    def finished(
        self, series: dict[str, FloatArray], counted: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Finished chains, (chains,) of bool.

        ``series`` are the observables, (chains, measurements); ``counted``, (measurements,), marks
        those past burn-in.
        """


@dataclass(frozen=True)
class StopWhenConverged:
    """Stop all chains once :mod:`verdict` no longer calls the run *not settled*.

    The verdict is taken every ``every`` measurements. The probability of stopping by chance grows
    with the number of verdicts: a growing schedule
    (:func:`feature_learning.samplers.schedules.growing`) has eleven, and at least half of the draws
    of each are new.
    """

    rule: ConvergenceRule = field(default_factory=ConvergenceRule)
    every: int = 10

    def finished(
        self, series: dict[str, FloatArray], counted: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Either all chains or none."""
        chains = next(iter(series.values())).shape[0]
        now = int(counted.sum())
        good = now >= self.rule.min_draws and now % self.every == 0
        if good:
            past = {name: draws[:, counted] for name, draws in series.items()}
            good = judge(past, self.rule).word != NOT_SETTLED
        return np.full(chains, good)

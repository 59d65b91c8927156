"""Rules that end a run before its schedule does.

What a rule sees is the series so far, so a resumed run stops where the uninterrupted one does.
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
    """Decides after each look which chains are done; it sees only the series."""

    def finished(
        self, series: dict[str, FloatArray], counted: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """(chains,) of bool, given series (chains, looks) and which looks are past burn-in."""


@dataclass(frozen=True)
class StopWhenConverged:
    """Stop all chains once the looks that count have earned a word of :mod:`verdict`.

    Judged every few looks. Chances to stop by chance add up with the number of times that are
    judged: a growing schedule (:func:`feature_learning.samplers.schedules.growing`) has eleven,
    each with draws of which half or more are new.
    """

    rule: ConvergenceRule = field(default_factory=ConvergenceRule)
    every: int = 10

    def finished(
        self, series: dict[str, FloatArray], counted: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """All or none."""
        chains = next(iter(series.values())).shape[0]
        now = int(counted.sum())
        good = now >= self.rule.min_draws and now % self.every == 0
        if good:
            past = {name: draws[:, counted] for name, draws in series.items()}
            good = judge(past, self.rule).word != NOT_SETTLED
        return np.full(chains, good)

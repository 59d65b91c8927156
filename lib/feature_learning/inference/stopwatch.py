"""Seconds of wall time: the one place where the library reads a clock for what it reports."""

from __future__ import annotations

import time


class Stopwatch:
    """Runs from when it is made.

    Attributes
    ----------
    earlier : float
        Seconds that count too: those of the calls before, when a run goes on from a checkpoint.
    """

    def __init__(self) -> None:
        self.earlier = 0.0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds until now, with the ``earlier`` ones."""
        return self.earlier + time.perf_counter() - self._started

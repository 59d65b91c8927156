"""Wall time in seconds: the only place where the library reads a clock for its reports."""

from __future__ import annotations

import time


class Stopwatch:
    """A stopwatch that starts when it is created.

    Attributes
    ----------
    earlier : float
        Seconds of earlier calls, if the run resumes from a checkpoint; included in the total.
    """

    def __init__(self) -> None:
        self.earlier = 0.0
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds until now, ``earlier`` included."""
        return self.earlier + time.perf_counter() - self._started

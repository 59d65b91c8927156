"""What of a sweep is done, what is left, and what that will cost."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from feature_learning.errors import StoreError
from feature_learning.experiments.costs import Speed, estimated_steps, stored_bytes
from feature_learning.experiments.hardware import memory_needed
from feature_learning.sweeps.grid import Grid, GridCell
from feature_learning.sweeps.store import Store


@dataclass(frozen=True)
class Planned:
    """A cell before it is computed.

    Attributes
    ----------
    cell : GridCell
    done : bool
        It is in the store.
    problem : str or None
        Why the file in the store cannot be trusted; the cell is then computed again.
    seconds : float
        CPU time, estimated.
    steps : int
        Likewise.
    """

    cell: GridCell
    done: bool
    problem: str | None
    seconds: float
    steps: int


@dataclass(frozen=True)
class Plan:
    """All cells of a sweep, and what is left to do, the longest first."""

    cells: tuple[Planned, ...]

    @property
    def todo(self) -> list[Planned]:
        """What is not in the store, the longest first: the last cells to end are then short."""
        return sorted(
            (each for each in self.cells if not each.done), key=lambda each: -each.seconds
        )

    @property
    def cpu_seconds(self) -> float:
        """CPU time of what is to do."""
        return sum(each.seconds for each in self.todo)

    def wall_seconds(self, workers: int) -> float:
        """Time until all is done, by handing out the cells in order."""
        return makespan([each.seconds for each in self.todo], workers)

    def memory_peak(self, workers: int) -> int:
        """Bytes needed if the largest cells run at the same time."""
        return sum(heapq.nlargest(workers, (memory_needed(each.cell.config) for each in self.todo)))

    def disk(self, *, weights: bool) -> int:
        """Bytes of the results that are to come."""
        return sum(stored_bytes(each.cell.config, weights=weights) for each in self.todo)


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Time until the last of some jobs ends, handed out in order to whoever is free."""
    ends = [0.0] * max(1, workers)
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def plan(grid: Grid, store: Store | None, speed: Speed) -> Plan:
    """What of a grid is done, and what the rest will cost.

    Parameters
    ----------
    grid : Grid
    store : Store or None
        None: nothing is done yet.
    speed : Speed
        Of this machine, from :func:`feature_learning.experiments.costs.calibrate`.
    """
    cells = []
    for cell in grid.cells:
        problem, done = None, False
        try:
            done = store is not None and store.read(cell.config) is not None
        except StoreError as error:
            problem = str(error)
        seconds, steps = (
            (0.0, 0) if done else (speed.seconds(cell.config), estimated_steps(cell.config))
        )
        cells.append(Planned(cell, done, problem, seconds, steps))
    return Plan(tuple(cells))


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

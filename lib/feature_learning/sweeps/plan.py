"""What of a sweep is done and what is left, the longest first."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from feature_learning.errors import StoreError
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.runs import Populations
from feature_learning.sweeps.grid import Grid, GridCell
from feature_learning.sweeps.store import Store

#: Steps of a usual length, for a unit of Langevin time; noises of a usual path of populations.
_STEPS, _NOISES = 3.0, 300


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
    work : float
        Floating-point operations, roughly: see :func:`work`.
    """

    cell: GridCell
    done: bool
    problem: str | None
    work: float


@dataclass(frozen=True)
class Plan:
    """All cells of a sweep, and what is left to do, the longest first."""

    cells: tuple[Planned, ...]

    @property
    def todo(self) -> list[Planned]:
        """What is not in the store, the longest first: the last cells to end are then short."""
        return sorted((each for each in self.cells if not each.done), key=lambda each: -each.work)


def work(config: PointConfig) -> float:
    """Floating-point operations of a point, good enough to order points and to divide time.

    Steps times the two matrix products of a step, 4 M P d for each network; P³ for the NNGP. A run
    that ends early has less.
    """
    if config.run is None:
        return float(config.samples) ** 3
    if isinstance(config.run, Populations):
        steps = float(_NOISES * config.run.steps * config.chains)
    else:
        steps = _STEPS * config.sampling.budget
    products = 4.0 * config.particles * config.samples * config.teacher.dim
    return steps * config.networks * products


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Time until the last of some jobs ends, handed out in order to whoever is free."""
    ends = [0.0] * max(1, workers)
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def plan(grid: Grid, store: Store | None) -> Plan:
    """What of a grid is done, and what is left.

    Parameters
    ----------
    grid : Grid
    store : Store or None
        None: nothing is done yet.
    """
    cells = []
    for cell in grid.cells:
        problem, done = None, False
        try:
            done = store is not None and store.read(cell.config) is not None
        except StoreError as error:
            problem = str(error)
        cells.append(Planned(cell, done, problem, work(cell.config)))
    return Plan(tuple(cells))


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

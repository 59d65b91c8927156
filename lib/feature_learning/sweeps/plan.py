"""The plan of a sweep: which cells are done, and which are left, the longest first."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from feature_learning.errors import StoreError
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.runs import Populations
from feature_learning.sweeps.grid import Grid, GridCell
from feature_learning.sweeps.store import Store

#: Typical steps per unit of Langevin time, and typical number of noises of a population's path.
_STEPS, _NOISES = 3.0, 300


@dataclass(frozen=True)
class Planned:
    """A cell before it is computed.

    Attributes
    ----------
    cell : GridCell
    done : bool
        True if the cell is in the store.
    problem : str or None
        Why the file in the store is invalid; the cell is then computed again.
    work : float
        Approximate number of floating-point operations, see :func:`work`.
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
        """Cells that are not in the store, the longest first, so that the last ones are short."""
        return sorted((each for each in self.cells if not each.done), key=lambda each: -each.work)


def work(config: PointConfig) -> float:
    """Floating-point operations of a point, accurate enough to sort points and estimate times.

    The number of steps times the two matrix products of a step, 4 M P d for each network; P³ for
    the NNGP. A run that ends early needs less.
    """
    if config.run is None:
        return float(config.n_train) ** 3
    if isinstance(config.run, Populations):
        steps = float(_NOISES * config.run.steps * config.chains)
    else:
        steps = _STEPS * config.sampling.budget
    products = 4.0 * config.particles * config.n_train * config.teacher.dim
    return steps * config.networks * products


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Time until the last job ends, if jobs are handed out in order to free workers."""
    ends = [0.0] * max(1, workers)
    for each in seconds:
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def plan(grid: Grid, store: Store | None) -> Plan:
    """The cells of a grid, and which of them are done.

    Parameters
    ----------
    grid : Grid
    store : Store or None
        None if nothing is done yet.
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
    """A time as text, in seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

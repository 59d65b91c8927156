"""Compute many points into a store: stored cells are skipped, and a failure does not stop the rest.

Several sweeps may share a store. The sweep that holds the lock of a cell computes it; the others
continue with other cells and check this one again at the end. Only finished points are written.
Interrupted points leave their checkpoint, from which the next sweep resumes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from feature_learning.errors import FeatureLearningError, StoreError
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.flat import absent, flat
from feature_learning.experiments.keys import cell_key
from feature_learning.files.locks import Lock
from feature_learning.inference.interruption import Interruption, deferred_interrupt, exit_code
from feature_learning.sweeps.grid import GridCell
from feature_learning.sweeps.plan import Plan, Planned, duration, makespan
from feature_learning.sweeps.pool import Executor, Finished, Task, checkpoint_path, outcomes
from feature_learning.sweeps.store import Store

#: Seconds between two checks of the cells that another sweep is computing.
_PATIENCE = 0.5


#: Always shown in a failure message: they identify the run.
_NAMED = ("method", "n_train", "kappa", "seed")


@dataclass(frozen=True)
class Failure:
    """A cell that could not be computed or stored."""

    cell: GridCell
    error: Exception

    def __str__(self) -> str:
        changed = {
            name: value
            for name, value in flat(self.cell.config).items()
            if name in _NAMED or value != absent()[name]
        }
        shown = ", ".join(f"{name}={value}" for name, value in changed.items())
        text = " ".join(str(self.error).split())
        if not isinstance(self.error, FeatureLearningError):
            text = f"{type(self.error).__name__}: {text}" if text else type(self.error).__name__
        return f"block {'; '.join(self.cell.blocks)}: {shown}: {text}"


@dataclass
class Report:
    """The outcome of a sweep.

    Attributes
    ----------
    total : int
        Number of cells requested.
    found : int
        Cells that were in the store before, or were computed by another sweep meanwhile.
    computed : int
        Cells computed and stored by this sweep.
    failures : list of Failure
    interrupted : bool
        True if a signal ended the sweep.
    """

    total: int
    found: int = 0
    computed: int = 0
    failures: list[Failure] = field(default_factory=list)
    interrupted: bool = False

    @property
    def left(self) -> int:
        """Number of cells that are neither in the store nor failed."""
        return self.total - self.found - self.computed - len(self.failures)

    @property
    def exit_code(self) -> int:
        """0: all cells are in the store; 1: some failed or are left; 128 + n: signal n."""
        if self.interrupted:
            return exit_code()
        return 1 if self.failures or self.left else 0


def sweep(
    plan: Plan,
    store: Store,
    executor: Executor,
    *,
    time_limit: float | None = None,
    weights: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Compute the cells of a plan that are not in the store.

    Parameters
    ----------
    plan : Plan
        From :func:`feature_learning.sweeps.plan.plan`.
    store : Store
    executor : Executor
        A :class:`~feature_learning.sweeps.pool.LocalPool` or
        :class:`~feature_learning.sweeps.cluster.DaskPool`; the caller closes it.
    time_limit : float, optional
        Time in seconds after which no new cell is started.
    weights : bool
        Store the hidden weights too.
    say : callable
        Called with each line of progress.

    Returns
    -------
    Report
        Also after Ctrl-C; a second Ctrl-C raises KeyboardInterrupt.
    """
    with deferred_interrupt() as interrupt:
        return _Sweep(plan, store, executor, time_limit, weights, say, interrupt).run()


class _Sweep:
    """The state of a sweep while it runs."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        executor: Executor,
        time_limit: float | None,
        weights: bool,
        say: Callable[[str], None],
        interrupt: Interruption,
    ) -> None:
        self.store, self.executor, self.weights, self.say = store, executor, weights, say
        self.interrupt, self.told = interrupt, False
        self.queue = plan.todo
        self.report = Report(len(plan.cells), found=len(plan.cells) - len(self.queue))
        self.elsewhere: list[Planned] = []
        self.locks: dict[str, Lock] = {}
        self.running: dict[str, tuple[Planned, float]] = {}
        self.clock = _Clock()
        self.deadline = None if time_limit is None else time.monotonic() + time_limit
        self.full, self.awaited = False, ""

    @property
    def stopping(self) -> bool:
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return late or self.full or bool(self.interrupt)

    def run(self) -> Report:
        try:
            while True:
                for task, outcome in outcomes(
                    self.executor,
                    self.take,
                    tick=self.tick,
                    stopping=lambda: bool(self.interrupt),
                ):
                    self.settle(task, outcome)
                self.queue, self.elsewhere = self.queue + self.elsewhere, []
                if self.stopping or not self.queue:
                    break
                # Another sweep is computing all cells that are left, or there is no worker yet.
                self.explain()
                time.sleep(_PATIENCE)
        finally:
            for lock in self.locks.values():
                lock.release()
        self.report.interrupted = bool(self.interrupt)
        return self.report

    def explain(self) -> None:
        """Say once what the sweep is waiting for."""
        reason = "another sweep to end its cells" if self.executor.slots else "workers"
        if reason != self.awaited:
            self.awaited = reason
            self.say(f"waiting for {reason}")

    def take(self) -> Task | None:
        """The next cell that is neither stored nor being computed by another sweep."""
        while self.queue and not self.stopping:
            planned = self.queue.pop(0)
            config = planned.cell.config
            try:
                lock = self.store.lock(config)
                if lock is None:
                    self.elsewhere.append(planned)
                    continue
                self.locks[cell_key(config)] = lock
                if self.known(config):
                    self.report.found += 1
                    self.release(config)
                    continue
            except StoreError as error:
                self.fail(planned, error)
                self.full = True
                continue
            self.running[cell_key(config)] = (planned, time.monotonic())
            return Task(planned, config, checkpoint_path(config, self.store.checkpoints))
        return None

    def known(self, config: PointConfig) -> bool:
        try:
            return self.store.read(config) is not None
        except StoreError as error:
            self.say(f"computed again: {error}")
            return False

    def release(self, config: PointConfig) -> None:
        self.locks.pop(cell_key(config)).release()

    def tick(self) -> None:
        for text in self.executor.news():
            self.say(text)
        if self.interrupt and not self.told:
            self.told = True
            self.executor.interrupt()
            self.say("interrupted: waiting for running cells to end")

    def fail(self, planned: Planned, error: Exception) -> None:
        self.report.failures.append(Failure(planned.cell, error))
        self.say(f"{self.label(planned)}: failed, see the end")

    def settle(self, task: Task, outcome: Finished | Exception) -> None:
        """Store the result of a cell, or record its failure."""
        planned: Planned = task.name
        config = task.config
        self.running.pop(cell_key(config))
        try:
            if isinstance(outcome, Finished):
                if outcome.point.row["interrupted"]:
                    return
                self.store.write(config, outcome.point, outcome.provenance, weights=self.weights)
                if task.checkpoint is not None:
                    task.checkpoint.unlink(missing_ok=True)
                self.report.computed += 1
                self.clock.finished(planned.work, outcome.point.row["seconds"])
                self.say(self.line(planned, outcome))
            elif not self.interrupt:
                self.fail(planned, outcome)
        except (StoreError, OSError) as error:
            # Stop the sweep: the next result could not be written either.
            self.fail(planned, error)
            self.full = True
        finally:
            self.release(config)

    def line(self, planned: Planned, outcome: Finished) -> str:
        now = time.monotonic()
        left = [
            max(0.0, self.clock.expect(each) - now + since) for each, since in self.running.values()
        ]
        left += [self.clock.expect(each) for each in self.queue]
        return (
            f"{self.label(planned)}: {duration(outcome.point.row['seconds'])}; "
            f"about {duration(makespan(left, self.executor.slots))} left"
        )

    def label(self, planned: Planned) -> str:
        config, report = planned.cell.config, self.report
        number = report.found + report.computed + len(report.failures)
        return (
            f"[{number}/{report.total}] {config.method.name} P={config.n_train} κ={config.kappa:g} "
            f"seed={config.seed}"
        )


class _Clock:
    """Estimates the duration of cells from those that are finished."""

    def __init__(self) -> None:
        self.work, self.taken = 0.0, 0.0

    def finished(self, work: float, taken: float) -> None:
        self.work += work
        self.taken += taken

    def expect(self, planned: Planned) -> float:
        return planned.work * self.taken / self.work

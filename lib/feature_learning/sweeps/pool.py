"""Compute several points in parallel, resumably, in independent processes of this machine.

An :class:`Executor` takes one configuration per slot and returns a future; :func:`outcomes` keeps
its slots busy. A worker that dies loses only its current point.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from feature_learning.errors import WorkerError, check_integer
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.hardware import usable_cores
from feature_learning.experiments.keys import METHOD_VERSIONS
from feature_learning.experiments.point import run_point
from feature_learning.experiments.row import Point
from feature_learning.sweeps.provenance import provenance, source_fingerprint
from feature_learning.sweeps.worker import Worker

#: Seconds between two checks of the executor while no point ends.
_TICK = 0.2


@dataclass(frozen=True)
class Task:
    """A point to be computed; ``name`` is any label that the caller chooses."""

    name: Any
    config: PointConfig
    checkpoint: Path | None = None
    attempt: int = 1


@dataclass(frozen=True)
class Finished:
    """The result of a worker; ``version`` is the version of the method on that worker."""

    point: Point
    provenance: dict[str, Any]
    version: int


def compute(config: PointConfig, checkpoint: Path | None, threads: int) -> Finished:
    """Compute a point; runs on a worker."""
    torch.set_num_threads(threads)
    point = run_point(config, checkpoint=checkpoint)
    return Finished(point, provenance(config.machine.device), METHOD_VERSIONS[config.method.name])


class Executor(Protocol):
    """Something that computes points."""

    @property
    def slots(self) -> int:
        """Number of points that it can compute at a time, at present."""

    def submit(self, task: Task) -> Future[Finished] | None:
        """Start a point; called only while fewer than ``slots`` points are running.

        Returns None if it cannot be started now, because ``slots`` has become smaller.
        """

    def interrupt(self) -> None:
        """Ask the running points to save their checkpoints and return."""

    def close(self, *, kill: bool = False) -> None:
        """Shut down, after waiting for the running points or killing them."""

    def news(self) -> list[str]:
        """Messages for the user since the last call."""


def worker_count(asked: int | None) -> int:
    """Number of processes of a pool: as requested, or one for each usable core.

    Raises
    ------
    ArgumentError
        If ``asked`` is below 1.
    """
    return check_integer(
        "workers", usable_cores() if asked is None else asked, at_least=1, at_most=1024
    )


class LocalPool:
    """Processes of this machine.

    Parameters
    ----------
    workers : int, optional
        Largest number of processes, by default one for each core. A process is started when there
        is work for it; limits on files or processes can reduce their number.
    threads : int
        CPU threads of each process.

    Raises
    ------
    ArgumentError
        If ``workers`` or ``threads`` is below 1.
    """

    def __init__(self, workers: int | None = None, threads: int = 1) -> None:
        self._threads = check_integer("threads", threads, at_least=1, at_most=1024)
        self._limit = worker_count(workers)
        self._workers: list[Worker] = []
        self._news: list[str] = []

    @property
    def slots(self) -> int:
        """Largest number of workers."""
        return self._limit

    @property
    def pids(self) -> list[int]:
        """Process ids of the running workers."""
        return [worker.pid for worker in self._workers if worker.alive]

    def submit(self, task: Task) -> Future[Finished] | None:
        """Start a point on a free worker, or on a new one; dead workers are replaced.

        Raises
        ------
        WorkerError
            If no process can be started.
        """
        self._workers = [worker for worker in self._workers if worker.alive]
        free = next((worker for worker in self._workers if worker.free), None) or self._add()
        if free is None:
            return None
        return free.submit(compute, task.config, task.checkpoint, self._threads)

    def _add(self) -> Worker | None:
        try:
            worker = Worker()
        except (OSError, RuntimeError) as error:
            remedy = "raise the limit (ulimit -n for files, -u for processes) or ask for fewer"
            if not self._workers:
                raise WorkerError(f"no worker can be started: {error}; {remedy}") from error
            self._limit = len(self._workers)
            self._news.append(f"continuing with {self._limit} workers: {error}; {remedy}")
            return None
        self._workers.append(worker)
        return worker

    def interrupt(self) -> None:
        """Ask the running points to end soon and to save their checkpoints if they have begun."""
        for worker in self._workers:
            worker.interrupt()

    def close(self, *, kill: bool = False) -> None:
        """End the workers, after their current points or at once."""
        if not kill:
            wait([worker.future for worker in self._workers if worker.future is not None])
        for worker in self._workers:
            worker.end(kill=kill)
        for worker in self._workers:
            worker.join()
        self._workers = []

    def news(self) -> list[str]:
        """Messages for the user since the last call."""
        news, self._news = self._news, []
        return news


def outcomes(
    executor: Executor,
    take: Callable[[], Task | None],
    *,
    tick: Callable[[], None] = lambda: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Task, Finished | Exception]]:
    """Compute the tasks from ``take``, as many at a time as there are slots, until none are left.

    A point whose worker died is computed once more. If that worker dies too, the outcome is a
    :class:`~feature_learning.errors.WorkerError`, as it is for a point computed by another version
    of its method. Errors are yielded, not raised.

    Parameters
    ----------
    executor : Executor
    take : callable
        Returns the next task, or None if there is none at present; called again after each outcome.
    tick : callable
        Called a few times per second.
    stopping : callable
        Returns whether tasks that wait for a worker are given up.
    """
    running: dict[Future[Finished], Task] = {}
    waiting: list[Task] = []
    while True:
        while waiting and stopping():
            yield waiting.pop(), _cancelled()
        while len(running) < executor.slots:
            task = waiting.pop() if waiting else take()
            if task is None:
                break
            future = executor.submit(task)
            if future is None:
                waiting.append(task)
            else:
                running[future] = task
        tick()
        if not running and not waiting:
            return
        if not running:
            time.sleep(_TICK)
        done, _ = wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
        for future in done:
            task = running.pop(future)
            outcome = _outcome(future, task.config.method.name)
            if isinstance(outcome, BrokenExecutor):
                if task.attempt == 1:
                    waiting.append(replace(task, attempt=2))
                    continue
                outcome = WorkerError("its process died twice: killed, or out of memory")
            yield task, outcome


def _outcome(future: Future[Finished], method: str) -> Finished | Exception:
    try:
        finished = future.result()
    except CancelledError:
        return _cancelled()
    except Exception as error:
        return error
    # Results of workers older than the versions lack the attribute.
    version, needed = getattr(finished, "version", None), METHOD_VERSIONS[method]
    if version != needed:
        return WorkerError(
            f"it was computed by version {version} of {method}, but version {needed} is needed"
        )
    return finished


def _cancelled() -> WorkerError:
    return WorkerError("it was cancelled")


def checkpoint_path(config: PointConfig, folder: Path | None) -> Path | None:
    """Path of a point's checkpoint, named after its configuration and the library's source."""
    if folder is None or config.run is None:
        return None
    identity = json.dumps([source_fingerprint(), asdict(config)], sort_keys=True)
    name = hashlib.sha256(identity.encode()).hexdigest()[:20]
    return folder / f"{config.method.name}-P{config.n_train}-{name}.npz"


def run_points(
    configs: Mapping[Any, PointConfig],
    *,
    workers: int = 2,
    threads: int = 1,
    folder: Path | str | None = None,
    progress: bool = False,
) -> dict[Any, Point]:
    """Compute several points in a pool of processes; returns the points under the same keys.

    Each worker has one thread by default: at these sizes two points in parallel finish sooner than
    two threads on one point, and the results do not depend on the number of cores. Points with many
    samples start first.

    With a ``folder`` every sampled point keeps its checkpoint there, under a name made from its
    configuration and the library's source. After Ctrl-C or a crash the same call resumes, and
    finished points return at once.

    Raises
    ------
    ArgumentError
        If ``workers`` or ``threads`` is below 1.
    FeatureLearningError
        The first error of a point, raised after the running points have ended.
    """
    place = None if folder is None else Path(folder)
    points: dict[Any, Point] = {}
    queue = deque(sorted(configs, key=lambda key: -configs[key].n_train))
    first: Exception | None = None

    def take() -> Task | None:
        if first is not None or not queue:
            return None
        key = queue.popleft()
        return Task(key, configs[key], checkpoint_path(configs[key], place))

    pool = LocalPool(workers, threads)
    try:
        with tqdm(total=len(queue), unit="point", disable=not progress, dynamic_ncols=True) as bar:
            for task, outcome in outcomes(pool, take):
                if isinstance(outcome, Finished):
                    points[task.name] = outcome.point
                    bar.update()
                else:
                    first = first or outcome
    except KeyboardInterrupt:
        # Running points save their checkpoints; a second Ctrl-C does not wait for them.
        pool.interrupt()
        raise
    finally:
        try:
            pool.close()
        except KeyboardInterrupt:
            pool.close(kill=True)
            raise
    if first is not None:
        raise first
    return {key: points[key] for key in configs}

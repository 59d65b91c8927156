"""Several points side by side: in processes of this machine, resumable, and safe from each other.

Whatever computes points (:class:`Executor`) takes one configuration per slot and hands back a
future; :func:`outcomes` keeps its slots busy. A worker that dies takes nothing with it but the
point it was at.
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

#: Seconds between two looks at what is going on while nothing comes back.
_TICK = 0.2


@dataclass(frozen=True)
class Task:
    """A point to be computed; ``name`` is whatever the caller knows it by."""

    name: Any
    config: PointConfig
    checkpoint: Path | None = None
    attempt: int = 1


@dataclass(frozen=True)
class Finished:
    """What a worker hands back; ``version`` is that of the method, where it was computed."""

    point: Point
    provenance: dict[str, Any]
    version: int


def compute(config: PointConfig, checkpoint: Path | None, threads: int) -> Finished:
    """What a worker does."""
    torch.set_num_threads(threads)
    point = run_point(config, checkpoint=checkpoint)
    return Finished(point, provenance(config.machine.device), METHOD_VERSIONS[config.method.name])


class Executor(Protocol):
    """Something that computes points."""

    @property
    def slots(self) -> int:
        """How many points it can compute at a time, now."""

    def submit(self, task: Task) -> Future[Finished] | None:
        """Start a point; called only while fewer than ``slots`` are running.

        None: it cannot be started now, and ``slots`` has become smaller.
        """

    def interrupt(self) -> None:
        """Ask the running points to save their checkpoints and come back."""

    def close(self, *, kill: bool = False) -> None:
        """End; wait for what is running, or kill it."""

    def news(self) -> list[str]:
        """What a person should know, and has not been told before."""


def worker_count(asked: int | None) -> int:
    """Processes of a pool: as many as asked for, or one for each core that may be used.

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
        Number of processes, each started when there is something for it to do; by default one for
        each core. Where the limits of files or processes allow fewer, so many.
    threads : int
        CPU threads of each.

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
        """The number of workers that there are or can be."""
        return self._limit

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes that there are."""
        return [worker.pid for worker in self._workers if worker.alive]

    def submit(self, task: Task) -> Future[Finished] | None:
        """Start a point on a free worker, or on a new one; one that has died is replaced.

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
            self._news.append(f"going on with {self._limit} workers: {error}; {remedy}")
            return None
        self._workers.append(worker)
        return worker

    def interrupt(self) -> None:
        """End the running points soon: they save their checkpoints, if they have begun."""
        for worker in self._workers:
            worker.interrupt()

    def close(self, *, kill: bool = False) -> None:
        """End the workers, after what they are at or at once."""
        if not kill:
            wait([worker.future for worker in self._workers if worker.future is not None])
        for worker in self._workers:
            worker.end(kill=kill)
        for worker in self._workers:
            worker.join()
        self._workers = []

    def news(self) -> list[str]:
        """What a person should know, and has not been told before."""
        news, self._news = self._news, []
        return news


def outcomes(
    executor: Executor,
    take: Callable[[], Task | None],
    *,
    tick: Callable[[], None] = lambda: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Task, Finished | Exception]]:
    """Compute what ``take`` hands out, as many at a time as there are slots, until it has no more.

    A point whose worker died is computed once more; if that one dies too it is a
    :class:`~feature_learning.errors.WorkerError`. So is a point that comes back from another
    version of its method. Errors are handed out, not raised.

    Parameters
    ----------
    executor : Executor
    take : callable
        The next task, or None for none at the moment; called again after each outcome.
    tick : callable
        Called a few times a second.
    stopping : callable
        Whether what waits for a worker is given up.
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
    # One of before there were versions has none.
    version, needed = getattr(finished, "version", None), METHOD_VERSIONS[method]
    if version != needed:
        return WorkerError(
            f"it was computed by version {version} of {method}, and version {needed} is needed"
        )
    return finished


def _cancelled() -> WorkerError:
    return WorkerError("it was cancelled")


def checkpoint_path(config: PointConfig, folder: Path | None) -> Path | None:
    """Where a point keeps its checkpoint: under a name of its configuration and the source."""
    if folder is None or config.run is None:
        return None
    identity = json.dumps([source_fingerprint(), asdict(config)], sort_keys=True)
    name = hashlib.sha256(identity.encode()).hexdigest()[:20]
    return folder / f"{config.method.name}-P{config.samples}-{name}.npz"


def run_points(
    configs: Mapping[Any, PointConfig],
    *,
    workers: int = 2,
    threads: int = 1,
    folder: Path | str | None = None,
    progress: bool = False,
) -> dict[Any, Point]:
    """Compute several points in a pool of processes; returns the points under the same keys.

    One thread per worker: at these sizes two points side by side finish sooner than two threads on
    one point, and the numbers do not depend on how many cores there are. Points with many samples
    start first.

    With a ``folder`` every sampled point keeps its checkpoint there, under a name made from its
    configuration and the library's source: after Ctrl-C or a crash the same call goes on where it
    was, and points that were finished come back at once.

    Raises
    ------
    ArgumentError
        If ``workers`` or ``threads`` is below 1.
    FeatureLearningError
        The first error of a point, after the points already running have ended.
    """
    place = None if folder is None else Path(folder)
    points: dict[Any, Point] = {}
    queue = deque(sorted(configs, key=lambda key: -configs[key].samples))
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
        # What is running saves its checkpoint; a second Ctrl-C does not wait for that.
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

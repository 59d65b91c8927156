"""Several points side by side: in processes of this machine, resumable, and safe from each other.

Whatever computes points (:class:`Executor`) takes one configuration per slot and hands back a
future; :func:`outcomes` keeps its slots busy. Every local worker is a pool of its own, so that one
that dies takes nothing with it but the point it was at.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from feature_learning.config import PointConfig
from feature_learning.errors import WorkerError, check_integer
from feature_learning.experiments import Point, run_point
from feature_learning.hardware import usable_cores
from feature_learning.interruption import request_stop
from feature_learning.provenance import provenance
from feature_learning.version import source_fingerprint

#: Seconds between two looks at what is going on while nothing comes back.
_TICK = 0.2
_STOP, _DIE = b"stop", b"die"


@dataclass(frozen=True)
class Task:
    """A point to be computed; ``name`` is whatever the caller knows it by."""

    name: Any
    config: PointConfig
    checkpoint: Path | None = None
    attempt: int = 1


@dataclass(frozen=True)
class Finished:
    """What a worker hands back."""

    point: Point
    provenance: dict[str, Any]


def compute(config: PointConfig, checkpoint: Path | None, threads: int) -> Finished:
    """What a worker does."""
    torch.set_num_threads(threads)
    point = run_point(config, checkpoint=checkpoint)
    return Finished(point, provenance(config.device))


class Executor(Protocol):
    """Something that computes points."""

    @property
    def slots(self) -> int:
        """How many points it can compute at a time, now."""

    def submit(self, task: Task) -> Future[Finished]:
        """Start a point; called only while fewer than ``slots`` are running."""

    def interrupt(self) -> None:
        """Ask the running points to save their checkpoints and come back."""

    def close(self, *, kill: bool = False) -> None:
        """End; wait for what is running, or kill it."""


def _begin(orders: Connection) -> None:
    """Set a worker process up: it follows its parent's orders, and its parent's end."""
    # Ctrl-C reaches the whole process group; what it means is decided by the parent alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()

    def listen() -> None:
        try:
            while True:
                if orders.recv_bytes() == _DIE:
                    os._exit(1)
                request_stop()
        except (EOFError, OSError):
            pass  # the parent has no more orders

    threading.Thread(target=listen, daemon=True).start()


class _Worker:
    """One process that computes one point after the other."""

    def __init__(self) -> None:
        # Fork would copy the thread pools of torch in an unusable state: start workers afresh.
        context = get_context("spawn")
        self._theirs, self._ours = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(
            1, mp_context=context, initializer=_begin, initargs=(self._theirs,)
        )
        self.future: Future[Finished] | None = None

    @property
    def free(self) -> bool:
        return self.future is None or self.future.done()

    def submit(self, task: Task, threads: int) -> Future[Finished]:
        self.future = self._pool.submit(compute, task.config, task.checkpoint, threads)
        return self.future

    def order(self, what: bytes) -> None:
        with suppress(OSError):  # it may have died
            self._ours.send_bytes(what)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._ours.close()
        self._theirs.close()


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
        Number of processes, started when there is something for them to do; by default one for
        each core.
    threads : int
        CPU threads of each.

    Raises
    ------
    ArgumentError
        If ``workers`` or ``threads`` is below 1.
    """

    def __init__(self, workers: int | None = None, threads: int = 1) -> None:
        self._threads = check_integer("threads", threads, at_least=1, at_most=1024)
        self._workers = [_Worker() for _ in range(worker_count(workers))]

    @property
    def slots(self) -> int:
        """The number of workers."""
        return len(self._workers)

    def submit(self, task: Task) -> Future[Finished]:
        """Start a point on a free worker; one that has died is replaced."""
        index = next(index for index, worker in enumerate(self._workers) if worker.free)
        try:
            return self._workers[index].submit(task, self._threads)
        except BrokenExecutor:
            self._workers[index].close()
            self._workers[index] = _Worker()
            return self._workers[index].submit(task, self._threads)

    def interrupt(self) -> None:
        """Ask the running points to save their checkpoints and come back."""
        for worker in self._workers:
            worker.order(_STOP)

    def close(self, *, kill: bool = False) -> None:
        """End the workers, after what they are at or at once."""
        for worker in self._workers:
            if kill:
                worker.order(_DIE)
        for worker in self._workers:
            worker.close()


def outcomes(
    executor: Executor,
    take: Callable[[], Task | None],
    *,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Task, Finished | Exception]]:
    """Compute what ``take`` hands out, as many at a time as there are slots, until it has no more.

    A point whose worker died is computed once more; if that one dies too it is a
    :class:`~feature_learning.errors.WorkerError`. Errors are handed out, not raised.

    Parameters
    ----------
    executor : Executor
    take : callable
        The next task, or None for none at the moment; called again after each outcome.
    tick : callable
        Called a few times a second.
    """
    running: dict[Future[Finished], Task] = {}
    again: list[Task] = []
    while True:
        while len(running) < executor.slots:
            task = again.pop() if again else take()
            if task is None:
                break
            running[executor.submit(task)] = task
        tick()
        if not running:
            return
        done, _ = wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
        for future in done:
            task = running.pop(future)
            outcome = _outcome(future)
            if isinstance(outcome, BrokenExecutor):
                if task.attempt == 1:
                    again.append(replace(task, attempt=2))
                    continue
                outcome = WorkerError("its process died twice: killed, or out of memory")
            yield task, outcome


def _outcome(future: Future[Finished]) -> Finished | Exception:
    try:
        return future.result()
    except CancelledError:
        return WorkerError("it was cancelled")
    except Exception as error:
        return error


def checkpoint_path(config: PointConfig, folder: Path | None) -> Path | None:
    """Where a point keeps its checkpoint: under a name of its configuration and the source."""
    if folder is None or config.method == "nngp":
        return None
    identity = json.dumps({"code": source_fingerprint(), **asdict(config)}, sort_keys=True)
    name = hashlib.sha256(identity.encode()).hexdigest()[:20]
    return folder / f"{config.method}-P{config.samples}-{name}.npz"


def run_points(
    configs: Mapping[Any, PointConfig],
    *,
    workers: int = 2,
    threads: int = 1,
    folder: Path | None = None,
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
    points: dict[Any, Point] = {}
    queue = deque(sorted(configs, key=lambda key: -configs[key].samples))
    first: Exception | None = None

    def take() -> Task | None:
        if first is not None or not queue:
            return None
        key = queue.popleft()
        return Task(key, configs[key], checkpoint_path(configs[key], folder))

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

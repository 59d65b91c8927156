"""Compute points on the workers of a Dask cluster, such as a batch system or the machines of a lab.

Only the client writes results, so that the workers need the library but no shared file system. They
keep no checkpoints: if a worker dies its point is lost, and the scheduler starts it again on
another worker. Workers with another version of the library or of a method get no points, because
their numbers would be stored under the client's versions. Workers whose source differs within a
version are accepted: an edit that changes the distribution of a method's results must raise its
version (:data:`~feature_learning.experiments.keys.METHOD_VERSIONS`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Collection
from concurrent.futures import BrokenExecutor, Future, InvalidStateError
from contextlib import suppress
from typing import Any

from feature_learning import __version__
from feature_learning.errors import ArgumentError, WorkerError, check_integer
from feature_learning.experiments.keys import METHOD_VERSIONS
from feature_learning.sweeps.pool import Finished, Task, compute

_ADDRESS = re.compile(
    r"((tcp|tls|ucx|ucxx|ws|wss)://)?(\[[0-9a-fA-F:.%]+\]|[^\s:/@\[\]]+):(?P<port>[0-9]{1,5})"
)
#: Code that asks a worker for its versions. It is text because an older library lacks newer
#: functions, and other versions of Python cannot unpickle compiled ones.
_QUESTION = (
    "(lambda keys: (__import__('feature_learning').__version__, keys.METHOD_VERSIONS))"
    "(__import__('feature_learning.experiments.keys', fromlist=['keys']))"
)
#: Loggers that print at length what the caller receives as an exception anyway.
_LOGGERS = (
    *("distributed", "distributed.client", "tornado", "tornado.application"),
    *("asyncio", "concurrent.futures"),
)


def check_address(address: str) -> str:
    """Return an address of a scheduler as Dask writes it, or raise :class:`ArgumentError`."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 2**16:
        raise ArgumentError(
            f"scheduler must be an address such as tcp://10.0.0.1:8786, not {address!r}"
        )
    return address if "://" in address else f"tcp://{address}"


class DaskPool:
    """The workers of a running Dask scheduler; each of their threads computes one point at a time.

    Parameters
    ----------
    address : str
        Address of the scheduler, such as ``tcp://10.0.0.1:8786``.
    threads : int
        CPU threads per point.
    timeout : float
        Seconds to wait for the scheduler.

    Raises
    ------
    ArgumentError
        If the scheduler does not answer, or Dask is not installed.
    WorkerError
        If the scheduler has workers and all of them have another version of the library.
    """

    def __init__(self, address: str, threads: int = 1, *, timeout: float = 20) -> None:
        self._threads = check_integer("threads", threads, at_least=1, at_most=1024)
        self._address = check_address(address)
        try:
            from distributed import Client
        except ImportError as error:
            raise ArgumentError(
                "scheduler needs the package distributed: install the extra 'cluster'"
            ) from error
        self._levels = {name: logging.getLogger(name).level for name in _LOGGERS}
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        # Address of each worker asked so far, to why it is refused (empty if it is accepted).
        self._verdicts: dict[str, str] = {}
        self._running: dict[Future[Finished], tuple[Future[Finished], Collection[str]]] = {}
        self._news: list[str] = []
        self._interrupted = self._any_fits = False
        try:
            _await_scheduler(self._address, timeout)
            self._client = Client(self._address, timeout=timeout, set_as_default=False)
        except BaseException as error:
            self._restore_logs()
            if isinstance(error, Exception):
                reason = str(error) or f"no reply within {timeout:g} s"
                raise ArgumentError(f"scheduler {address!r} does not answer: {reason}") from error
            raise
        try:
            self._fitting()
        except BaseException:
            self.close(kill=True)
            raise

    @property
    def slots(self) -> int:
        """Threads of all accepted workers at present; 0 until the batch system starts some.

        Raises
        ------
        WorkerError
            If the scheduler is gone, or if there are workers but none so far had this version.
        """
        return sum(self._fitting().values())

    def _fitting(self) -> dict[str, int]:
        """Number of threads of each worker with this version of the library, by address."""
        if self._client.status != "running":
            raise self._lost()
        try:
            threads: dict[str, int] = self._client.nthreads()
            new = [address for address in threads if address not in self._verdicts]
            answers: dict[str, Any] = {}
            if new:
                answers = self._client.run(eval, _QUESTION, workers=new, on_error="return")
        except (Exception, asyncio.CancelledError) as error:  # Dask raises many types
            raise self._lost(error) from error
        # Forget workers that have left: a new one at the same address may have another library.
        self._verdicts = {each: self._verdicts[each] for each in self._verdicts if each in threads}
        for address, answer in answers.items():
            if not isinstance(answer, OSError):  # OSError: the worker has just died
                self._verdicts[address] = complaint = _complaint(answer)
                if complaint:
                    self._news.append(f"the worker {address} is refused: {complaint}")
        self._give_up_lost(threads)
        fitting = {each: threads[each] for each, bad in self._verdicts.items() if not bad}
        self._any_fits = self._any_fits or bool(fitting)
        if self._verdicts and not self._any_fits:
            address, complaint = next(iter(self._verdicts.items()))
            raise WorkerError(f"no worker can be used; {address} is refused: {complaint}")
        return fitting

    def _give_up_lost(self, present: Collection[str]) -> None:
        """Fail points whose possible workers have all left; the scheduler would wait forever."""
        for future, (remote, allowed) in list(self._running.items()):
            if future.done():
                del self._running[future]
            elif not any(address in present for address in allowed):
                with suppress(InvalidStateError):
                    future.set_exception(BrokenExecutor())
                remote.cancel()

    def submit(self, task: Task) -> Future[Finished] | None:
        """Start a point on a free worker; None if the last accepted worker has just left."""
        allowed = list(self._fitting())
        if not allowed:
            return None
        # pure=False: compute a point again even if Dask has an earlier result for it.
        executor = self._client.get_executor(pure=False, workers=allowed)
        future: Future[Finished] = Future()
        try:
            remote = executor.submit(compute, task.config, None, self._threads)
        except RuntimeError as error:  # the client has closed meanwhile
            raise self._lost(error) from error
        self._running[future] = remote, allowed
        remote.add_done_callback(lambda done: self._relay(done, future))
        return future

    def _relay(self, done: Future[Finished], future: Future[Finished]) -> None:
        with suppress(InvalidStateError):  # already given up
            if not done.cancelled():
                error = done.exception()
                if error is None:
                    future.set_result(done.result())
                else:
                    future.set_exception(error)
            elif self._interrupted:
                if future.cancel():
                    future.set_running_or_notify_cancel()
            else:  # cancelled by the client, which has lost its scheduler
                future.set_exception(BrokenExecutor())

    def interrupt(self) -> None:
        """Give up the running points: a thread on another machine cannot be interrupted."""
        self._interrupted = True
        for remote, _ in self._running.values():
            remote.cancel()

    def close(self, *, kill: bool = False) -> None:
        """Disconnect from the cluster, which keeps running."""
        try:
            with suppress(Exception):  # the cluster may be gone already
                self._client.close()
        finally:
            self._restore_logs()

    def news(self) -> list[str]:
        """Messages for the user since the last call."""
        news, self._news = self._news, []
        return news

    def _lost(self, error: BaseException | None = None) -> WorkerError:
        reason = "" if error is None else f": {str(error) or type(error).__name__}"
        return WorkerError(f"the scheduler {self._address} is gone{reason}")

    def _restore_logs(self) -> None:
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)


def _await_scheduler(address: str, timeout: float) -> None:
    """Raise an exception unless a scheduler answers.

    A Dask client would instead leave threads behind that keep trying.
    """
    from distributed.core import rpc
    from distributed.security import Security

    async def ask() -> Any:
        arguments = Security().get_connection_args("client")
        async with rpc(address, timeout=timeout, connection_args=arguments) as scheduler:
            return await asyncio.wait_for(scheduler.identity(), timeout)

    answer: Future[str] = Future()

    def run() -> None:
        try:
            answer.set_result(asyncio.run(ask())["type"])
        except Exception as error:
            answer.set_exception(error)

    # In a thread, because a notebook already runs an event loop, and so that Ctrl-C acts at once.
    threading.Thread(target=run, daemon=True).start()
    if answer.result() != "Scheduler":
        raise ValueError(f"it is a {answer.result()}, not a scheduler")


def _complaint(answer: Any) -> str:
    """Why a worker with this answer cannot be used; empty if it can."""
    if isinstance(answer, Exception):
        return f"it does not say its version: {type(answer).__name__}: {answer}"
    version, methods = answer
    if version != __version__:
        return f"it has version {version} of the library, and {__version__} is needed"
    for method, needed in METHOD_VERSIONS.items():
        if (has := methods.get(method)) != needed:
            return f"it has version {has} of {method}, and {needed} is needed"
    return ""

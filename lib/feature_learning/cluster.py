"""Points on the workers of a Dask cluster: the machines of a batch system, or those of a lab.

The results come back to the client, which alone writes them: the workers need the library, but no
file system in common. What runs there keeps no checkpoint; a worker that dies loses the point it
was at, which the scheduler then gives to another one.
"""

from __future__ import annotations

from concurrent.futures import Future

from feature_learning.errors import ArgumentError, WorkerError, check_integer
from feature_learning.pool import Finished, Task, compute


class DaskPool:
    """The workers of a running Dask scheduler, one point for each of their threads.

    Parameters
    ----------
    address : str
        Of the scheduler, as in ``tcp://10.0.0.1:8786``.
    threads : int
        CPU threads a point.
    timeout : float
        Seconds to wait for the scheduler.

    Raises
    ------
    ArgumentError
        If the scheduler does not answer, or Dask is not installed.
    """

    def __init__(self, address: str, threads: int = 1, *, timeout: float = 20) -> None:
        self._threads = check_integer("threads", threads, at_least=1, at_most=1024)
        try:
            from distributed import Client
        except ImportError as error:
            raise ArgumentError(
                "scheduler needs the package distributed: install the extra 'cluster'"
            ) from error
        try:
            self._client = Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ArgumentError(f"scheduler {address!r} does not answer: {error}") from error
        # Two calls of the same point are two computations, whatever was computed before.
        self._executor = self._client.get_executor(pure=False)
        self._running: list[Future[Finished]] = []

    @property
    def slots(self) -> int:
        """Threads of all workers there are now; none while the batch system holds them back.

        Raises
        ------
        WorkerError
            If the scheduler is gone.
        """
        try:
            return sum(self._client.nthreads().values())
        except (OSError, TimeoutError, RuntimeError) as error:
            raise WorkerError(f"the scheduler is gone: {error}") from error

    def submit(self, task: Task) -> Future[Finished]:
        """Start a point on a worker that is free."""
        future: Future[Finished] = self._executor.submit(compute, task.config, None, self._threads)
        self._running = [each for each in self._running if not each.done()] + [future]
        return future

    def interrupt(self) -> None:
        """Give the running points up: a thread on another machine cannot be interrupted."""
        for future in self._running:
            future.cancel()

    def close(self, *, kill: bool = False) -> None:
        """Leave the cluster, which goes on."""
        self._executor.shutdown(wait=False)
        self._client.close()

    def news(self) -> list[str]:
        """What a person should know, and has not been told before."""
        return []

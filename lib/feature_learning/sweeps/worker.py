"""A worker process that does one job after another: the parent's side and the worker's side.

This replaces :mod:`multiprocessing`, whose processes import the script that started them, and so
run it once more if it lacks a guard. A worker imports only the library. It costs its parent one
open file and one thread. The two share only a socket, which tells each side if the other is gone.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from typing import Any

from feature_learning.errors import WorkerError
from feature_learning.inference.interruption import SIGNALS, request_stop

#: Messages besides jobs and results, which are pickles and begin with another byte.
_STOP, _END, _BEGUN = b"stop", b"end", b"begun"
#: File descriptors kept free for results and locks.
_SPARE = 32


class Worker:
    """A process, and the thread that listens to it.

    Attributes
    ----------
    future : Future or None
        The current or last job.

    Raises
    ------
    OSError
        If the limits of files, processes or memory allow no further process.
    RuntimeError
        If they allow no further thread.
    """

    def __init__(self) -> None:
        _leave_room()
        self._lock = threading.Lock()
        self.future: Future[Any] | None = None
        self._begun = self._given_up = self._gone = False
        self._pipe, theirs = Pipe()
        try:
            with theirs:
                self._process = _start(theirs.fileno())
            self._thread = threading.Thread(target=self._listen, daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                self._process.kill()
                self._process.wait()
                raise
        except BaseException:
            self._pipe.close()  # a process that was started nevertheless ends with its pipe
            raise

    @property
    def pid(self) -> int:
        """Process id of the worker."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return not self._gone and self._process.poll() is None

    @property
    def free(self) -> bool:
        """Whether the worker has no job."""
        return self.future is None or self.future.done()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a job on this worker, which must be free.

        The future raises :class:`~concurrent.futures.BrokenExecutor` if the process ends before the
        job does.
        """
        future: Future[Any] = Future()
        with self._lock:
            self.future, self._begun = future, False
            if self._gone:
                future.set_exception(BrokenExecutor())
            else:
                self._send(pickle.dumps((function, arguments)))
        return future

    def interrupt(self) -> None:
        """Ask the job to save its state and return soon; cancel it if it has not begun.

        A process that is still loading the library has nothing to save and is killed.
        """
        with self._lock:
            if self.free:
                return
            if self._begun:
                self._send(_STOP)
            else:
                self._given_up = True
                self._process.kill()

    def end(self, *, kill: bool = False) -> None:
        """End a free process, or kill any; :meth:`join` waits for the end."""
        if kill:
            self._process.kill()
        else:
            self._send(_END)

    def join(self) -> None:
        """Wait until the process has ended and its thread has noticed."""
        self._thread.join()

    def _send(self, message: bytes) -> None:
        with suppress(OSError):  # the process has died; the thread is about to notice
            self._pipe.send_bytes(message)

    def _listen(self) -> None:
        try:
            while True:
                message = self._pipe.recv_bytes()
                if message == _BEGUN:
                    with self._lock:
                        self._begun = True
                else:
                    self._settle(message)
        except (EOFError, OSError):
            pass
        self._process.wait()
        with self._lock:
            self._gone = True
            self._pipe.close()
            if self.future is None or self.future.done():
                return
            if self._given_up:
                self.future.cancel()
                self.future.set_running_or_notify_cancel()
            else:
                self.future.set_exception(BrokenExecutor())

    def _settle(self, message: bytes) -> None:
        assert self.future is not None
        try:
            good, value = pickle.loads(message)
        except Exception as error:
            good, value = False, error
        if good:
            self.future.set_result(value)
        else:
            self.future.set_exception(value)


def _leave_room() -> None:
    """Raise OSError near the limit of open files, since results must still be written."""
    spare: list[int] = []
    try:
        for _ in range(_SPARE):
            spare.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for each in spare:
            os.close(each)


def _start(handle: int) -> subprocess.Popen[bytes]:
    """Start a process that serves the socket ``handle``, with some signals blocked."""
    # The worker gets this process's current import path.
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        f"from feature_learning.sweeps.worker import serve; serve({handle})"
    )
    warnings = (f"-W{option}" for option in sys.warnoptions)
    # Terminals and batch systems send these signals to all processes of a program, but only the
    # parent may react. Unlike ignored signals, blocked ones stay blocked in a new program from its
    # first instruction on, whatever handlers its computations set.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        return subprocess.Popen(
            [sys.executable, *warnings, "-c", program],
            stdin=subprocess.DEVNULL,
            # A stream that is closed here could get the number of the socket in the worker.
            stdout=None if sys.stdout else subprocess.DEVNULL,
            stderr=None if sys.stderr else subprocess.DEVNULL,
            pass_fds=[handle],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def serve(handle: int) -> None:
    """Main function of the process: do the jobs in order until the parent is gone."""
    parent = Connection(handle)
    jobs: SimpleQueue[bytes] = SimpleQueue()

    def listen() -> None:
        try:
            while (message := parent.recv_bytes()) != _END:
                if message == _STOP:
                    request_stop()
                else:
                    jobs.put(message)
        except (EOFError, OSError):
            pass
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    try:
        while True:
            parent.send_bytes(_answer(parent, jobs.get()))
    except OSError:
        os._exit(0)  # the parent is gone


def _answer(parent: Connection, job: bytes) -> bytes:
    """Do a job; returns a pickle of whether it succeeded, and its result or error."""
    try:
        function, arguments = pickle.loads(job)  # loads the library, which takes a second or two
        parent.send_bytes(_BEGUN)
        return pickle.dumps((True, function(*arguments)))
    except Exception as error:
        error.add_note(f"In a worker:\n{''.join(traceback.format_exception(error))}")
        try:
            answer = pickle.dumps((False, error))
            pickle.loads(answer)  # for some errors only unpickling fails
        except Exception:
            answer = pickle.dumps((False, WorkerError(f"{type(error).__name__}: {error}")))
        return answer

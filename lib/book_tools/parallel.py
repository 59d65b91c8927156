"""Run several notebooks at once, each in its own process.

Large parts of a notebook use a single thread: starting, drawing, small problems. Two notebooks in
parallel keep two cores busy, while one after another leaves the second core idle half of the time.

The processes are forked from a server that has imported papermill once. Papermill cannot run in
several threads, because a kernel inherits the environment and the signals of its process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import FrameType

from book_tools.errors import BookError
from book_tools.execution import execute, is_executed
from book_tools.kernels import short_names
from book_tools.project import Project
from feature_learning.inference.interruption import SIGNALS, handling

PATIENCE = 20.0
"""Seconds that an interrupted notebook gets to end by itself."""


def execute_all(
    project: Project, pages: Sequence[str], profile: str, *, stage: Path, at_once: int | None = None
) -> None:
    """Execute the notebooks that are not up to date, a few at a time.

    Parameters
    ----------
    project
        The book.
    pages
        The notebooks, in the order in which they start.
    profile
        The profile of all of them.
    stage
        Copy of the sources in which they run.
    at_once
        Number of parallel notebooks; by default two, or one on a machine with one core. They share
        the threads of the machine.

    Raises
    ------
    BookError
        If a cell raises an error. No further notebook is started then; running notebooks are
        finished, and every failure is named.
    """
    # Importing the library takes a second, and the forked processes do not need it.
    from feature_learning.experiments.hardware import usable_cores

    cores = usable_cores()
    at_once = at_once or min(2, cores)
    threads = max(1, cores // at_once)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    running = dict[Connection, ForkServerProcess]()
    waiting, failures = list[str](), list[str]()
    for page in pages:
        if is_executed(project, page, {"profile": profile}):
            print(f"{page}: unchanged, kept", flush=True)
        else:
            waiting.append(page)
    try:
        while running or (waiting and not failures):
            while waiting and not failures and len(running) < at_once:
                page = waiting.pop(0)
                outcome, theirs = context.Pipe(duplex=False)
                task = (theirs, project, page, profile, (stage / page).parent, threads)
                process = context.Process(target=_execute, args=task, name=page)
                with short_names():  # for the sockets of the server, which starts here
                    process.start()
                theirs.close()
                running[outcome] = process
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                if (failure := _end(ready, running.pop(ready))) is not None:
                    failures.append(failure)
    finally:
        _interrupt(running)
    if failures:
        raise BookError("\n".join(failures))


def _execute(
    outcome: Connection, project: Project, page: str, profile: str, folder: Path, threads: int
) -> None:
    """Main function of a process: run the notebook, and send back why it failed."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    failure: str | None = None
    # SIGINT is ignored in programs that a shell runs in the background.
    with handling(_raise_once, even_ignored=SIGNALS):
        try:
            execute(project, page, {"profile": profile}, folder=folder)
        except (BookError, OSError) as error:
            failure = str(error)
        except KeyboardInterrupt:
            failure = "interrupted"
        with contextlib.suppress(OSError):  # the parent is gone
            outcome.send(failure)


def _raise_once(number: int, frame: FrameType | None) -> None:
    """Shut the kernel down after the first signal, and ignore further ones.

    The terminal or the batch system may send signals as well as the parent.
    """
    for each in SIGNALS:
        # Not SIG_IGN: Python reports an error in any line for a pending signal without a handler.
        signal.signal(each, _pass)
    raise KeyboardInterrupt


def _pass(number: int, frame: FrameType | None) -> None:
    """Signal handler that does nothing."""


def _end(outcome: Connection, process: ForkServerProcess) -> str | None:
    """Why a notebook could not be run; None if it was run."""
    try:
        failure: str | None = outcome.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return (
            f"{process.name}: its process {how}, perhaps for lack of memory; what is done is kept"
        )
    process.join()
    return failure


def _interrupt(running: Mapping[Connection, ForkServerProcess]) -> None:
    """Interrupt notebooks that have not received Ctrl-C; their kernels end with them."""
    for process in running.values():
        _send(process, signal.SIGINT)
    for outcome, process in running.items():
        # Not whether the process has ended: that only its server knows, which may have been killed.
        if not outcome.poll(PATIENCE):
            _send(process, signal.SIGKILL)
        process.join()


def _send(process: ForkServerProcess, number: int) -> None:
    if process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)

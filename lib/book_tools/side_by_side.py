"""Run several notebooks at once, each in a process of its own.

Much of a notebook is one thread's work: starting, drawing, small problems. Two side by side keep
two cores busy where one after the other leaves the second idle half of the time.

The processes are forked from a server that has imported papermill once. Papermill itself cannot run
in several threads, because a kernel inherits the environment and the signals of its process.
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
"""Seconds that an interrupted notebook has to end by itself."""


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
        Of all of them.
    stage
        Copy of the sources in which they run.
    at_once
        How many; by default two, or one on a machine with one core. The threads of the machine are
        shared out among them.

    Raises
    ------
    BookError
        If a cell raises. No further notebook is started then; those that run are finished first,
        and every failure is named.
    """
    # The library takes a second to import, which the forked processes can do without.
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
                with short_names():  # of the sockets of the server, which starts here
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
    """What a process does: run the notebook, and say why it could not."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    failure: str | None = None
    # SIGINT is ignored in what a shell runs in the background.
    with handling(_raise_once, even_ignored=SIGNALS):
        try:
            execute(project, page, {"profile": profile}, folder=folder)
        except (BookError, OSError) as error:
            failure = str(error)
        except KeyboardInterrupt:
            failure = "interrupted"
        with contextlib.suppress(OSError):  # nobody listens any more
            outcome.send(failure)


def _raise_once(number: int, frame: FrameType | None) -> None:
    """Let the kernel be shut down after the first signal, whatever follows it.

    One may come from the terminal or the batch system as well as from the parent.
    """
    for each in SIGNALS:
        # Not SIG_IGN: of a signal on its way to no handler Python complains in whatever line runs.
        signal.signal(each, _pass)
    raise KeyboardInterrupt


def _pass(number: int, frame: FrameType | None) -> None:
    """Take a signal and go on."""


def _end(outcome: Connection, process: ForkServerProcess) -> str | None:
    """Why a notebook could not be run; None if it was."""
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
    """What Ctrl-C does, to those that have not heard it; their kernels end with them."""
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

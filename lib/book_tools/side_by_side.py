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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Run:
    page: str
    process: ForkServerProcess
    outcome: Connection


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
    waiting, running, failures = list[str](), dict[Connection, _Run](), list[str]()
    for page in pages:
        if is_executed(project, page, {"profile": profile}):
            print(f"{page}: unchanged, kept", flush=True)
        else:
            waiting.append(page)
    try:
        while running or (waiting and not failures):
            while waiting and not failures and len(running) < at_once:
                page = waiting.pop(0)
                folder = (stage / page).parent
                outcome, theirs = context.Pipe(duplex=False)
                process = context.Process(
                    target=_execute, args=(theirs, project, page, profile, folder, threads)
                )
                with short_names():  # of the sockets of the server, which starts here
                    process.start()
                theirs.close()
                running[outcome] = _Run(page, process, outcome)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                if (failure := _end(running.pop(ready))) is not None:
                    failures.append(failure)
    finally:
        _interrupt(list(running.values()))
    if failures:
        raise BookError("\n".join(failures))


def _execute(
    outcome: Connection, project: Project, page: str, profile: str, folder: Path, threads: int
) -> None:
    """What a process does: run the notebook, and say why it could not."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    failure: str | None = None
    # A signal may come from the terminal or the batch system as well as from the parent; and SIGINT
    # is ignored in what a shell runs in the background.
    with handling(_raise_once(), even_ignored=SIGNALS):
        try:
            execute(project, page, {"profile": profile}, folder=folder)
        except (BookError, OSError) as error:
            failure = str(error)
        except KeyboardInterrupt:
            failure = "interrupted"
        with contextlib.suppress(OSError):  # nobody listens any more
            outcome.send(failure)


def _raise_once() -> Callable[[int, FrameType | None], None]:
    """A handler of signals that lets the kernel be shut down after the first one."""
    heard = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            raise KeyboardInterrupt

    return handle


def _end(run: _Run) -> str | None:
    """Why a notebook could not be run; None if it was."""
    error: str | None
    try:
        error = run.outcome.recv()
    except EOFError:
        run.process.join()
        code = run.process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        error = f"{run.page}: its process {how}, perhaps for lack of memory; what is done is kept"
    run.process.join()
    return error


def _interrupt(runs: Sequence[_Run]) -> None:
    """What Ctrl-C does, to those that have not heard it; their kernels end with them."""
    for run in runs:
        _send(run, signal.SIGINT)
    for run in runs:
        # Not whether the process has ended: that only its server knows, which may have been killed.
        if not run.outcome.poll(PATIENCE):
            _send(run, signal.SIGKILL)
        run.process.join()


def _send(run: _Run, number: int) -> None:
    if run.process.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(run.process.pid, number)

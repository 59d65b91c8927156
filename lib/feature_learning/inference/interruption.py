"""Signals that ask a program to end: the first is deferred, the second interrupts at once.

Ctrl-C (SIGINT), the end of a batch job or ``kill`` (SIGTERM) and a lost terminal (SIGHUP) have the
same effect: the program saves its state, reports it and ends with the exit code 128 + n. A signal
that is ignored from the start, as under ``nohup``, stays ignored.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

#: Signals that ask a program to end; some systems lack some of them.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
#: Offset of the exit code of a program that a signal has ended.
SIGNALLED = 128
_Handler = Callable[[int, FrameType | None], object]
_stopped = threading.Event()


class _Received:
    """The first signal that this process has received; None so far."""

    number: int | None = None


def exit_code() -> int:
    """Exit code 128 + n, with n the number of the first signal received (SIGINT if none)."""
    return SIGNALLED + (_Received.number or signal.SIGINT)


def request_stop() -> None:
    """Make every loop of this process, present and future, end as after Ctrl-C.

    For a worker process, on request of its parent. This cannot be undone.
    """
    _stopped.set()


class Interruption:
    """A flag that becomes true once an interrupt has been requested."""

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def requested(self) -> bool:
        """Whether a signal has been received."""
        return self.number is not None

    def __bool__(self) -> bool:
        return self.requested or _stopped.is_set()


@contextmanager
def handling(handler: _Handler, *, even_ignored: Collection[int] = ()) -> Iterator[None]:
    """Install ``handler`` for all signals that are not ignored, for the duration of a block.

    Outside the main thread, where handlers cannot be set, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    mine = [
        number
        for number, known in before.items()
        # A handler of None was not set from Python and could not be restored.
        if known is not None and (known != signal.SIG_IGN or number in even_ignored)
    ]
    for number in mine:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, before[number])


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """The handler of a program: every signal raises KeyboardInterrupt, as Ctrl-C does."""
    _Received.number = _Received.number or number
    raise KeyboardInterrupt


@contextmanager
def deferred_interrupt() -> Iterator[Interruption]:
    """Turn the first signal into a flag that the loop reads between steps.

    A KeyboardInterrupt in the middle of a step would leave partly updated parameters behind. A
    second signal raises it nevertheless. In a program that does not end through
    :func:`feature_learning.cli.ending.run_program`, SIGTERM and SIGHUP take their ordinary effect
    after the block, such as ending the program.
    """
    flag = Interruption()

    def handle(number: int, frame: FrameType | None) -> None:
        _Received.number = _Received.number or number
        if flag.requested:
            raise KeyboardInterrupt
        flag.number = number

    later = [
        number
        for number in SIGNALS
        if number != signal.SIGINT and signal.getsignal(number) is not raise_interrupt
    ]
    try:
        # A background job of a shell ignores Ctrl-C, but a SIGINT sent to its process is meant.
        with handling(handle, even_ignored=(signal.SIGINT,)):
            yield flag
    finally:
        if flag.number is not None and flag.number in later:
            os.kill(os.getpid(), flag.number)

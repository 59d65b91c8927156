"""Signals that ask a program to end: the first one asks politely, the second one means it.

Ctrl-C (SIGINT), the end of a batch job or ``kill`` (SIGTERM) and a lost terminal (SIGHUP) mean the
same: save what there is, say so, end with the exit code 128 + n. Where a signal is ignored from the
start, as by ``nohup``, it stays so.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

#: Signals that ask for the end; not every system has all of them.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
#: An exit code above it says which signal has ended a program.
SIGNALLED = 128
_Handler = Callable[[int, FrameType | None], object]
_stopped = threading.Event()


class _Received:
    """The first signal that this process has heard; None so far."""

    number: int | None = None


def exit_code() -> int:
    """Of a program that a signal has ended: 128 + n, n of the first one heard, else SIGINT's."""
    return SIGNALLED + (_Received.number or signal.SIGINT)


def request_stop() -> None:
    """Make every loop of this process, present and future, end as after Ctrl-C.

    For a worker process whose parent tells it so: there is no way back.
    """
    _stopped.set()


class Interruption:
    """Becomes true once an interrupt has been asked for."""

    def __init__(self) -> None:
        self.number: int | None = None

    @property
    def requested(self) -> bool:
        """Whether a signal has been heard."""
        return self.number is not None

    def __bool__(self) -> bool:
        return self.requested or _stopped.is_set()


@contextmanager
def handling(handler: _Handler, *, even_ignored: Collection[int] = ()) -> Iterator[None]:
    """Let ``handler`` have the signals for the time of a block, but for those that are ignored.

    Outside the main thread, where handlers cannot be set, everything stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    mine = [
        number
        for number, known in before.items()
        # What is None was not set from Python, and could not be put back.
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
    """The handler of a program: what Ctrl-C does by default, for every signal."""
    _Received.number = _Received.number or number
    raise KeyboardInterrupt


@contextmanager
def deferred_interrupt() -> Iterator[Interruption]:
    """Turn the first signal into a flag that the loop reads between steps.

    A KeyboardInterrupt in the middle of a step would leave half-moved parameters behind. A second
    signal raises it all the same. In a program that does not end through
    :func:`feature_learning.cli.ending.run_program`, SIGTERM and SIGHUP do afterwards what they
    would have done at once, such as ending it.
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
        # A shell's background job ignores Ctrl-C; who sends SIGINT to that very process means it.
        with handling(handle, even_ignored=(signal.SIGINT,)):
            yield flag
    finally:
        if flag.number is not None and flag.number in later:
            os.kill(os.getpid(), flag.number)

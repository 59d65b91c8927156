"""Ctrl-C without loss: the first one asks politely, the second one means it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_stopped = threading.Event()


def request_stop() -> None:
    """Make every loop of this process, present and future, end as after Ctrl-C.

    For a worker process whose parent tells it so: there is no way back.
    """
    _stopped.set()


class Interruption:
    """Becomes true once an interrupt has been asked for."""

    def __init__(self) -> None:
        self.requested = False

    def __bool__(self) -> bool:
        return self.requested or _stopped.is_set()


@contextmanager
def deferred_interrupt() -> Iterator[Interruption]:
    """Turn the first SIGINT into a flag that the loop reads between steps.

    A KeyboardInterrupt in the middle of a step would leave half-moved parameters behind. A second
    SIGINT raises as usual. Outside the main thread, where handlers cannot be set, the flag stays
    false and interrupts behave as ever.
    """
    flag = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    previous = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        if flag.requested:
            # Not the handler from before: a shell's background job has none but "ignore".
            raise KeyboardInterrupt
        flag.requested = True

    signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)

"""The one lock: who computes a cell, writes a checkpoint or builds the book has its file locked.

The lock belongs to the process, by way of the operating system: that of a killed process is free at
once, and a file that is left behind means nothing. Where the file system has no such locks (its
``flock`` is not implemented), a second file stands for the lock, which holds process and machine;
whoever finds it left behind by a dead process of the same machine takes it away.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout


class Lock:
    """A lock that this process holds until :meth:`release`, or its end."""

    def __init__(self, lock: BaseFileLock) -> None:
        self._lock = lock

    def release(self) -> None:
        """Give it back; its file goes, which says at a glance that nothing is running."""
        if not isinstance(self._lock, SoftFileLock):  # which removes its file itself
            # While it is held: who has opened the file meanwhile finds it without a name, and makes
            # a new one.
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release(force=True)


def acquire(path: Path) -> Lock | None:
    """Lock a file, which is made with its folder; None while another process, or thread, has it.

    Raises
    ------
    OSError
        If there can be no such file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock: BaseFileLock = FileLock(path, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire(blocking=False)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
                raise
            # Under a name of its own: a file of the other kind does not tell of a holder.
            path.unlink(missing_ok=True)
            lock = SoftFileLock(path.with_name(f"{path.name}.held"), thread_local=False)
            lock.acquire(blocking=False)
    except Timeout:
        return None
    return Lock(lock)


@contextmanager
def held(path: Path) -> Iterator[Lock | None]:
    """The lock of a file for the time of a block; None while somebody else has it.

    Raises
    ------
    OSError
        If there can be no such file.
    """
    lock = acquire(path)
    try:
        yield lock
    finally:
        if lock is not None:
            lock.release()

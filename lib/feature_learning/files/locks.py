"""Locks on files, for computing a cell, writing a checkpoint or building the book.

The operating system ties a lock to its process: the lock of a killed process is released at once,
and a remaining lock file has no effect. On file systems without such locks (``flock`` is not
implemented), a second file with the process and machine represents the lock; it is removed if its
process on the same machine has died.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout


class Lock:
    """A lock that this process holds until :meth:`release` or until it ends."""

    def __init__(self, lock: BaseFileLock) -> None:
        self._lock = lock

    def release(self) -> None:
        """Release the lock and remove its file, to show that nothing is running."""
        if not isinstance(self._lock, SoftFileLock):  # which removes its file itself
            # Remove the file while it is locked: a process that has opened it meanwhile finds it
            # without a name, and creates a new one.
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release(force=True)


def acquire(path: Path) -> Lock | None:
    """Lock a file, created with its folder; None while another process or thread holds it.

    Raises
    ------
    OSError
        If the file cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock: BaseFileLock = FileLock(path, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire(blocking=False)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
                raise
            # Use a different name: a file of the first kind does not identify its holder.
            path.unlink(missing_ok=True)
            lock = SoftFileLock(path.with_name(f"{path.name}.held"), thread_local=False)
            lock.acquire(blocking=False)
    except Timeout:
        return None
    return Lock(lock)


@contextmanager
def held(path: Path) -> Iterator[Lock | None]:
    """The lock of a file for the duration of a block; None while another process holds it.

    Raises
    ------
    OSError
        If the file cannot be created.
    """
    lock = acquire(path)
    try:
        yield lock
    finally:
        if lock is not None:
            lock.release()

"""The lock: one holder, free when its process is gone, also on a file system without locks."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from feature_learning.files import locks

HOLD = """
import sys
from pathlib import Path
from feature_learning.files import locks
kept = locks.acquire(Path(sys.argv[1]))
print(kept is not None, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(environment):
    """Starts a process that holds the lock of a file until it is killed."""
    started = []

    def start(path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "True\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def unsupported(number):
    def flock(handle, operation):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize("number", [None, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_lock_has_one_holder_and_its_file_goes_with_it(tmp_path, monkeypatch, number):
    if number is not None:
        monkeypatch.setattr(fcntl, "flock", unsupported(number))
    path = tmp_path / "folder" / "a.lock"
    lock = locks.acquire(path)
    assert lock is not None
    assert locks.acquire(path) is None
    other = locks.acquire(path.with_name("b.lock"))
    assert other is not None
    other.release()
    lock.release()
    assert list(path.parent.iterdir()) == []
    with locks.held(path) as again, locks.held(path) as second:
        assert again is not None
        assert second is None
    assert list(path.parent.iterdir()) == []


def test_a_lock_is_free_when_its_process_is_killed(tmp_path, holder):
    path = tmp_path / "a.lock"
    process = holder(path)
    assert locks.acquire(path) is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.exists()
    with locks.held(path) as lock:
        assert lock is not None


def test_a_file_that_a_lock_left_behind_is_none_where_there_are_no_locks(tmp_path, monkeypatch):
    path = tmp_path / "a.lock"
    path.touch()
    monkeypatch.setattr(fcntl, "flock", unsupported(errno.ENOSYS))
    with locks.held(path) as lock:
        assert lock is not None


def test_without_locks_of_the_system_a_dead_holder_counts_for_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", unsupported(errno.ENOSYS))
    path = tmp_path / "a.lock"
    lock = locks.acquire(path)
    assert lock is not None
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (mark,) = tmp_path.iterdir()
    mark.write_text(mark.read_text().replace(str(os.getpid()), str(dead.pid), 1))
    os.utime(mark, (0, 0))  # what is only just being written is never taken away
    with locks.held(path) as again:
        assert again is not None


def test_a_folder_that_takes_no_lock_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        locks.acquire(tmp_path / "file" / "a.lock")

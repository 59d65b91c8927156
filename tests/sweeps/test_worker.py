"""One worker process: its jobs, the signals it ignores, and its end."""

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, CancelledError, Future

import pytest

from feature_learning import configure
from feature_learning.errors import WorkerError
from feature_learning.sweeps import pool
from feature_learning.sweeps.pool import LocalPool, Task
from feature_learning.sweeps.worker import Worker

#: A script as a newcomer writes it.
SCRIPT = """
from feature_learning import PointConfig, configure
from feature_learning.sweeps.pool import run_points

print("begun")
config = configure({options})
points = run_points({{seed: config for seed in range(2)}}, workers=1)
print(len(points))
"""


def wait_for(condition):
    """Poll until it is true; the limit is for a test that fails."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.end(kill=True)
    worker.join()


def test_a_worker_does_its_jobs_in_a_process_of_its_own_and_ends_when_told(worker):
    assert worker.free
    assert worker.submit(os.getpid).result() == worker.pid != os.getpid()
    with pytest.raises(ValueError, match="invalid literal") as caught:
        worker.submit(int, "x").result()
    assert "Traceback" in caught.value.__notes__[0]
    # A syntax error is one of those that can be sent and not be received with all they carry.
    with pytest.raises((SyntaxError, WorkerError)):
        worker.submit(eval, "1 +").result()
    assert worker.submit(os.getpid).result() == worker.pid
    worker.end()
    worker.join()
    assert not worker.alive
    assert not exists(worker.pid)


def test_an_error_that_cannot_be_sent_arrives_as_its_text(worker):
    program = "class Odd(Exception):\n    pass\nraise Odd('words')"
    with pytest.raises(WorkerError, match="Odd: words"):
        worker.submit(exec, program, {"__name__": "nowhere"}).result()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_a_signal_means_is_decided_by_the_parent_alone(worker, name):
    """From the first instruction on, while the library is loaded, and in the middle of a job."""
    number = getattr(signal, name)
    os.kill(worker.pid, number)
    assert worker.submit(os.getpid).result() == worker.pid
    job = worker.submit(time.sleep, 0.1)
    while not job.done():
        os.kill(worker.pid, number)
        time.sleep(0.02)
    assert job.result() is None


def test_a_job_that_has_not_begun_is_cancelled_with_its_process(worker):
    os.kill(worker.pid, signal.SIGSTOP)  # as slow to load as can be
    job = worker.submit(os.getpid)
    worker.interrupt()
    with pytest.raises(CancelledError):
        job.result(timeout=60)
    wait_for(lambda: not worker.alive)


def test_the_future_of_a_worker_that_dies_says_so_and_so_do_those_after_it(worker):
    job = worker.submit(time.sleep, 600)
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(BrokenExecutor):
        job.result(timeout=60)
    worker.join()
    with pytest.raises(BrokenExecutor):
        worker.submit(os.getpid).result(timeout=60)


def test_a_worker_ends_with_its_parent(environment):
    program = """
import os, time
from feature_learning.sweeps.worker import Worker
worker = Worker()
worker.submit(os.getpid).result()
worker.submit(time.sleep, 600)
print(worker.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    parent = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert parent.returncode == -signal.SIGKILL
    wait_for(lambda: not exists(int(parent.stdout)))


def test_a_worker_is_not_started_with_the_last_files_that_can_be_opened():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 10, before[1]))
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011  (the number is compared below)
            Worker()
        assert os.open(os.devnull, os.O_RDONLY) == spare
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        os.close(spare)
    assert caught.value.errno == errno.EMFILE


# The pool


@pytest.fixture
def task(tiny):
    return Task("name", configure(**tiny))


@pytest.fixture
def limited(monkeypatch):
    """Lets a number of workers start, and then raises an error."""

    def limit(count, error):
        plain, started = pool.Worker, []

        def start():
            if len(started) == count:
                raise error
            started.append(worker := plain())
            return worker

        monkeypatch.setattr(pool, "Worker", start)

    return limit


def test_workers_start_when_there_is_work_for_them(task):
    workers = LocalPool(1000)
    try:
        assert workers.pids == []
        assert workers.slots == 1000
        workers.submit(task)
        assert len(workers.pids) == 1
        workers.interrupt()
    finally:
        workers.close()


def test_where_no_more_workers_can_start_a_pool_goes_on_with_those_it_has(limited, task):
    limited(1, OSError(errno.EMFILE, "Too many open files"))
    workers = LocalPool(8)
    handed = [task, task, task]
    found = []
    try:
        for _, outcome in pool.outcomes(workers, lambda: handed.pop() if handed else None):
            found.append(outcome)
    finally:
        workers.close()
    assert [type(each) for each in found] == [pool.Finished] * 3
    assert workers.slots == 1


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        RuntimeError("can't start new thread"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_that_no_more_workers_can_start_is_said_once(monkeypatch, task, error):
    class Busy:
        alive, free = True, False

        def submit(self, *job):
            return Future()

    make = iter([Busy])

    def start():
        for kind in make:
            return kind()
        raise error

    monkeypatch.setattr(pool, "Worker", start)
    workers = LocalPool(8)
    assert workers.submit(task) is not None
    assert workers.submit(task) is None
    assert workers.slots == 1
    (said,) = workers.news()
    assert "1 workers" in said
    assert error.args[-1] in said
    assert workers.news() == []


def test_where_no_worker_can_start_the_cause_and_the_remedy_are_named(limited, task):
    limited(0, OSError(errno.EMFILE, "Too many open files"))
    with pytest.raises(WorkerError, match=r"Too many open files.*ulimit -n"):
        LocalPool(8).submit(task)


def test_a_point_of_another_version_of_its_method_is_an_error(here, task, monkeypatch):
    monkeypatch.setitem(pool.METHOD_VERSIONS, "network", 0)
    finished = pool.compute(task.config, None, 1)
    monkeypatch.undo()

    class Old(here):
        def submit(self, task):
            future = super().submit(task)
            future.result().__dict__.update(finished.__dict__)
            return future

    class Older(here):
        def submit(self, task):
            future = super().submit(task)
            del future.result().__dict__["version"]
            return future

    for kind, version in ((Old, "0"), (Older, "None")):
        handed = [task]
        ((_, outcome),) = pool.outcomes(
            kind(), lambda handed=handed: handed.pop() if handed else None
        )
        assert isinstance(outcome, WorkerError)
        assert f"version {version} of network" in str(outcome)


def test_what_waits_for_a_second_attempt_is_given_up_after_an_interrupt(here, task):
    class Dying(here):
        def submit(self, task):
            future = super().submit(task)
            broken = type(future)()
            broken.set_exception(BrokenExecutor())
            return broken

    handed, executor = [task], Dying()
    ((_, outcome),) = pool.outcomes(
        executor,
        lambda: handed.pop() if handed else None,
        stopping=lambda: bool(executor.order),
    )
    assert len(executor.order) == 1
    assert "cancelled" in str(outcome)


def test_a_script_needs_no_guard(environment, tiny, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(options=", ".join(f"{k}={v!r}" for k, v in tiny.items())))
    done = subprocess.run(
        [sys.executable, script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("begun\n2\n", "")

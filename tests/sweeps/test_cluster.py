"""A Dask cluster: its address, the versions of its workers, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor

import pytest

from feature_learning import __version__
from feature_learning.cli.sweep import run_grid
from feature_learning.errors import ArgumentError, WorkerError
from feature_learning.experiments.flat import configure
from feature_learning.sweeps import pool
from feature_learning.sweeps.cluster import DaskPool, check_address
from feature_learning.sweeps.grid import Grid, GridCell
from feature_learning.sweeps.pool import Task
from feature_learning.sweeps.store import Store

#: A cluster that can be killed at once; its scheduler's address is the first line.
CLUSTER = """
import time
from distributed import LocalCluster
cluster = LocalCluster(
    n_workers=1, processes=False, protocol="tcp://", dashboard_address=":0", silence_logs=60
)
print(cluster.scheduler_address, flush=True)
time.sleep(600)
"""


def wait_for(condition):
    """Poll until it is true; the limit is for a test that fails."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# The address


@pytest.mark.parametrize(
    "address",
    [
        *("", "foo", "tcp://", "tls://", "tcp://x", "http://x:1", "ftp://x:1", "inproc://x:1"),
        *("tcp://x:y", "tcp://x:0", "tcp://x:65536", "tcp://x:-1", "tcp:// x:1", "x:1:1", ":1"),
    ],
)
def test_an_address_that_cannot_be_is_refused_by_name_and_nothing_is_tried(address):
    with pytest.raises(ArgumentError) as caught:
        DaskPool(address, timeout=1e9)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:8786", "tls://host:1", "tcp://[::1]:8786"])
def test_addresses_of_schedulers_are_accepted(address):
    assert check_address(address) == address
    assert check_address(address.partition("//")[2]) == f"tcp://{address.partition('//')[2]}"


def test_what_listens_there_and_is_no_scheduler_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ArgumentError, match="does not answer"):
            DaskPool(address, timeout=0.2)


def test_where_nobody_listens_one_error_is_all_that_is_heard(environment):
    program = """
from feature_learning.sweeps.cluster import DaskPool
try:
    DaskPool("tcp://127.0.0.1:1", timeout=0.2)
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert "tcp://127.0.0.1:1" in done.stdout


# Versions


@pytest.fixture
def cluster():
    """Two workers without processes of their own."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        dashboard_address=":0",
    ) as cluster:
        yield cluster


@pytest.fixture
def join(cluster, monkeypatch):
    """Adds workers to the cluster; those of ``others`` say other versions when they are asked."""
    from distributed import Client

    plain, others = Client.run, {}

    def run(self, function, *arguments, **options):
        answers = plain(self, function, *arguments, **options)
        return {address: others.get(address, answer) for address, answer in answers.items()}

    def add(answer=None):
        before = set(cluster.scheduler.workers)
        cluster.scale(len(before) + 1)
        wait_for(lambda: set(cluster.scheduler.workers) - before)
        (address,) = set(cluster.scheduler.workers) - before
        if answer is not None:
            others[address] = answer
        return address

    monkeypatch.setattr(Client, "run", run)
    return add


@pytest.fixture
def task(tiny):
    return Task("name", configure(**tiny))


OLD = ("0.0.9", {"network": 1})


def test_a_worker_of_another_version_gets_no_points_and_is_named_once(cluster, join, task):
    old, good = join(OLD), join()
    workers = DaskPool(cluster.scheduler_address)
    try:
        assert workers.slots == 1
        (said,) = workers.news()
        assert old in said
        assert "0.0.9" in said
        futures = [workers.submit(task) for _ in range(3)]
        assert [future.result(60).point.row["steps"] for future in futures] == [200] * 3
        done = {worker.address: worker.state for worker in cluster.workers.values()}
        assert done[old].executed_count == 0
        assert done[good].executed_count == 3
        # One that joins later is looked at, too.
        late = join((__version__, {**pool.METHOD_VERSIONS, "mf": 7}))
        assert workers.slots == 1
        (said,) = workers.news()
        assert late in said
        assert "version 7 of mf" in said
        join()
        assert workers.slots == 2
        assert workers.news() == []
    finally:
        workers.close()


@pytest.mark.parametrize("answer", [OLD, ModuleNotFoundError("No module named 'x'")], ids=repr)
def test_where_no_worker_fits_there_is_one_error(cluster, join, answer):
    old = join(answer)
    with pytest.raises(WorkerError) as caught:
        DaskPool(cluster.scheduler_address)
    assert old in str(caught.value)


def test_a_point_whose_only_worker_has_left_is_computed_by_another(cluster, join, tiny):
    join()
    workers = DaskPool(cluster.scheduler_address)
    endless = configure(**{**tiny, "langevin_time": 1e8})
    try:
        future = workers.submit(Task("endless", endless))
        cluster.scale(0)
        wait_for(lambda: workers.slots == 0)
        assert isinstance(future.exception(0), BrokenExecutor)
        assert workers.submit(Task("endless", endless)) is None
    finally:
        workers.close()


# Its end


def test_a_scheduler_that_is_killed_ends_a_sweep_with_one_line(environment, tmp_path, tiny, capfd):
    configs = [configure(**tiny), configure(**{**tiny, "langevin_time": 1e8})]
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        address = process.stdout.readline().strip()
        complaints, out = [], tmp_path / "results"
        for config in configs:
            workers = DaskPool(address)
            if config is configs[1]:
                thread = threading.Timer(0.5, os.kill, (process.pid, signal.SIGKILL))
                thread.start()
            code = run_grid(
                Grid("sweep.toml", "", (GridCell(config, ("main",)),)),
                out,
                workers,
                say=lambda text: None,
                complain=complaints.append,
            )
    finally:
        process.kill()
        process.communicate()
    assert code == 1
    (complaint,) = complaints
    assert address in complaint
    assert capfd.readouterr() == ("", "")
    assert len(Store(out).scan()[0]) == 1

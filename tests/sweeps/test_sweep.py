"""Sweeps: all cells are computed once, even if workers fail."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from small_runs import fitting

from feature_learning.errors import ArgumentError, StoreError, WorkerError
from feature_learning.experiments.flat import absent, configure, flat
from feature_learning.experiments.point import run_point
from feature_learning.files import atomic
from feature_learning.sweeps import pool
from feature_learning.sweeps.cluster import DaskPool
from feature_learning.sweeps.grid import Grid, GridCell
from feature_learning.sweeps.plan import duration, makespan, plan, work
from feature_learning.sweeps.pool import LocalPool, Task, checkpoint_path, outcomes
from feature_learning.sweeps.provenance import provenance
from feature_learning.sweeps.store import Store
from feature_learning.sweeps.sweep import sweep
from feature_learning.sweeps.table import tabulate


def grid_of(*configs):
    return Grid("sweep.toml", "", tuple(GridCell(config, ("main",)) for config in configs))


def comparable(row):
    return {name: value for name, value in row.items() if name != "seconds"}


def wait_for(condition):
    """Poll until it is true; the limit is for a test that fails."""
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def results(tmp_path):
    return Store(tmp_path / "results")


@pytest.fixture
def configs(tiny):
    return [fitting(**{**tiny, "seed": seed}) for seed in range(3)]


@pytest.fixture
def long(tiny):
    """A point of a second, which saves its state many times on the way."""
    return fitting(**{**tiny, "langevin_time": 3000.0, "measurements": 300})


def start(grid, results, executor, **options):
    return sweep(plan(grid, results), results, executor, **options)


def assert_as_alone(results, config):
    """What is stored is what the point is when nobody disturbs it."""
    cell, alone = results.read(config), run_point(config)
    assert comparable(cell.row) == comparable(alone.row)
    np.testing.assert_array_equal(results.weights(cell), alone.weights)


# What is computed


def test_a_sweep_computes_every_cell_once_and_the_next_one_none(results, configs, here):
    first, second = here(), here()
    report = start(grid_of(*configs), results, first)
    assert (report.total, report.computed, report.exit_code) == (3, 3, 0)
    assert len(first.order) == 3
    for config in configs:
        assert_as_alone(results, config)
    report = start(grid_of(*configs), results, second)
    assert (report.found, report.computed, report.exit_code) == (3, 0, 0)
    assert second.order == []
    assert list(results.checkpoints.iterdir()) == []


def test_the_longest_cells_go_first(results, tiny, here):
    sizes = [20, 60, 40]
    configs = [fitting(**{**tiny, "n_train": size}) for size in sizes]
    kernel = fitting(**{**tiny, "method": "nngp"})
    here = here()
    start(grid_of(kernel, *configs), results, here)
    assert [config.n_train for config in here.order] == [60, 40, 20, 20]
    assert here.order[-1] == kernel


def test_a_failing_cell_is_reported_with_its_configuration_and_stops_nothing(
    results, configs, here
):
    bad = configure(**flat(configs[0]) | {"step": 1e3, "langevin_time": 1e6})
    report = start(grid_of(configs[0], bad, configs[1]), results, here())
    assert (report.computed, len(report.failures), report.left, report.exit_code) == (2, 1, 0, 1)
    text = str(report.failures[0])
    assert "block main" in text
    assert "step=1000.0" in text
    assert "use at most" in text
    assert results.read(bad) is None


def test_any_exception_of_a_point_is_its_failure_alone(results, configs, monkeypatch, here):
    plain = pool.run_point

    def run(config, **options):
        if config.seed == 1:
            raise MemoryError
        return plain(config, **options)

    monkeypatch.setattr(pool, "run_point", run)
    report = start(grid_of(*configs), results, here())
    assert (report.computed, report.exit_code) == (2, 1)
    assert str(report.failures[0]).endswith("MemoryError")


def test_after_the_limit_no_new_cell_is_started(results, configs, here):
    here = here()
    report = start(grid_of(*configs), results, here, time_limit=1e-9)
    assert (here.order, report.left, report.exit_code) == ([], 3, 1)


def test_a_damaged_result_is_computed_again_and_kept_aside(results, configs, here):
    start(grid_of(*configs), results, here())
    path = results.path(configs[0])
    path.write_text("damaged")
    said = []
    report = start(grid_of(*configs), results, here(), say=said.append)
    assert (report.found, report.computed) == (2, 1)
    assert any(path.name in text for text in said)
    assert path.with_name(f"{path.name}.rejected-1").read_text() == "damaged"
    assert_as_alone(results, configs[0])


def test_on_a_full_disk_a_sweep_ends_with_the_path_and_keeps_what_it_had(
    results, configs, monkeypatch, here
):
    plain, full = atomic.replacing, []

    def replacing(path):
        if full and path.parent == results.folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(path)

    class Filling(here):
        def submit(self, task):
            if self.order:
                full.append(task)
            return super().submit(task)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "replacing", replacing)
        report = start(grid_of(*configs), results, Filling())
    assert (report.computed, len(report.failures), report.left) == (1, 1, 1)
    assert report.exit_code == 1
    assert isinstance(report.failures[0].error, StoreError)
    assert str(results.folder) in str(report.failures[0])
    assert len(results.scan()[0]) == 1
    # What was computed and could not be written is not computed again.
    (kept,) = results.checkpoints.iterdir()
    report = start(grid_of(*configs), results, here())
    assert (report.found, report.computed) == (1, 2)
    assert not kept.exists()


def test_progress_counts_cells_and_says_what_is_left(results, configs, here):
    said = []
    start(grid_of(*configs), results, here(), say=said.append)
    assert len(said) == 3
    assert said[0].startswith("[1/3] network P=20 κ=0.1 seed=0: ")
    assert said[-1].endswith("about 0.0 s left")
    assert [duration(each) for each in (1.25, 150, 9000)] == ["1.2 s", "2 min", "2.5 h"]


# Several sweeps


def test_two_sweeps_on_one_store_share_the_work(results, configs, environment, tmp_path):
    file = tmp_path / "sweep.toml"
    keys = {name: value for name, value in flat(configs[0]).items() if value is not None}
    lines = [
        f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
        for name, value in keys.items()
        if name != "seed" and value != absent()[name]
    ]
    seeds = list(range(6))
    file.write_text(
        "\n".join(["[[block]]", 'name = "a"', 'reason = "r"', f"seed = {seeds}", *lines])
    )
    command = [
        sys.executable,
        "-m",
        "feature_learning",
        "sweep",
        str(file),
        "--out",
        str(results.folder),
    ]
    both = [
        subprocess.Popen(
            [*command, "--workers", "1"], env=environment, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [each.communicate()[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    cells, problems = results.scan()
    assert (len(cells), problems) == (6, [])
    # Together they have computed each cell once.
    ends = [text.splitlines()[-1].split() for text in said]
    assert sum(int(words[3]) for words in ends) == 6
    assert [int(words[1]) + int(words[3]) for words in ends] == [6, 6]
    assert list(results.folder.glob("*rejected*")) == []
    assert len(tabulate(results.scan()[0], results.labels())) == 6


def test_a_cell_that_another_sweep_computes_is_left_to_it_and_picked_up_at_the_end(
    results, configs, here
):
    lock = results.lock(configs[0])
    here = here()

    def other():
        # The other sweep finishes its cell once this one has done all the rest.
        wait_for(lambda: len(results.scan()[0]) == 2)
        results.write(configs[0], run_point(configs[0]), provenance("cpu"))
        lock.release()

    thread = threading.Thread(target=other)
    thread.start()
    report = start(grid_of(*configs), results, here)
    thread.join()
    assert configs[0] not in here.order
    assert (report.found, report.computed, report.exit_code) == (1, 2, 0)


# Deaths


def kill_workers(workers, results, times):
    """A thread that kills the worker each time the state of its point has been saved anew."""

    def watch():
        seen = None
        for _ in range(times):

            def saved(seen=seen):
                now = {(path, path.stat().st_ino) for path in results.checkpoints.glob("[!.]*.npz")}
                return now and now != seen and workers.pids

            wait_for(saved)
            (pid,) = workers.pids
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: pid not in workers.pids)
            seen = {(path, path.stat().st_ino) for path in results.checkpoints.glob("[!.]*.npz")}

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_killed_worker_is_replaced_and_its_cell_goes_on_where_it_was(results, long):
    workers = LocalPool(1)
    thread = kill_workers(workers, results, 1)
    try:
        report = start(grid_of(long), results, workers)
    finally:
        workers.close()
        thread.join()
    assert (report.computed, report.exit_code) == (1, 0)
    assert_as_alone(results, long)


def test_a_cell_that_kills_its_worker_twice_is_reported_and_the_others_are_computed(
    results, long, configs
):
    workers = LocalPool(1)
    thread = kill_workers(workers, results, 2)
    try:
        report = start(grid_of(*configs[:2], long), results, workers)
    finally:
        workers.close()
        thread.join()
    assert (report.computed, len(report.failures), report.exit_code) == (2, 1, 1)
    assert isinstance(report.failures[0].error, WorkerError)
    assert report.failures[0].cell.config == long
    # Its state is still there for the next attempt.
    assert checkpoint_path(long, results.checkpoints).exists()


def test_an_interrupted_sweep_keeps_the_state_of_what_runs_and_goes_on_later(results, long, here):
    workers = LocalPool(1)

    def press():
        wait_for(lambda: any(results.checkpoints.glob("[!.]*.npz")))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        report = start(grid_of(long), results, workers)
    finally:
        workers.close()
        thread.join()
    assert (report.interrupted, report.left, report.exit_code) == (True, 1, 130)
    assert results.scan() == ([], [])
    assert checkpoint_path(long, results.checkpoints).exists()
    report = start(grid_of(long), results, here())
    assert report.exit_code == 0
    assert_as_alone(results, long)


def test_an_interrupt_while_the_workers_load_the_library_waits_for_nothing(results, long):
    workers = LocalPool(1)
    endless = configure(**flat(long) | {"langevin_time": 1e8})

    def press():
        wait_for(lambda: workers.pids)
        os.kill(workers.pids[0], signal.SIGSTOP)  # as slow to load as can be
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        report = start(grid_of(endless), results, workers)
    finally:
        workers.close()
        thread.join()
    assert (report.interrupted, report.left, report.exit_code) == (True, 1, 130)
    assert report.failures == []
    assert workers.pids == []


def test_a_worker_that_died_idle_is_replaced_and_a_killed_one_leaves_what_it_had_saved(
    results, configs, long
):
    workers = LocalPool(1)
    assert workers.submit(Task("short", configs[0])).result().point.row["steps"] == 200
    (pid,) = workers.pids
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: workers.pids == [])
    handed, saved = [Task("long", long, checkpoint_path(long, results.checkpoints))], []

    def tick():
        if any(results.checkpoints.glob("[!.]*.npz")) and not saved:
            saved.append(True)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(outcomes(workers, lambda: handed.pop() if handed else None, tick=tick))
    workers.close(kill=True)
    assert workers.pids == []
    assert checkpoint_path(long, results.checkpoints).exists()


# A cluster


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster


def test_a_cluster_computes_the_cells_and_a_failing_one_stops_nothing(cluster, results, configs):
    bad = configure(**flat(configs[0]) | {"step": 1e3})
    workers = DaskPool(cluster.scheduler_address)
    try:
        report = start(grid_of(*configs, bad), results, workers)
    finally:
        workers.close()
    assert (report.computed, len(report.failures), report.exit_code) == (3, 1, 1)
    for config in configs:
        assert_as_alone(results, config)


def test_a_killed_worker_of_a_cluster_loses_nothing_but_time(cluster, results, long):
    from distributed import Client

    workers = DaskPool(cluster.scheduler_address)
    with Client(cluster.scheduler_address, set_as_default=False) as client:

        def kill():
            wait_for(lambda: any(client.processing().values()))
            (process,) = client.run(os.getpid).values()
            os.kill(process, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            report = start(grid_of(long), results, workers)
        finally:
            workers.close()
            thread.join()
    assert (report.computed, report.exit_code) == (1, 0)
    assert_as_alone(results, long)


def test_an_interrupted_sweep_gives_up_what_runs_on_a_cluster(cluster, results, long):
    from distributed import Client

    workers = DaskPool(cluster.scheduler_address)
    with Client(cluster.scheduler_address, set_as_default=False) as client:

        def press():
            wait_for(lambda: any(client.processing().values()))
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=press)
        thread.start()
        try:
            report = start(grid_of(long), results, workers)
        finally:
            workers.close()
            thread.join()
    assert (report.interrupted, report.left, report.exit_code) == (True, 1, 130)
    assert results.scan() == ([], [])


def test_a_scheduler_that_does_not_answer_is_refused():
    for address in ("tcp://127.0.0.1:1", "tcp://nowhere:1"):
        with pytest.raises(ArgumentError, match="does not answer"):
            DaskPool(address, timeout=0.2)


# What there is to do


def test_a_plan_says_what_is_done_and_what_is_to_do(results, configs, tiny, here):
    large = fitting(**{**tiny, "n_train": 4000, "width": 100})
    grid = grid_of(*configs, large)
    start(grid_of(configs[0]), results, here())
    results.path(configs[1]).write_text("damaged")
    planned = plan(grid, results)
    assert [each.done for each in planned.cells] == [True, False, False, False]
    assert [each.problem is not None for each in planned.cells] == [False, True, False, False]
    assert planned.todo[0].cell.config == large
    assert planned.todo[0].work == max(each.work for each in planned.cells)


def test_more_of_anything_is_more_work(tiny):
    base = flat(fitting(**{**tiny, "width": 50, "n_train": 500}))
    for method in ("network", "mf", "nngp"):
        small = fitting(**base | {"method": method})
        for name in ("n_train",) if method == "nngp" else ("n_train", "dim", "width", "chains"):
            larger = fitting(**base | {"method": method, name: 3 * base[name]})
            assert work(larger) > work(small)
    population = {"sampler": "population", "members": 4, "moves": 3, "langevin_time": None}
    assert work(fitting(**base | population | {"moves": 9})) == 3 * work(
        fitting(**base | population)
    )


def test_jobs_in_order_end_when_the_last_of_them_does():
    assert makespan([3.0, 2.0, 2.0, 1.0], 2) == 4.0
    assert makespan([], 2) == 0.0

"""Limits of containers, read from the files of both versions of control groups."""

import os

import pytest

from feature_learning.experiments import hardware
from feature_learning.experiments.containers import memory_left, processors_allowed

GIB = 2**30


@pytest.fixture
def machine(tmp_path):
    """Writes the files of a machine; returns the folder in which they lie."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return tmp_path

    return write


def test_without_control_groups_there_are_no_limits(machine):
    root = machine({})
    assert (processors_allowed(root), memory_left(root)) == (None, None)


def test_groups_without_limits_are_none(machine):
    root = machine(
        {
            "proc/self/cgroup": "5:memory:/a\n2:cpu,cpuacct:/a\n0::/a",
            "sys/fs/cgroup/a/cpu.max": "max 100000",
            "sys/fs/cgroup/a/memory.max": "max",
            "sys/fs/cgroup/a/memory.current": "1000",
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
        }
    )
    assert (processors_allowed(root), memory_left(root)) == (None, None)


def test_the_tightest_limit_of_all_groups_above_counts(machine):
    root = machine(
        {
            "proc/self/cgroup": "0::/job/step",
            "sys/fs/cgroup/job/cpu.max": "150000 100000",
            "sys/fs/cgroup/job/step/cpu.max": "400000 100000",
            "sys/fs/cgroup/job/memory.max": 4 * GIB,
            "sys/fs/cgroup/job/memory.current": 3 * GIB,
            "sys/fs/cgroup/job/memory.stat": f"anon 5\ninactive_file {2 * GIB}\nactive_file 7",
            "sys/fs/cgroup/job/step/memory.max": 8 * GIB,
            "sys/fs/cgroup/job/step/memory.current": GIB,
        }
    )
    assert processors_allowed(root) == 1.5
    assert memory_left(root) == 3 * GIB


def test_the_first_version_has_a_tree_for_each_controller(machine):
    root = machine(
        {
            "proc/self/cgroup": "9:name=systemd:/\n4:memory:/docker/1\n2:cpu,cpuacct:/docker/1",
            # Inside of a container its group is the top of what is mounted.
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": 50000,
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100000,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 2 * GIB,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 3 * GIB // 2,
            "sys/fs/cgroup/memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}",
        }
    )
    assert processors_allowed(root) == 0.5
    assert memory_left(root) == 3 * GIB // 2


def test_a_full_container_has_no_memory_left(machine):
    root = machine(
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": 1000,
            "sys/fs/cgroup/memory.current": 1001,
        }
    )
    assert memory_left(root) == 0


@pytest.mark.parametrize(("allowed", "count"), [(None, 4), (0.5, 1), (1.5, 2), (64.0, 4)])
def test_workers_are_no_more_than_the_container_keeps_busy(monkeypatch, allowed, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(hardware, "processors_allowed", lambda: allowed)
    assert hardware.usable_cores() == count


def test_free_memory_is_what_the_container_leaves_of_the_machines(monkeypatch):
    whole = hardware.memory_available("cpu")
    monkeypatch.setattr(hardware, "memory_left", lambda: 1000)
    assert hardware.memory_available("cpu") == 1000
    monkeypatch.setattr(hardware, "memory_left", lambda: 10**18)
    assert hardware.memory_available("cpu") >= min(whole, 1001)

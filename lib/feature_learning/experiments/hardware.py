"""Check devices and memory before the work starts, and name in one sentence what is missing."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from feature_learning.errors import ArgumentError, DeviceError
from feature_learning.experiments.containers import memory_left, processors_allowed
from feature_learning.experiments.methods import KernelLimit
from feature_learning.experiments.runs import Populations

if TYPE_CHECKING:
    from feature_learning.experiments.config import PointConfig


def device_parts(device: str) -> tuple[str, int]:
    """Kind and index in the name of a device, whether or not this machine has it.

    Raises
    ------
    ArgumentError
        If the name is not cpu, cuda or cuda:N.
    """
    kind, colon, index = device.partition(":")
    # Torch does not accept longer indices.
    known = index.isascii() and index.isdecimal() and len(index) <= 4
    good = known and kind == "cuda" if colon else kind in ("cpu", "cuda")
    if not good:
        raise ArgumentError(f"device must be cpu, cuda or cuda:N, not {device!r}")
    return kind, int(index or 0)


def check_device(device: str) -> torch.device:
    """The device, if this machine has it.

    Raises
    ------
    ArgumentError
        If the name is not cpu, cuda or cuda:N.
    DeviceError
        If CUDA is asked for and absent.
    """
    kind, index = device_parts(device)
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if index >= count:
            raise DeviceError(
                f"device {device!r} is not available: this machine has {count} CUDA devices; "
                "use device cpu"
            )
    return torch.device(device)


def usable_cores() -> int:
    """Number of processors that this process may use; a container's limit is rounded up."""
    # Not every system has sched_getaffinity.
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    count = len(mine) if mine else os.cpu_count() or 1
    allowed = processors_allowed()
    return count if allowed is None else max(1, min(count, math.ceil(allowed)))


def memory_needed(config: PointConfig) -> int:
    """Lower bound on the bytes that a point allocates: what grows with its sizes, without tiles."""
    size = 8 if config.machine.dtype == "float64" else 4
    points, particles = config.n_train + config.n_test, config.particles
    if isinstance(config.method, KernelLimit):
        # Kernel matrix and two buffers of its size while it is filled, in double precision.
        return 8 * (3 * config.n_train**2 + points * config.teacher.dim)
    parameters = config.networks * particles * (config.teacher.dim + 2)
    # Inputs twice (once transposed), predictions, and parameters with four vectors of their size.
    total = size * (points * (2 * config.teacher.dim + config.networks) + 5 * parameters)
    if isinstance(config.run, Populations):
        # Gram matrices, their eigenvectors and two buffers; finished members.
        total += 8 * config.networks * 4 * particles**2 + size * config.chains * parameters
    if config.collapsed:
        # The linear system and its factor, over samples or particles, and the features.
        side = min(config.n_train, particles)
        total += 8 * config.networks * (3 * side**2 + 2 * side * particles)
    return total


def memory_available(device: str) -> int | None:
    """Bytes that are free on the device and allowed to this process; None if unknown."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    sizes = [size for size in (_memory_free(), memory_left()) if size is not None]
    return min(sizes, default=None)


def _memory_free() -> int | None:
    """Free memory of the machine in bytes; its total memory if the free part is unknown."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def check_memory(config: PointConfig) -> None:
    """Refuse a point that does not fit into memory, before it stalls the machine.

    Raises
    ------
    DeviceError
        States the estimate, the free memory and what to change.
    """
    needed, available = memory_needed(config), memory_available(config.machine.device)
    if available is not None and needed > available:
        replicas = (
            "" if config.networks == config.chains else f", {config.networks} networks in all,"
        )
        advice = (
            "use fewer samples"
            if config.method.name == "nngp"
            else f"use fewer chains,{' replicas,' if replicas else ''} samples or neurons"
        )
        raise DeviceError(
            f"out of memory: {config.method.name} with n_train={config.n_train}, "
            f"chains={config.chains}{replicas} needs at least {needed / 2**30:.1f} GiB and "
            f"{available / 2**30:.1f} GiB are free; {advice}"
        )

"""Limits on processors and memory set by a container or a batch system (Linux control groups).

The usual queries for cores and free memory ignore these limits. Both versions of control groups are
read: in version 2 one folder holds all limits of a group, in version 1 each controller has a tree
of its own. The limits of all parent groups apply too. Other systems have no such files, and thus no
limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def processors_allowed(root: Path = _ROOT) -> float | None:
    """Average number of processors that may be busy at a time; None without a limit.

    Parameters
    ----------
    root : Path
        Folder that contains ``proc`` and ``sys``.
    """
    quotas = []
    for folder in _groups(root, "cpu"):
        quota, _, period = _read(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = (_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        # "max" and -1 are no limit.
        if quota.isdecimal() and period.isdecimal() and int(period) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_left(root: Path = _ROOT) -> int | None:
    """Bytes that may still be allocated; None without a limit.

    The kernel counts its file cache as used memory; it is counted as free here, because it can be
    reclaimed at any time.

    Parameters
    ----------
    root : Path
        Folder that contains ``proc`` and ``sys``.
    """
    left = []
    for folder in _groups(root, "memory"):
        for limit, usage, reclaimable in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, used = _read(folder / limit), _read(folder / usage)
            if most.isdecimal() and used.isdecimal():
                cache = _entry(_read(folder / "memory.stat"), reclaimable)
                left.append(max(0, int(most) - max(0, int(used) - cache)))
    return min(left, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of its parents, in both versions."""
    mounts = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers:
            top = mounts
        elif controller in controllers.split(","):
            # The folder is named after all its controllers; a link exists for each single name.
            top = mounts / controller
        else:
            continue
        # In a container the group itself is often mounted there, without its parents.
        parts = [part for part in place.split("/") if part not in ("", "..")]
        for count in range(len(parts) + 1):
            yield top.joinpath(*parts[:count])


def _entry(text: str, name: str) -> int:
    """The number after a name in a text of one pair per line; 0 if there is none."""
    pairs = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    value = pairs.get(name, "")
    return int(value) if value.isdecimal() else 0


def _read(path: Path) -> str:
    """Content of a file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

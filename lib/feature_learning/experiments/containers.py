"""What a container or a batch system allows: limits of control groups, which the machine ignores.

Both versions of Linux's control groups are read: in the second one all limits of a group lie in one
folder, in the first one each controller has a tree of its own. A limit of any group above counts,
too. Elsewhere there are no such files, and no limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def processors_allowed(root: Path = _ROOT) -> float | None:
    """Processors that may be busy at a time, on average; None without a limit.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` lie.
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

    What the system keeps of files that were read counts as used, and can be had at any time.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` lie.
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
    """The folders of this process's group and of all above it, in both versions."""
    mounts = root / "sys" / "fs" / "cgroup"
    for line in _read(root / "proc" / "self" / "cgroup").splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers:
            top = mounts
        elif controller in controllers.split(","):
            # The folder is called as all controllers together, with a link of each one's name.
            top = mounts / controller
        else:
            continue
        # In a container the group itself is often mounted there, without those above.
        parts = [part for part in place.split("/") if part not in ("", "..")]
        for count in range(len(parts) + 1):
            yield top.joinpath(*parts[:count])


def _entry(text: str, name: str) -> int:
    """The number behind a name, one pair in each line; 0 if there is none."""
    pairs = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
    value = pairs.get(name, "")
    return int(value) if value.isdecimal() else 0


def _read(path: Path) -> str:
    """What is in a file; nothing if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

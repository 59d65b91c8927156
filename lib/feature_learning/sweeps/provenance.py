"""The provenance stored with a result: where, when and with which source it was computed."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from feature_learning import __version__

_LIBRARY = Path(__file__).parents[1]


def provenance(device: str) -> dict[str, Any]:
    """Current date, library, revision and machine of this process.

    Parameters
    ----------
    device : str
        The device of the configuration; for a CUDA device its model name is recorded.
    """
    return {
        "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "library_version": __version__,
        "source": source_fingerprint(),
        "revision": revision(),
        "machine": {**_machine(), "threads": torch.get_num_threads(), "device": _name(device)},
    }


@cache
def revision() -> str | None:
    """The git revision of the library, with ``+changes`` if files differ from it.

    None if the library is not in a git checkout.
    """
    commit = checked_out(Path(__file__))
    changes = _git(_LIBRARY, "status", "--porcelain", "--", ".") if commit else None
    return f"{commit}+changes" if changes else commit


def checked_out(file: Path) -> str | None:
    """The git revision of the checkout that tracks ``file``; None if no checkout tracks it.

    A file may lie inside the checkout of another project, whose revision says nothing about it.
    """
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return _git(file.parent, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command; None if git is missing or fails."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def _machine() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _cpu() -> str:
    """Model of the processor, as reported by the system."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


@cache
def source_fingerprint() -> str:
    """Digest of the library's source, which distinguishes results of different code."""
    digest = hashlib.sha256()
    sources = _LIBRARY.rglob("*.[pch]*")
    for path in sorted(each for each in sources if each.suffix in (".py", ".c", ".h")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

"""The conditions of a measurement: threads, machine, its load, and its matrix-product rate."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from importlib import metadata
from statistics import median
from typing import Any

#: Size of the square matrices whose product gives the rate of a device: large enough that the rate
#: no longer grows, small enough for a tenth of a second.
EDGES = {"cpu": 2048, "cuda": 8192}
#: Load average above which the machine counts as busy.
BUSY = 0.5
PACKAGES = {"torch": "torch", "blackjax": "blackjax", "posteriors": "posteriors"} | {
    "sgmcmcjax": "sgmcmcjax",
    "feature_learning": "feature-learning",
}


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> float:
    """Load average of the last minute; 0 if the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def warning(now: float) -> str:
    """A warning if the machine is busy, else an empty text."""
    if now < BUSY:
        return ""
    return (
        f"warning: the load average is {now:.1f}; on a busy machine times are too long and ratios "
        "are uncertain: stop other programs, or wait"
    )


def limit_threads(threads: int) -> None:
    """Set the number of threads for torch and XLA; call it before importing jax."""
    os.environ["NPROC"] = str(threads)  # size of XLA's thread pool
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    import torch

    torch.set_num_threads(threads)


def version(package: str) -> str:
    """The installed version of a package named in the column ``package``."""
    if package == "feature_learning":
        from feature_learning import __version__

        return __version__
    return metadata.version(PACKAGES[package])


def wait(device: str) -> None:
    """Wait until a device has finished its work, since calls on a GPU return at once."""
    import torch

    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def origin(threads: int, now: float, device: str = "cpu") -> dict[str, Any]:
    """The columns with place and time of the run, equal in every row."""
    from feature_learning.sweeps.provenance import provenance

    known = provenance(device)
    return {
        "device": known["machine"]["device"],
        "threads": threads,
        "cpu": known["machine"]["cpu"],
        "cores": cores(),
        "load": round(now, 2),
        "date_utc": known["date_utc"],
        "revision": known["revision"] or "unknown",
    }


@dataclass
class MatrixRate:
    """Rate of a large square float32 product in torch in GFLOP/s, measured repeatedly.

    The best rate is that of the device; the others show how steady it is.
    """

    device: str = "cpu"
    rates: list[float] = field(default_factory=list)

    def measure(self, seconds: float) -> None:
        """Measure products for about this number of seconds, at least one product."""
        import torch

        edge = EDGES[torch.device(self.device).type]
        left, right, out = (torch.rand(edge, edge, device=self.device) for _ in range(3))
        torch.mm(left, right, out=out)  # a GPU chooses and loads its kernel at the first call
        wait(self.device)
        begun = now = time.perf_counter()
        while now == begun or now < begun + seconds:
            start = time.perf_counter()
            torch.mm(left, right, out=out)
            wait(self.device)
            now = time.perf_counter()
            self.rates.append(2 * edge**3 / (now - start) / 1e9)

    @property
    def best(self) -> float:
        """The highest rate."""
        return max(self.rates)

    @property
    def median(self) -> float:
        """The median rate."""
        return median(self.rates)

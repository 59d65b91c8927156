"""Time of one SGLD step: this library, blackjax and posteriors, side by side in one run.

    python -m benchmarks.sgld_step            (or: make bench)

Width 512, dimension 35, ReLU, float32, full batch. Every combination of samples and chains is a
case; within a case the contenders take turns (A B C, B C A, ...), so that whatever else the machine
does hits all of them. Before the clock starts each contender must prove that it makes the same step
(:func:`benchmarks.contenders.check`). Peers run several chains by vmap or one by one, whichever was
faster in a trial: which of the two depends on the number of samples.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.contenders import Contender

# The thread pool of XLA is sized once, when jax is imported: contenders are imported in main().

TARGET_BLACKJAX, TARGET_POSTERIORS = 1.6, 4.0
OURS, BLACKJAX, POSTERIORS = "feature_learning", "blackjax", "posteriors"


@dataclass(frozen=True)
class Timing:
    """One contender in one case: microseconds per step of one chain, one value per round."""

    samples: int
    chains: int
    contender: str
    shape: str
    steps: int
    microseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.microseconds)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m benchmarks.sgld_step",
        description="Time of one SGLD step, side by side with blackjax and posteriors "
        "(N=512, d=35, ReLU, float32, full batch).",
    )
    add = result.add_argument
    add("--samples", type=_positive, nargs="+", default=[100, 1000, 5000], metavar="P")
    add("--chains", type=_positive, nargs="+", default=[1, 4], metavar="C")
    add("--rounds", type=_positive, default=7, help="turns of each contender (default: 7)")
    add(
        "--steps",
        type=_positive,
        help="steps in a turn (default: 400000 / (P C), between 20 and 1000)",
    )
    add("--threads", type=_positive, help="threads for everybody (default: all cores)")
    add("--width", type=_positive, default=512, metavar="N")
    add("--dim", type=_positive, default=35, metavar="d")
    add("--ours-only", action="store_true", help="measure this library alone")
    add("--csv", type=Path, metavar="FILE", help="write every round to a file as well")
    return result


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_threads(threads: int) -> None:
    """The same number of threads for torch and for XLA; before jax is imported."""
    os.environ["NPROC"] = str(threads)  # size of XLA's thread pool
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    import torch

    torch.set_num_threads(threads)


def machine(threads: int) -> str:
    """What the numbers depend on, in two lines."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    versions = []
    for name in ("torch", "jax", BLACKJAX, POSTERIORS):
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"machine: {model}, {cores()} cores, {threads} threads{load}\n"
        f"versions: Python {platform.python_version()}, {', '.join(versions)}"
    )


def _seconds(contender: Contender, steps: int) -> float:
    """Wall time of so many steps."""
    start = time.perf_counter()
    contender.run(steps)
    return time.perf_counter() - start


def _fastest(candidates: Sequence[Contender], steps: int) -> Contender:
    """The candidate with the fastest of three alternating trials."""
    if len(candidates) == 1:
        return candidates[0]
    trials = [[_seconds(candidate, steps) for candidate in candidates] for _ in range(3)]
    best = [min(column) for column in zip(*trials, strict=True)]
    return candidates[best.index(min(best))]


def measure(
    samples: int, chains: int, options: argparse.Namespace, names: Sequence[str]
) -> list[Timing]:
    """One case: build, check, warm up, then take turns."""
    from benchmarks.contenders import CONTENDERS, Problem, check, shapes

    problem = Problem.make(samples=samples, chains=chains, width=options.width, dim=options.dim)
    steps = options.steps or max(20, min(1000, 400_000 // (samples * chains)))
    contenders = []
    for name in names:
        candidates = [CONTENDERS[name](problem, shape) for shape in shapes(name, chains)]
        check(problem, candidates)
        for candidate in candidates:
            candidate.run(steps)  # compiles blackjax's scan of this length
        contenders.append(_fastest(candidates, steps))
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(options.rounds):
        first = turn % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            seconds = _seconds(contender, steps)
            times[contender.name].append(seconds / (steps * chains) * 1e6)
    return [
        Timing(samples, chains, each.name, each.shape, steps, tuple(times[each.name]))
        for each in contenders
    ]


def heading(names: Sequence[str]) -> str:
    """First line of the table."""
    columns = "".join(f"{name:>34}" for name in names)
    ratios = f"{'ours/blackjax':>15}{'posteriors/ours':>17}" if len(names) > 1 else ""
    return f"{'P':>6}{'chains':>8}{'steps':>7}{columns}{ratios}"


def row(timings: Sequence[Timing]) -> str:
    """One case as a line: median (min to max) of each contender, and the two ratios."""
    first = timings[0]
    text = f"{first.samples:>6}{first.chains:>8}{first.steps:>7}"
    for timing in timings:
        low, high = min(timing.microseconds), max(timing.microseconds)
        cell = f"{timing.median:.0f} ({low:.0f} to {high:.0f})"
        if timing.chains > 1 and timing.contender != OURS:
            cell += f" {timing.shape}"
        text += f"{cell:>34}"
    if len(timings) > 1:
        ours, blackjax, posteriors = (timing.median for timing in timings)
        text += f"{ours / blackjax:>15.2f}{posteriors / ours:>17.2f}"
    return text


def verdict(cases: Sequence[Sequence[Timing]]) -> str:
    """The worst ratios against what the project promises; nothing is enforced."""
    lines = []
    for what, pick in (("medians", median), ("fastest rounds", min)):
        times = [[pick(timing.microseconds) for timing in case] for case in cases]
        slow = max(ours / blackjax for ours, blackjax, _ in times)
        fast = min(posteriors / ours for ours, _, posteriors in times)
        lines.append(
            f"worst case by {what}: ours/blackjax {slow:.2f} (aim: at most {TARGET_BLACKJAX:g}), "
            f"posteriors/ours {fast:.2f} (aim: at least {TARGET_POSTERIORS:g})"
        )
    return "\n".join(lines)


def write_csv(path: Path, cases: Sequence[Sequence[Timing]], threads: int) -> None:
    """One line per case, contender and round."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        header = (
            "samples",
            "chains",
            "contender",
            "shape",
            "threads",
            "steps",
            "round",
            "us_per_chain_step",
        )
        writer.writerow(header)
        for timing in (timing for case in cases for timing in case):
            for turn, value in enumerate(timing.microseconds):
                writer.writerow(
                    (
                        timing.samples,
                        timing.chains,
                        timing.contender,
                        timing.shape,
                        threads,
                        timing.steps,
                        turn,
                        f"{value:.3f}",
                    )
                )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0, or 2 with one line on standard error."""
    options = parser().parse_args(arguments)
    threads = options.threads or cores()
    limit_threads(threads)
    from benchmarks.contenders import CONTENDERS, DisagreementError, MissingPeerError

    names = (OURS,) if options.ours_only else (OURS, BLACKJAX, POSTERIORS)
    cases = []
    try:
        if options.csv is not None:
            options.csv.touch()  # better now than after the measurement
        for samples in options.samples:
            for chains in options.chains:
                timings = measure(samples, chains, options, names)
                if not cases:  # only now is it certain that there will be a table
                    print(machine(threads))
                    for name in names:
                        print(f"{name}: {CONTENDERS[name].note}")
                    print(
                        "microseconds per step and chain, "
                        f"median of {options.rounds} rounds (min to max)\n"
                    )
                    print(heading(names))
                print(row(timings), flush=True)
                cases.append(timings)
        if not options.ours_only:
            print(f"\n{verdict(cases)}")
        if options.csv is not None:
            write_csv(options.csv, cases, threads)
    except (DisagreementError, MissingPeerError, OSError) as error:
        print(f"benchmarks.sgld_step: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

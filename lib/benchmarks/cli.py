"""The command ``python -m benchmarks``: measure, print, and write the table."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import machine, speed, speed_report
from book_tools.errors import BookError, InputError, details_first
from book_tools.folders import make
from book_tools.sources import read_text
from feature_learning.cli.ending import run_program
from feature_learning.errors import FeatureLearningError, check_integer
from feature_learning.files import atomic

# Importing jax fixes the size of XLA's thread pool, so that contenders are imported in main().

NAME = "benchmarks"
ROOT = Path(__file__).parents[2]
PARTS = ("steps", "effective", "settling")
#: Chains per batch on a GPU; a single chain leaves most of it idle.
BATCHES = (1, 16, 64, 256)
KAPPA = 0.005
#: Trajectories of HMC for counting effective samples: a readout's period is 2π/√T = 890, and at
#: h = 0.2 most trajectories are accepted (0.8 at P = 1000).
LONG = {"leapfrog_step": 0.2, "leapfrogs": 500}
#: Steps between two measurements for counting effective samples. They must be closer than the
#: memory of m_S: one measurement in n steps shows at most about one effective sample in n.
SPACING = {"sgld": 50, "underdamped": 4, "hmc": 500}


@dataclass(frozen=True)
class Preset:
    """The extent of the measurements; times are in seconds.

    Attributes
    ----------
    n_train, chains
        The cases of the step times.
    turn, rounds
        Length and number of a contender's turns.
    effective_n_train, effective_chains
        The case for counting effective samples; the number of samples is one of ``n_train``.
    warm
        Steps from the prior to the warm start.
    effective
        Duration by dynamics, longer for longer memory; SGLD's readouts have a bound instead.
    settling
        Time limit for this library to settle; the peers get a multiple of the time it needs.
    tuning
        Length of the peers' own tuning, see :class:`benchmarks.tuned.Tuned`.
    """

    n_train: tuple[int, ...]
    chains: tuple[int, ...]
    turn: float
    rounds: int
    effective_n_train: int
    effective_chains: int
    warm: int
    effective: dict[str, float]
    settling: float
    tuning: dict[str, int]


EFFORTS = {
    "quick": Preset(
        n_train=(100, 1000),
        chains=(1, 4),
        turn=0.05,
        rounds=3,
        effective_n_train=1000,
        effective_chains=2,
        warm=2000,
        effective={"sgld": 5.0, "underdamped": 10.0, "hmc": 5.0},
        settling=5.0,
        tuning={"mclmc": 1000, "hmc": 10, "nuts": 10},
    ),
    "full": Preset(
        n_train=(100, 1000, 5000, 10_000),
        chains=(1, 4),
        turn=0.3,
        rounds=7,
        effective_n_train=5000,
        effective_chains=2,
        warm=5000,
        effective={"sgld": 60.0, "underdamped": 150.0, "hmc": 80.0},
        settling=600.0,
        tuning={"mclmc": 5000, "hmc": 100, "nuts": 100},
    ),
}


#: Options that are counts, and their upper limits; the memory is checked separately.
MOST: dict[str, int | None] = {"n_train": None, "chains": None, "width": None, "dim": None}
MOST |= {"threads": 1024, "rounds": 10**6}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Speed of this library compared with blackjax, posteriors and SGMCMCJax: "
        "time of a step, effective samples per second, time until chains have settled "
        "(N=512, d=35, ReLU, float32, full batch, kappa=0.005). On a GPU only the time of a step "
        "of this library, for batches of chains.",
        epilog="exit codes: 0 measured; 1 the measurements have faults; 2 bad input, or a peer "
        "is missing or makes different steps",
    )
    add = result.add_argument
    add(
        "--effort",
        choices=tuple(EFFORTS),
        default="quick",
        help="quick: a few minutes; full: 20 to 40 minutes (default: %(default)s)",
    )
    add("--parts", choices=PARTS, nargs="+", help="what to measure (all)")
    add("--n-train", type=int, nargs="+", metavar="P", help="samples of the step-time cases")
    add("--chains", type=int, nargs="+", metavar="C", help="chains of the step-time cases")
    add("--rounds", type=int, help="turns of each contender")
    add("--turn", type=float, metavar="SECONDS", help="length of a turn")
    add("--threads", type=int, help="threads per package (default: all cores)")
    add("--width", type=int, default=512, metavar="N")
    add("--dim", type=int, default=35, metavar="d")
    add(
        "--device",
        default="cpu",
        metavar="D",
        help="cpu, cuda or cuda:N; on a GPU only the part steps, for this library and, unless "
        f"--chains is given, batches of {', '.join(map(str, BATCHES))} chains "
        "(default: %(default)s)",
    )
    add("--ours-only", action="store_true", help="measure this library alone")
    add("--out", type=Path, metavar="CSV", help="write the table (default: _build/speed.csv)")
    add(
        "--store",
        action="store_true",
        help="write book/data/benchmarks/speed.csv and the README's table instead; needs "
        "--effort full and all parts",
    )
    return result


def effort(options: argparse.Namespace) -> Preset:
    """The effort, with the changes from the command line."""
    chosen = EFFORTS[options.effort]
    changes: dict[str, Any] = {} if options.device == "cpu" else {"chains": BATCHES}
    for name in ("n_train", "chains"):
        if getattr(options, name):
            changes[name] = tuple(dict.fromkeys(getattr(options, name)))
    for name in ("rounds", "turn"):
        if getattr(options, name) is not None:
            changes[name] = getattr(options, name)
    chosen = replace(chosen, **changes)
    if chosen.effective_n_train not in chosen.n_train:
        chosen = replace(chosen, effective_n_train=max(chosen.n_train))
    return chosen


def _fault(options: argparse.Namespace) -> str:
    """What is wrong with the options, in a sentence; empty if nothing is."""
    if options.turn is not None and not 0 < options.turn <= 60:
        return f"--turn must be above 0 and at most 60 seconds, not {options.turn:g}"
    changed = [options.n_train, options.chains, options.rounds, options.turn, options.out]
    changed += [options.ours_only, options.parts]
    changed += [(options.width, options.dim) != (512, 35), options.device != "cpu"]
    if options.store and (options.effort != "full" or any(changed)):
        return "--store needs --effort full, and no option that changes what is measured"
    if options.device != "cpu" and options.parts not in (None, ["steps"]):
        return f"--device {options.device} measures the part steps, not {' '.join(options.parts)}"
    # Modules that import torch are loaded only after the checks above.
    try:
        for name, most in MOST.items():
            given = getattr(options, name)
            for value in given if isinstance(given, list) else [1 if given is None else given]:
                check_integer(f"--{name.replace('_', '-')}", value, at_least=1, at_most=most)
        from feature_learning.experiments.hardware import check_device, memory_available

        check_device(options.device)
    except FeatureLearningError as error:
        return str(error)
    needed = memory(effort(options), options.width, options.dim)
    free = memory_available(options.device)
    if free is not None and needed > free:
        return f"the largest case needs {needed >> 20} MiB of memory, but {free >> 20} are free"
    return ""


def memory(chosen: Preset, width: int, dim: int) -> int:
    """Smallest memory of the largest case in bytes: data, weights and one forward pass."""
    n_train, chains = max(chosen.n_train), max(chosen.chains)
    return 4 * (n_train * dim + chains * width * (dim + n_train))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; returns the exit code."""
    return run_program(NAME, lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    if text := _fault(options):
        raise InputError(text)
    threads, now = options.threads or machine.cores(), machine.load()
    if text := machine.warning(now):
        print(text, file=sys.stderr)
    machine.limit_threads(threads)
    path = speed.stored(ROOT) if options.store else options.out or _built(speed.NAME)
    atomic.check_writable(path)  # fail now rather than after the measurement
    frame = measure(options, threads, now)
    with details_first():
        try:
            if options.store and (slow := "; ".join(speed.wrong_ways(frame))):
                raise BookError(f"some packages did not run in their faster way: {slow}")
            speed.write(frame, path)
        except BookError:  # keep the measurements, which took minutes
            atomic.write(_built(f"rejected-{speed.NAME}"), speed.text(frame))
            raise
    print(f"\nthe table is in {path}")
    if options.store:
        readme = ROOT / "README.md"
        atomic.write(readme, speed_report.update(read_text(readme), frame))
        print("the README's part was written from it")
    return 0


def _built(name: str) -> Path:
    return make(ROOT / "_build") / name


def measure(options: argparse.Namespace, threads: int, now: float) -> Any:
    """Measure all requested parts, print each result at once, and return the table."""
    from benchmarks import convergence_time, ess, rows, steps
    from benchmarks.packages import CONTENDERS
    from benchmarks.problem import DYNAMICS, HMC, Problem

    chosen, begun = effort(options), time.perf_counter()
    alone = options.device != "cpu"
    parts = options.parts or (PARTS[:1] if alone else PARTS)
    who = [key for key in CONTENDERS if key[0] == speed.OURS or not (alone or options.ours_only)]
    origin = machine.origin(threads, now, options.device)
    rate = machine.MatrixRate(options.device)
    timings: list[Any] = []
    sizes: list[Any] = []
    settlings: list[Any] = []
    if "steps" in parts:
        rate.measure(10 * chosen.turn)
        for n_train in chosen.n_train:
            for chains in chosen.chains:
                case = steps.measure(
                    n_train,
                    chains,
                    who,
                    seconds=chosen.turn,
                    rounds=chosen.rounds,
                    width=options.width,
                    dim=options.dim,
                    check_hmc=n_train == chosen.n_train[0],
                    device=options.device,
                )
                rate.measure(chosen.turn)
                if not timings:  # the first case succeeded, so there will be a table
                    print(
                        f"{origin['cpu']}, {origin['cores']} cores, {threads} threads; "
                        f"this library on: {origin['device']}"
                    )
                    print(", ".join(f"{name} {machine.version(name)}" for name in _packages(who)))
                    for key in who:
                        print(f"{key[0]}, {key[1]}: {CONTENDERS[key].note}")
                    print(f"large matrix product: {rate.best:.0f} GFLOP/s\n\n{steps.HEADING}")
                print(steps.lines(case, rate.best), flush=True)
                timings.append(case)
        print(
            "of mm: rate of the two matrix products of a step, as a share of that of a large one;\n"
            "more than 100 % is possible for a kernel that needs fewer operations\n"
        )
        print(steps.throughput(timings))
        print(steps.verdict(timings), flush=True)
    flat = [each for case in timings for each in case]
    if "effective" in parts:
        problem = Problem.make(
            n_train=chosen.effective_n_train,
            chains=chosen.effective_chains,
            width=options.width,
            dim=options.dim,
            kappa=KAPPA,
        )
        problem = ess.learned(problem, chosen.warm)
        for dynamics in DYNAMICS:
            long: dict[str, Any] = LONG if dynamics == HMC else {}
            constants = replace(problem, **long)
            found = ess.measure(
                constants, dynamics, seconds=chosen.effective[dynamics], every=SPACING[dynamics]
            )
            sizes += [(each, problem.chains) for each in found]
            print(ess.lines(found, rows.fastest(flat, problem.n_train, dynamics)), flush=True)
    if "settling" in parts:
        start = convergence_time.begin(width=options.width, dim=options.dim, kappa=KAPPA)
        for run in convergence_time.measure(
            start, seconds=chosen.settling, tuning=chosen.tuning, alone=options.ours_only
        ):
            settlings.append(run)
            print(convergence_time.line(run), flush=True)
    print(f"\n{(time.perf_counter() - begun) / 60:.1f} minutes in all")
    measured = rate if rate.rates else None
    return rows.table(origin, measured, flat, sizes, settlings, kappa=KAPPA)


def _packages(who: Sequence[tuple[str, str]]) -> list[str]:
    return list(dict.fromkeys(["torch", *(name for name, _ in who)]))

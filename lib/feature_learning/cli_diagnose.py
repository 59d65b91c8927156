"""The command ``feature-learning diagnose``: convergence of a run, agreement of several."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from feature_learning import atomic
from feature_learning.chain_plots import rank_plot, trace_plot
from feature_learning.diagnostics import FloatArray, standard_error
from feature_learning.draws import Agreement, Draws, chain_groups, compare, pooled, read_draws
from feature_learning.errors import ArgumentError, FeatureLearningError
from feature_learning.plots import RC

_EPILOG = """\
FILE is what "point --checkpoint FILE" keeps, of a finished run as of an interrupted one. Several
files must be of one law (same data, network and noise); their starts, samplers and lengths may
differ. The table gives, for each observable past burn-in:

  R-hat        rank-normalised; below 1.01 the chains agree
  ESS          effective sample size of the bulk and of the tails, all chains together
  time         integrated autocorrelation time in Langevin time: total time of all chains / ESS

In brackets where the chains do not agree: a chain that is stuck makes the sample size count the
places where chains sit, and the time none of the dynamics.

examples:
  feature-learning point --samples 1000 --start spread --checkpoint spread.npz
  feature-learning diagnose spread.npz --plots figures

exit codes: 0 the report was printed, whatever it says; 2 bad input
"""
_NAMES = {
    "m_S": "$m_S$",
    "test_mse": "test MSE",
    "train_mse": "training MSE",
    "anisotropy": "anisotropy",
}
#: Observables that are drawn: those that the convergence criterion watches.
_DRAWN = ("m_S", "test_mse")


def add_command(commands: Any) -> None:
    """Add ``diagnose`` to the subparsers of ``feature-learning``."""
    parser = commands.add_parser(
        "diagnose",
        help="convergence report of a run, and of several from different starts",
        description="Report whether the chains of a run have converged, and whether runs from "
        "different starts agree.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE", help="checkpoint of a run")
    add("--plots", type=Path, metavar="DIR", help="draw traces and ranks into this folder")
    add("--json", action="store_true", help="one JSON object on standard output, nothing else")


def run_command(options: dict[str, Any]) -> int:
    """Run ``diagnose``; returns the exit code."""
    try:
        files: list[Path] = options["files"]
        runs = [
            read_draws(path, name=name) for path, name in zip(files, _names(files), strict=True)
        ]
        compared = compare(runs)
        if options["plots"] is not None:
            _draw(runs, options["plots"])
    except FeatureLearningError as error:
        return _complain(str(error))
    except OSError as error:
        return _complain(f"cannot use {error.filename or options['plots']}: {error.strerror}")
    if options["json"]:
        print(json.dumps(as_json(runs, compared), allow_nan=False))
    else:
        print(as_text(runs, compared))
    return 0


def _complain(sentence: str) -> int:
    print(f"feature-learning: error: {' '.join(sentence.split())}", file=sys.stderr)
    return 2


def _names(files: Sequence[Path]) -> list[str]:
    """Names that tell the files apart: without folder and suffix if that is enough."""
    for path, count in Counter(path.resolve() for path in files).items():
        if count > 1:
            raise ArgumentError(f"files must differ, but {path} is given {count} times")
    short = [path.stem for path in files]
    return short if len(set(short)) == len(files) else [str(path) for path in files]


def as_json(runs: Sequence[Draws], compared: dict[str, Agreement]) -> dict[str, Any]:
    """The report as one object for JSON, which has no NaN."""
    found = {
        "runs": [
            {
                "name": run.name,
                "converged": run.convergence().converged,
                "not_converged_because": list(run.convergence().reasons),
                "finished": run.finished,
                "chains": len(run.starts),
                "starts": list(run.starts),
                "draws": int(run.counted.sum()),
                "langevin_time": float(run.times[-1]),
                "kinetic_temperature": run.kinetic_temperature,
                "observables": {
                    name: asdict(each) | {"resolved": each.resolved}
                    for name, each in run.report().items()
                },
                "means_by_chain": {
                    name: {"mean": draws.mean(axis=1).tolist(), "mcse": _errors(draws)}
                    for name, draws in run.past_burn_in().items()
                },
                "config": None if run.config is None else asdict(run.config),
            }
            for run in runs
        ],
        "starts": {name: asdict(each) for name, each in compared.items()},
    }
    return {name: _without_nan(value) for name, value in found.items()}


def _errors(draws: FloatArray) -> list[float]:
    """Standard error of the mean of each chain, from its own draws alone."""
    return [standard_error(each[None]) for each in draws]


def _without_nan(value: Any) -> Any:
    """The same with None for every number that is not finite."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(runs: Sequence[Draws], compared: dict[str, Agreement]) -> str:
    """The report as tables for people."""
    parts = [_run_text(run) for run in runs]
    if compared:
        parts.append(_comparison_text(compared))
    return "\n\n".join(parts)


def _run_text(run: Draws) -> str:
    draws = int(run.counted.sum())
    lines = [f"{run.name}: {_what(run)}"]
    temperature = (
        "" if math.isnan(run.kinetic_temperature) else f", at {run.kinetic_temperature:.3f} T"
    )
    spacing = next(iter(run.report().values())).spacing
    lines.append(
        f"{len(run.starts)} chains of {draws} draws every {spacing:.3g} past burn-in, Langevin "
        f"time {run.times[-1]:.5g}{temperature}"
        + ("" if run.finished is not False else ", UNFINISHED")
    )
    head = f"{'':13}{'mean':>11}{'std. error':>12}{'R-hat':>8}{'ESS bulk':>10}{'ESS tail':>10}"
    lines.append(f"{head}{'time':>9}")
    for name, each in run.report().items():
        time = _digits(each.autocorrelation_time)
        numbers = [_digits(each.ess_bulk), _digits(each.ess_tail)]
        numbers.append(time if each.resolved else f"<{_digits(2 * each.spacing)}")
        error = f"{each.mcse:.2g}"
        if not each.agree:
            error, *numbers = (f"({number})" for number in (error, *numbers))
        bulk, tail, time = numbers
        lines.append(
            f"{name:13}{each.mean:>11.4g}{error:>12}{each.r_hat:>8.3f}{bulk:>10}{tail:>10}{time:>9}"
            + ("" if each.agree else "  chains disagree")
        )
    if "weight" in run.series:
        lines.append("draws have weights, of which none of these numbers know")
    reasons = run.convergence().reasons
    lines.append(f"NOT converged: {'; '.join(reasons)}" if reasons else "converged")
    return "\n".join([*lines, "", *_by_chain(run)])


def _by_chain(run: Draws) -> list[str]:
    """Means of each chain with the error it gives itself: which one sits elsewhere."""
    watched = {name: draws for name, draws in run.past_burn_in().items() if name in _DRAWN}
    lines = [f"{'chain':6}{'start':9}" + "".join(f"{name:>22}" for name in watched)]
    for chain, start in enumerate(run.starts):
        cells = ""
        for draws in watched.values():
            error = standard_error(draws[chain : chain + 1])
            cells += f"{draws[chain].mean():>11.4g} +- {error:<7.2g}"
        lines.append(f"{chain + 1:<6}{start:9}{cells}".rstrip())
    return lines


def _what(run: Draws) -> str:
    config = run.config
    if config is None:
        return "a run without a configuration of this version"
    return (
        f"{config.method}, {config.teacher} d={config.dim} k={config.sparsity}, "
        f"P={config.samples}, kappa={config.kappa:g}, {config.make_sampling.sampler} from "
        f"{config.start}, seed {config.seed}"
    )


def _comparison_text(compared: dict[str, Agreement]) -> str:
    groups = list(next(iter(compared.values())).within)
    width = max(len("all together"), *map(len, groups)) + 2
    lines = [f"{'R-hat':{width}}" + "".join(f"{name:>12}" for name in compared)]
    for group in groups:
        values = "".join(f"{_hat(each.within[group]):>12}" for each in compared.values())
        lines.append(f"{group:{width}}{values}")
    lines.append(
        f"{'all together':{width}}"
        + "".join(f"{_hat(each.across):>12}" for each in compared.values())
    )
    disagree = [name for name, each in compared.items() if not each.agree]
    lines.append(
        f"the starts DISAGREE on {', '.join(disagree)}" if disagree else "the starts agree"
    )
    return "\n".join(lines)


def _hat(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _digits(value: float) -> str:
    """A positive number to three digits, without an exponent."""
    return "-" if math.isnan(value) else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _draw(runs: Sequence[Draws], folder: Path) -> None:
    """Write ``trace.png`` and ``rank.png``."""
    with mpl.rc_context(RC):
        for name, figure in (("trace", trace_figure(runs)), ("rank", rank_figure(runs))):
            with atomic.replacing(folder / f"{name}.png") as file:
                figure.savefig(file, format="png")


def trace_figure(runs: Sequence[Draws]) -> Figure:
    """Traces of the watched observables, a row each; a column for each run."""
    names = [name for name in _DRAWN if all(name in run.series for run in runs)]
    figure = Figure(figsize=(max(8.0, 4.5 * len(runs)), 2.8 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), len(runs), squeeze=False, sharey="row")
    for row, name in zip(axes, names, strict=True):
        for ax, run in zip(row, runs, strict=True):
            trace_plot(
                ax, run.series[name], run.times, run.counted, run.starts,
                ylabel=_NAMES[name], log_y=name == "test_mse",
            )  # fmt: skip
    for ax, run in zip(axes[0], runs, strict=True):
        ax.set_title(run.name, fontsize=11)
        ax.legend(ncols=2, title="chain: start")
    return figure


def rank_figure(runs: Sequence[Draws]) -> Figure:
    """Ranks of the watched observables among the draws of all runs, a column each."""
    names = [name for name in _DRAWN if all(name in run.series for run in runs)]
    labels = [label for run in runs for label in chain_groups(run, several=len(runs) > 1)]
    figure = Figure(figsize=(9.0, 1.2 + 0.55 * len(labels)), layout="constrained")
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for ax, name in zip(axes, names, strict=True):
        rank_plot(ax, pooled(runs, name), labels, title=_NAMES[name])
    return figure

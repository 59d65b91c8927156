"""The command ``feature-learning point``: one point of a figure."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from feature_learning.activations import ACTIVATIONS
from feature_learning.applicability import flag, refuse_without_effect, scopes_listed
from feature_learning.complaints import complain
from feature_learning.config import METHODS, RUNG_RATIO, TEACHERS, PointConfig
from feature_learning.errors import FeatureLearningError, check_integer
from feature_learning.experiments import MEASURED, Point, run_point
from feature_learning.mean_field import SOLVERS
from feature_learning.samplers.quantised import VARIANCES
from feature_learning.sampling import SAMPLERS, STARTS
from feature_learning.schedules import SHAPES

_EPILOG = f"""\
An option is refused where it would have no effect. These have one only for
{scopes_listed()}

examples:
  the network posterior at equilibrium, P = 1000 (under a minute on two cores)
    feature-learning point --samples 1000 --kappa 0.005
  the same as it was run for the paper: SGLD, published clock and stopping rule, last sample
    feature-learning point --samples 5000 --kappa 0.001 --protocol published --chains 1
  mean field with adapting prior precisions
    feature-learning point --method mf-ard --samples 1000 --kappa 0.005

Every error printed is the mean squared error (MSE), not half of it. Ctrl-C prints what has been
measured so far; with --checkpoint FILE the same command resumes where it was, and
"feature-learning diagnose FILE" judges its chains.
"""


def add_command(commands: Any) -> None:
    """Add ``point`` to the subparsers of ``feature-learning``."""
    parser = commands.add_parser(
        "point",
        help="compute one point (P, κ) of a figure",
        description="Compute one point: test error, order parameter and noise of one method at one "
        "number of samples and one noise level.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_problem(parser)
    _add_method(parser)
    _add_run(parser)


def _add_problem(parser: argparse.ArgumentParser) -> None:
    """Teacher, student and data; the destination names are those of PointConfig."""
    default = PointConfig()
    group = parser.add_argument_group("problem")
    add = group.add_argument
    add("--teacher", choices=TEACHERS, default=default.teacher, help="target (%(default)s)")
    add("--dim", type=int, default=default.dim, help="input dimension d (%(default)s)")
    add(
        "--sparsity",
        type=int,
        default=default.sparsity,
        help="relevant coordinates k (%(default)s)",
    )
    add("--degree", type=int, default=default.degree, help="p of He_p, single index (%(default)s)")
    add("--width", type=int, default=default.width, help="hidden neurons N (%(default)s)")
    add("--gamma", type=float, default=default.gamma, help="output scale N^-gamma (%(default)s)")
    add(
        "--activation",
        choices=sorted(ACTIVATIONS),
        default=default.activation,
        help="(%(default)s)",
    )
    add("--samples", type=int, default=default.samples, help="training samples P (%(default)s)")
    add("--kappa", type=float, default=default.kappa, help="noise, T = 2 kappa^2 (%(default)s)")
    add("--weight-variance", type=float, default=1.0, metavar="V", help="a weight has V/d (1)")
    add("--readout-variance", type=float, default=1.0, metavar="V", help="prior of a_i (1)")
    add("--hidden-bias-variance", type=float, metavar="V", help="prior of b_i (no hidden bias)")
    add("--output-bias-variance", type=float, metavar="V", help="prior of c (no output bias)")
    add(
        "--test-samples",
        type=int,
        default=default.test_samples,
        help="held-out points (%(default)s)",
    )


def _add_method(parser: argparse.ArgumentParser) -> None:
    """What is computed, and by which sampler."""
    default = PointConfig()
    group = parser.add_argument_group("method")
    add = group.add_argument
    add("--method", choices=METHODS, default=default.method, help="(%(default)s)")
    add("--sampler", choices=sorted(SAMPLERS), default=default.sampler, help="(%(default)s)")
    clock = group.add_mutually_exclusive_group()
    clock.add_argument(
        "--langevin-time",
        type=float,
        metavar="T",
        help="budget: sum of step sizes with burn-in (underdamped 3000, for mf 7200; hmc and gibbs "
        "3000; all others 4100)",
    )
    clock.add_argument(
        "--protocol",
        choices=["published"],
        help="plain SGLD on the published clock and stopping rule; reports the last sample",
    )
    add("--step", type=float, help="step size (default: from the curvature at the start)")
    add(
        "--friction",
        type=_friction,
        metavar="F",
        help="of samplers underdamped and gibbs (0.02; for mf 0.01); auto: critical for the prior",
    )
    add(
        "--step-schedule",
        choices=list(SHAPES),
        default=default.step_schedule,
        help="of sampler sgld (%(default)s)",
    )
    add("--rounding", choices=list(VARIANCES), help="of sampler quantised (stochastic)")
    add("--quantum", type=float, help="of sampler quantised (the size of the thermal noise)")
    add(
        "--quantum-epoch",
        type=int,
        metavar="E",
        help="of sampler quantised: steps of an epoch in which the quantum falls (it stays)",
    )
    add("--batch-size", type=int, metavar="B", help="of sampler sgld (all samples)")
    add("--burn-in", type=float, default=default.burn_in, help="fraction not counted (%(default)s)")
    add("--start", choices=STARTS, default=default.start, help="starting points (%(default)s)")
    add("--chains", type=int, default=default.chains, help="chains in one batch (%(default)s)")
    add("--seed", type=int, default=default.seed, help="data, start and noise (%(default)s)")
    add("--stop-when-converged", action="store_true", help="stop once R-hat and ESS are good")
    add("--solver", choices=SOLVERS, default=default.solver, help="of mf, mf-ard (%(default)s)")
    add("--particles", type=int, metavar="M", help="of mf, mf-ard (the width)")
    add("--alpha0", type=float, default=default.alpha0, help="hyper-prior of mf-ard (%(default)s)")
    add(
        "--penalty",
        type=float,
        default=default.penalty,
        metavar="L",
        help="L sum_i Var_j |w_ij| on the loss of the network (%(default)s)",
    )
    add(
        "--tilt",
        type=float,
        default=default.tilt,
        metavar="F",
        help="F times the prior variance on the relevant coordinates (%(default)s)",
    )
    add(
        "--rungs",
        type=int,
        default=default.rungs,
        metavar="R",
        help="replica exchange: each chain is R networks at kappa, rho kappa, rho^2 kappa, ... "
        "that swap, and the one at kappa is reported (%(default)s: no exchange)",
    )
    add(
        "--rung-ratio",
        type=float,
        metavar="RHO",
        help=f"of two neighbouring rungs ({RUNG_RATIO}); within about 1/sqrt(P) of one",
    )
    add(
        "--nngp-variant",
        choices=["matched", "as-published"],
        default=default.nngp_variant,
        help="(%(default)s)",
    )


def _friction(text: str) -> float | str:
    """A number, or ``auto``."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or auto, not {text!r}") from None


def _add_run(parser: argparse.ArgumentParser) -> None:
    """Where and how."""
    default = PointConfig()
    add = parser.add_argument_group("run").add_argument
    add("--device", default=default.device, help="cpu, cuda or cuda:N (%(default)s)")
    add("--dtype", choices=["float32", "float64"], default=default.dtype, help="(%(default)s)")
    add("--threads", type=int, help="CPU threads (all)")
    add(
        "--block-elements",
        type=int,
        metavar="E",
        help="memory bound: chains * neurons * samples in a tile (2^18 on a CPU)",
    )
    add("--looks", type=int, default=default.looks, help="measurements per run (%(default)s)")
    add(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="save to, and resume from, FILE; its folder is made if need be",
    )
    add("--json", action="store_true", help="one JSON object on standard output, nothing else")
    add("--quiet", action="store_true", help="no progress on standard error")


def run_command(options: dict[str, Any], arguments: Sequence[str]) -> int:
    """Compute and print a point; returns the exit code.

    ``options`` is what the ``arguments`` of the command say, with the defaults of the others.
    """
    as_json, quiet = options.pop("json"), options.pop("quiet")
    checkpoint, threads = options.pop("checkpoint"), options.pop("threads")
    try:
        config = PointConfig(**options)
        refuse_without_effect(config, _given(arguments), spell=flag)
        if threads is not None:
            torch.set_num_threads(check_integer("threads", threads, at_least=1, at_most=1024))
        point = run_point(config, progress=not quiet, checkpoint=checkpoint)
    except FeatureLearningError as error:
        return complain(str(error))
    except (torch.OutOfMemoryError, MemoryError) as error:
        return complain(f"out of memory: {str(error).splitlines()[0] if str(error) else error!r}")
    except RuntimeError as error:
        # torch raises a plain RuntimeError when the CPU's memory runs out.
        if "can't allocate memory" not in str(error):
            raise
        return complain("out of memory; use fewer samples, chains or neurons")
    except OSError as error:
        return complain(f"cannot use {error.filename}: {error.strerror}")
    print(json.dumps(point.row, allow_nan=False) if as_json else _table(point))
    return 130 if point.row["interrupted"] else 0


def _given(arguments: Sequence[str]) -> list[str]:
    """Names of the options that the arguments of ``point`` set, be it to their default."""
    parser, absent = argparse.ArgumentParser(allow_abbrev=False), object()
    for add in (_add_problem, _add_method, _add_run):
        add(parser)
    parser.set_defaults(**dict.fromkeys(vars(parser.parse_args([])), absent))
    parsed = vars(parser.parse_args(arguments))
    return [name for name, value in parsed.items() if value is not absent]


def _table(point: Point) -> str:
    """The row as a table for people."""
    row, config = point.row, point.row["config"]
    lines = [
        f"{config['method']}, {config['teacher']} d={config['dim']} k={config['sparsity']}, "
        f"P={config['samples']}, kappa={config['kappa']:g}"
    ]
    if row["interrupted"] and all(row[name] is None for name in MEASURED):
        if row["m_S_last"] is None:
            lines.append("interrupted before the first look: nothing was measured")
        else:
            lines += [
                f"interrupted before a look that counts, after {row['steps']} steps and Langevin "
                f"time {row['langevin_time']:.6g}",
                f"at the last look: m_S {row['m_S_last']:.4g}, test MSE {row['test_mse_last']:.4g}",
            ]
        return "\n".join(lines)
    lines.append(f"{'':28}{'value':>12}{'std. error':>14}")
    names = {
        "test_mse": f"test MSE, {row['predictor']}",
        "test_mse_posterior_mean": "test MSE, posterior mean",
        "train_mse": "training MSE",
        "m_S": "m_S",
        "noise": "noise",
    }
    exact = config["method"] == "nngp"
    for name in MEASURED:
        if exact and name == "test_mse_posterior_mean":
            continue  # the posterior mean is all there is, and stands in the line above
        value, error = (
            "-" if number is None else f"{number:.4g}" for number in (row[name], row[f"{name}_sem"])
        )
        lines.append(f"{names[name]:28}{value:>12}{error:>14}")
    if exact:
        lines.append(f"exact: nothing is sampled; {row['seconds']:.1f} s")
        return "\n".join(lines)
    if row["swap_rate"] is not None:
        lines.append(
            f"{config['rungs']} rungs, of which each two neighbours swap in "
            f"{100 * row['swap_rate']:.0f} % of the tries or more"
        )
    hat, size = ("-" if row[key] is None else f"{row[key]:.4g}" for key in ("r_hat", "ess"))
    reasons = row["not_converged_because"]
    lines += [
        f"R-hat {hat}, effective sample size {size}; {row['steps']} steps, "
        f"Langevin time {row['langevin_time']:.6g}, {row['seconds']:.1f} s",
        "NOT converged:" if reasons else "converged",
        *(f"  {reason}" for reason in reasons),
    ]
    return "\n".join(lines)

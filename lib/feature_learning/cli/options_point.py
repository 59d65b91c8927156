"""The options of ``feature-learning point``: the names of their values are those of PointConfig."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feature_learning.choices import (
    ACTIVATIONS,
    DTYPES,
    METHODS,
    NNGP_VARIANTS,
    PROTOCOLS,
    ROUNDINGS,
    SAMPLERS,
    SOLVERS,
    STARTS,
    STEP_SCHEDULES,
    TEACHERS,
)
from feature_learning.experiments.applicability import scopes_listed
from feature_learning.experiments.config import RUNG_RATIO, PointConfig

_POINT = f"""\
An option is refused where it would have no effect. These have one only for
{scopes_listed()}

examples:
  the network posterior at equilibrium, P = 1000 (under a minute on two cores)
    feature-learning point --samples 1000 --kappa 0.005
  the same as it was run for the paper: SGLD, published clock and stopping rule, last sample
    feature-learning point --samples 5000 --kappa 0.001 --protocol published --chains 1
  how likely a code of eight neurons is: the log of its evidence from four populations (with
  --sampler integration the same by thermodynamic integration)
    feature-learning point --samples 1000 --sampler population \\
      --code="++++ +++- ++-+ ++-- +-++ +-+- +--+ +---"
  mean field with adapting prior precisions
    feature-learning point --method mf-ard --samples 1000 --kappa 0.005

Every error printed is the mean squared error (MSE), not half of it. Ctrl-C prints what has been
measured so far; with --checkpoint FILE the same command resumes where it was, and
"feature-learning diagnose FILE" judges its chains.
"""


def add_point(commands: Any) -> None:
    """Add ``point`` to the subparsers of ``feature-learning``."""
    parser = commands.add_parser(
        "point",
        help="compute one point (P, κ) of a figure",
        description="Compute one point: test error, order parameter and noise of one method at one "
        "number of samples and one noise level.",
        epilog=_POINT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_problem(parser)
    _add_method(parser)
    _add_run(parser)


def _add_problem(parser: argparse.ArgumentParser) -> None:
    """Teacher, student and data; the destination names are those of PointConfig."""
    default = PointConfig
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
    default = PointConfig
    group = parser.add_argument_group("method")
    add = group.add_argument
    add("--method", choices=METHODS, default=default.method, help="(%(default)s)")
    add("--sampler", choices=sorted(SAMPLERS), default=default.sampler, help="(%(default)s)")
    clock = group.add_mutually_exclusive_group()
    clock.add_argument(
        "--langevin-time",
        type=float,
        metavar="T",
        help="length: sum of step sizes with burn-in (networks by underdamped run until they are "
        "settled; mf 7200; hmc and gibbs 3000; of a code before it is held 1500; all others 4100)",
    )
    clock.add_argument(
        "--protocol",
        choices=PROTOCOLS,
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
        choices=STEP_SCHEDULES,
        default=default.step_schedule,
        help="of sampler sgld (%(default)s)",
    )
    add("--rounding", choices=ROUNDINGS, help="of sampler quantised (stochastic)")
    add("--quantum", type=float, help="of sampler quantised (the size of the thermal noise)")
    add(
        "--quantum-epoch",
        type=int,
        metavar="E",
        help="of sampler quantised: steps of an epoch in which the quantum falls (it stays)",
    )
    add("--batch-size", type=int, metavar="B", help="of sampler sgld (all samples)")
    add("--burn-in", type=float, default=default.burn_in, help="fraction not counted (%(default)s)")
    add(
        "--start",
        choices=STARTS,
        default=default.start,
        help="starting points (spread if the run goes on until it is settled, else prior)",
    )
    add(
        "--chains",
        type=int,
        default=default.chains,
        help="chains, or populations (8 if the run goes on until it is settled, else 4)",
    )
    add("--seed", type=int, default=default.seed, help="data, start and noise (%(default)s)")
    add(
        "--until-settled",
        action=argparse.BooleanOptionalAction,
        default=default.until_settled,
        help="run until R-hat and ESS are good, of all chains or of those in one code, at most "
        "--langevin-time (default: if a network's length, step and burn-in are not given)",
    )
    add("--stop-when-converged", action="store_true", help="end a run of fixed length early")
    add(
        "--solver",
        choices=SOLVERS,
        default=default.solver,
        help="of mf, mf-ard (%(default)s)",
    )
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
        "--members",
        type=int,
        metavar="R",
        help="of samplers population, integration: networks in each (16, 4)",
    )
    add("--moves", type=int, metavar="S", help="of the same: steps at each noise or look (30)")
    add(
        "--code",
        metavar="PATTERNS",
        help="signs of the specialised neurons that chains are planted with, or whose evidence "
        "samplers population and integration give, such as --code='+-++ -+++'",
    )
    add(
        "--nngp-variant",
        choices=NNGP_VARIANTS,
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
    default = PointConfig
    add = parser.add_argument_group("run").add_argument
    add("--device", default=default.device, help="cpu, cuda or cuda:N (%(default)s)")
    add("--dtype", choices=DTYPES, default=default.dtype, help="(%(default)s)")
    add("--threads", type=int, help="CPU threads (all)")
    add("--max-time", type=float, metavar="SECONDS", help="of wall time, then report what there is")
    add(
        "--block-elements",
        type=int,
        metavar="E",
        help="memory bound: chains * neurons * samples in a tile (2^18 on a CPU)",
    )
    add("--looks", type=int, default=default.looks, help="measurements per run (%(default)s)")
    add(
        "--checkpoint",
        type=path,
        metavar="FILE",
        help="save to, and resume from, FILE; its folder is made if need be",
    )
    add("--json", action="store_true", help="one JSON object on standard output, nothing else")
    add("--quiet", action="store_true", help="no progress on standard error")


def given(arguments: Sequence[str]) -> dict[str, Any]:
    """What the arguments of ``point`` set, be it to its default."""
    parser, absent = argparse.ArgumentParser(allow_abbrev=False), object()
    for add in (_add_problem, _add_method, _add_run):
        add(parser)
    parser.set_defaults(**dict.fromkeys(vars(parser.parse_args([])), absent))
    parsed = vars(parser.parse_args(arguments))
    return {name: value for name, value in parsed.items() if value is not absent}


def path(text: str) -> Path:
    """A path of at least one letter: the empty one would be the present folder."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be a path, not {text!r}")
    return Path(text)

"""The commands of the command line, with their options and help.

The commands themselves are in :mod:`feature_learning.cli.point`, :mod:`feature_learning.cli.sweep`
and :mod:`feature_learning.cli.diagnose`. Nothing here imports torch, so that help and messages
about wrong options appear at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from feature_learning.cli.options_point import add_point, path

_DIAGNOSE = """\
FILE is written by "point --checkpoint FILE"; the run may be finished or interrupted. Several files
must sample one distribution (same data, network and noise); their starts, samplers and lengths may
differ. The table gives, for each observable after burn-in:

  R-hat        rank-normalised; below 1.01 the chains agree
  ESS          effective sample size of the bulk and of the tails, of all chains together
  time         integrated autocorrelation time in Langevin time: total time of all chains / ESS

ESS and time are in brackets if the chains do not agree: with a stuck chain the ESS only counts the
places where chains sit, and the time is not a time of the dynamics.

examples:
  feature-learning point --n-train 1000 --start spread --checkpoint spread.npz
  feature-learning diagnose spread.npz --plots figures

exit codes: 0 the report was printed, whatever it says; 2 bad input
"""


_SWEEP = """\
FILE.toml lists the cells, with a reason for each number:

  [defaults]
  kappa = 0.005

  [[block]]
  name = "main"
  reason = "The learning curve."
  method = ["network", "mf-ard"]
  n_train = [100, 1000]             # lists are crossed
  seed = [0, 1, 2]

  [[block.override]]
  when = { method = "network", n_train = ">=1000" }
  reason = "Near the transition the chains need longer."
  langevin_time = 6000

Keys are the options of "feature-learning point", with underscores. The same command resumes a
sweep: results in DIR are not computed again. Several sweeps may share DIR.

exit codes: 0 all cells are in DIR; 1 some failed or are left; 2 bad input; 128 + n signal n
"""
_TABLE = """\
One row per cell. Invalid files are named on standard error and left out.

exit codes: 0 all files were read; 1 some were left out; 2 bad input
"""


_STREAM = " (-: standard output)"


def add_commands(commands: Any, arguments: Sequence[str]) -> None:
    """Add every command to the subparsers; ``arguments`` is the command line."""
    add_point(commands, arguments)
    _add_diagnose(commands)
    _add_sweep(commands)


def _add_diagnose(commands: Any) -> None:
    parser = commands.add_parser(
        "diagnose",
        help="convergence report of a run, and of several from different starts",
        description="Report whether the chains of a run have converged, and whether runs from "
        "different starts agree.",
        epilog=_DIAGNOSE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", type=path, nargs="+", metavar="FILE", help="checkpoint of a run")
    add("--plots", type=path, metavar="DIR", help="draw traces and ranks into this folder")
    add("--json", action="store_true", help="one JSON object on standard output, nothing else")


def _add_sweep(commands: Any) -> None:
    parser = commands.add_parser(
        "sweep",
        help="compute many points, resumable, on this machine or a cluster",
        description="Compute the cells of FILE.toml that are not in DIR yet.",
        epilog=_SWEEP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    # Optional for argparse only; take_file requires it.
    add("file", type=path, nargs="?", metavar="FILE.toml", help="what to compute")
    add("--out", type=path, required=True, metavar="DIR", help="folder of the results")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=int, metavar="N", help="processes of one thread each (all cores)"
    )
    where.add_argument("--scheduler", metavar="ADDRESS", help="address of a running Dask scheduler")
    add("--device", help="cpu, cuda or cuda:N, in place of the device in FILE.toml")
    add("--block", nargs="+", metavar="NAME", help="only these blocks")
    add("--time-limit", type=float, metavar="SECONDS", help="start no new cell after this time")
    add("--no-weights", action="store_true", help="store the numbers without the weights")
    add("--dry-run", action="store_true", help="print what is done and what is left to do")
    add("--verbose", action="store_true", help="list every cell in the dry run")
    add(
        "--table",
        type=path,
        metavar="CSV",
        help="write the table of all results at the end; - for standard output",
    )
    add("--quiet", action="store_true", help="only errors on standard error")
    table = commands.add_parser(
        "table",
        help="write the results of sweeps as one CSV file",
        description="Write all results of a folder as one tidy CSV file.",
        epilog=_TABLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    table.add_argument("folder", type=path, metavar="DIR", help="folder of the results")
    table.add_argument(
        "--csv", type=path, required=True, metavar="FILE", help="the table; - for standard output"
    )
    densities = commands.add_parser(
        "densities",
        help="write the distributions of stored weights and overlaps as one NPZ file",
        description="Write histograms of the weights and the neuron overlaps of all parity results "
        "with weights in a folder.",
        epilog=_TABLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    densities.add_argument("folder", type=path, metavar="DIR", help="folder of the results")
    densities.add_argument(
        "--npz", type=path, required=True, metavar="FILE", help="the file; - for standard output"
    )


def take_file(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Recover FILE.toml if it follows ``--block``, which takes all words that follow it."""
    if getattr(options, "file", "") is not None:
        return
    if len(options.block or ()) < 2:
        parser.error("the following arguments are required: FILE.toml")
    try:
        options.file = path(options.block.pop())
    except argparse.ArgumentTypeError as error:
        parser.error(f"argument FILE.toml: {error}")

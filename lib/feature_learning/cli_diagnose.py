"""The command ``feature-learning diagnose``: convergence of a run, agreement of several."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feature_learning import atomic
from feature_learning.complaints import complain
from feature_learning.draws import Draws, compare, read_draws
from feature_learning.errors import ArgumentError, FeatureLearningError
from feature_learning.report import as_json, as_text

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
        return complain(str(error))
    except OSError as error:
        return complain(f"cannot use {error.filename or options['plots']}: {error.strerror}")
    if options["json"]:
        print(json.dumps(as_json(runs, compared), allow_nan=False))
    else:
        print(as_text(runs, compared))
    return 0


def _names(files: Sequence[Path]) -> list[str]:
    """Names that tell the files apart: without folder and suffix if that is enough."""
    for path, count in Counter(path.resolve() for path in files).items():
        if count > 1:
            raise ArgumentError(f"files must differ, but {path} is given {count} times")
    short = [path.stem for path in files]
    return short if len(set(short)) == len(files) else [str(path) for path in files]


def _draw(runs: Sequence[Draws], folder: Path) -> None:
    """Write ``trace.png`` and ``rank.png``."""
    # Matplotlib is slow to import, and nothing else here needs it.
    import matplotlib as mpl

    from feature_learning.chain_figures import rank_figure, trace_figure
    from feature_learning.plots import RC

    with mpl.rc_context(RC):
        for name, figure in (("trace", trace_figure(runs)), ("rank", rank_figure(runs))):
            with atomic.replacing(folder / f"{name}.png") as file:
                figure.savefig(file, format="png")

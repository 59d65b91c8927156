"""The options of ``feature-learning point``.

``--teacher``, ``--method``, ``--sampler`` and ``--protocol`` choose the parts of a configuration;
every other option is a field of one of these parts (:func:`feature_learning.choices.option`).
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any

from feature_learning.choices import PROTOCOLS
from feature_learning.errors import ArgumentError
from feature_learning.experiments import flat
from feature_learning.experiments.methods import METHODS
from feature_learning.experiments.runs import Chains
from feature_learning.model.teachers import TEACHERS

_POINT = """\
Another --teacher, --method, --sampler or --protocol has other options: add --help to list them.

examples:
  the network posterior at equilibrium, P = 1000 (two minutes on two cores)
    feature-learning point --n-train 1000 --kappa 0.005
  as published: SGLD with the published clock and stopping rule, last sample
    feature-learning point --n-train 5000 --kappa 0.001 --protocol published --chains 1
  log evidence of a code of eight neurons from four populations (--sampler integration gives it by
  thermodynamic integration)
    feature-learning point --n-train 1000 --sampler population \\
      --code="++++ +++- ++-+ ++-- +-++ +-+- +--+ +---"
  mean field with adaptive prior precisions
    feature-learning point --method mf-ard --n-train 1000 --kappa 0.005

Every printed error is the mean squared error (MSE), not half of it. Ctrl-C prints the averages so
far; with --checkpoint FILE the same command resumes the run, and "feature-learning diagnose FILE"
reports whether its chains have converged.
"""
#: Options of the command that are not part of a configuration.
_OTHERS = ("threads", "max_time", "checkpoint", "json", "quiet")
_WORDS = {
    "teacher": (TEACHERS, "target"),
    "method": (METHODS, "what is computed"),
    "sampler": ((), "how the network or the mean field is sampled"),
    "protocol": (PROTOCOLS, "plain SGLD on the published clock; reports the last sample"),
}


class _Help(argparse.RawDescriptionHelpFormatter):
    """Wide enough for most options to take one line."""

    def __init__(self, prog: str, **_: Any) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def add_point(commands: Any, arguments: Sequence[str]) -> None:
    """Add ``point`` to the subparsers of ``feature-learning``.

    ``arguments`` is the command line: the parts it chooses decide which options exist.
    """
    parser = commands.add_parser(
        "point",
        help="compute one point (P, κ) of a figure",
        description="Compute one point: test error, order parameter and noise of one method at one "
        "number of samples and one noise level.",
        epilog=_POINT,
        formatter_class=_Help,
        usage="%(prog)s [options]",
        argument_default=argparse.SUPPRESS,
    )
    choices = chosen(arguments)
    parser.explain = lambda name: _refusal(name, choices)
    for name, (words, text) in _WORDS.items():
        default = flat.CHOICES[name] or "none"
        known = words or flat.samplers()
        parser.add_argument(f"--{name}", choices=known, help=f"{text} ({default})")
    try:
        parts = flat.parts(choices)
    except ArgumentError:  # reported later, by the parser or by the configuration
        parts = flat.parts({})
    titles = {"": "problem", "teacher": "problem", "network": "problem"}
    groups: dict[str, Any] = {}
    for place, _, options in parts:
        title = titles.get(place, place)
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        for name, each in options.items():
            _add(groups[title], name, each)
    runs = [part.kind for part in parts if part.place == "run"]
    _add_others(parser.add_argument_group("command"), *runs)


def chosen(arguments: Sequence[str]) -> dict[str, str]:
    """The choices among the arguments, valid or not."""
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False, argument_default=argparse.SUPPRESS
    )
    for name in (*_WORDS, "nngp-variant"):
        parser.add_argument(f"--{name}", nargs="?")
    try:
        known = vars(parser.parse_known_args(list(arguments))[0])
    except argparse.ArgumentError:
        return {}
    return {name: value for name, value in known.items() if value is not None}


def _add(group: Any, name: str, option: Field[Any]) -> None:
    """Add one option, defined by its field."""
    flag, about = f"--{name.replace('_', '-')}", option.metadata
    kinds, text = flat.kinds(name), about["help"]
    default = option.default
    if bool in kinds:
        action = argparse.BooleanOptionalAction if default is None else "store_true"
        group.add_argument(flag, action=action, help=text)
        return
    if default is not None and "(" not in text:
        text = f"{text} ({default})"
    kind: Any = str
    if float in kinds:
        kind = _friction if name == "friction" else float
    elif int in kinds:
        kind = int
    metavar = about["metavar"] or (None if about["allowed"] else "N" if kind is int else "X")
    if about["allowed"]:
        text = f"{text}: {', '.join(about['allowed'])}"
        metavar = "WORD"
    group.add_argument(flag, type=kind, choices=about["allowed"], help=text, metavar=metavar)


def _friction(text: str) -> float | str:
    """A number, or ``auto``."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or auto, not {text!r}") from None


def _add_others(group: Any, run: type | None = None) -> None:
    """Add the options of the command itself; a time limit and a checkpoint need a run."""
    add = group.add_argument
    add("--threads", type=int, help="CPU threads (all)")
    if run is Chains:
        text = "stop after this wall time and report the averages so far"
        add("--max-time", type=float, metavar="SECONDS", help=text)
    if run is not None:
        text = "save to, and resume from, FILE; its folder is made if it is missing"
        add("--checkpoint", type=path, metavar="FILE", help=text)
    add("--json", action="store_true", help="one JSON object on standard output, nothing else")
    add("--quiet", action="store_true", help="no progress on standard error")


def _refusal(flag: str, choices: dict[str, str]) -> str:
    """Why an option is unknown: it belongs to other parts, or is misspelt."""
    flag = flag.partition("=")[0]
    name = flag.removeprefix("--").removeprefix("no-").replace("-", "_")
    if name in _OTHERS:
        words = ", ".join(f"--{each} {value}" for each, value in choices.items())
        return f"{flag} has no effect with {words}: it is for points that are sampled"
    if name in flat.hints() and "_" not in flag:
        return f"--{flat.without_effect(name, choices, mark='--').replace('_', '-')}"
    near = difflib.get_close_matches(name, [*flat.hints(), *_OTHERS], n=1)
    meant = f"; did you mean --{near[0].replace('_', '-')}?" if near else ""
    return f"unrecognized arguments: {flag}{meant}"


def path(text: str) -> Path:
    """A path that is not empty: the empty path would mean the current folder."""
    if not text.strip() or "\0" in text:
        raise argparse.ArgumentTypeError(f"must be a path, not {text!r}")
    return Path(text)

"""The command line ``feature-learning``: its parser, and which module runs what.

One point: :mod:`feature_learning.cli_point`; many: :mod:`feature_learning.cli_sweep`; the judgement
of a run: :mod:`feature_learning.cli_diagnose`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from feature_learning import cli_diagnose, cli_point, cli_sweep
from feature_learning.complaints import complain
from feature_learning.version import __version__


class _Parser(argparse.ArgumentParser):
    """One readable line and exit code 2 for a bad option, without the usage block.

    Options are never abbreviated: a new one would change what an old command means.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What is not known is refused by the command it was given to, which has the right help."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of ``feature-learning``."""
    parser = _Parser(
        prog="feature-learning",
        description="Feature learning in two-layer networks: posterior, mean field, MF-ARD, NNGP.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    cli_point.add_command(commands)
    cli_diagnose.add_command(commands)
    cli_sweep.add_commands(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 2 for bad input, 130 after Ctrl-C; see ``--help``.

    The program ``feature-learning`` comes here by way of :mod:`feature_learning_launcher`, which
    watches over the import of this module.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        options = vars(build_parser().parse_args(arguments))
        command = options.pop("command")
        if command == "diagnose":
            return cli_diagnose.run_command(options)
        if command != "point":
            return cli_sweep.run_command(command, options)
        return cli_point.run_command(options, arguments[1:])
    except KeyboardInterrupt:
        return complain("interrupted before anything was measured", code=130)


if __name__ == "__main__":
    sys.exit(main())

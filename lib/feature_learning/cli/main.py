"""The command line ``feature-learning``: parse the options and call the module of the command.

Options and help: :mod:`feature_learning.cli.options`. One point: :mod:`feature_learning.cli.point`;
many points: :mod:`feature_learning.cli.sweep`; convergence of a run:
:mod:`feature_learning.cli.diagnose`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from feature_learning import __version__
from feature_learning.cli.ending import leave, loading, run_program
from feature_learning.cli.options import add_commands, take_file

NAME = "feature-learning"
#: Command to the module that runs it; the module ``sweep`` runs all others.
_MODULES = {"point": "point", "diagnose": "diagnose"}


class _Parser(argparse.ArgumentParser):
    """Reports a bad option in one readable line with exit code 2, without the usage block.

    Options cannot be abbreviated: a new option could change the meaning of an old command.
    """

    #: Makes the error message about an unknown argument.
    explain: Callable[[str], str] = "unrecognized arguments: {}".format

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Report unknown arguments in the parser of their command, which has the matching help."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self.explain(unknown[0]))
        take_file(self, known)
        return known, unknown

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see {self.prog} --help)\n")


def build_parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of ``feature-learning``; its options depend on the ``arguments``."""
    parser = _Parser(
        prog=NAME,
        description="Feature learning in two-layer networks: posterior, mean field, MF-ARD, NNGP.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_commands(commands, arguments)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code (:mod:`feature_learning.cli.ending`)."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_program(NAME, lambda: _run(given))


def _run(arguments: Sequence[str]) -> int:
    options = vars(build_parser(arguments).parse_args(arguments))
    command = options.pop("command")
    with loading(NAME):
        module = import_module(f"feature_learning.cli.{_MODULES.get(command, 'sweep')}")
    return int(module.run_command(command, options))


def program() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    leave(main())

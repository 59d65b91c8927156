"""The commands of ``python -m book_tools``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from book_tools.build import build, claim_outcomes, is_current
from book_tools.check import check_book
from book_tools.claims import Outcome, Verdict
from book_tools.claims_table import describe, summary
from book_tools.clean import LOCK
from book_tools.errors import BookError, details_first
from book_tools.folders import NOTEBOOKS, check_fresh, make
from book_tools.project import Project
from book_tools.staging import convert
from feature_learning.choices import PROFILES
from feature_learning.cli.ending import run_program
from feature_learning.files.locks import held

NAME = "book_tools"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run_program(NAME, lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    with details_first():
        project = Project(Path(os.path.realpath(options.root)))
        project.pages()  # fails in a folder that is not a book
        return _command(project, options)


def _command(project: Project, options: argparse.Namespace) -> int:
    if options.command == "build":
        with _alone(project):
            build(project, options.profile)
    elif options.command == "check":
        _check(project, options.profile)
    elif options.command == "reproduce":
        # Importing the library takes a second, and the other commands do not need it.
        from book_tools.reproduce import reproduce

        return reproduce(
            project, options.figure, workers=options.workers, time_limit=options.time_limit
        )
    else:
        out = check_fresh(project.root, options.out, NOTEBOOKS)
        with _alone(project):
            for path in convert(project, out):
                print(path.relative_to(out))
    return 0


@contextmanager
def _alone(project: Project) -> Iterator[None]:
    """Prevent other commands from writing into the build folder."""
    project.pages()  # makes no folder if there is no book
    with held(make(project.build) / LOCK) as lock:
        if lock is None:
            raise BookError(f"another build is running in {project.build}; wait for its end")
        yield


def _check(project: Project, profile: str) -> None:
    from book_tools.stored import check_results

    problems, notes = check_results(project)
    for note in notes:
        print(note)
    if problems:
        lines = "\n".join(f"    {problem}" for problem in problems)
        raise BookError(f"the stored results have {len(problems)} faults:\n{lines}")
    html = project.html
    if not html.is_dir():
        raise BookError("there is no book in _build/html yet; `make book` builds it")
    if not is_current(project, profile):
        raise BookError(
            f"the book in _build/html is not the {profile} book of the current sources; "
            f"`make book PROFILE={profile}` builds it"
        )
    check_book(project, html, project.stage(profile))
    _judge(claim_outcomes(project, profile), profile)


def _judge(outcomes: Sequence[Outcome], profile: str) -> None:
    for outcome in outcomes:
        if outcome.failed or outcome.verdict is Verdict.HOLE:
            print(describe(outcome))
    print(summary(outcomes, profile))
    if any(outcome.failed for outcome in outcomes):
        raise BookError("some claims do not hold")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m book_tools", description="Build and check the book."
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(),
        help="the book's root folder (default: the current folder)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    building = commands.add_parser(
        "build", help="execute what changed, run Sphinx with warnings as errors, check the result"
    )
    checking = commands.add_parser(
        "check",
        help="check that the stored results are valid, and that the book is complete, was built "
        "from the current sources and confirms its claims",
    )
    for command in (building, checking):
        command.add_argument(
            "--profile",
            choices=PROFILES,
            default=PROFILES[0],
            help="stored results, some computed again; or everything (default: %(default)s)",
        )
    reproducing = commands.add_parser(
        "reproduce",
        help="compute the stored results of a figure again, resumable",
        epilog="exit codes: 0 all cells are computed; 1 some failed or are left; 2 bad input; "
        "128 + n signal n (130 after Ctrl-C)",
    )
    add = reproducing.add_argument
    add("--figure", metavar="F", help="name in book/data/sweeps/figures.toml (default: all)")
    add("--workers", type=int, metavar="N", help="processes of one thread each (all cores)")
    add("--time-limit", type=float, metavar="SECONDS", help="start no new cell after this time")
    converting = commands.add_parser(
        "convert", help="write the notebooks as unexecuted .ipynb, for pytest --nbval"
    )
    converting.add_argument("--out", type=Path, required=True, help="a folder, emptied first")
    return parser

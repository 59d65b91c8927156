"""What ``make clean`` removes: what the build and the tools made, and say so in it.

It needs nothing but Python itself, since the environment is among what it removes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from book_tools import folders
from book_tools.errors import BookError, InputError

VENV = ".venv"
CACHES = (".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache")
"""Folders of the tools; those that mark them as caches are removed."""
FILES = ("bench.csv", "rejected-bench.csv")
"""Files of the build folder that stand in no folder of their own."""


def clean(root: Path) -> list[Path]:
    """Remove what was built, and return what was left because somebody else made it.

    Raises
    ------
    InputError
        If this is not the root of a book.
    """
    if not (root / "_toc.yml").is_file():
        raise InputError(f"_toc.yml is missing in {root}: is this the book's root?")
    build, venv = root / "_build", root / VENV
    left = [path for path in (build, venv) if path.is_symlink()]
    if build.is_dir() and build not in left:
        left += _clean_build(build)
    if venv.is_dir() and venv not in left:
        left += _removed_or_left(venv)
    for name in CACHES:
        cache = root / name
        if folders.is_cache(cache) and not cache.is_symlink():
            folders.remove(cache)
    return left


def _clean_build(build: Path) -> Iterator[Path]:
    for path in sorted(build.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _removed_or_left(path)
        elif path.name in FILES:
            path.unlink()
        elif path.name != folders.TAG:
            yield path
    if folders.purpose(build) is not None and [path.name for path in build.iterdir()] == [
        folders.TAG
    ]:
        folders.remove(build)


def _removed_or_left(folder: Path) -> Iterator[Path]:
    if folders.purpose(folder) is None:
        yield folder
    else:
        folders.remove(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Clean, or make a folder that a later call may remove: the exit code."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.clean", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the book's root folder")
    parser.add_argument(
        "--make",
        type=Path,
        metavar="FOLDER",
        help="make this folder and mark it; exit code 3 if somebody else made it",
    )
    options = parser.parse_args(arguments)
    try:
        if options.make is not None:
            return 0 if folders.purpose(folders.make(options.make)) is not None else 3
        for path in clean(options.root):
            print(f"{path} is left: it was not made here; remove it yourself", file=sys.stderr)
    except (BookError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, BookError) else 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

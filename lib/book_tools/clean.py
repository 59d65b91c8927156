"""Remove the marked folders of the build and of the tools: the command ``make clean``.

It needs only Python itself, since it removes the environment too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from book_tools import folders

VENV = ".venv"
CACHES = (".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache")
"""Folders of the tools; those that mark them as caches are removed."""
LOCK = ".lock"
"""The file of the build folder that is locked during a build."""
FILES = ("speed.csv", "rejected-speed.csv")
"""Files that are directly in the build folder."""


def clean(root: Path) -> list[Path]:
    """Remove what was built, and return the folders that were left because they have no mark."""
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
        elif path.name not in (folders.TAG, LOCK):
            yield path
    if {path.name for path in build.iterdir()} <= {folders.TAG, LOCK} and folders.purpose(build):
        folders.remove(build)


def _removed_or_left(folder: Path) -> Iterator[Path]:
    if folders.purpose(folder) is None:
        yield folder
    else:
        folders.remove(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Clean, or make a folder that a later call may remove; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m book_tools.clean", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="the book's root folder")
    parser.add_argument(
        "--make",
        type=Path,
        metavar="FOLDER",
        help="make this folder and mark it; exit code 3 if it exists without a mark",
    )
    options = parser.parse_args(arguments)
    try:
        if options.make is not None:
            return 0 if folders.purpose(folders.make(options.make)) is not None else 3
        if not (options.root / "_toc.yml").is_file():
            return _complain(f"_toc.yml is missing in {options.root}: is this the book's root?")
        with _alone(options.root / "_build") as alone:
            if not alone:
                return _complain("a build is running; wait for its end")
            for path in clean(options.root):
                print(f"{path} is left: it was not made here; remove it yourself", file=sys.stderr)
    except OSError as error:
        return _complain(str(error))
    return 0


@contextmanager
def _alone(build: Path) -> Iterator[bool]:
    """Whether no build is running; none can run without the packages of an environment."""
    try:
        from feature_learning.files.locks import held
    except ImportError:
        yield True
        return
    if build.is_dir():
        with held(build / LOCK) as lock:
            yield lock is not None
    else:
        yield True


def _complain(sentence: str) -> int:
    print(f"book_tools.clean: error: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())

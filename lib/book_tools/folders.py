"""Folders whose content is deleted: those that this program made, and no others.

Such a folder carries a file as in https://bford.info/cachedir, which keeps it out of backups, with
a line that says what the folder is for. Without that line nothing is deleted together with what is
in it, whatever a command was asked for; and never anything that holds the sources.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

TAG = "CACHEDIR.TAG"
"""The file that a folder carries; the name and its first line are those of the convention."""
STANDARD = "Signature: 8a477f597d28d172789f06886806bc55"
"""The first line."""

KEPT = "what can be made again"
STAGE = "the sources of a build"
NOTEBOOKS = "unexecuted notebooks"
BOOK = "the finished book"
SCRATCH = "what a build is about to make"

_OURS = "# Made by book_tools, and deleted by it, to hold "


def purpose(folder: Path) -> str | None:
    """What this program made a folder for; None if it did not make it."""
    try:
        first, second, *_ = (folder / TAG).read_bytes().decode().splitlines()
    except (OSError, ValueError):
        return None
    return second.removeprefix(_OURS) if first == STANDARD and second.startswith(_OURS) else None


def is_cache(folder: Path) -> bool:
    """Whether the program that made a folder, whichever it was, says that it can be made again."""
    try:
        return (folder / TAG).read_bytes().startswith(STANDARD.encode())
    except OSError:
        return False


def make(folder: Path, made_for: str = KEPT) -> Path:
    """Make a folder of the build, and those above it that are missing, and mark them.

    One that is there already stays as it is; if nothing is in it, it is marked.
    """
    if not folder.parent.exists():
        make(folder.parent)
    folder.mkdir(exist_ok=True)
    if not any(folder.iterdir()):
        mark(folder, made_for)
    return folder


def mark(folder: Path, made_for: str) -> None:
    """Say in a folder that this program made it, and what for."""
    # Not by the one writer, which needs packages: before an environment there are none.
    (folder / TAG).write_text(f"{STANDARD}\n{_OURS}{made_for}\n", encoding="utf-8")


def check_fresh(root: Path, folder: Path, made_for: str) -> Path:
    """Check that a folder may be emptied, or made.

    Parameters
    ----------
    root
        The root of the book. Everything in it are its sources, apart from ``_build``.
    folder
        The folder.
    made_for
        What it is to be used for: one that was made for something else is not emptied.

    Returns
    -------
    Path
        The folder, links followed.

    Raises
    ------
    InputError
        If it is, holds, or lies in the sources; if it is no folder; or if there is something in it
        and this program did not make it for this.
    """
    real, build = _real(folder), _real(root) / "_build"
    sources = [root, root / "book", root / "lib"]
    if any(_lies_in(_real(source), real) for source in sources) or _same(real, build):
        _refuse(f"{folder} holds the sources or what is built from them: not to be emptied")
    built = not build.is_symlink() and _lies_in(real, build)
    if not built and any(_lies_in(real, _real(source)) for source in sources):
        _refuse(f"{folder} lies among the sources of the book; choose another folder")
    if real.exists() and not real.is_dir():
        _refuse(f"{folder} is not a folder")
    if real.is_dir() and any(real.iterdir()) and purpose(real) != made_for:
        _refuse(
            f"{folder} is not empty, and book_tools did not make it to hold {made_for}: "
            "move it away, or choose another folder"
        )
    return real


def _real(folder: Path) -> Path:
    """Where a folder is; a link in a circle leads to itself."""
    return Path(os.path.realpath(folder))


def fresh(root: Path, folder: Path, made_for: str) -> Path:
    """Make a folder with nothing in it but its mark, see :func:`check_fresh`."""
    real = check_fresh(root, folder, made_for)
    if real.is_dir():
        _empty(real)
    elif _lies_in(real, _real(root) / "_build"):
        make(real, made_for)
    else:
        # Those above it are not ours, even if they are new.
        real.mkdir(parents=True)
    mark(real, made_for)
    return real


@contextmanager
def scratch(build: Path, name: str) -> Iterator[Path]:
    """A folder in the build folder that is gone at the end; marked, in case the end never comes."""
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=make(build)) as folder:
        mark(Path(folder), SCRATCH)
        yield Path(folder)


def put_in_place(root: Path, new: Path, place: Path, aside: Path, made_for: str) -> None:
    """Let one folder take the place of another of its kind, which is put aside.

    Raises
    ------
    InputError
        If this program did not make the one that is there.
    """
    check_fresh(root, place, made_for)
    mark(new, made_for)
    if place.exists():
        place.rename(aside)
    try:
        new.rename(place)
    except OSError:
        if aside.exists():
            aside.rename(place)
        raise


def remove(folder: Path) -> None:
    """Delete a folder that carries a mark, the mark last: who is stopped can begin again.

    Raises
    ------
    InputError
        If it carries none.
    """
    if not is_cache(folder):
        _refuse(f"{folder} carries no {TAG}: it is not deleted")
    _empty(folder)
    (folder / TAG).unlink()
    folder.rmdir()


def _refuse(sentence: str) -> NoReturn:
    # `make clean` runs without the packages that the errors of a program need.
    from book_tools.errors import InputError

    raise InputError(sentence)


def _empty(folder: Path) -> None:
    for child in folder.iterdir():
        if child.name == TAG:
            continue
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child)
        else:
            child.unlink()


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or stands in it, also where capital letters do not count."""
    return any(_same(each, folder) for each in (path, *path.parents))


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return path == other

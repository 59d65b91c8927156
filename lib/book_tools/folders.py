"""Folders whose content may be deleted: only those that this program made.

Such a folder has a tag file as in https://bford.info/cachedir, which keeps it out of backups, with
a line that names the purpose of the folder. A folder without this line is never deleted, whatever
the arguments of a command, and neither is a folder that contains the sources.
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
"""The tag file of a folder; its name and first line follow the convention."""
STANDARD = "Signature: 8a477f597d28d172789f06886806bc55"
"""The first line."""

KEPT = "what can be made again"
STAGE = "the sources of a build"
NOTEBOOKS = "unexecuted notebooks"
BOOK = "the finished book"
SCRATCH = "what a build is about to make"

_OURS = "# Made by book_tools, and deleted by it, to hold "


def purpose(folder: Path) -> str | None:
    """The purpose for which this program made a folder; None if it did not make it."""
    try:
        first, second, *_ = (folder / TAG).read_bytes().decode().splitlines()
    except (OSError, ValueError):
        return None
    return second.removeprefix(_OURS) if first == STANDARD and second.startswith(_OURS) else None


def is_cache(folder: Path) -> bool:
    """Whether a folder is marked as a cache by the program that made it, whichever it was."""
    try:
        return (folder / TAG).read_bytes().startswith(STANDARD.encode())
    except OSError:
        return False


def make(folder: Path, made_for: str = KEPT) -> Path:
    """Make a folder of the build and its missing parents, and mark them.

    An existing folder stays as it is; if it is empty, it is marked.
    """
    if not folder.parent.exists():
        make(folder.parent)
    folder.mkdir(exist_ok=True)
    if not any(folder.iterdir()):
        mark(folder, made_for)
    return folder


def mark(folder: Path, made_for: str) -> None:
    """Mark a folder as made by this program, with its purpose."""
    # Not with feature_learning.files, because the environment may not exist yet.
    (folder / TAG).write_text(f"{STANDARD}\n{_OURS}{made_for}\n", encoding="utf-8")


def check_fresh(root: Path, folder: Path, made_for: str) -> Path:
    """Check that a folder may be emptied, or made.

    Parameters
    ----------
    root
        The root of the book. It contains only sources, apart from ``_build``.
    folder
        The folder.
    made_for
        The purpose of the folder; one that was made for another purpose is not emptied.

    Returns
    -------
    Path
        The folder, with links resolved.

    Raises
    ------
    InputError
        If it is, contains, or lies in the sources; if it is not a folder; or if it is not empty and
        this program did not make it for this purpose.
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
    """The real path of a folder; a circular link leads to itself."""
    return Path(os.path.realpath(folder))


def fresh(root: Path, folder: Path, made_for: str) -> Path:
    """Make a folder that is empty except for its mark, see :func:`check_fresh`."""
    real = check_fresh(root, folder, made_for)
    if real.is_dir():
        _empty(real)
    elif _lies_in(real, _real(root) / "_build"):
        make(real, made_for)
    else:
        # Its parents are not marked, even if they are new.
        real.mkdir(parents=True)
    mark(real, made_for)
    return real


@contextmanager
def scratch(build: Path, name: str) -> Iterator[Path]:
    """A temporary folder in the build folder, marked in case it is not removed at the end."""
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=make(build)) as folder:
        mark(Path(folder), SCRATCH)
        yield Path(folder)


def put_in_place(root: Path, new: Path, place: Path, aside: Path, made_for: str) -> None:
    """Replace a folder by another of its kind, and move the old one aside.

    Raises
    ------
    InputError
        If this program did not make the old one.
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
    """Delete a marked folder, the mark last, so that an interrupted deletion can be repeated.

    Raises
    ------
    InputError
        If it has no mark.
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
    """Whether a path is a folder or lies in it, also on file systems that ignore case."""
    return any(_same(each, folder) for each in (path, *path.parents))


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return path == other

"""Atomic writing of files: completely or not at all, and only over regular files.

How a path is written depends on what exists there:

* nothing, or a regular file: the content is written under a temporary name in the same folder and
  then renamed. Links are followed, so that they remain links; mode and owner of a replaced file are
  kept.
* a device or a pipe: the content is written into it. It must not be replaced.
* ``-``, or a file that is already open as standard output or error: the content goes to that
  stream.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

#: The temporary file of NAME is called ``.NAME.xxxxxxxx.part``, in the same folder.
SUFFIX = ".part"
#: The path that means standard output.
STREAM = Path("-")
#: Number of characters of a name in its temporary name, which must fit into 255 bytes.
_SHOWN = 40


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that replaces ``path`` when the block ends without an exception.

    Raises
    ------
    OSError
        If it cannot be written. The temporary file is then removed, and ``path`` is unchanged.
    """
    target = _target(path)
    if isinstance(target, int) or not _replaceable(target):
        # Archives are not written sequentially, as a stream requires: collect the content first.
        content = io.BytesIO()
        yield content
        _pour(content.getvalue(), target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _temporary(target)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _adopt(temporary, target)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write(path: Path, content: bytes | str) -> None:
    """Write a whole file; a text is encoded as UTF-8 with unchanged line ends.

    Raises
    ------
    OSError
        As for :func:`replacing`.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def check_writable(path: Path) -> None:
    """Check before hours of work that ``path`` can be written, and create its folder.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    target = _target(path)
    if isinstance(target, int):
        return
    if not _replaceable(target):
        if not os.access(target, os.W_OK):
            raise PermissionError(13, os.strerror(13), str(path))
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = _temporary(target)
    os.close(handle)
    temporary.unlink()


def leftovers(folder: Path) -> list[Path]:
    """Temporary files that killed processes left in a folder; they are never read."""
    return sorted(folder.glob(f".*{SUFFIX}"))


def _target(path: Path) -> Path | int:
    """The file behind all links, whether it exists or not; or the number of its open stream."""
    if path == STREAM:
        return 1
    try:
        there = path.stat()
    except FileNotFoundError:
        return Path(os.path.realpath(path))
    for number in (1, 2):
        with suppress(OSError):
            if os.path.samestat(there, os.fstat(number)):
                return number
    return Path(os.path.realpath(path)) if stat.S_ISREG(there.st_mode) else path


def _replaceable(target: Path) -> bool:
    """Whether the target is a writable regular file or does not exist.

    Raises
    ------
    OSError
        If it is a folder, or a file that is protected against writing.
    """
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(21, os.strerror(21), str(target))
    if not os.access(target, os.W_OK):  # renaming would bypass the protection
        raise PermissionError(13, os.strerror(13), str(target))
    return stat.S_ISREG(mode)


def _pour(content: bytes, target: Path | int) -> None:
    """Write into a stream, a device or a pipe."""
    if isinstance(target, int):
        stream = sys.stdout if target == 1 else sys.stderr
        if stream is not None:
            stream.flush()
        with os.fdopen(os.dup(target), "wb") as file:
            file.write(content)
    else:
        with target.open("wb") as file:
            file.write(content)


def _temporary(target: Path) -> tuple[int, Path]:
    prefix = f".{target.name[:_SHOWN]}."
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=SUFFIX)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from error
    return handle, Path(name)


def _adopt(temporary: Path, target: Path) -> None:
    """Give ``temporary`` the mode and owner of the replaced file, or the mode of a new file."""
    try:
        there = target.stat()
    except FileNotFoundError:
        temporary.chmod(0o666 & ~_umask())
        return
    with suppress(OSError):  # only the superuser may give a file away
        if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(temporary, there.st_uid, there.st_gid)
    temporary.chmod(stat.S_IMODE(there.st_mode))


def _umask() -> int:
    """The mask of the process, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

"""Checkpoints of a run: a NumPy archive, written atomically and without pickling.

A checkpoint contains the fingerprint of its run, so that no run resumes silently from the state of
another one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_learning.errors import CheckpointError
from feature_learning.files import archives, atomic, locks

#: Increased whenever the content of a checkpoint changes meaning.
FORMAT = 6


@contextmanager
def reserved(path: Path | None) -> Iterator[None]:
    """Lock a checkpoint for one run during a block, and check that it can be written.

    Raises
    ------
    CheckpointError
        If another run uses it, or if such a file cannot be written.
    """
    if path is None:
        yield
        return
    if path == atomic.STREAM or (path.exists() and not path.is_file()):
        raise CheckpointError(f"checkpoint must be a file, not {path}")
    place = Path(os.path.realpath(path))  # one file, whatever links lead to it
    try:
        atomic.check_writable(path)
        lock = locks.acquire(place.with_name(_lock_name(place.name)))
    except OSError as error:
        raise _unwritten(path, error) from error
    if lock is None:
        raise CheckpointError(f"checkpoint {path} is in use by another run")
    try:
        yield
    finally:
        lock.release()


def _lock_name(name: str) -> str:
    """File name of a checkpoint's lock, at most 255 bytes, the limit of a folder."""
    long = len(os.fsencode(name)) > 240
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest() if long else name}.lock"


def _unwritten(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"checkpoint {path} cannot be written: {error.strerror or error}")


def save(path: Path, arrays: dict[str, NDArray[Any]], fingerprint: dict[str, Any]) -> None:
    """Write ``arrays`` and the run's ``fingerprint`` to ``path``, completely or not at all.

    Raises
    ------
    CheckpointError
        If the file cannot be written; an older checkpoint of that name is then kept.
    """
    header = np.frombuffer(
        json.dumps(
            {"format": FORMAT, "fingerprint": fingerprint, "arrays": sorted(arrays)}, sort_keys=True
        ).encode(),
        np.uint8,
    )
    try:
        with atomic.replacing(path) as file:
            np.savez(file, allow_pickle=False, header=header, **arrays)
    except OSError as error:
        raise _unwritten(path, error) from error


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of any checkpoint of this format, and the fingerprint of its run.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is damaged or has another format.
    """
    try:
        arrays = archives.read(path)
        if "header" not in arrays:
            raise CheckpointError(f"{path} is not a checkpoint: it holds {', '.join(arrays)}")
        header = json.loads(arrays.pop("header").tobytes())
        if not isinstance(header, dict) or not isinstance(header.get("fingerprint"), dict):
            raise ValueError("its header is invalid")
        if header.get("format") == FORMAT and header["arrays"] != sorted(arrays):
            raise ValueError("arrays are missing")
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(
            f"checkpoint {path} is damaged or not a checkpoint ({error}); "
            "move it away to start the run afresh"
        ) from error
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} has format {header.get('format')!r}, this version reads {FORMAT}"
        )
    return arrays, header["fingerprint"]


def load(path: Path, fingerprint: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
    """Read the checkpoint of this run; None if there is none yet.

    Raises
    ------
    CheckpointError
        If the file is damaged, has another format or belongs to another run.
    """
    if not path.exists():
        return None
    arrays, theirs = read(path)
    ours = json.loads(json.dumps(fingerprint))
    different = sorted(
        key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)
    )
    if different:
        key = different[0]
        raise CheckpointError(
            f"checkpoint {path} belongs to another run: {key} is {theirs.get(key)!r} there, "
            f"{ours.get(key)!r} here"
        )
    return arrays


@contextmanager
def fitting(path: Path | None) -> Iterator[None]:
    """Report errors of a block that restores a checkpoint as a checkpoint that does not fit.

    Raises
    ------
    CheckpointError
        With the cause in the message.
    """
    try:
        yield
    except (KeyError, RuntimeError, ValueError, TypeError, IndexError) as error:
        raise CheckpointError(
            f"checkpoint {path} does not fit this run ({error}); move it away"
        ) from error

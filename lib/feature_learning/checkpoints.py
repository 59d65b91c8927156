"""Checkpoints: one NumPy archive, written atomically, without pickling.

A checkpoint carries the fingerprint of the run it belongs to, so that a run never silently resumes
from another one's state.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_learning.atomic import replacing
from feature_learning.errors import CheckpointError

#: Raised when the content of a checkpoint changes meaning.
FORMAT = 4
#: What reading a damaged file, or one that is no archive at all, can raise.
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)


def save(path: Path, arrays: dict[str, NDArray[Any]], fingerprint: dict[str, Any]) -> None:
    """Write ``arrays`` and the run's ``fingerprint`` to ``path``, whole or not at all.

    Raises
    ------
    CheckpointError
        If it cannot be written; an older checkpoint of that name is then still there.
    """
    header = np.frombuffer(
        json.dumps(
            {"format": FORMAT, "fingerprint": fingerprint, "arrays": sorted(arrays)}, sort_keys=True
        ).encode(),
        np.uint8,
    )
    try:
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, header=header, **arrays)
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be written: {error.strerror or error}"
        ) from error


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays of any checkpoint of this format, and the fingerprint of its run.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is damaged, or of another format.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
        if header.get("format") == FORMAT and header["arrays"] != sorted(arrays):
            raise ValueError("arrays are missing")
    except _DAMAGE as error:
        # What NumPy says of any other file: that it might be loaded with less care.
        reason = "no archive of arrays" if "pickle" in str(error) else str(error)
        raise CheckpointError(
            f"checkpoint {path} is damaged or none ({reason}); "
            "once it is moved away, a run starts afresh"
        ) from error
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint {path} has format {header.get('format')!r}, this version reads {FORMAT}"
        )
    return arrays, header.get("fingerprint", {})


def load(path: Path, fingerprint: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
    """Read a checkpoint of this very run; None if there is none yet.

    Raises
    ------
    CheckpointError
        If the file is damaged, of another format, or belongs to another run.
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

"""JSON files with a schema and a checksum, so that reading detects any change."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from feature_learning.errors import StoreError
from feature_learning.files import atomic

#: Increased whenever the layout of a file changes meaning.
SCHEMA = 1


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, allow_nan=False, indent=1).encode()


def checksum(document: Mapping[str, Any]) -> str:
    """Digest of a document with its schema; an existing checksum is ignored.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    bare = {name: value for name, value in document.items() if name != "checksum"}
    return hashlib.sha256(_dump({"schema": SCHEMA, **bare})).hexdigest()


def sealed(document: Mapping[str, Any]) -> bytes:
    """The content of the file of a document, with schema and checksum.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    return _dump({"schema": SCHEMA, **document, "checksum": checksum(document)})


def put(path: Path, content: bytes) -> None:
    """Write a file of results, completely or not at all.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    try:
        atomic.write(path, content)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error


def check_replaceable(path: Path, mine: Callable[[bytes], bool], what: str) -> None:
    """Refuse to replace a file of another kind, so that a mistaken name destroys no input.

    Parameters
    ----------
    path : Path
    mine : callable
        Tells whether a content is of the kind that will be written.
    what : str
        Name of that kind in the error message.

    Raises
    ------
    StoreError
        If the file exists and has a content of another kind.
    """
    if path == atomic.STREAM or not path.is_file():
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    if content and not mine(content):
        raise StoreError(f"{path} exists and is not {what}; it is not replaced: move it away")


def read(path: Path) -> dict[str, Any]:
    """Read a document and verify its checksum.

    Raises
    ------
    StoreError
        If the file cannot be read, is damaged, or is not a document of this schema.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {error}") from error
    if not isinstance(document, dict) or "schema" not in document or "checksum" not in document:
        raise StoreError(f"{path} is not a file of a store")
    if document["schema"] != SCHEMA:
        raise StoreError(
            f"{path} has schema {document['schema']!r}, this library reads schema {SCHEMA}"
        )
    try:
        right = document["checksum"] == checksum(document)
    except ValueError:  # a NaN
        right = False
    if not right:
        raise StoreError(f"{path} is damaged: its content does not match its checksum")
    return document


def finite(value: float) -> float | None:
    """A float for JSON; None if it is not finite, as JSON has no NaN."""
    return float(value) if math.isfinite(value) else None

"""JSON files that prove on reading that they are as they were written: schema and checksum."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from feature_learning.errors import StoreError
from feature_learning.files import atomic

#: Raised when the layout of a file changes meaning.
SCHEMA = 1


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, allow_nan=False, indent=1).encode()


def checksum(document: Mapping[str, Any]) -> str:
    """Digest of a document with its schema, whatever checksum it bears.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    bare = {name: value for name, value in document.items() if name != "checksum"}
    return hashlib.sha256(_dump({"schema": SCHEMA, **bare})).hexdigest()


def sealed(document: Mapping[str, Any]) -> bytes:
    """The content of its file: the document with schema and checksum.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    return _dump({"schema": SCHEMA, **document, "checksum": checksum(document)})


def put(path: Path, content: bytes) -> None:
    """Write a file of results, whole or not at all.

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
    """Refuse to replace a file that is something else: a mistaken name must not cost an input.

    Parameters
    ----------
    path : Path
    mine : callable
        Whether a content is what will be written there.
    what : str
        That, for people.

    Raises
    ------
    StoreError
        If there is a file with something else in it.
    """
    if path == atomic.STREAM or not path.is_file():
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    if content and not mine(content):
        raise StoreError(f"{path} is there and is not {what}: it is not replaced; move it away")


def read(path: Path) -> dict[str, Any]:
    """A document whose checksum is right.

    Raises
    ------
    StoreError
        If the file cannot be read, is damaged, or is no document of this schema.
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
        raise StoreError(f"{path} is damaged: its content does not have its checksum")
    return document


def finite(value: float) -> float | None:
    """A float for JSON, which has no NaN."""
    return float(value) if math.isfinite(value) else None

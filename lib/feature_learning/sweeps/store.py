"""A folder of results: one file per cell, verified whenever it is read.

A cell is a configuration with its results. ``KEY.json`` holds the numbers, ``KEY.npz`` (optional)
the weights and the readouts. The key is that of
:func:`feature_learning.experiments.keys.cell_key`.

Nothing is deleted or overwritten silently: an invalid file is reported by name and stays in place
until its cell is computed again; then it is renamed ``NAME.rejected-N``.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feature_learning.errors import FeatureLearningError, StoreError
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.flat import flat
from feature_learning.experiments.keys import METHOD_VERSIONS, canonical, cell_key, configuration
from feature_learning.experiments.row import FloatArray, Point
from feature_learning.files import archives, documents, locks
from feature_learning.files.locks import Lock
from feature_learning.sweeps.schema import check_values

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class StoredResult:
    """One stored result.

    Attributes
    ----------
    key : str
    config : PointConfig
    row : dict
        The numbers, see :func:`feature_learning.experiments.point.run_point`.
    provenance : dict
        See :func:`feature_learning.sweeps.provenance.provenance`.
    method_version : int
    wall_seconds : float
    arrays : dict or None
        Name and digest of the file with the weights and readouts.
    """

    key: str
    config: PointConfig
    row: dict[str, Any]
    provenance: dict[str, Any]
    method_version: int
    wall_seconds: float
    arrays: dict[str, str] | None


class Store:
    """A folder of results.

    Parameters
    ----------
    folder : Path or str
        Created if it does not exist.
    create : bool
        If False, raise an error instead of creating the folder.

    Raises
    ------
    StoreError
        If the folder does not exist and is not created.
    """

    def __init__(self, folder: Path | str, *, create: bool = True) -> None:
        self.folder = folder = Path(folder)
        try:
            if create:
                folder.mkdir(parents=True, exist_ok=True)
            next(folder.iterdir(), None)
        except OSError as error:
            raise StoreError(f"store {folder} cannot be used: {error.strerror or error}") from error

    @property
    def checkpoints(self) -> Path:
        """The folder in which unfinished cells keep their state."""
        return self.folder / "checkpoints"

    def path(self, config: PointConfig) -> Path:
        """The file of a cell."""
        return self.folder / f"{cell_key(config)}.json"

    def lock(self, config: PointConfig) -> Lock | None:
        """Lock a cell for computation; None while another process on any host holds the lock.

        Call ``release()`` on the lock at the end. The operating system ties it to the process: the
        lock of a killed process is free at once, and the file it leaves behind has no effect.
        """
        path = self.folder / "locks" / f"{cell_key(config)}.lock"
        try:
            return locks.acquire(path)
        except OSError as error:
            raise StoreError(f"{path} cannot be locked: {error.strerror or error}") from error

    def read(self, config: PointConfig) -> StoredResult | None:
        """The stored result of a configuration; None if there is none yet.

        Raises
        ------
        StoreError
            If the file is damaged, is not a result, or is of another version or configuration.
        """
        path = self.path(config)
        if not path.exists():
            return None
        cell = self._load(path)
        if canonical(cell.config) != canonical(config):
            raise StoreError(f"{path} holds another configuration than its name says")
        return cell

    def weights(self, cell: StoredResult) -> FloatArray | None:
        """Hidden weights of a cell, (chains, particles, fan_in); None if it was stored without."""
        found = self._contents(cell)
        if found is not None and "weights" not in found:
            raise StoreError(f"{cell.key}.npz holds no weights")
        return None if found is None else found["weights"]

    def readouts(self, cell: StoredResult) -> FloatArray | None:
        """Readouts of a cell, (chains, particles); None if it has none, like older cells."""
        found = self._contents(cell)
        return None if found is None else found.get("readouts")

    def _contents(self, cell: StoredResult) -> dict[str, FloatArray] | None:
        """All arrays of a cell by name; None if it was stored without any."""
        if cell.arrays is None:
            return None
        content = self._arrays(self.folder / f"{cell.key}.json", cell.arrays)
        config = cell.config
        particles = config.particles
        shapes = {
            "weights": (config.chains, particles, config.student.fan_in),
            "readouts": (config.chains, particles),
        }
        try:
            found = archives.read(content)
            for name, values in found.items():
                right = values.dtype.kind == "f" and values.shape == shapes.get(name)
                if not right or not np.isfinite(values).all():
                    raise ValueError(f"{name} of type {values.dtype} and shape {values.shape}")
            return {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
        except ValueError as error:
            raise StoreError(f"{cell.arrays['file']} holds no weights: {error}") from error

    def write(
        self,
        config: PointConfig,
        point: Point,
        provenance: Mapping[str, Any],
        *,
        weights: bool = True,
    ) -> Path:
        """Store a finished point; returns its file.

        An existing valid result is kept; an invalid one is set aside under another name.

        Raises
        ------
        StoreError
            If it cannot be written; names the path. No partial file is left.
        """
        path = self.path(config)
        try:
            if self.read(config) is not None:
                return path
        except StoreError:
            self._reject(path)
        document: dict[str, Any] = {
            "key": cell_key(config),
            "method_version": METHOD_VERSIONS[config.method.name],
            "config": canonical(config),
            "row": {name: value for name, value in point.row.items() if name != "config"},
            "provenance": dict(provenance),
            "wall_seconds": point.row["seconds"],
            "arrays": None,
        }
        if weights and point.weights is not None:
            buffer = io.BytesIO()
            # In the precision of the computation, so that nothing is lost.
            given = {"weights": point.weights, "readouts": point.readouts}
            arrays = {
                name: values.astype(config.machine.dtype)
                for name, values in given.items()
                if values is not None
            }
            np.savez(buffer, allow_pickle=False, **arrays)
            target, content = path.with_suffix(".npz"), buffer.getvalue()
            documents.put(target, content)
            digest = hashlib.sha256(content).hexdigest()
            document["arrays"] = {"file": target.name, "sha256": digest}
        try:
            content = documents.sealed(document)
        except ValueError as error:
            raise StoreError(f"{path} cannot be written: a number is not finite") from error
        documents.put(path, content)
        return path

    def scan(self) -> tuple[list[StoredResult], list[str]]:
        """All valid results sorted by key, and messages about invalid files."""
        cells, problems = [], []
        for path in _visible(self.folder):
            try:
                cells.append(self._load(path))
            except StoreError as error:
                problems.append(str(error))
        for path in self._records():
            try:
                _blocks(path)
            except StoreError as error:
                problems.append(str(error))
        return cells, problems

    def record(self, name: str, text: str, cells: Mapping[str, Sequence[str]]) -> None:
        """Store the sweep file with its reasons, and the blocks of each cell, beside the results.

        Parameters
        ----------
        name, text
            Name and content of the sweep file.
        cells
            Key of a cell to the blocks that list it.
        """
        document: dict[str, Any] = {
            "file": name,
            "text": text,
            "cells": {key: list(blocks) for key, blocks in cells.items()},
        }
        stem = f"{Path(name).stem}-{documents.checksum(document)[:12]}"
        path = self.folder / "sweeps" / f"{stem}.json"
        content = documents.sealed(document)
        with suppress(OSError):
            if path.read_bytes() == content:
                return  # a finished folder may be write-protected
        documents.put(path, content)

    def labels(self) -> dict[str, list[str]]:
        """Key of a cell to the names of all blocks that ever listed it."""
        known: dict[str, list[str]] = {}
        for path in self._records():
            with suppress(StoreError):  # reported by scan
                for key, blocks in _blocks(path).items():
                    names = known.setdefault(key, [])
                    names += [block for block in blocks if block not in names]
        return known

    def _records(self) -> list[Path]:
        return _visible(self.folder / "sweeps")

    def _load(self, path: Path) -> StoredResult:
        document = documents.read(path)
        try:
            fields, version = document["config"], document["method_version"]
            config = configuration(fields)
            cell = StoredResult(
                key=document["key"],
                config=config,
                row={**document["row"], "config": flat(config)},
                provenance=document["provenance"],
                method_version=version,
                wall_seconds=document["wall_seconds"],
                arrays=document["arrays"],
            )
            if not isinstance(cell.key, str):
                raise TypeError(f"key is {cell.key!r}")
            check_values(cell)
        except (KeyError, TypeError, ValueError, FeatureLearningError) as error:
            raise StoreError(f"{path} is not a result of this library: {error}") from error
        if version != METHOD_VERSIONS[config.method.name]:
            raise StoreError(
                f"{path} is of version {version} of method {config.method.name}, this library has "
                f"version {METHOD_VERSIONS[config.method.name]}"
            )
        if cell.key != cell_key(config) or path.stem != cell.key:
            raise StoreError(f"{path} holds another configuration than its name says")
        if cell.arrays is not None:
            self._arrays(path, cell.arrays)
        return cell

    def _arrays(self, path: Path, arrays: Mapping[str, str]) -> bytes:
        """The content of the file with the weights, verified."""
        if not isinstance(arrays, dict) or not arrays.keys() >= {"file", "sha256"}:
            raise StoreError(f"{path} is damaged: its arrays are {arrays!r}")
        place = path.with_suffix(".npz")
        try:
            content = place.read_bytes()
        except OSError as error:
            raise StoreError(f"{place} cannot be read: {error.strerror or error}") from error
        if arrays["file"] != place.name or hashlib.sha256(content).hexdigest() != arrays["sha256"]:
            raise StoreError(f"{place} is damaged: its checksum is not the one in {path.name}")
        return content

    def _reject(self, path: Path) -> None:
        """Rename an invalid file, and the file with its weights, to unused names."""
        number = 1
        pair = [each for each in (path, path.with_suffix(".npz")) if each.exists()]
        while any(each.with_name(f"{each.name}.rejected-{number}").exists() for each in pair):
            number += 1
        try:
            for each in pair:
                each.rename(each.with_name(f"{each.name}.rejected-{number}"))
        except OSError as error:
            raise StoreError(f"{path} cannot be set aside: {error.strerror or error}") from error


def _blocks(path: Path) -> dict[str, list[str]]:
    """Key of each cell of a recorded sweep to the blocks that list it."""
    cells = documents.read(path).get("cells")
    if not isinstance(cells, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in cells.values()
    ):
        raise StoreError(f"{path} is not the record of a sweep")
    return cells


def _visible(folder: Path) -> list[Path]:
    """The documents of a folder, without the hidden files of some systems (``._NAME.json``)."""
    return sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))

"""Hidden weights in a small file that can be committed: for pictures, not for computing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feature_learning import atomic
from feature_learning.errors import StoreError
from feature_learning.grid import Grid
from feature_learning.keys import cell_key
from feature_learning.store import Store

FloatArray = NDArray[np.float64]


def save_weights(path: Path, weights: Mapping[str, FloatArray]) -> None:
    """Write hidden weights in half precision.

    Parameters
    ----------
    path : Path
        ``.npz`` file, replaced if it is there.
    weights : mapping of str to array
        Key of a cell to its weights, (chains, particles, fan_in).

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    buffer = io.BytesIO()
    arrays = {key: np.asarray(value, dtype=np.float16) for key, value in weights.items()}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    try:
        with atomic.replacing(path) as file:
            file.write(buffer.getvalue())
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error


def load_weights(path: Path) -> dict[str, FloatArray]:
    """Read a file of :func:`save_weights`.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: np.asarray(archive[key], dtype=np.float64) for key in archive.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} cannot be read as weights: {error}") from error


def collect_weights(store: Store, grid: Grid) -> dict[str, FloatArray]:
    """The weights of all cells of a grid, by key.

    Parameters
    ----------
    store : Store
    grid : Grid
        As cut out by :func:`feature_learning.results.chosen`.

    Raises
    ------
    StoreError
        If one of these cells is not in the store, or has no weights there.
    """
    found: dict[str, FloatArray] = {}
    for each in grid.cells:
        cell = store.read(each.config)
        weights = None if cell is None else store.weights(cell)
        if cell is None or weights is None:
            raise StoreError(f"{store.folder} has no weights of {cell_key(each.config)}")
        found[cell.key] = weights
    return found

"""The hidden weights of a few cells in one small file, for the figures that draw weights.

Single precision, by key of the cell, (chains, particles, fan_in). The same weights give the same
bytes, so that a file under version control changes only if they do.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feature_learning import archives, documents
from feature_learning.errors import StoreError

FloatArray = NDArray[np.float64]


def write_weights(weights: Mapping[str, FloatArray], path: Path) -> None:
    """Write weights, whole or not at all.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    buffer = io.BytesIO()
    # NumPy stamps no dates into its archives.
    single = {key: weights[key].astype(np.float32) for key in sorted(weights)}
    np.savez_compressed(buffer, allow_pickle=False, **single)
    documents.put(path, buffer.getvalue())


def read_weights(path: Path) -> dict[str, FloatArray]:
    """Read what :func:`write_weights` has written.

    Raises
    ------
    StoreError
        If the file cannot be read or holds something else.
    """
    try:
        found = archives.read(path)
        return {key: np.asarray(values, dtype=np.float64) for key, values in found.items()}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} holds no weights: {error}") from error

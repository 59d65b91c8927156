"""The networks of a few cells in one small file, for figures that draw neurons.

The file holds, in single precision and by the key of the cell, hidden weights (chains, particles,
fan_in) and, if available, readouts (chains, particles). The same networks give the same bytes, so
that a file under version control changes only if they do.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from feature_learning.errors import StoreError
from feature_learning.files import archives, documents

FloatArray = NDArray[np.float64]
#: Suffix of the name of an array of readouts; weights are named by the key alone.
_READOUTS = ".readouts"


def write_weights(
    weights: Mapping[str, FloatArray], path: Path, readouts: Mapping[str, FloatArray] | None = None
) -> None:
    """Write weights and readouts atomically.

    Raises
    ------
    StoreError
        If the file cannot be written.
    """
    buffer = io.BytesIO()
    # NumPy writes no dates into its archives, so that equal arrays give equal bytes.
    named = {**weights, **{key + _READOUTS: values for key, values in (readouts or {}).items()}}
    single = {name: named[name].astype(np.float32) for name in sorted(named)}
    np.savez_compressed(buffer, allow_pickle=False, **single)
    documents.put(path, buffer.getvalue())


def read_weights(path: Path) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Weights and readouts written by :func:`write_weights`, by key.

    Raises
    ------
    StoreError
        If the file cannot be read or holds something else.
    """
    try:
        found = archives.read(path)
        double = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} holds no weights: {error}") from error
    readouts = {name for name in double if name.endswith(_READOUTS)}
    return (
        {name: values for name, values in double.items() if name not in readouts},
        {name.removesuffix(_READOUTS): double[name] for name in readouts},
    )

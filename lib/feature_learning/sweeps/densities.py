r"""Distributions of weights and neuron overlaps, in one record per cell, small enough to commit.

With the weights ``w`` (chains, particles, dim) and readouts ``a`` of one posterior sample::

    counts[j, b]  neurons whose w_ij lies in bin b, summed over chains       p(w_j) = counts/(n Δ)
    v_j           = mean_i w_ij²,   ratio = mean_{j∈S} v_j / mean_{j∉S} v_j
    kurtosis_j    = mean_i w_ij⁴ / v_j² - 3        about zero: 0 for the prior, > 0 for heavy tails
    tail_j        = share of neurons with |w_ij| > 4 σ_w/√d                 6e-5 under the prior
    m̃_i           = N^(1-γ) a_i J_S(w_i),          whose mean is m_S

Overlaps are stored unbinned, one number per neuron. Errors and bands are over runs (seeds), never
over neurons, because the neurons of a run are not independent. A single sample of N neurons
resolves densities down to 1/(N Δ); curves below that are not measured.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from feature_learning import __version__
from feature_learning.errors import ArgumentError, StoreError
from feature_learning.files import archives, documents
from feature_learning.model.overlaps import gaussian_overlap, neuron_overlaps
from feature_learning.model.teachers import name_of
from feature_learning.sweeps.store import Store, StoredResult

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
#: Edges of the weight bins: the prior's deviation is 0.17 at d = 35, MF-ARD reaches 5.
EDGES: FloatArray = np.linspace(-6.0, 6.0, 241)
#: Weights beyond this many standard deviations of the prior are in the tail.
TAIL = 4.0
#: Version of the file layout.
FORMAT = 1
_ARRAYS = ("counts", "outside", "variance", "kurtosis", "tail", "overlaps")
#: Columns of a table of results that a record keeps.
_KEPT = ("block", "key", "n_train", "kappa", "seed", "dim", "sparsity", "revision", "date_utc")


#: Suffix of the file with the histograms of a table.
HISTOGRAMS = "-histograms.npz"


@dataclass(frozen=True)
class Record:
    """Histograms, moments and overlaps of one cell.

    Attributes
    ----------
    origin : dict
        Block, key, samples, kappa, seed, dim, sparsity, revision and date of the cell.
    counts : array (dim, bins) of int
        Histogram of every input coordinate over neurons and chains, with bins :data:`EDGES`.
    outside : array (dim,) of int
        Number of weights outside all bins.
    variance, kurtosis, tail : array (dim,)
        As in the module's equations.
    overlaps : array (chains · particles,)
        Neuron overlaps; empty if the readouts were not stored.
    """

    origin: dict[str, Any]
    counts: NDArray[np.int64]
    outside: NDArray[np.int64]
    variance: FloatArray
    kurtosis: FloatArray
    tail: FloatArray
    overlaps: FloatArray

    @property
    def blocks(self) -> list[str]:
        """Names of the blocks that list the cell."""
        return str(self.origin["block"]).split("; ")

    @property
    def ratio(self) -> float:
        """Mean variance of the relevant coordinates divided by that of the irrelevant ones."""
        k = self.origin["sparsity"]
        return float(self.variance[:k].mean() / self.variance[k:].mean())

    @property
    def density(self) -> FloatArray:
        """p(w_j) in every bin, (dim, bins)."""
        total = self.counts.sum(axis=1) + self.outside
        density: FloatArray = self.counts / (total[:, None] * np.diff(EDGES))
        return density


def describe(w: FloatArray, *, scale: float) -> dict[str, NDArray[Any]]:
    """Histograms, variances, kurtosis and tail shares of w (chains, particles, dim).

    ``scale`` is the prior's standard deviation of a weight, σ_w/√d.
    """
    if w.ndim != 3 or not np.isfinite(w).all():
        raise ArgumentError(
            f"w must be finite, of the shape (chains, particles, dim), not {w.shape}"
        )
    flat = w.reshape(-1, w.shape[2])
    counts = np.stack([np.histogram(column, bins=EDGES)[0] for column in flat.T])
    variance = np.square(flat).mean(axis=0)
    return {
        "counts": counts.astype(np.int64),
        "outside": len(flat) - counts.sum(axis=1),
        "variance": variance,
        "kurtosis": (flat**4).mean(axis=0) / variance**2 - 3,
        "tail": (np.abs(flat) > TAIL * scale).mean(axis=0),
    }


def records(
    frame: pd.DataFrame, weights: Mapping[str, FloatArray], readouts: Mapping[str, FloatArray]
) -> list[Record]:
    """A record for every row of a table of results whose weights are given.

    Parameters
    ----------
    frame : DataFrame
        Columns of :func:`feature_learning.sweeps.schema.schema`; teacher parity.
    weights, readouts : mapping
        Key of a cell to arrays (chains, particles, fan_in) and (chains, particles).
    """
    found = []
    for row in frame.to_dict("records"):
        key = row["key"]
        if key not in weights:
            continue
        w = weights[key][..., : row["dim"]]
        overlaps = np.empty(0)
        if key in readouts:
            # The formula of J_S does not hold with a hidden bias, which shifts the argument.
            shift = not _missing(row["hidden_bias_variance"])
            if not shift:
                j = gaussian_overlap(w, row["sparsity"], name=row["activation"])
                shares = neuron_overlaps(readouts[key], j, width=row["width"], gamma=row["gamma"])
                overlaps = shares.numpy().ravel()
        scale = float(np.sqrt(row["weight_variance"] / row["dim"]))
        origin = {name: None if _missing(row[name]) else row[name] for name in _KEPT}
        found.append(Record(origin=origin, overlaps=overlaps, **describe(w, scale=scale)))
    return found


def records_of(store: Store, cells: Sequence[StoredResult]) -> list[Record]:
    """A record for every parity cell of a store that has weights."""
    from feature_learning.sweeps.table import tabulate  # pandas is slow to import

    parity = [cell for cell in cells if name_of(cell.config.teacher) == "parity"]
    weights = {cell.key: store.weights(cell) for cell in parity}
    readouts = {cell.key: store.readouts(cell) for cell in parity}
    return records(
        tabulate(parity, store.labels()),
        {key: value for key, value in weights.items() if value is not None},
        {key: value for key, value in readouts.items() if value is not None},
    )


def _missing(value: Any) -> bool:
    return value is None or value != value or type(value).__name__ == "NAType"


def select(found: Sequence[Record], block: str, **values: Any) -> list[Record]:
    """Records of one block whose origin has these values, such as ``n_train=10000``.

    Raises
    ------
    ArgumentError
        If there are none.
    """
    chosen = [
        record
        for record in found
        if block in record.blocks
        and all(record.origin[name] == value for name, value in values.items())
    ]
    if not chosen:
        raise ArgumentError(f"there is no record of block {block!r} with {values!r}")
    return chosen


def over_runs(values: Sequence[FloatArray | float]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation over runs of arrays of one shape; NaN deviation for one run."""
    stacked = np.stack([np.asarray(value, dtype=float) for value in values])
    if len(stacked) < 2:
        return stacked[0], np.full_like(stacked[0], np.nan)
    return stacked.mean(axis=0), stacked.std(axis=0, ddof=1)


def weight_density(chosen: Sequence[Record]) -> FloatArray:
    """p(w_j) over all neurons of several runs, (dim, bins)."""
    return over_runs([record.density for record in chosen])[0]


def overlap_density(
    chosen: Sequence[Record], edges: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """Density of the neuron overlaps in bins ``edges``: mean and standard deviation over runs.

    None if the readouts of these runs were not stored. The normalisation includes overlaps beyond
    the edges.
    """
    if any(record.overlaps.size == 0 for record in chosen):
        return None
    widths = np.diff(edges)
    return over_runs(
        [
            np.histogram(record.overlaps, bins=edges)[0] / (record.overlaps.size * widths)
            for record in chosen
        ]
    )


def write_npz(found: Sequence[Record], path: Path) -> None:
    """Write records atomically and without pickles.

    Raises
    ------
    StoreError
        If the file cannot be written, or if an existing file holds something else.
    """
    documents.check_replaceable(path, _is_densities, "a file of densities")
    arrays: dict[str, NDArray[Any]] = {
        f"{number}.{name}": _small(getattr(record, name))
        for number, record in enumerate(found)
        for name in _ARRAYS
    }
    header = {
        "format": FORMAT,
        "library_version": __version__,
        "origins": [record.origin for record in found],
    }
    arrays["header"] = np.frombuffer(json.dumps(header, sort_keys=True).encode(), np.uint8)
    arrays["edges"] = EDGES
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    documents.put(path, buffer.getvalue())


def _small(values: NDArray[Any]) -> NDArray[Any]:
    """Counts and numbers with 32 bits, which hold all their significant digits."""
    return values.astype(np.uint32 if values.dtype.kind in "iu" else np.float32)


def _is_densities(content: bytes) -> bool:
    try:
        return {"header", "edges"} <= archives.read(content).keys()
    except ValueError:
        return False


def _wide(values: NDArray[Any], name: str) -> NDArray[Any]:
    return values.astype(np.int64 if name in ("counts", "outside") else np.float64)


def read_npz(path: Path) -> list[Record]:
    """Read records written by :func:`write_npz`.

    Raises
    ------
    StoreError
        If the file cannot be read, is damaged, or has other bins than this library.
    """
    try:
        archive: dict[str, NDArray[Any]] = archives.read(path)
        header = json.loads(archive["header"].tobytes())
        if header["format"] != FORMAT or not np.array_equal(archive["edges"], EDGES):
            raise ValueError("its format or its bins differ")
        return [
            Record(
                origin=origin,
                **{name: _wide(archive[f"{number}.{name}"], name) for name in _ARRAYS},
            )
            for number, origin in enumerate(header["origins"])
        ]
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} holds no densities: {error}") from error

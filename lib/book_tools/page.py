"""What every page of the book asks for: the results of a sweep, by its name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feature_learning.analysis.loading import load_or_compute
from feature_learning.analysis.results import Results


def load_results(
    name: str,
    profile: str,
    *,
    blocks: Sequence[str] | None = None,
    only: Mapping[str, Sequence[Any]] | None = None,
    workers: int | None = None,
) -> Results:
    """The results of a sweep of the book, see :func:`feature_learning.analysis.loading`.

    A build sets the variables BOOK_CHECKPOINTS, the folder of what is computed, and BOOK_REVISION,
    which selects the cells that are computed again. Without them a temporary folder and the
    revision of the checkout take their places.

    Parameters
    ----------
    name : str
        ``book/data/sweeps/NAME.toml``.
    profile : str
        ``stored`` or ``paper``.
    blocks, only, workers
        As in :func:`~feature_learning.analysis.loading.load_or_compute`.
    """
    # Pages are in the folder "book" and in its subfolders.
    data = next((each for each in (Path("data"), Path("../data")) if each.is_dir()), Path("data"))
    kept = os.environ.get("BOOK_CHECKPOINTS")
    return load_or_compute(
        profile,
        data / f"sweeps/{name}.toml",
        data / f"results/{name}.csv",
        blocks=blocks,
        only=only,
        folder=Path(kept) if kept else None,
        workers=workers,
        seed=os.environ.get("BOOK_REVISION"),
    )

r"""Step-size bias from a table of results: the change of a value if the step is halved.

Two cells that differ only in the step, h and h/2, share data and start. Their difference is the
bias of h minus that of h/2 (a half of it for a method of first order, a quarter or less for second
order), with the Monte-Carlo errors of both. The error of the mean difference over seeds is the
larger of two: the error between the seeds, and, if each cell has several chains, that between the
chains. The first includes all fluctuations but comes from few numbers; the second detects chains
that have settled in different states.

The bias of a method of order p falls as h^p, so that the value at h and its half give the
correction to h = 0: -(value - half) 2^p/(2^p - 1).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feature_learning.errors import ArgumentError

if TYPE_CHECKING:
    from feature_learning.analysis.results import Results

#: Observables that are compared, as columns of a table of results.
OBSERVABLES = ("test_mse_one_sample", "m_S")


@dataclass(frozen=True)
class Halving:
    """One observable of one point at a step and at half of it.

    Attributes
    ----------
    block, observable : str
    n_train : int
    kappa, step : float
    seeds : int
        Number of seeds for which both steps are available.
    value, half : float
        Means over these seeds at the step and at half of it.
    difference : float
        value - half.
    sem : float
        Its standard error; NaN with one seed of one chain.
    order : int
        Order p: 1 for SGLD, 2 for the splittings.
    """

    block: str
    observable: str
    n_train: int
    kappa: float
    step: float
    seeds: int
    value: float
    half: float
    difference: float
    sem: float
    order: int

    @property
    def correction(self) -> tuple[float, float]:
        """Correction to add to the value at the step, and its standard error."""
        factor = 2**self.order / (2**self.order - 1)
        return -factor * self.difference, factor * self.sem


def halvings(results: Results, blocks: Iterable[str]) -> list[Halving]:
    """All pairs of steps in the given blocks, for every observable.

    Raises
    ------
    ArgumentError
        If the ratio of successive steps of a point is not 2.
    """
    found = []
    for block in blocks:
        rows = results.select(block)
        for (n_train, kappa), point in rows.groupby(["n_train", "kappa"]):
            steps = sorted((float(step) for step in point["asked_step"].unique()), reverse=True)
            for step, half in itertools.pairwise(steps):
                if not math.isclose(step, 2 * half, rel_tol=1e-6):
                    raise ArgumentError(
                        f"block {block} must have a step and its half at P={n_train}, "
                        f"κ={kappa:g}, not {steps!r}"
                    )
                pairs = _pairs(point, step)
                if len(pairs):
                    common = block, int(n_train), float(kappa), step
                    found += [_halving(pairs, observable, *common) for observable in OBSERVABLES]
    return found


def _pairs(point: pd.DataFrame, step: float) -> pd.DataFrame:
    """Columns of a step and of its half side by side, one row per seed."""
    steps = point["asked_step"].astype(float)
    sides = [point[np.isclose(steps, value)] for value in (step, 0.5 * step)]
    return sides[0].merge(sides[1], on="seed", suffixes=("", "_half"))


def _halving(
    pairs: pd.DataFrame, observable: str, block: str, n_train: int, kappa: float, step: float
) -> Halving:
    # The published protocol uses SGLD, whatever its column "sampler" says.
    first_order = pairs["protocol"].notna().all() or pairs["sampler"].ne("underdamped").any()
    columns = [_numbers(pairs[f"{observable}{part}"]) for part in ("", "_half")]
    difference, count = columns[0] - columns[1], len(pairs)
    chains = np.array([_numbers(pairs[f"{observable}_sem{part}"]) for part in ("", "_half")])
    errors = [math.sqrt(float(np.square(chains).sum())) / count]
    if count > 1:
        errors.append(float(difference.std(ddof=1)) / math.sqrt(count))
    known = [error for error in errors if math.isfinite(error)]
    return Halving(
        block,
        observable,
        n_train,
        kappa,
        step,
        count,
        float(columns[0].mean()),
        float(columns[1].mean()),
        float(difference.mean()),
        max(known, default=math.nan),
        1 if first_order else 2,
    )


def _numbers(column: pd.Series[Any]) -> NDArray[np.float64]:
    """The values of a column, NaN where missing."""
    return np.asarray(column.to_numpy(dtype=float, na_value=math.nan))

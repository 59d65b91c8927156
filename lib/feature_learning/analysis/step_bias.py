r"""How much an answer moves when the step is halved, from a table of results.

Two cells that differ in nothing but the step, h and h/2, share data and start; their difference is
the bias of h up to that of h/2 (a half of it for a method of first order, a quarter or less for one
of second) and the Monte-Carlo error of both. The error of a mean difference over seeds is taken as
the larger of two: that between the seeds, and that between the chains of each cell, where there are
several. The first knows everything but comes from few numbers; the second sees chains that have
settled in different states.

With a method of order p the bias falls as h^p, and from a step and its half it is known how much is
missing from the value at h to that at h = 0: -(value - half) 2^p/(2^p - 1).
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
    samples : int
    kappa, step : float
    seeds : int
        Seeds of which both steps are there.
    value, half : float
        Means over these seeds at the step and at half of it.
    difference : float
        value - half.
    sem : float
        Its standard error; NaN with one seed of one chain.
    order : int
        p: 1 of SGLD, 2 of the splittings.
    """

    block: str
    observable: str
    samples: int
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
        """What is to be added to the value at the step, and its standard error."""
        factor = 2**self.order / (2**self.order - 1)
        return -factor * self.difference, factor * self.sem


def halvings(results: Results, blocks: Iterable[str]) -> list[Halving]:
    """All pairs of steps in some blocks, for every observable.

    Raises
    ------
    ArgumentError
        If a point of a block has steps that are not in the ratio 2, each to the next.
    """
    found = []
    for block in blocks:
        rows = results.select(block)
        for (samples, kappa), point in rows.groupby(["samples", "kappa"]):
            steps = sorted((float(step) for step in point["asked_step"].unique()), reverse=True)
            for step, half in itertools.pairwise(steps):
                if not math.isclose(step, 2 * half, rel_tol=1e-6):
                    raise ArgumentError(
                        f"block {block} must have a step and its half at P={samples}, "
                        f"κ={kappa:g}, not {steps!r}"
                    )
                pairs = _pairs(point, step)
                if len(pairs):
                    common = block, int(samples), float(kappa), step
                    found += [_halving(pairs, observable, *common) for observable in OBSERVABLES]
    return found


def _pairs(point: pd.DataFrame, step: float) -> pd.DataFrame:
    """Columns of a step and of its half side by side, one row a seed."""
    steps = point["asked_step"].astype(float)
    sides = [point[np.isclose(steps, value)] for value in (step, 0.5 * step)]
    return sides[0].merge(sides[1], on="seed", suffixes=("", "_half"))


def _halving(
    pairs: pd.DataFrame, observable: str, block: str, samples: int, kappa: float, step: float
) -> Halving:
    # The published protocol is SGLD, whatever the sampler of other runs.
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
        samples,
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

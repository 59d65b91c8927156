r"""The tolerance of the difference between a recomputed number and the stored one.

Chains are chaotic: on another processor the same configuration gives other samples of the same
distribution, with the same data, test points and, up to the random generator, the same start. The
stored and the new number are then two draws with one variance v, and their difference has variance
2 v. The estimate of v depends on what was stored:

* **several chains**: the standard error over chains is an estimate of the root of v with
  only (chains - 1) degrees of freedom. The errors of all stored seeds of the same configuration are
  therefore pooled with the new one. The difference has the variance ::

      max(sem_stored^2 + sem_new^2, 2 mean(sem^2))

  whose first form matters if one of the two runs has a chain that left its metastable state.

* **one chain**: the measurements of one chain do not determine v. They are correlated, and do not
  show that another run may sit in another state, so that an error from them would be too small. The
  variance between seeds, s^2, is a conservative estimate, because seeds differ in data and start
  too. Three seeds have only two degrees of freedom. They are pooled with those at the neighbouring
  numbers of samples, and ::

      2 max(s^2, pooled s^2)

  is the variance of the difference. With fewer than three seeds there is no estimate.

* **no randomness** (the infinite-width limit): numbers agree to rounding.

The tolerance is a factor times the root of that variance. The factor is Student's quantile that a
correct number exceeds with the probability :data:`FALSE_ALARM`, at the degrees of freedom of the
estimate, and at least 5. Near a transition the distribution is bimodal and no quantile is exact;
there the conservative estimates above must suffice. The variance of a mean over the finite number
of test points is added, (noise / points) for m_S and (2 MSE^2 / points) for the error: both runs
have the same points, but differences below this level have no meaning in this book.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from feature_learning.experiments.flat import hints
from feature_learning.sweeps.schema import column_of

FALSE_ALARM = 1e-3
"""Probability that a correct number is rejected."""
LEAST_FACTOR = 5.0
"""Standard errors that are always allowed."""
SEEDS = 3
"""Fewest seeds for an estimate of the variance between them."""
ROUNDING = 1e-6
"""Largest relative difference of an exact result between two machines."""


@dataclass(frozen=True)
class Spread:
    """The standard error of the difference of two runs, and its degrees of freedom.

    Attributes
    ----------
    error
        The standard error.
    freedom
        Degrees of freedom of its estimate.
    """

    error: float
    freedom: int

    @property
    def factor(self) -> float:
        """Allowed deviation of a correct number in standard errors."""
        return max(LEAST_FACTOR, float(student.isf(FALSE_ALARM / 2, self.freedom)))


def over_chains(stored: float, new: float, others: Sequence[float], chains: int) -> Spread:
    """The spread from the standard errors over chains.

    Parameters
    ----------
    stored, new
        Standard errors of the two runs.
    others
        Standard errors of the stored runs with other seeds.
    chains
        Chains of every run.
    """
    errors = np.array([stored, new, *others])
    variance = max(stored**2 + new**2, 2 * float(np.mean(errors**2)))
    return Spread(math.sqrt(variance), (chains - 1) * len(errors))


def over_seeds(values: Sequence[float], neighbours: Sequence[Sequence[float]] = ()) -> Spread:
    """The spread from the stored values of several seeds.

    Parameters
    ----------
    values
        Values of the seeds of the configuration.
    neighbours
        The same for neighbouring configurations.
    """
    groups = [np.asarray(group, dtype=float) for group in (values, *neighbours)]
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
    variance = max(float(groups[0].var(ddof=1)), squares / freedom)
    return Spread(math.sqrt(2 * variance), freedom)


def has_estimate(row: Mapping[str, Any], frame: pd.DataFrame, names: Sequence[str]) -> bool:
    """Whether these numbers of a stored row have an estimate of their spread."""
    if row["method"] == "nngp":
        return True
    if row["chains"] > 1:
        return not any(pd.isna(row[f"{name}_sem"]) for name in names)
    return len(_alike(row, frame)) >= SEEDS


def tolerance(
    name: str, row: Mapping[str, Any], new: Mapping[str, Any], frame: pd.DataFrame
) -> tuple[float, str]:
    """The tolerance of a number of a row, and a short text on its origin.

    Parameters
    ----------
    name
        Column of the number.
    row, new
        The stored row and the one computed now.
    frame
        The stored table.
    """
    value = float(row[name])
    if row["method"] == "nngp":
        return ROUNDING * abs(value) + 1e-9, "rounding"
    if row["chains"] > 1:
        alike = _alike(row, frame)
        others = alike[alike["key"] != row["key"]][f"{name}_sem"].dropna()
        errors = float(row[f"{name}_sem"]), float(new[f"{name}_sem"])
        spread = over_chains(*errors, list(others), int(row["chains"]))
    else:
        neighbours = [list(group[name]) for group in _neighbours(row, frame)]
        spread = over_seeds(list(_alike(row, frame)[name]), neighbours)
    points = float(row["n_test"])
    floor = {"m_S": float(row["noise"]) / points, "log_evidence": 0.0}.get(
        name, 2 * value**2 / points
    )
    error = math.sqrt(spread.error**2 + floor)
    return spread.factor * error, f"{spread.factor:.1f} x {error:.2g}"


def _alike(row: Mapping[str, Any], frame: pd.DataFrame, **changed: Any) -> pd.DataFrame:
    """The stored rows whose configuration differs from that of a row only in the seed.

    Values of ``changed`` replace those of the row.
    """
    same = pd.Series(True, index=frame.index)
    for name in (column_of(field) for field in hints()):
        if name != "seed":
            value = changed.get(name, row[name])
            column = frame[name]
            same &= column.isna() if pd.isna(value) else (column == value).fillna(False)
    return frame[same.astype(bool)]


def _neighbours(row: Mapping[str, Any], frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The groups of seeds at the next smaller and the next larger number of samples."""
    groups = []
    at = int(row["n_train"])
    others = sorted({int(n_train) for n_train in frame["n_train"]})
    for side in (
        [n_train for n_train in reversed(others) if n_train < at],
        [n_train for n_train in others if n_train > at],
    ):
        found = (_alike(row, frame, n_train=n_train) for n_train in side)
        group = next((each for each in found if len(each) >= SEEDS), None)
        if group is not None:
            groups.append(group)
    return groups

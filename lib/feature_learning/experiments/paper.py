r"""The published numbers, and the protocol of the published runs as we read the public code.

Göring, Mingard, Nam and Louis, arXiv 2510.15174, with the authors' public research repository. The
tables are shipped with the package in one tidy file (``published.csv`` beside this module), each
value with its unit (MSE or half MSE) and the kind of its error (standard deviation or standard
error over seeds).

The protocol of the SGLD runs is a clock and a stopping rule. After n original steps the clock is at
the Langevin time::

    t(n) = η₁ n + (η₀ - η₁)(n₀/3)(1 - (1 - min(n, n₀)/n₀)³)

of a step size that falls from η₀ to η₁ as a power-2 decay over n₀ steps. The network was measured
at regular intervals. A run ended a fixed number of measurements after the first one at which the
test MSE of the sample was below a threshold; at few samples or high noise a small training error
was sufficient too. The last sample was reported.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from feature_learning.errors import ArgumentError, check_choice
from feature_learning.samplers.schedules import Schedule, at_times


@dataclass(frozen=True)
class PublishedProtocol:
    """Clock and stopping rule; all times are in Langevin units of the mean squared error.

    Attributes
    ----------
    first_step : float
        Step size η₀ at the start of the decay, per original step.
    final_step : float
        Step size η₁ at the end of the decay.
    decay_steps : int
        Length n₀ of the decay in original steps.
    total_steps : int
        The last original step.
    measure_every : int
        Original steps between two measurements.
    test_mse : float
        The rule is met if one sample's test MSE (not half) is below this.
    train_measure : str
        Training observable that can also meet the rule if ``n_train`` ≤ 550 or κ ≥ 0.02.
    train_threshold : float
        Largest value of ``train_measure`` that meets the rule.
    measurements_after : int
        Measurements after the one that first meets the rule.
    """

    first_step: float
    final_step: float
    decay_steps: int
    total_steps: int
    measure_every: int
    test_mse: float
    train_measure: str
    train_threshold: float
    measurements_after: int

    def time(self, step: int) -> float:
        """Langevin time t(n) after n original steps."""
        left = 1 - min(step, self.decay_steps) / self.decay_steps
        decayed = (self.first_step - self.final_step) * self.decay_steps / 3 * (1 - left**3)
        return self.final_step * step + decayed

    def schedule(self, step_size: float) -> Schedule:
        """Steps of at most ``step_size``, with measurements at the published times."""
        count = self.total_steps // self.measure_every
        times = [self.time(self.measure_every * (measurement + 1)) for measurement in range(count)]
        return at_times(times, step_size=step_size)

    def rule(self, n_train: int, kappa: float) -> PublishedStop:
        """The stopping rule of one cell (P, κ)."""
        return PublishedStop(self, watch_training=n_train <= 550 or kappa >= 0.02)


@dataclass(frozen=True)
class PublishedStop:
    """The stopping rule of the published protocol, applied to each chain."""

    protocol: PublishedProtocol
    watch_training: bool

    def finished(
        self, series: dict[str, NDArray[np.float64]], counted: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """True for chains that met the rule at least ``measurements_after`` measurements ago."""
        hit = series["test_mse"] < self.protocol.test_mse
        if self.watch_training:
            hit = hit | (series[self.protocol.train_measure] <= self.protocol.train_threshold)
        due = hit.shape[1] - self.protocol.measurements_after
        return np.asarray(hit[:, : max(due, 0)].any(axis=1))


#: The runs on sparse parity.
PARITY = PublishedProtocol(
    first_step=1e-3,
    final_step=5e-4,
    decay_steps=2_000_000,
    total_steps=7_500_000,
    measure_every=250_000,
    test_mse=0.03,
    train_measure="train_error",
    train_threshold=0.01,
    measurements_after=1,
)

#: The runs on the single-index teacher.
SINGLE_INDEX = PublishedProtocol(
    first_step=1e-2,
    final_step=5e-4,
    decay_steps=2_500_000,
    total_steps=4_000_000,
    measure_every=50_000,
    test_mse=0.015,
    train_measure="train_mse",
    train_threshold=0.01,
    measurements_after=2,
)

PROTOCOLS = {"parity": PARITY, "single-index": SINGLE_INDEX}


class PublishedPoint(NamedTuple):
    """One published value, converted to the MSE (not half), with its standard error ``sem``."""

    n_train: int
    kappa: float
    value: float
    sem: float
    seeds: int


def published(table: str, method: str, observable: str = "test_mse") -> list[PublishedPoint]:
    """Published points of one table, sorted by samples, then κ.

    Parameters
    ----------
    table : str
        A name of :func:`published_tables`, such as ``figure-1`` or ``figure-2``.
    method : str
        SGLD, MF, MF-ARD or NNGP.
    observable : str
        ``test_mse`` or ``m_S``.

    Raises
    ------
    ArgumentError
        If there is no such table, no such method in it, or no such observable.
    """
    rows = _rows()
    check_choice("table", table, {row["table"] for row in rows})
    rows = [row for row in rows if row["table"] == table]
    check_choice("method", method, {row["method"] for row in rows})
    rows = [row for row in rows if row["method"] == method]
    check_choice("observable", observable, ("test_mse", "m_S"))
    points = []
    for row in rows:
        if row["observable"] != observable:
            continue
        # An overlap printed as E[y f] is divided by E[y²] = 4!, the value of the only such teacher.
        factor = {"half MSE": 2.0, "E[f y]": 1 / math.factorial(4)}.get(row["unit"], 1.0)
        seeds = int(row["seeds"])
        error = float(row["error"]) if row["error"] else math.nan
        spread = 1 / math.sqrt(seeds) if row["error_kind"] == "std" else 1.0
        points.append(
            PublishedPoint(
                int(row["n_train"]),
                float(row["kappa"]),
                factor * float(row["value"]),
                factor * error * spread,
                seeds,
            )
        )
    if not points:
        raise ArgumentError(f"observable {observable!r} is not printed for {method} in {table}")
    return sorted(points)


def published_tables() -> list[str]:
    """Names of the tables that are shipped."""
    return sorted({row["table"] for row in _rows()})


def _rows() -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath("published.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))

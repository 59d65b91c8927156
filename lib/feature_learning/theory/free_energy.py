r"""Free energies by thermodynamic integration: the log evidence from mean losses.

With β = 1/T = 1/(2κ²) and the prior p_τ, whose n weights on relevant coordinates have the variance
τ s², the evidence of the data is ::

    Z(β, τ) = ∫ p_τ(θ) exp(-β L(θ)) dθ,      Z(0, τ) = 1
    d log Z/dβ     = -⟨L⟩
    d log Z/dlog τ = (n/2) (⟨w²⟩/(τ s²) - 1)

Both also hold inside a metastable state, for Z restricted to it, as long as the state is followed
without a jump. Two states are compared along two such paths that begin in the prior, where log Z is
known. The unlearned state is followed from β = 0 at τ = 1. The learned state would begin with a
jump there; at τ = 10 it develops gradually from the prior, so it is followed to the required β at
τ = 10 and then down to τ = 1::

    log Z_L/Z_U = ∫₀^β (⟨L⟩_{U,τ=1} - ⟨L⟩_{L,τ=10}) dβ - ∫₁^10 (n/2) (⟨w²⟩_L/(τ s²) - 1) dlog τ

This decides which state dominates the posterior without a single transition between them. Kirkwood
(1935); Frenkel and Smit, *Understanding Molecular Simulation*, chapter 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from feature_learning.errors import ArgumentError, check_real, check_scale
from feature_learning.model.student import Student

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Integral:
    """An integral of measured values.

    Attributes
    ----------
    value : float
    sem : float
        Standard error, from the errors of the values.
    discretisation : float
        Difference from another interpolation of the same values, as an estimate of the error due to
        the finite number of points.
    """

    value: float
    sem: float
    discretisation: float

    def __add__(self, other: Integral) -> Integral:
        """Sum with independent errors; discretisation errors add up."""
        return Integral(
            self.value + other.value,
            math.hypot(self.sem, other.sem),
            self.discretisation + other.discretisation,
        )

    def __neg__(self) -> Integral:
        return Integral(-self.value, self.sem, self.discretisation)

    def __sub__(self, other: Integral) -> Integral:
        return self + (-other)


def integrate(x: ArrayLike, y: ArrayLike, sem: ArrayLike) -> Integral:
    """Integral of the cubic spline through (x, y), over all of x.

    Parameters
    ----------
    x : array (n,)
        Four points or more, increasing.
    y, sem : array (n,)
        Values and their independent standard errors.

    Raises
    ------
    ArgumentError
        If the arrays do not fit together, x does not increase or a number is not finite.
    """
    at, values, errors = (np.asarray(each, dtype=np.float64) for each in (x, y, sem))
    if not (at.ndim == 1 and len(at) >= 4 and at.shape == values.shape == errors.shape):
        raise ArgumentError(
            "x, y and sem must be series of the same length, at least four, not of shapes "
            f"{at.shape}, {values.shape} and {errors.shape}"
        )
    if not all(np.isfinite(each).all() for each in (at, values, errors)):
        raise ArgumentError("x, y and sem must be finite: a value or an error is missing")
    if not (np.diff(at) > 0).all():
        raise ArgumentError(f"x must increase, not {at.tolist()}")
    if (errors < 0).any():
        raise ArgumentError(f"sem must be at least 0, not {errors.min()}")
    # The spline is linear in the values: integrals for unit values at each point are the weights.
    weights = CubicSpline(at, np.eye(len(at))).integrate(at[0], at[-1])
    value = float(weights @ values)
    other = float(PchipInterpolator(at, values).integrate(at[0], at[-1]))
    return Integral(value, float(np.sqrt(weights**2 @ errors**2)), abs(value - other))


def prior_loss(student: Student) -> float:
    """⟨L⟩ at β = 0 for labels ±1 and inputs ±1: 1 + E f², exact for ReLU.

    Raises
    ------
    ArgumentError
        If the activation is not ReLU, or there are biases.
    """
    biased = student.hidden_bias_variance is not None or student.output_bias_variance is not None
    if student.activation != "relu" or biased:
        raise ArgumentError(
            "the loss of the prior is known for activation relu without biases, not for "
            f"{student.activation!r}{' with biases' if biased else ''}"
        )
    spread = 1 + student.tilted * (student.tilt - 1) / student.dim
    power = 0.5 * student.weight_variance * spread * student.readout_variance
    return 1 + student.width * student.scale**2 * power


def log_evidence(kappa: ArrayLike, loss: ArrayLike, sem: ArrayLike, *, prior: float) -> Integral:
    r"""The evidence, log Z = -∫₀^β ⟨L⟩ dβ', up to the smallest κ.

    Integrated in u = log(1 + β), in which ⟨L⟩ (1 + β) varies slowly on all scales.

    Parameters
    ----------
    kappa : array (n,)
        Noise scales, in any order, all different.
    loss, sem : array (n,)
        Training MSE at each κ and its standard error.
    prior : float
        ⟨L⟩ at β = 0, from :func:`prior_loss`.
    """
    scales = np.asarray(kappa, dtype=np.float64)
    for each in scales.ravel():
        check_scale("kappa", float(each))
    check_real("prior", prior, at_least=0)
    order = np.argsort(-scales)
    beta = np.concatenate(([0.0], 1 / (2 * scales[order] ** 2)))
    losses = np.concatenate(([prior], np.asarray(loss, dtype=np.float64)[order]))
    errors = np.concatenate(([0.0], np.asarray(sem, dtype=np.float64)[order]))
    return -integrate(np.log1p(beta), losses * (1 + beta), errors * (1 + beta))


def tilt_work(
    tilt: ArrayLike, variance: ArrayLike, sem: ArrayLike, *, weights: int, prior_variance: float
) -> Integral:
    r"""Evidence gained by a tilt, log Z(τ_max) - log Z(τ_min), from the mean squares of weights.

    Parameters
    ----------
    tilt : array (n,)
        τ, in any order, all different.
    variance, sem : array (n,)
        ⟨w²⟩ of a relevant weight and its standard error.
    weights : int
        n, the number of relevant weights: N k.
    prior_variance : float
        s² at τ = 1: σ_w²/d.
    """
    tilts = np.asarray(tilt, dtype=np.float64)
    for each in tilts.ravel():
        check_scale("tilt", float(each))
    check_scale("prior_variance", prior_variance)
    order = np.argsort(tilts)
    unit = 0.5 * weights / (tilts[order] * prior_variance)
    slope = unit * np.asarray(variance, dtype=np.float64)[order] - 0.5 * weights
    return integrate(np.log(tilts[order]), slope, unit * np.asarray(sem, dtype=np.float64)[order])


def advantage(unlearned: pd.DataFrame, learned: pd.DataFrame, tilt: pd.DataFrame) -> Integral:
    """Log evidence ratio log Z_L/Z_U of the learned to the unlearned state, for one data set.

    It is computed along the three legs of the module docstring.

    Parameters
    ----------
    unlearned, learned : DataFrame
        Rows of a table of results at τ = 1 and at the largest τ; the smallest κ of both is the one
        of interest.
    tilt : DataFrame
        Rows at that κ and smaller τ; the row at the largest τ is taken from ``learned``.

    Raises
    ------
    ArgumentError
        If the rows belong to different data sets, or the legs do not meet.
    """
    rows = pd.concat([unlearned, learned, tilt])
    for name in ("n_train", "seed", "width", "dim", "sparsity"):
        if rows[name].nunique() != 1:
            raise ArgumentError(
                f"the legs must share {name}, not {sorted(rows[name].unique().tolist())}"
            )
    first = rows.iloc[0]
    corner = learned[np.isclose(learned["kappa"].astype(float), float(learned["kappa"].min()))]
    ends = {float(each["kappa"].min()) for each in (unlearned, learned, tilt)}
    if max(ends) > min(ends) * (1 + 1e-9) or len(corner) != 1:
        raise ArgumentError(f"the legs do not meet: their smallest kappas are {sorted(ends)}")
    student = Student(
        dim=int(first["dim"]),
        width=int(first["width"]),
        weight_variance=float(first["weight_variance"]),
    )
    along = []
    for leg in (unlearned, learned):
        tau = float(leg["tilt"].iloc[0])
        tilted = Student(
            dim=student.dim,
            width=student.width,
            weight_variance=student.weight_variance,
            tilt=tau,
            tilted=int(first["sparsity"]),
        )
        columns = _floats(leg, ("kappa", "train_mse", "train_mse_sem"))
        along.append(log_evidence(*columns, prior=prior_loss(tilted)))
    columns = _floats(
        pd.concat([corner, tilt]), ("tilt", "relevant_variance", "relevant_variance_sem")
    )
    down = tilt_work(
        *columns,
        weights=student.width * int(first["sparsity"]),
        prior_variance=student.weight_variance / student.dim,
    )
    return along[1] - along[0] - down


def _floats(frame: pd.DataFrame, names: Sequence[str]) -> list[FloatArray]:
    return [frame[name].astype(float).to_numpy() for name in names]


@dataclass(frozen=True)
class Crossing:
    """A zero of measured values.

    Attributes
    ----------
    value, sem : float
        Position of the zero, and its standard error from the errors of the two values used.
    between : tuple of float
        The two points used: neighbours with the zero between them or, if all values have the same
        sign, the two nearest to it.
    slope : float
        Slope of the line through the two points.
    """

    value: float
    sem: float
    between: tuple[float, float]
    slope: float

    @property
    def extrapolated(self) -> bool:
        """Whether the zero is beyond the points."""
        return not self.between[0] <= self.value <= self.between[1]


def crossing(x: Sequence[float], y: Sequence[float], sem: Sequence[float]) -> Crossing:
    """Zero of values by linear interpolation between the last two neighbours of different sign.

    If all values have the same sign, the line through the first two or last two points is
    extrapolated, on the side where the values are closer to zero.

    Raises
    ------
    ArgumentError
        If there are fewer than two points, x does not increase, an error is not positive, or the
        line has no slope.
    """
    at, values, errors = (np.asarray(each, dtype=np.float64) for each in (x, y, sem))
    if len(at) < 2 or not (at.shape == values.shape == errors.shape) or not (errors > 0).all():
        raise ArgumentError("a crossing needs two points or more, each with an error above 0")
    if not (np.diff(at) > 0).all():
        raise ArgumentError(f"x must increase, not {at.tolist()}")
    changes = np.flatnonzero((values[:-1] > 0) != (values[1:] > 0))
    if len(changes):
        left = int(changes[-1])
    else:
        left = 0 if abs(values[0]) <= abs(values[-1]) else len(at) - 2
    ends = slice(left, left + 2)
    (a, b), (u, v) = at[ends], values[ends]
    if u == v:
        raise ArgumentError("the line has no slope, and hence no zero")
    slope = (v - u) / (b - a)
    zero = a - u / slope
    # d zero/du = -(b - zero)/(v - u), d zero/dv = -(zero - a)/(v - u).
    error = math.hypot(*(errors[ends] * [b - zero, zero - a])) / abs(v - u)
    return Crossing(float(zero), float(error), (float(a), float(b)), float(slope))

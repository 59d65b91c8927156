r"""Plain mean field at infinitely many samples: quadrature instead of sampling.

For sparse parity and ReLU every average over the data becomes an expectation and the field is
f̄ = m χ_S. Only the number m is unknown, with ``Σ(w) = |w|²/2`` and J_S as in
:mod:`feature_learning.model.overlaps`::

    D(w) = κ² N^(2γ)/σ_a² + |w|²/2
    log p(w|m) = -d|w|²/(2σ_w²) - ½ log D + (1-m)² J_S(w)²/(2κ² D)
    m = N (1-m) ⟨J_S²/D⟩_{p(·|m)}

J_S depends only on w_S and on ``τ = |w_{S^c}|`` (central limit theorem over the irrelevant
coordinates), and p does not change when coordinates of w_S are permuted or change sign: p is a
density over 0 ≤ w_1 ≤ … ≤ w_k and τ, integrated on a grid. The right side decreases with m, so
there is exactly one solution. It needs no starting point and has no metastable states, and serves
as the reference for particles.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq

from feature_learning.errors import ArgumentError, check_integer, check_scale
from feature_learning.model.overlaps import rectified_gaussian_mean
from feature_learning.model.student import Student

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PopulationResult:
    """The mean field at P → ∞.

    Attributes
    ----------
    m_S : float
        The solution m; the test MSE is (1 - m)², since there is no noise.
    test_mse : float
    residual : float
        ``|right side - m|`` at the solution.
    iterations : int
        Evaluations of the right side.
    discretisation : float
        Change of m with half as many grid points per axis: an estimate of the quadrature error.
    converged : bool
        Whether ``discretisation`` is below 0.005.
    """

    m_S: float
    test_mse: float
    residual: float
    iterations: int
    discretisation: float
    converged: bool


class _Grid:
    """The one-neuron density on a grid of sorted |w_S| and τ, up to its dependence on m."""

    def __init__(self, student: Student, sparsity: int, kappa: float, points: int) -> None:
        deviation = math.sqrt(student.weight_variance / student.dim)
        irrelevant = student.dim - sparsity
        # Specialised neurons reach about ten prior deviations, where ReLU's J² / D saturates.
        axis = _midpoints(points, 12 * deviation)
        tau = _midpoints(2 * points, deviation * (math.sqrt(irrelevant) + 6))
        index = np.array(list(itertools.combinations_with_replacement(range(points), sparsity)))
        w, t = torch.from_numpy(axis[index]), torch.from_numpy(tau)
        overlap = torch.zeros(len(index), len(tau), dtype=torch.float64)
        for signs in itertools.product((1.0, -1.0), repeat=sparsity):
            c = (w @ torch.tensor(signs, dtype=torch.float64)).unsqueeze(1)
            overlap += math.prod(signs) * rectified_gaussian_mean(c, t)
        square = (w.square().sum(dim=1, keepdim=True) + t.square()).numpy()
        noise = kappa**2 * student.width ** (2 * student.gamma) / student.readout_variance
        self.ratio = (overlap.numpy() / 2**sparsity) ** 2 / (noise + square / 2)
        self.log_base = (
            np.log(_orderings(index))[:, None]
            - square / (2 * deviation**2)
            + (irrelevant - 1) * np.log(tau)
            - 0.5 * np.log(noise + square / 2)
        )
        self.width, self.kappa, self.calls = student.width, kappa, 0

    def excess(self, m: float) -> float:
        """Right side minus left side of the equation for m; it decreases with m."""
        self.calls += 1
        log = self.log_base + (1 - m) ** 2 * self.ratio / (2 * self.kappa**2)
        weight = np.exp(log - log.max())
        mean = float((weight * self.ratio).sum() / weight.sum())
        return self.width * (1 - m) * mean - m


def _midpoints(points: int, end: float) -> FloatArray:
    return np.asarray((np.arange(points) + 0.5) * (end / points), dtype=np.float64)


def _orderings(index: NDArray[np.int64]) -> FloatArray:
    """Number of distinct orderings of each sorted row."""
    rows, sparsity = index.shape
    count = np.full(rows, float(math.factorial(sparsity)))
    run = np.ones(rows)
    for column in range(1, sparsity):
        same = index[:, column] == index[:, column - 1]
        run = np.where(same, run + 1, 1.0)
        count /= np.where(same, run, 1.0)
    return count


def check_student(student: Student) -> None:
    """Raise an error for a student to which the population equations do not apply."""
    if student.activation != "relu" or student.hidden_bias_variance is not None:
        raise ArgumentError(
            "the population equation requires activation relu without hidden_bias_variance, not "
            f"{student.activation!r} with {student.hidden_bias_variance!r}"
        )


def solve(student: Student, *, sparsity: int, kappa: float, points: int = 32) -> PopulationResult:
    """Solve for m by bracketing on a grid of ``points`` per relevant coordinate.

    Parameters
    ----------
    student : Student
        ReLU, without biases.
    sparsity : int
        ``|S|`` from 1 to 5, below ``student.dim - 1``.
    kappa : float
        Noise scale.
    points : int
        Grid points per relevant coordinate; the number of grid cells grows as
        ``points^(|S|+1)/|S|!``.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    """
    check_scale("kappa", kappa)
    check_integer("sparsity", sparsity, at_least=1, at_most=min(5, student.dim - 2))
    check_integer("points", points, at_least=8, at_most=200)
    check_student(student)
    fine, coarse = (_Grid(student, sparsity, kappa, n) for n in (points, points // 2))
    m, other = (float(brentq(grid.excess, 0.0, 1.0, xtol=1e-10)) for grid in (fine, coarse))
    return PopulationResult(
        m_S=m,
        test_mse=(1 - m) ** 2,
        residual=abs(fine.excess(m)),
        iterations=fine.calls,
        discretisation=abs(m - other),
        converged=abs(m - other) < 0.005,
    )

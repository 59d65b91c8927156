r"""MF-ARD at infinitely many samples: all solutions, their folds and free energies.

The unknowns are m and the prior precisions ρ_S and ρ_irr (M particles, ``a = α₀/M``)::

    m = N (1-m) ⟨J²/D⟩
    ρ_j σ_w²/d = (α₀ + M/2) / (α₀ + M/2 ⟨w_j²⟩ d/σ_w²) = 1 + (1 - ρ_j ⟨w_j²⟩)/(2a)

Solutions are labelled by the ratio ρ_irr/ρ_S. For a given ratio, two equations determine (λ, ν) of
:mod:`feature_learning.theory.one_neuron` and hence κ and m, so that the branch is a curve κ(ratio)
that may fold: the solutions at a given κ are the points where the curve has this κ. A solution is a
stationary point of the free energy per particle (up to a constant)::

    f = (r - r²/2)/(N κ²) - log Z - ½ log ρ_irr + a Σ_j (ρ_j σ_w²/d - log ρ_j),   r = 1-m

with Z the integral of p of that module. The iteration ρ → p → ρ never increases f, so its minima
are stable. A solution where κ rises with the ratio is unstable: it is the watershed between the
other two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, root

from feature_learning.errors import ArgumentError, ConvergenceError, check_integer, check_scale
from feature_learning.model.student import Student
from feature_learning.theory.ard_branch import Branch
from feature_learning.theory.one_neuron import NeuronAverages, OneNeuron, readout_noise, sufficient
from feature_learning.theory.population import check_student

FloatArray = NDArray[np.float64]

#: Number of fits of the draws to a solution, each starting from the last.
FITS = 2


def branch(
    student: Student,
    *,
    sparsity: int,
    alpha0: float = 4.0,
    particles: int | None = None,
    ratios: Sequence[float] | FloatArray | None = None,
    draws: int = 4096,
    seed: int = 0,
) -> Branch:
    """The curve of all solutions of MF-ARD.

    Parameters
    ----------
    student : Student
        ReLU, without biases.
    sparsity : int
        ``|S|``, 1 or even.
    alpha0 : float
        Shape of the hyper-prior.
    particles : int or None
        M; None means the width N, as in the published runs. Only the ratio α₀/M matters.
    ratios : sequence of float, optional
        ρ_irr/ρ_S, increasing and above 1. The default, from 1.002 to ``100 d``, is for α₀ well
        below M; as α₀ grows all solutions move towards a ratio of 1.
    draws, seed : int
        As in :class:`~feature_learning.theory.one_neuron.OneNeuron`.

    Raises
    ------
    ArgumentError
        If an argument is out of range.
    ConvergenceError
        If the equations cannot be solved at a ratio, or the effective sample size is too small.
    """
    check_student(student)
    check_scale("alpha0", alpha0)
    if particles is not None:
        check_integer("particles", particles, at_least=1)
    if ratios is None:
        ratios = 1 + np.geomspace(0.002, 100 * student.dim, 44)
    axis = np.asarray(ratios, dtype=np.float64)
    if axis.ndim != 1 or len(axis) < 4 or not (np.diff(axis, prepend=1.0) > 0).all():
        raise ArgumentError(f"ratios must be at least 4 increasing numbers above 1, not {ratios}")
    share = alpha0 / (particles or student.width)
    before: list[_Equations] = []
    rows, worst = [], 0.0
    for ratio in axis.tolist():
        neuron = OneNeuron(student.dim, sparsity, ratio=ratio, draws=draws, seed=seed)
        equations = _Equations(student, neuron, share)
        equations.solve(before)
        before = [*before[-1:], equations]
        point = equations.point()
        worst = max(worst, float(np.abs(point.violation).max()))
        rows.append((point.kappa, point.m_S, point.relevant, point.irrelevant,
                     point.free_energy, sufficient(point.found.ess, draws)))  # fmt: skip
    kappa, m, relevant, irrelevant, energy, ess = np.array(rows).T
    return Branch(axis, kappa, m, relevant, irrelevant, energy, ess, residual=worst)


@dataclass(frozen=True)
class _Point:
    """The quantities that follow from (λ, ν), and the violation of the equations."""

    found: NeuronAverages
    kappa: float
    m_S: float
    relevant: float
    irrelevant: float
    free_energy: float
    violation: FloatArray


class _Equations:
    """The two equations of MF-ARD for (log λ, log ν) at one ratio."""

    def __init__(self, student: Student, neuron: OneNeuron, share: float) -> None:
        self.student, self.neuron, self.share = student, neuron, share
        self.unknown = np.zeros(2)

    def point(self, unknown: FloatArray | None = None) -> _Point:
        u = np.clip(self.unknown if unknown is None else unknown, -50, 50)
        lam, nu = float(np.exp(u[0])), float(np.exp(u[1]))
        n, a, k = self.student.width, self.share, self.neuron.sparsity
        found = self.neuron.averages(lam, nu)
        r = 1 / (1 + n * found.reward)
        kappa = r / math.sqrt(2 * lam)
        relevant, irrelevant = 1 + found.relevant / (2 * a), 1 + found.irrelevant / (2 * a)
        unit = self.student.dim / self.student.weight_variance
        wanted = readout_noise(self.student, kappa, max(irrelevant, 1e-9) * unit)
        hyper = sum(
            count * (rho - math.log(max(rho, 1e-300)))
            for count, rho in ((k, relevant), (self.student.dim - k, irrelevant))
        )
        energy = (r - r * r / 2) / (n * kappa * kappa) - found.log_normaliser + a * hyper
        return _Point(
            found, kappa, 1 - r, relevant, irrelevant,
            energy - 0.5 * math.log(max(irrelevant, 1e-300)),
            np.array([self.neuron.ratio * relevant / irrelevant - 1, math.log(wanted / nu)]),
        )  # fmt: skip

    def solve(self, before: Sequence[_Equations]) -> None:
        """Solve, starting from the solutions at earlier ratios or where aligned neurons appear."""
        if not before:
            self.unknown = np.array([math.log(self.neuron.start(1.0)), 0.0])
            self._approach()
        else:
            # The draws of a neighbour may miss the aligned neurons if there were none, and the
            # effective sample size cannot show a region without draws: search for them afresh.
            lam, nu = np.exp(before[-1].unknown)
            if lam > 1.5 * self.neuron.start(float(nu)):
                self.neuron.like(before[-1].neuron)
            # Extrapolate linearly from the last two solutions.
            self.unknown = before[-1].unknown * len(before) - before[0].unknown * (len(before) - 1)
        for _ in range(FITS):
            self._root()
            self._fit()
        self._root()

    def _root(self) -> None:
        found = root(lambda u: self.point(u).violation, self.unknown, options={"xtol": 1e-10})
        if np.abs(found.fun).max() > 1e-6:
            self._approach()
            found = root(lambda u: self.point(u).violation, self.unknown, options={"xtol": 1e-10})
        if np.abs(found.fun).max() > 1e-6:
            raise ConvergenceError(
                f"no solution of MF-ARD found at d = {self.student.dim}, "
                f"|S| = {self.neuron.sparsity}, α₀/M = {self.share:.4g}, ratio "
                f"{self.neuron.ratio:.6g}: the equations are violated by "
                f"{np.abs(found.fun).max():.2g}"
            )
        self.unknown = np.asarray(found.x, dtype=np.float64)

    def _approach(self) -> None:
        """Find λ by bracketing the first equation, which falls steeply with λ; iterate for ν."""
        for _ in range(12):
            log_nu = float(self.unknown[1])

            def first(x: float, log_nu: float = log_nu) -> float:
                return float(self.point(np.array([x, log_nu])).violation[0])

            low = high = float(self.unknown[0])
            step = 0.05 if first(low) > 0 else -0.05
            while first(high) * step > 0 and abs(high - low) < 20:
                low, high, step = high, high + step, 1.6 * step
            if first(low) * first(high) > 0:
                return
            self.unknown[0] = brentq(first, low, high, xtol=1e-6)
            self._fit()
            change = float(self.point().violation[1])
            self.unknown[1] += 0.7 * change
            if abs(change) < 0.01:
                return

    def _fit(self) -> None:
        lam, nu = np.exp(self.unknown)
        self.neuron.fit(float(lam), float(nu))

r"""All solutions of MF-ARD as one curve over the ratio of precisions, and its folds.

Solutions are labelled by the ratio ρ_irr/ρ_S, and the branch is a curve κ(ratio) that may fold: the
solutions at a given κ are the points where the curve has this κ. If there are three, the outer two
are stable; the solution where κ rises with the ratio is the watershed between them. The curve is
computed in :mod:`feature_learning.theory.ard_population`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import Akima1DInterpolator
from scipy.optimize import brentq

from feature_learning.errors import ConvergenceError, check_scale

FloatArray = NDArray[np.float64]

#: The smallest rise of log κ that counts as a fold.
WIGGLE = 0.005


@dataclass(frozen=True)
class Solution:
    """One solution of MF-ARD at a given noise.

    Attributes
    ----------
    kind : str
        ``unlearned`` and ``learned`` are stable, ``watershed`` is not; ``only`` without folds.
    kappa, m_S, ratio : float
    free_energy : float
        Free energy per particle; comparable only at the same κ.
    """

    kind: str
    kappa: float
    m_S: float
    ratio: float
    free_energy: float


@dataclass(frozen=True)
class Branch:
    """The solutions of MF-ARD, ordered by the ratio of precisions; arrays of shape (points,).

    Attributes
    ----------
    ratio : array
        ρ_irr/ρ_S.
    kappa, m_S : array
    relevant, irrelevant : array
        ρ_S and ρ_irr in units of d/σ_w².
    free_energy : array
        Free energy per particle; comparable only at the same κ.
    ess : array
        Effective sample size divided by the number of draws.
    residual : float
        Largest violation of the two equations.
    """

    ratio: FloatArray
    kappa: FloatArray
    m_S: FloatArray
    relevant: FloatArray
    irrelevant: FloatArray
    free_energy: FloatArray
    ess: FloatArray
    residual: float

    def folds(self) -> tuple[Solution, Solution] | None:
        """The ends of the unlearned and of the learned solution (spinodals); None without folds.

        These are the two ends of the largest rise of κ with the ratio; a rise below ``WIGGLE`` is
        noise of the draws, not a fold. The end of the unlearned solution is a flat minimum: its κ
        is known much better than its ratio and overlap, and is an upper bound if the minimum is at
        the first ratio.
        """
        x = np.log(self.ratio - 1)
        fine = np.linspace(x[0], x[-1], 4001)
        height = Akima1DInterpolator(x, np.log(self.kappa))(fine)
        rise = height - np.minimum.accumulate(height)
        high = int(rise.argmax())
        if rise[high] < WIGGLE:
            return None
        low = int(height[:high].argmin())
        return self._at("unlearned", float(fine[low])), self._at("learned", float(fine[high]))

    def solutions(self, kappa: float) -> list[Solution]:
        """All solutions at ``kappa`` within the range of ratios, in order of increasing overlap."""
        check_scale("kappa", kappa)
        x, folds = np.log(self.ratio - 1), self.folds()
        spline = Akima1DInterpolator(x, np.log(self.kappa))
        found = []
        for each in spline.solve(math.log(kappa), extrapolate=False):
            kind = "only"
            if folds is not None:
                low, high = (math.log(fold.ratio - 1) for fold in folds)
                kind = "unlearned" if each <= low else "watershed" if each < high else "learned"
            found.append(self._at(kind, float(each)))
        return found

    def coexistence(self) -> float:
        """The κ at which both stable solutions have the same free energy; NaN without folds.

        Raises
        ------
        ConvergenceError
            If the range of ratios does not contain both solutions at that κ.
        """
        folds = self.folds()
        if folds is None:
            return math.nan
        ends = math.log(folds[0].kappa), math.log(folds[1].kappa)

        def difference(log_kappa: float) -> float:
            found = {each.kind: each.free_energy for each in self.solutions(math.exp(log_kappa))}
            if len(found) < 3:
                raise ConvergenceError(
                    f"at κ = {math.exp(log_kappa):.4g} only the solutions {', '.join(found)} lie "
                    f"at ratios between {self.ratio[0]:.4g} and {self.ratio[-1]:.4g}"
                )
            return found["unlearned"] - found["learned"]

        inside = 1e-3 * (ends[1] - ends[0])
        return math.exp(brentq(difference, ends[0] + inside, ends[1] - inside, xtol=1e-7))

    def _at(self, kind: str, x: float) -> Solution:
        """The point with ``log(ratio - 1) = x``."""
        axis = np.log(self.ratio - 1)
        log_kappa, logit, energy = (
            float(Akima1DInterpolator(axis, values)(x))
            for values in (
                np.log(self.kappa), np.log(self.m_S / (1 - self.m_S)), self.free_energy
            )
        )  # fmt: skip
        return Solution(
            kind, math.exp(log_kappa), 1 / (1 + math.exp(-logit)), 1 + math.exp(x), energy
        )

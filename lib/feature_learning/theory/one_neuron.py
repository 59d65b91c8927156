r"""Averages over the one-neuron distribution of the population limit, by importance sampling.

The distribution is that of :mod:`feature_learning.theory.population`, with the prior precisions of
MF-ARD: ρ_S for the k relevant and ρ_irr for the other coordinates. In units of the prior,
``x = ρ_S^½ w_S`` and ``t = ρ_irr^½ |w_{S^c}|``, three parameters remain: the ratio ρ_irr/ρ_S, λ and
ν::

    λ = (1-m)²/(2κ²),   ν = κ² N^(2γ) ρ_irr/σ_a²,   s = (ρ_irr/ρ_S)^½
    J = J_S(s x, t),    D = ν + (s²|x|² + t²)/2                        J²/D as of w itself
    log p(x,t) = -|x|²/2 - t²/2 + (d-k-1) log t - ½ log D + λ J²/D

p has two parts: a bulk, which is close to the prior, and the neurons that are aligned with the
target. The second part is narrow, and only this part contributes to ⟨J²/D⟩. Half of the draws
therefore come from a Gaussian in x and t around the prior, and half from a Gaussian in (x, log t)
with the mean and the covariance of p J²/D; both use scrambled Sobol points, weighted by p over the
mixture. The effective sample size shows whether the two parts are covered: it is then about half of
the draws.

Second moments are computed by integration by parts, which has no noise of order one::

    1 - ρ_S⟨w_j²⟩ = ⟨s²x_j²/(2D)⟩ - λ⟨x_j ∂(J²/D)/∂x_j⟩,   likewise off S
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from feature_learning.errors import (
    ArgumentError,
    ConvergenceError,
    check_integer,
    check_scale,
)
from feature_learning.model.student import Student

FloatArray = NDArray[np.float64]

#: Smallest accepted effective sample size, as a fraction of the draws.
LEAST_ESS = 0.02

#: Factor by which proposals are wider than their targets.
WIDER = 1.15


@dataclass(frozen=True)
class NeuronAverages:
    """Averages over p that enter the population equations.

    Attributes
    ----------
    reward : float
        ``⟨J_S²/D⟩``.
    relevant, irrelevant : float
        ``1 - ρ_j⟨w_j²⟩`` of a coordinate in S and off S: negative where the data enlarge the
        weights.
    log_normaliser : float
        Logarithm of the integral of p, up to a constant that depends only on d and k.
    ess : float
        Effective sample size divided by the number of draws, from 0 to 1.
    """

    reward: float
    relevant: float
    irrelevant: float
    log_normaliser: float
    ess: float


class OneNeuron:
    """The distribution of one ReLU neuron at a given ratio of prior precisions, as draws.

    Parameters
    ----------
    dim, sparsity : int
        d and ``|S|``, which is 1 or even (J_S of ReLU vanishes for other odd numbers), at most 12.
    ratio : float
        ρ_irr/ρ_S; 1 is the isotropic prior.
    draws : int
        Number of draws, a power of 2; half of them are for each part of the distribution.
    seed : int
        Seed of the scrambling of the Sobol points.
    """

    def __init__(
        self, dim: int, sparsity: int, *, ratio: float = 1.0, draws: int = 4096, seed: int = 0
    ) -> None:
        self.dim = check_integer("dim", dim, at_least=4)
        self.sparsity = check_integer("sparsity", sparsity, at_least=1, at_most=min(12, dim - 3))
        if sparsity > 1 and sparsity % 2:
            raise ArgumentError(
                f"sparsity must be 1 or even, not {sparsity}: a ReLU neuron has no overlap with it"
            )
        self.ratio = check_scale("ratio", ratio)
        check_integer("draws", draws, at_least=256, at_most=2**20)
        if draws & (draws - 1):
            raise ArgumentError(f"draws must be a power of 2, not {draws}")
        check_integer("seed", seed, at_least=0)
        random = np.random.default_rng(seed)
        self._bulk_normal, self._aligned_normal = (
            ndtri(np.clip(qmc.Sobol(sparsity + 1, rng=random).random(draws // 2), 1e-15, 1 - 1e-15))
            for _ in range(2)
        )
        self._appearance: float | None = None
        self.mean = np.zeros(sparsity + 1)
        self.covariance = np.eye(sparsity + 1)

    def start(self, nu: float) -> float:
        """Fit the draws at the λ where aligned neurons become as likely as the bulk; return it."""
        self._appearance, self.mean = self._appear(nu)
        k = self.sparsity
        self.covariance = np.diag(np.append(np.full(k, 0.35**2), 0.25**2))
        self._draw()
        for _ in range(4):
            self.fit(0.0, nu)
        return self._appearance

    def _appear(self, nu: float) -> tuple[float, FloatArray]:
        """That λ from the densities themselves, and the position of the aligned neurons."""
        k, off = self.sparsity, self.dim - self.sparsity
        x = np.geomspace(0.5, 3 * math.sqrt(self.dim / k) + 3, 60)
        t = np.geomspace(0.02, math.sqrt(off) + 1, 60)
        x, t = (grid.ravel() for grid in np.meshgrid(x, t, indexing="ij"))
        scaled = math.sqrt(self.ratio) * x
        overlap, _ = _overlap(np.repeat(scaled[:, None], k, axis=1), t)
        half = nu + (k * scaled**2 + t * t) / 2
        # A density over (x, log t); the bulk, with |x_j| near one, is excluded.
        log = -k * x * x / 2 - t * t / 2 + off * np.log(t) - 0.5 * np.log(half)
        needed = np.where(x * x > 1.5, (log.max() - log) / (overlap**2 / half + 1e-300), np.inf)
        best = int(needed.argmin())
        return float(needed[best]), np.append(np.full(k, x[best]), math.log(t[best]))

    def like(self, other: OneNeuron) -> None:
        """Adopt the proposal of another ratio."""
        self.mean, self.covariance, self._appearance = other.mean, other.covariance, None
        self._draw()

    def fit(self, lam: float, nu: float) -> None:
        """Give the proposal of the aligned part the moments of p J²/D, and redraw.

        If λ is too small for aligned neurons, p at the λ where they appear is used: a proposal
        without them would miss their appearance.
        """
        if self._appearance is None:
            self._appearance, _ = self._appear(nu)
        lam = max(lam, self._appearance)
        weight, reward = self._weights(lam, nu)[:2]
        weight = weight * reward * self._responsibility
        total = float(weight.sum())
        if not total > 0:
            raise ConvergenceError(
                f"no draw of d = {self.dim}, |S| = {self.sparsity}, ratio {self.ratio:g} is "
                f"aligned with the target at λ = {lam:.4g}, ν = {nu:.4g}"
            )
        weight /= total
        k, y = self.sparsity, np.column_stack([self._x, np.log(self._t)])
        mean = weight @ y
        mean[:k] = mean[:k].mean()
        y -= mean
        found = (weight[:, None] * y).T @ y
        # The coordinates of S are exchangeable: one variance, one covariance.
        variance = float(np.trace(found[:k, :k])) / k
        shared = (float(found[:k, :k].sum()) - k * variance) / max(k * (k - 1), 1)
        covariance = np.full((k + 1, k + 1), shared)
        covariance[range(k), range(k)] = variance
        covariance[:k, k] = covariance[k, :k] = found[:k, k].mean()
        covariance[k, k] = found[k, k]
        self.mean, self.covariance = mean, covariance + 1e-6 * np.eye(k + 1)
        self._draw()

    def averages(self, lam: float, nu: float) -> NeuronAverages:
        """Averages over p at λ and ν with the present draws."""
        weight, reward, half, log_normaliser = self._weights(lam, nu)
        untilted = self._weights(0.0, nu)[0]
        k, off, t, overlap = self.sparsity, self.dim - self.sparsity, self._t, self._overlap
        inside, outside = self.ratio * (self._x**2).sum(axis=1), t * t
        # J is homogeneous of degree one: x·∂J/∂x = J - t ∂J/∂t.
        slope = overlap * t * self._slope
        force_inside = 2 * (overlap**2 - slope) - reward * inside
        force_outside = 2 * slope - reward * outside
        # At λ = 0 the moments are known without draws. The error of the draws there is subtracted
        # in proportion to the overlap of the two distributions: completely before anything is
        # learned, not at all afterwards.
        shared = float(np.minimum(weight, untilted).sum())
        change = (weight - shared * untilted) / (2 * half)
        known = self._moments_without_reward(nu)
        return NeuronAverages(
            reward=float(weight @ reward),
            relevant=(
                shared * known[0]
                + float(change @ inside)
                - lam * float(weight @ (force_inside / half))
            )
            / k,
            irrelevant=(
                shared * known[1]
                + float(change @ outside)
                - lam * float(weight @ (force_outside / half))
            )
            / off,
            log_normaliser=log_normaliser,
            ess=1 / float(weight @ weight) / len(weight),
        )

    def _moments_without_reward(self, nu: float) -> tuple[float, float]:
        """``⟨s²|x|²/(2D)⟩`` and ``⟨t²/(2D)⟩`` at λ = 0, where only |x| and t matter."""
        off = self.dim - self.sparsity
        radius, t = (
            np.maximum(math.sqrt(n) + np.linspace(-8, 8, 65), 1e-9) for n in (self.sparsity, off)
        )
        radius = radius[:, None]
        inside, outside = self.ratio * radius * radius, t * t
        half = nu + (inside + outside) / 2
        log = -(radius * radius + outside + np.log(half)) / 2
        log = log + (self.sparsity - 1) * np.log(radius) + (off - 1) * np.log(t)
        weight = np.exp(log - log.max())
        weight /= weight.sum()
        return float((weight * inside / half).sum()) / 2, float((weight * outside / half).sum()) / 2

    def _weights(self, lam: float, nu: float) -> tuple[FloatArray, FloatArray, FloatArray, float]:
        """Normalised weights, J²/D and D of the draws, and the logarithm of the normaliser."""
        x, t = self._x, self._t
        half = nu + (self.ratio * (x * x).sum(axis=1) + t * t) / 2
        reward = self._overlap**2 / half
        log = -(x * x).sum(axis=1) / 2 - t * t / 2 + (self.dim - self.sparsity - 1) * np.log(t)
        log += lam * reward - 0.5 * np.log(half) - self._log_proposal
        top = float(log.max())
        weight = np.exp(log - top)
        return weight / weight.sum(), reward, half, top + math.log(float(weight.mean()))

    def _draw(self) -> None:
        k = self.sparsity
        centre, spread = math.sqrt(self.dim - k - 0.5), WIDER * math.sqrt(0.5)
        root = np.linalg.cholesky(self.covariance) * WIDER
        aligned = self.mean + self._aligned_normal @ root.T
        bulk = np.abs(self._bulk_normal[:, :k]) * WIDER
        x = np.concatenate([bulk, aligned[:, :k]])
        t = np.concatenate([centre + spread * self._bulk_normal[:, k], np.exp(aligned[:, k])])
        # By symmetry x > 0 is enough; points outside have no weight.
        valid = (x > 0).all(axis=1) & (t > 1e-3)
        x, t = np.where(valid[:, None], x, 1.0), np.where(valid, t, 1.0)
        log_bulk = (
            k * math.log(2 / WIDER) - ((x / WIDER) ** 2).sum(axis=1) / 2 - math.log(spread)
        ) - ((t - centre) / spread) ** 2 / 2
        y = np.linalg.solve(root, (np.column_stack([x, np.log(t)]) - self.mean).T)
        log_aligned = -(y * y).sum(axis=0) / 2 - np.log(np.diag(root)).sum() - np.log(t)
        both = np.logaddexp(log_bulk, log_aligned)
        self._responsibility = np.exp(log_aligned - both)
        constant = (k + 1) / 2 * math.log(2 * math.pi) + math.log(2)
        self._log_proposal = np.where(valid, both - constant, np.inf)
        self._x, self._t = x, t
        self._overlap, self._slope = _overlap(math.sqrt(self.ratio) * x, t)


def _overlap(w: FloatArray, tau: FloatArray) -> tuple[FloatArray, FloatArray]:
    """J_S(w_S, τ) of ReLU, as :func:`~feature_learning.model.overlaps.gaussian_overlap`; ∂J_S/∂τ.

    ``w`` has the shape (draws, k), ``tau`` (draws,). Signs s and -s are summed together, which
    leaves the even part of G for even k.
    """
    k = w.shape[1]
    overlap, slope = np.zeros(len(w)), np.zeros(len(w))
    for signs in itertools.product((1.0, -1.0), repeat=k - 1):
        c = w[:, 0] + w[:, 1:] @ np.array(signs)
        z, sign = c / tau, math.prod(signs)
        if k % 2:
            overlap += sign * c
            continue
        density = np.exp(-z * z / 2) * math.sqrt(2 / math.pi)
        overlap += sign * (c * (2 * ndtr(z) - 1) + tau * density)
        slope += sign * density
    return overlap / 2**k, slope / 2**k


def readout_noise(student: Student, kappa: float, precision: float) -> float:
    """ν = κ² N^(2γ) ρ_irr/σ_a²; ``precision`` is ρ_irr."""
    scale = float(student.width ** (2 * student.gamma)) / student.readout_variance
    return kappa**2 * scale * precision


def sufficient(ess: float, draws: int) -> float:
    """Return the effective sample size, or raise an error if it is too small."""
    if not ess >= LEAST_ESS:
        raise ConvergenceError(
            f"the effective sample size is {ess * draws:.1f} of {draws} draws; "
            f"at least {LEAST_ESS:.0%} are needed"
        )
    return ess

r"""Simulation-based calibration, a test whether a sampler samples the posterior of its model.

Talts, Betancourt, Simpson, Vehtari and Gelman, arXiv 1804.06788. A network θ is drawn from the
prior and its labels from the likelihood, with noise of variance κ²P on every label::

    θ ~ prior,   y_μ = f(x_μ; θ) + κ√P ε_μ,   θ_1..θ_R ~ p(·|y)

Then θ is one more draw from the posterior of its own labels. For any test quantity q the rank of
q(θ) among q(θ_1), ..., q(θ_R) is therefore exactly uniform on {0, ..., R} over replications, and no
known answer is needed. For a quantity like f, a posterior that is too wide gives too many ranks in
the middle, and one that is too narrow too many at the ends; a biased quantity gives a slope.

Here every replication has R chains and all replications move in one batch. The R draws are the last
positions of chains that started from the prior, so that they are independent without thinning. The
test quantities depend on the function (f at a point, m_S), on the weights, and on the labels (the
loss; only quantities that depend on the data detect a wrong likelihood, Modrák et al., arXiv
2211.02383). None of them distinguishes neurons, because the posterior is invariant under their
permutation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from feature_learning.energies.particles import ParticleEnergy
from feature_learning.errors import ArgumentError, check_integer, check_real, check_scale
from feature_learning.model.parameters import Parameters
from feature_learning.model.randomness import generator
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset
from feature_learning.samplers import Sampler

FloatArray = NDArray[np.float64]
#: Test quantities: overlap with the parity of the first two inputs, f at the first corner of the
#: cube, norms of weights and readouts, and the training loss.
QUANTITIES = ("m_S", "f", "|w|²", "|a|²", "L")


class OwnLabels(ParticleEnergy):
    """The network posterior with shared inputs and separate labels for every chain.

    The gradient is linear in the labels: their share ``-k a_b Σ_μ y_μ φ' x_μ`` and ``-k Σ_μ y_μ φ``
    is added to the gradient of the network for labels of zero.

    Parameters
    ----------
    student : Student
        Network without output bias.
    inputs : Tensor
        (samples, dim).
    labels : Tensor
        (chains, samples).
    kappa : float
    """

    def __init__(self, student: Student, inputs: Tensor, labels: Tensor, *, kappa: float) -> None:
        if student.output_bias_variance is not None:
            raise ArgumentError(
                "labels of each chain need a student without output bias, not "
                f"output_bias_variance = {student.output_bias_variance!r}"
            )
        if labels.dim() != 2 or labels.shape[1] != len(inputs):
            raise ArgumentError(
                f"labels must be (chains, n_train = {len(inputs)}), not {tuple(labels.shape)}"
            )
        zero = Dataset(inputs, torch.zeros_like(inputs[:, 0]))
        super().__init__(student, zero, kappa=kappa, chains=len(labels))
        self.labels = labels
        flat = torch.zeros_like(self.prior.spring_constant)
        self._share, self._grad_square = (self.views(flat.clone()) for _ in range(2))

    def _correlated(self, w: Tensor) -> Parameters:
        """Σ_μ y_μ φ' x_μ and Σ_μ y_μ φ of every neuron."""
        self.forward.accumulate_fixed_gradients(
            w,
            residual=self.labels,
            grad_w=self._share.w,
            grad_a=self._share.a,
            grad_square=self._grad_square.w,
            square_sum=self._grad_square.a,
        )
        return self._share

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """∂U/∂θ."""
        super().gradient(theta, out)
        parameters, gradient = self.views(theta), self.views(out)
        share, k = self._correlated(parameters.w), 2 * self.student.scale / len(self.forward)
        gradient.w.addcmul_(share.w, parameters.a.unsqueeze(2), value=-k)
        gradient.a.sub_(share.a, alpha=k)

    def loss(self, theta: Tensor) -> Tensor:
        """Loss L of each chain on its own labels, in double precision."""
        residual = self.forward.predict(self.views(theta)).double() - self.labels
        return residual.square().mean(dim=1)

    def readout_distribution(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of the readouts given the weights, and the factor of their precision."""
        _, factor = super().readout_distribution(theta)
        unit = 2 / (len(self.forward) * self.temperature)
        grad_w = unit * self.scale * self._correlated(self.views(theta).w).a.double()
        return torch.cholesky_solve(grad_w.unsqueeze(2), factor).squeeze(2), factor


@dataclass(frozen=True)
class Calibration:
    """Ranks of a calibration.

    Attributes
    ----------
    ranks : dict of array (replications,)
        Ranks of each test quantity, from 0 to ``draws``.
    draws : int
        Number of draws R.
    """

    ranks: dict[str, NDArray[np.int64]]
    draws: int

    def histogram(self, quantity: str, bins: int = 16) -> NDArray[np.int64]:
        """Number of replications in each of ``bins`` equal parts of the ranks."""
        check_integer("bins", bins, at_least=2, at_most=self.draws + 1)
        if (self.draws + 1) % bins:
            raise ArgumentError(f"bins must divide draws + 1 = {self.draws + 1}, not {bins}")
        part = self.ranks[quantity] * bins // (self.draws + 1)
        return np.bincount(part, minlength=bins)

    def p_values(self, bins: int = 16) -> dict[str, float]:
        """The p-value of a χ² test of uniform ranks, for each quantity."""
        return {
            name: float(stats.chisquare(self.histogram(name, bins)).pvalue) for name in self.ranks
        }

    def calibrated(self, false_alarms: float = 0.001, bins: int = 16) -> bool:
        """Whether the ranks of all quantities are consistent with uniform ones.

        A correct sampler fails with a probability of at most ``false_alarms``, since each of the n
        quantities is tested at ``false_alarms``/n (Bonferroni).
        """
        check_real("false_alarms", false_alarms, above=0, at_most=1)
        return min(self.p_values(bins).values()) > false_alarms / len(self.ranks)


def run_sbc(
    student: Student,
    sampler: Sampler,
    *,
    n_train: int,
    kappa: float,
    steps: int,
    replications: int,
    draws: int = 31,
    noise_variance: float | None = None,
    heat: float = 1.0,
    seed: int,
) -> Calibration:
    """Calibrate a sampler on small networks.

    Parameters
    ----------
    student : Student
        Network without output bias and at least two inputs, which are random corners of the cube.
    sampler : Sampler
        Sampler with its step size, which may adapt in the first half of the steps. Its samples must
        not have weights.
    n_train : int
        Number of training samples P.
    kappa : float
    steps : int
        Steps of every chain, from the prior to its draw.
    replications : int
    draws : int
        Number R of draws, one for each chain of a replication.
    noise_variance : float, optional
        Variance with which labels are drawn, by default κ²P. Other values simulate a mistake in the
        likelihood.
    heat : float
        Factor of the sampling temperature: 2 simulates a mistake in the temperature.
    seed : int
    """
    check_integer("n_train", n_train, at_least=1)
    check_integer("steps", steps, at_least=2)
    check_integer("replications", replications, at_least=1)
    check_integer("draws", draws, at_least=1)
    check_integer("dim", student.dim, at_least=2)
    check_scale("kappa", kappa)
    check_scale("heat", heat)
    variance = kappa**2 * n_train if noise_variance is None else noise_variance
    check_scale("noise_variance", variance)
    starts, random = generator(seed, "start"), generator(seed, "data")
    cube = torch.tensor(list(product((1.0, -1.0), repeat=student.dim)), dtype=torch.float64)
    inputs = cube[torch.randint(len(cube), (n_train,), generator=random)]

    def prior(chains: int, stream: torch.Generator) -> Tensor:
        return student.sample_prior(chains, student.width, stream, dtype=torch.float64)

    truth = student.views(prior(replications, random), replications, student.width)
    noise = torch.randn(replications, n_train, generator=random, dtype=torch.float64)
    labels = student.forward(truth, inputs) + math.sqrt(variance) * noise
    chains = replications * draws
    energy = OwnLabels(student, inputs, labels.repeat_interleave(draws, dim=0), kappa=kappa)
    energy.temperature *= heat
    noises = generator(seed, "noise")
    state = sampler.init(energy, prior(chains, starts), noises)
    if sampler.weight(state) is not None:
        raise ArgumentError("calibration needs draws without weights")
    half = steps // 2
    sampler.for_burn_in().advance(state, energy, half, noises, done=0)
    sampler.advance(state, energy, steps - half, noises, done=half)
    measure = _measure(student, inputs, cube)
    found = measure(energy.views(state.position), energy.labels).view(replications, draws, -1)
    ranks = (found < measure(truth, labels).unsqueeze(1)).sum(dim=1).numpy()
    return Calibration({name: ranks[:, at] for at, name in enumerate(QUANTITIES)}, draws)


def _measure(
    student: Student, inputs: Tensor, cube: Tensor
) -> Callable[[Parameters, Tensor], Tensor]:
    """A function that computes :data:`QUANTITIES` of every chain for its labels, (chains, 5)."""
    parity = cube[:, :2].prod(dim=1)

    def measure(parameters: Parameters, labels: Tensor) -> Tensor:
        everywhere = student.forward(parameters, cube)
        loss = (student.forward(parameters, inputs) - labels).square().mean(dim=1)
        w, a, _ = parameters
        columns = (
            (everywhere * parity).mean(dim=1),
            everywhere[:, 0],
            w.square().sum(dim=(1, 2)),
            a.square().sum(dim=1),
            loss,
        )
        return torch.stack(columns, dim=1)

    return measure

r"""Small posteriors with exactly known moments, on which every sampler is tested.

Four quantities have exact means on each: the field f at one test point, f², the readouts' norm
``|a|²`` and the loss L. With T = 2κ² (a datum has the noise κ²P), s = N^(-γ) and Φ the features:

* :func:`gaussian`: hidden weights fixed, readouts Gaussian ::

      a ~ N(m, C),   C = (s² ΦΦᵀ/(κ²P) + 1/σ_a²)⁻¹,   m = s CΦy/(κ²P)

* :func:`one_neuron`: d = N = 1, the density of (w, a) lies on a plane and is summed on a grid.
* :func:`linear_network`: φ(z) = z, γ = ½. Given Q = ``|a|²/N`` the output is a Gaussian process
  with the kernel QK, K(x, x') = σ_w² x·x'/d, so that one integral over Q remains ::

      p(Q|D) ∝ Q^(N/2-1) e^(-NQ/(2σ_a²)) N(y; 0, κ²P + QK)

All run in double precision and use the gradients of the library's energies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.energies.ladder import LadderEnergy
from feature_learning.energies.minibatch import MiniBatchEnergy
from feature_learning.energies.particles import network_posterior
from feature_learning.errors import check_choice
from feature_learning.model.parameters import Parameters
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset

FloatArray = NDArray[np.float64]
QUANTITIES = ("f", "f²", "|a|²", "L")
#: The plain posterior, mini-batches of one sample, and a ladder of three κ.
KINDS = ("full", "batches", "ladder")


class Frozen:
    """The readouts of an energy of particles whose hidden weights are fixed at ``w``.

    Parameters
    ----------
    energy : ParticleEnergy, MiniBatchEnergy or LadderEnergy
    w : Tensor
        Hidden weights of every chain, (particles, fan_in).
    """

    refresh_every = 0

    def __init__(self, energy: Any, w: Tensor) -> None:
        self.inner, self.chains, self.temperature = energy, energy.chains, energy.temperature
        self.full = torch.zeros(energy.chains * (w.numel() + len(w)), dtype=w.dtype)
        energy.views(self.full).w[:] = w
        self._out = torch.empty_like(self.full)

    def __getattr__(self, name: str) -> Any:
        """Attributes that do not concern the readouts are those of the energy."""
        if name == "inner":  # does not exist yet while a copy is made
            raise AttributeError(name)
        return getattr(self.inner, name)

    def whole(self, theta: Tensor) -> Tensor:
        """The flat parameter vector of the energy with these readouts."""
        self.inner.views(self.full).a[:] = theta.view(self.chains, -1)
        return self.full

    def views(self, theta: Tensor) -> Parameters:
        """The readouts, (chains, particles), without weights."""
        nothing = theta.new_empty(self.chains, 0)
        return Parameters(nothing.unsqueeze(2), theta.view(self.chains, -1), nothing)

    def predictor_parameters(self, theta: Tensor) -> Parameters:
        """The parameters that define the predictor."""
        parameters: Parameters = self.inner.views(self.whole(theta))
        return parameters

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """The energy's gradient along the readouts."""
        self.inner.gradient(self.whole(theta), self._out)
        out.copy_(self.inner.views(self._out).a.reshape(-1))

    def estimate(self, theta: Tensor, out: Tensor, random: torch.Generator) -> None:
        """The estimate of a mini-batch along the readouts."""
        self.inner.estimate(self.whole(theta), self._out, random)
        out.copy_(self.inner.views(self._out).a.reshape(-1))

    def value(self, theta: Tensor) -> Tensor:
        """Energy U of each chain."""
        value: Tensor = self.inner.value(self.whole(theta))
        return value

    def loss(self, theta: Tensor) -> Tensor:
        """Loss L of each chain."""
        loss: Tensor = self.inner.loss(self.whole(theta))
        return loss

    def readout_distribution(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of the readouts and the factor of their precision."""
        law: tuple[Tensor, Tensor] = self.inner.readout_distribution(self.whole(theta))
        return law


class FrozenLadder(Frozen, LadderEnergy):
    """The same for every replica of a ladder."""


@dataclass(frozen=True)
class KnownAnswer:
    """A posterior with exact moments.

    Attributes
    ----------
    name : str
    student : Student
    data : Dataset
    point : Tensor
        The test point, (1, dim).
    kappa : float
    exact : array (4,)
        Means of :data:`QUANTITIES`.
    curvature : float
        A typical largest curvature of U, which sets the steps.
    frozen : Tensor or None
        Hidden weights that do not move, (particles, fan_in).
    """

    name: str
    student: Student
    data: Dataset
    point: Tensor
    kappa: float
    exact: FloatArray
    curvature: float
    frozen: Tensor | None = None

    def energy(self, chains: int, kind: str = "full") -> Any:
        """The posterior of ``chains`` independent chains; for ladders their first replicas."""
        check_choice("kind", kind, KINDS)
        if kind == "ladder":
            kappas = [self.kappa * factor for factor in (1, 1.5, 2.2)]
            ladder = LadderEnergy(self.student, self.data, kappas=kappas, copies=chains)
            return ladder if self.frozen is None else FrozenLadder(ladder, self.frozen)
        plain = network_posterior(self.student, self.data, kappa=self.kappa, chains=chains)
        energy = MiniBatchEnergy(plain, 1) if kind == "batches" else plain
        return energy if self.frozen is None else Frozen(energy, self.frozen)

    def start(self, energy: Any, random: torch.Generator) -> Tensor:
        """Draws from the prior."""
        width, readouts_only = self.student.width, self.frozen is not None
        theta = self.student.sample_prior(energy.chains, width, random, dtype=torch.float64)
        if not readouts_only:
            return theta
        return self.student.views(theta, energy.chains, width).a.reshape(-1).clone()

    def observe(self, energy: Any, theta: Tensor) -> Tensor:
        """:data:`QUANTITIES` of every chain, (chains, 4)."""
        w, a, _ = energy.predictor_parameters(theta)
        replicas = getattr(energy, "replicas", 1)
        w, a = w[::replicas], a[::replicas]
        field = self.field(w, a, torch.cat([self.point, self.data.inputs]))
        f, loss = field[:, 0], (field[:, 1:] - self.data.labels).square().mean(dim=1)
        return torch.stack([f, f.square(), a.square().sum(dim=1), loss], dim=1)

    def field(self, w: Tensor, a: Tensor, inputs: Tensor) -> Tensor:
        """Outputs f of every chain for some inputs, (chains, samples)."""
        return self.student.forward(Parameters(w, a, a[:, :0]), inputs)


def gaussian() -> KnownAnswer:
    """Readouts of four neurons with fixed ReLU features."""
    student, kappa = Student(dim=3, width=4, gamma=0.4, readout_variance=0.7), 0.5
    data, point = _data(3, 6, seed=3)
    w = torch.randn(4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    features = student.features(w, torch.cat([point, data.inputs])).numpy()
    at_point, features = student.scale * features[:, 0], student.scale * features[:, 1:]
    labels, noise = data.labels.numpy(), kappa**2 * len(data)
    precision = features @ features.T / noise + np.eye(4) / student.readout_variance
    covariance = np.linalg.inv(precision)
    mean = covariance @ features @ labels / noise
    f, spread = at_point @ mean, at_point @ covariance @ at_point
    second = covariance + np.outer(mean, mean)
    residual = features.T @ mean - labels
    loss = np.mean(residual**2) + np.trace(features.T @ covariance @ features) / len(data)
    exact = np.array([f, spread + f**2, np.trace(second), loss])
    curvature = 2 * kappa**2 * float(np.linalg.eigvalsh(precision)[-1])
    return KnownAnswer("Gaussian", student, data, point, kappa, exact, curvature, frozen=w)


def one_neuron(activation: str = "relu") -> KnownAnswer:
    """One neuron in one dimension and one datum, by summation on a grid."""
    student, kappa = Student(dim=1, width=1, activation=activation), 0.5
    inputs, labels = torch.full((1, 1), 1.3).double(), torch.tensor([0.8]).double()
    axis = np.linspace(-8, 8, 1601)
    w, a = np.meshgrid(axis, axis, indexing="ij")
    f = a * student.phi.function(torch.from_numpy(1.3 * w)).numpy()
    weight = np.exp(-((f - 0.8) ** 2) / (2 * kappa**2) - a**2 / 2 - w**2 / 2)
    values = f, f**2, a**2, (f - 0.8) ** 2
    exact = np.array([(weight * value).sum() / weight.sum() for value in values])
    # 2 x² a² at a = 1, beside the prior's T.
    curvature = 2 * 1.3**2 + 2 * kappa**2
    data = Dataset(inputs, labels)
    return KnownAnswer("one neuron", student, data, inputs, kappa, exact, curvature)


def linear_network() -> KnownAnswer:
    """Three linear neurons in two dimensions, by one integral."""
    student, kappa = Student(dim=2, width=3, activation="linear"), 0.5
    data, point = _data(2, 4, seed=1)
    inputs = np.concatenate([point.numpy(), data.inputs.numpy()])
    kernel = student.weight_variance / student.dim * inputs @ inputs.T
    labels, noise, n = data.labels.numpy(), kappa**2 * len(data), student.width
    # The substitution Q = e^u keeps the integrand smooth at small Q.
    grid, logs, means = np.linspace(-12, 4, 2001), [], []
    for q in np.exp(grid):
        whole = q * kernel
        solve = np.linalg.inv(whole[1:, 1:] + noise * np.eye(len(data)))
        mean = whole[:, 1:] @ solve @ labels
        spread = np.diag(whole - whole[:, 1:] @ solve @ whole[1:, :])
        evidence = 0.5 * np.linalg.slogdet(solve)[1] - 0.5 * labels @ solve @ labels
        logs.append(0.5 * n * np.log(q) - n * q / (2 * student.readout_variance) + evidence)
        loss = np.mean((mean[1:] - labels) ** 2 + spread[1:])
        means.append([mean[0], mean[0] ** 2 + spread[0], n * q, loss])
    weight = np.exp(np.array(logs) - max(logs))
    exact = weight @ np.array(means) / weight.sum()
    # The kernel's largest eigenvalue at weights and readouts of prior size, beside the prior's T d.
    curvature = 4 * float(np.linalg.eigvalsh(kernel[1:, 1:])[-1]) / len(data)
    curvature += 2 * kappa**2 * student.dim
    return KnownAnswer("linear network", student, data, point, kappa, exact, curvature)


def _data(dim: int, n_train: int, seed: int) -> tuple[Dataset, Tensor]:
    """Normal inputs, labels of order one that no linear function fits, and a test point."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(n_train + 1, dim))
    labels = 0.8 * inputs[1:, 0] + 0.6 * np.sign(inputs[1:, -1])
    tensors = (torch.from_numpy(each) for each in (inputs[1:], labels, inputs[:1]))
    data, outputs, point = tensors
    return Dataset(data.contiguous(), outputs), point


#: The three problems.
PROBLEMS = (gaussian, one_neuron, linear_network)

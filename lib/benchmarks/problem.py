r"""The problem that all packages solve, written in NumPy so that none is favoured.

    U = (1/P) Σ_μ (f(x_μ) - y_μ)² + T (Σ_i a_i²/2 + d Σ_i |w_i|²/2),   T = 2κ²
    f(x) = N^(-1/2) Σ_i a_i relu(w_i·x)

Sparse parity at the size of the paper's Figure 1: d = 35, k = 4, N = 512. One step of a dynamics
costs one gradient of U:

* ``sgld``: ``θ ← θ - η ∇U + √(2Tη) ξ``
* ``underdamped``: with unit mass, ``v ← v - h ∇U``, ``θ ← θ + (h/2) v``,
  ``v ← e^(-fh) v + √(T (1 - e^(-2fh))) ξ``, ``θ ← θ + (h/2) v``. BAOAB and BAOA visit the same
  positions: they differ in where one step ends and the next begins.
* ``hmc``: a leapfrog step of size h, with a Metropolis test after every ``leapfrogs`` of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_learning import SparseParity, Student, make_dataset
from feature_learning.errors import FeatureLearningError
from feature_learning.model.randomness import generator
from feature_learning.model.teachers import Dataset

Array = NDArray[Any]
SGLD, UNDERDAMPED, HMC = DYNAMICS = ("sgld", "underdamped", "hmc")
#: Samplers that are only used with their own tuning (:mod:`benchmarks.tuned`).
NUTS, MCLMC = "nuts", "mclmc"


class MissingPeerError(FeatureLearningError):
    """A peer is not installed."""


class DisagreementError(FeatureLearningError):
    """A contender makes other steps than those of the problem."""


@dataclass(frozen=True)
class Problem:
    """Data, start and constants. Every step is far below its stability limit at κ = 0.005.

    Attributes
    ----------
    inputs, labels
        (samples, dim) and (samples,), float32.
    w, a
        Start of the chains, (chains, width, dim) and (chains, width).
    temperature
        Temperature T.
    step_size
        Step η of SGLD.
    inertial_step, friction
        Step h and friction f of the underdamped dynamics.
    leapfrog_step, leapfrogs
        Step h of HMC, and number of steps of a trajectory.
    device
        Device of this library; the peers always use the CPU.
    """

    inputs: Array
    labels: Array
    w: Array
    a: Array
    temperature: float
    step_size: float = 0.3
    inertial_step: float = 0.5
    friction: float = 0.02
    leapfrog_step: float = 0.1
    leapfrogs: int = 20
    device: str = "cpu"

    @classmethod
    def make(
        cls,
        *,
        n_train: int,
        chains: int,
        width: int = 512,
        dim: int = 35,
        sparsity: int = 4,
        kappa: float = 0.005,
        seed: int = 0,
        device: str = "cpu",
    ) -> Problem:
        """Chains that start from draws of the prior."""
        data = make_dataset(SparseParity(dim=dim, sparsity=min(sparsity, dim)), n_train, seed=seed)
        student = Student(dim=dim, width=width)
        start = student.sample_prior(chains, width, generator(seed, "start"))
        w, a, _ = student.views(start, chains, width)
        return cls(
            data.inputs.numpy(),
            data.labels.numpy(),
            w.contiguous().numpy(),
            a.contiguous().numpy(),
            2 * kappa**2,
            device=device,
        )

    @property
    def chains(self) -> int:
        """Number of chains."""
        return int(self.w.shape[0])

    @property
    def n_train(self) -> int:
        """P."""
        return len(self.labels)

    @property
    def kappa(self) -> float:
        """κ."""
        return math.sqrt(self.temperature / 2)

    @property
    def operations(self) -> int:
        """Floating-point operations of the two matrix products of one chain's step, 4 P N d."""
        return int(4 * self.n_train * self.w.shape[1] * self.w.shape[2])

    def gradient(self, w: Array, a: Array) -> tuple[Array, Array]:
        """∇U in double precision, in plain form; chain by chain, because activations are large."""
        inputs, (_, width, dim) = self.inputs.astype(float), self.w.shape
        w, a = w.astype(float), a.astype(float)
        of_w, of_a = self.temperature * dim * w, self.temperature * a
        for chain, (weights, readouts) in enumerate(zip(w, a, strict=True)):
            z = weights @ inputs.T
            field = readouts @ np.maximum(z, 0) / math.sqrt(width)
            push = 2 * (field - self.labels) / len(self.labels) / math.sqrt(width)
            of_a[chain] += np.maximum(z, 0) @ push
            of_w[chain] += readouts[:, None] * (((z > 0) * push) @ inputs)
        return of_w, of_a

    @cached_property
    def start_gradient(self) -> tuple[Array, Array]:
        """The :meth:`gradient` at the start of the chains, the reference for all packages."""
        return self.gradient(self.w, self.a)

    def dataset(self) -> Dataset:
        """Inputs and labels for this library."""
        import torch

        tensors = (torch.from_numpy(array) for array in (self.inputs, self.labels))
        return Dataset(*(tensor.to(self.device) for tensor in tensors))

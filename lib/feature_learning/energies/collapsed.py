r"""The collapsed mean field: readouts integrated out, the field from a linear solve (solver 2).

Given the residual r = y - f̄, the readout of a neuron with weights w is Gaussian::

    A(w) = 1/σ_a² + Σ̂(w)/(κ² N^(2γ)),   B(w) = Ĵ_r(w)/(κ² N^γ),   a|w ~ N(B/A, 1/A)
    log p(w) = -d|w|²/(2σ_w²) - ½ log A + B²/(2A) + const

with Σ̂ = (1/P) Σ_μ φ_μ² and Ĵ_r = (1/P) Σ_μ r_μ φ_μ. Only M particles w_b remain. Given the
particles, the self-consistent field f̄ = G r follows from a LINEAR system::

    r = (I + G)⁻¹ y,   G = N^(1-2γ)/(M κ² P) Φᵀ diag(1/A_b) Φ

so the mean field is kernel ridge regression with a kernel that adapts to the data. (Damped
iteration of f̄ itself has gain ~1/κ² and diverges.) Any sampler of this package moves the particles
in the energy -T log p with r frozen; r is recomputed every ``every`` steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from feature_learning.errors import ArgumentError, check_integer, check_scale
from feature_learning.model.factors import cholesky
from feature_learning.model.forward import Forward
from feature_learning.model.parameters import Parameters
from feature_learning.model.priors import Ard, Prior
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset


class CollapsedEnergy:
    """The energy -T log p(w) of M particles in their own frozen field.

    Parameters
    ----------
    student, data, kappa, chains, particles, ard, tile_elements
        As in :class:`~feature_learning.energies.particles.ParticleEnergy`.
    every : int
        Steps between two solutions for the field (and between two updates of ρ with ARD).

    Raises
    ------
    ArgumentError
        If a number is out of range, or the student has an output bias.
    """

    def __init__(
        self,
        student: Student,
        data: Dataset,
        *,
        kappa: float,
        chains: int = 1,
        particles: int | None = None,
        ard: Ard | None = None,
        every: int = 5,
        tile_elements: int | None = None,
    ) -> None:
        check_scale("kappa", kappa)
        check_integer("every", every, at_least=1)
        check_integer("chains", chains, at_least=1)
        if particles is not None:
            check_integer("particles", particles, at_least=1)
        if student.output_bias_variance is not None:
            raise ArgumentError(
                "output_bias_variance must be None for the collapsed mean field, not "
                f"{student.output_bias_variance!r}"
            )
        self.student, self.data, self.kappa, self.ard = student, data, kappa, ard
        self.particles = student.width if particles is None else particles
        self.temperature, self.chains, self.refresh_every = 2 * kappa**2, chains, every
        self.scale = student.scale * student.width / self.particles
        self.forward = Forward(
            student,
            data,
            chains=chains,
            particles=self.particles,
            scale=self.scale,
            tile_elements=tile_elements,
        )
        self.prior = Prior(
            student,
            temperature=self.temperature,
            chains=chains,
            particles=self.particles,
            readout=False,
            ard=ard,
            like=data.inputs,
        )
        #: Frozen residual r = y - f̄, (chains, samples).
        self.residual = data.labels.expand(chains, -1).clone()
        self._grad_w = torch.empty_like(self._weights(self.prior.spring_constant))
        self._grad_square = torch.empty_like(self._grad_w)
        self._grad_a = self._grad_w.new_empty(chains, self.particles)
        self._square_sum = torch.empty_like(self._grad_a)

    def _weights(self, theta: Tensor) -> Tensor:
        return self.student.views(theta, self.chains, self.particles, readout=False).w

    def _with_readout(self, theta: Tensor, a: Tensor) -> Parameters:
        return Parameters(self._weights(theta), a, a.new_empty(self.chains, 0))

    def _factor(self, system: Tensor) -> Tensor:
        return cholesky(system, kappa=self.kappa, what="the linear system of the field")

    def _precision(self, square_sum: Tensor) -> Tensor:
        """A(w_b) from Σ_μ φ_bμ²."""
        noise = self.kappa**2 * len(self.forward)
        return square_sum * (self.student.scale**2 / noise) + 1 / self.student.readout_variance

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        r"""Write ∂(-T log p)/∂w_b into ``out``.

        The derivative is::

            (2N^(-γ)/P) [ N^(-γ) ⟨a²⟩ Σ_μ φ φ' x - ⟨a⟩ Σ_μ r φ' x ] + T w_b/s²

        with ⟨a⟩ = B/A and ⟨a²⟩ = 1/A + ⟨a⟩²: the particle gradient with the readout averaged.
        """
        w = self._weights(theta)
        self.forward.accumulate_fixed_gradients(
            w,
            residual=self.residual,
            grad_w=self._grad_w,
            grad_a=self._grad_a,
            grad_square=self._grad_square,
            square_sum=self._square_sum,
        )
        n_train, scale = len(self.forward), self.student.scale
        precision = self._precision(self._square_sum)
        mean = self._grad_a * (scale / (self.kappa**2 * n_train)) / precision
        square = mean.square() + precision.reciprocal()
        gradient = self._weights(out)
        torch.mul(self._grad_square, (square * scale).unsqueeze(2), out=gradient)
        gradient.addcmul_(self._grad_w, mean.unsqueeze(2), value=-1).mul_(2 * scale / n_train)
        gradient.addcmul_(w, self._weights(self.prior.spring_constant))

    def solve(self, theta: Tensor) -> Tensor:
        """Mean readouts ⟨a_b⟩ of the self-consistent field, (chains, particles).

        Solves the smaller of two equivalent systems: over samples (P ≤ M) or, by the Woodbury
        identity, over particles. Double precision: the eigenvalues of G span a factor of about M.
        """
        w, labels = self._weights(theta), self.data.labels
        coefficient = (
            self.student.width
            * self.student.scale**2
            / (self.particles * self.kappa**2 * len(self.forward))
        )
        if len(self.forward) <= self.particles:
            features = self.forward.features(w).double()
            precision = self._precision(features.square().sum(dim=2))
            weighted = features / precision.unsqueeze(2)
            system = coefficient * features.transpose(1, 2) @ weighted
            system.diagonal(dim1=1, dim2=2).add_(1)
            target = labels.double().expand(self.chains, -1).unsqueeze(2)
            residual = torch.cholesky_solve(target, self._factor(system))
            overlap = (weighted @ residual).squeeze(2)
            mean = overlap * (self.student.scale / (self.kappa**2 * len(self.forward)))
        else:
            gram, phi_y = self.forward.gram(w)
            precision = self._precision(gram.diagonal(dim1=1, dim2=2))
            root = (coefficient / precision).sqrt()
            system = root.unsqueeze(2) * gram * root.unsqueeze(1)
            system.diagonal(dim1=1, dim2=2).add_(1)
            target = (root * phi_y).unsqueeze(2)
            solved = torch.cholesky_solve(target, self._factor(system)).squeeze(2)
            mean = root * solved / self.scale
        return mean.to(w.dtype)

    def refresh(self, theta: Tensor) -> None:
        """Solve for the field of the present particles, and update ρ to their weights."""
        field = self.forward.predict(
            self._with_readout(theta, self.solve(theta)), out=self.residual
        )
        torch.sub(self.data.labels, field, out=self.residual)
        self.prior.refresh(self._weights(theta))

    def predictor_parameters(self, theta: Tensor) -> Parameters:
        """Weights and self-consistent mean readouts, which define f̄."""
        return self._with_readout(theta, self.solve(theta))

    def state_dict(self) -> dict[str, Tensor]:
        """ρ and the frozen residual."""
        return {"precision": self.prior.precision, "residual": self.residual}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the tensors of :meth:`state_dict`."""
        self.residual.copy_(state["residual"])
        self.prior.precision.copy_(state["precision"])
        if self.ard is not None:
            self.prior.apply()

    def potential(self, theta: Tensor) -> Tensor:
        """-T log p of each chain in the frozen field, (chains,); differentiable, for tests."""
        w = self._weights(theta)
        phi = self.student.features(w, self.data.inputs)
        precision = self._precision(phi.square().sum(dim=2))
        grad_w = (phi @ self.residual.unsqueeze(2)).squeeze(2) * (
            self.student.scale / (self.kappa**2 * len(self.forward))
        )
        log_weight = 0.5 * grad_w.square() / precision - 0.5 * precision.log()
        prior = self._weights(self.prior.value(theta)).flatten(1).sum(dim=1)
        return prior - self.temperature * log_weight.sum(dim=1)

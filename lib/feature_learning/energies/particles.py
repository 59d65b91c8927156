r"""Energies of particles: network posterior, mean field and MF-ARD are one family.

Every energy U is sampled at temperature T = 2κ², p ∝ exp(-U/T), and U = data term + T · prior:

* network posterior: ``U = L(f) + T [Σ a²/(2σ_a²) + Σ d|w|²/(2σ_w²)]`` with the loss
  ``L = (1/P) Σ_μ (f(x_μ) - y_μ)²``
* mean field, M particles: the same with the field ``f̄ = (N^(1-γ)/M) Σ_b a_b φ_b``, weight M/N on L,
  and the self-energy ``Ω = N^(-2γ) Σ_b a_b² (1/P) Σ_μ φ_bμ²``. The drift of one particle is then
  exactly that of the one-neuron distribution in the field f̄. With M = N and without Ω this IS the
  network.
* either with ARD, prior precisions that follow the particles: :mod:`feature_learning.model.priors`.
* any of them with a penalty on the weights, :mod:`feature_learning.model.penalties`, added to U.

L is the mean squared error without a factor ½: each label then has Gaussian noise of variance κ²P.
This convention is fixed only here; tests check both the 2 and the P. The collapsed mean field, with
readouts integrated out, is in :mod:`feature_learning.energies.collapsed`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from feature_learning.errors import ArgumentError, check_integer, check_scale
from feature_learning.model.factors import cholesky
from feature_learning.model.forward import Forward
from feature_learning.model.parameters import Parameters, chain_sums
from feature_learning.model.penalties import HomogeneityPenalty
from feature_learning.model.priors import Ard, Prior
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset


class ParticleEnergy:
    """Energy of M particles (w_b, a_b): the network posterior, MF and MF-ARD (module docstring).

    Parameters
    ----------
    student : Student
    data : Dataset
        Training inputs and labels.
    kappa : float
        Noise scale; T = 2κ².
    chains : int
        Independent copies sampled in one batch.
    particles : int or None
        M; None means the width. Without self-energy M must equal the width.
    self_energy : bool
        True adds Ω (mean field); False gives the network posterior.
    ard : Ard or None
        Adapt the prior precision of each input coordinate.
    homogeneity_penalty : float
        λ ≥ 0 of the :class:`~feature_learning.model.penalties.HomogeneityPenalty`.
    tile_elements : int or None
        Memory bound, see :class:`~feature_learning.model.forward.Forward`.

    Raises
    ------
    ArgumentError
        For κ ≤ 0, λ < 0, M ≠ N without self-energy, or an output bias with M ≠ N.
    """

    def __init__(
        self,
        student: Student,
        data: Dataset,
        *,
        kappa: float,
        chains: int = 1,
        particles: int | None = None,
        self_energy: bool = False,
        ard: Ard | None = None,
        homogeneity_penalty: float = 0.0,
        tile_elements: int | None = None,
    ) -> None:
        check_scale("kappa", kappa)
        check_integer("chains", chains, at_least=1)
        particles = student.width if particles is None else particles
        check_integer("particles", particles, at_least=1)
        if particles != student.width and not self_energy:
            raise ArgumentError(
                f"particles must equal width = {student.width} for a network, not {particles}"
            )
        if particles != student.width and student.output_bias_variance is not None:
            raise ArgumentError(
                f"particles must equal width = {student.width} when there is an output bias, "
                f"not {particles}: its prior would need the weight M/N too"
            )
        self.student, self.data, self.kappa = student, data, kappa
        self.temperature, self.chains, self.particles = 2 * kappa**2, chains, particles
        self.self_energy, self.ard, self.tile_elements = self_energy, ard, tile_elements
        self.refresh_every = ard.every if ard is not None else 0
        self.scale = student.scale * student.width / particles
        self.forward = Forward(
            student,
            data,
            chains=chains,
            particles=particles,
            scale=self.scale,
            coupled=self_energy,
            tile_elements=tile_elements,
        )
        self.prior = Prior(
            student,
            temperature=self.temperature,
            chains=chains,
            particles=particles,
            readout=True,
            ard=ard,
            like=data.inputs,
        )
        self._recalled: list[tuple[Tensor, Parameters] | None] = [None, None]
        readouts = self.views(self.prior.spring_constant).a
        #: N^(-γ) a_b, the strength with which Ω couples a particle to itself.
        self._coupling = torch.empty_like(readouts) if self_energy else None
        self.penalty = HomogeneityPenalty(homogeneity_penalty, student.dim)
        weights = self.views(self.prior.spring_constant).w
        self._penalty_buffers = self.penalty.buffers(weights) if homogeneity_penalty else None

    def views(self, theta: Tensor) -> Parameters:
        """Views of the flat vector: w (chains, M, fan_in), a (chains, M), c (chains, 0 or 1)."""
        return self.student.views(theta, self.chains, self.particles)

    def _recall(self, flat: Tensor, slot: int) -> Parameters:
        """Views of a vector that is used in every step, made once: they cost microseconds."""
        known = self._recalled[slot]
        if known is None or known[0] is not flat:
            known = self._recalled[slot] = (flat, self.views(flat))
        return known[1]

    def predictor_parameters(self, theta: Tensor) -> Parameters:
        """The parameters that define the predictor: all of them."""
        return self.views(theta)

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        r"""Write ∂U/∂θ into ``out``.

        With r = f - y and k = 2N^(-γ)/P (for every M: the weight M/N cancels against N^(1-γ)/M)::

            ∂U/∂w_b = k a_b Σ_μ (r_μ + s_b φ) φ' x_μ + T w_b/s²
            ∂U/∂a_b = k     Σ_μ (r_μ + s_b φ) φ      + T a_b/σ_a²

        where the coupling s_b = N^(-γ) a_b comes from Ω and is zero for the network. A penalty adds
        its own gradient with respect to w_b.
        """
        parameters, gradient = self._recall(theta, 0), self._recall(out, 1)
        self.data_gradient(self.forward, parameters, gradient)
        self.add_prior(theta, out)
        self.add_penalty(parameters, gradient)

    def data_gradient(self, field: Forward, parameters: Parameters, gradient: Parameters) -> None:
        """Write the gradient of the data term, on the samples of ``field``, into ``gradient``.

        ``parameters`` may belong to a part of the chains; ``field`` must then have as many.
        """
        a, coupling = parameters.a, self._coupling
        if coupling is not None:
            coupling = torch.mul(a, self.student.scale, out=coupling[: len(a)])
        field.accumulate_gradients(
            parameters,
            scale_factor=2 * self.student.scale / len(field),
            grad_w=gradient.w,
            grad_a=gradient.a,
            coupling=coupling,
            bias=gradient.c if gradient.c.shape[1] else None,
        )
        if gradient.c.shape[1]:
            gradient.c.mul_(2 * self.particles / self.student.width / len(field))

    def add_prior(self, theta: Tensor, out: Tensor) -> None:
        """Add the gradient of T · prior."""
        out.addcmul_(theta, self.prior.spring_constant)

    def prior_value(self, theta: Tensor) -> Tensor:
        """T · prior of each chain, (chains,), in double precision."""
        return chain_sums(self.views(self.prior.value(theta)))

    def refresh(self, theta: Tensor) -> None:
        """Update ρ to the present weights."""
        self.prior.refresh(self.views(theta).w)

    def state_dict(self) -> dict[str, Tensor]:
        """ρ, (chains, 1, dim)."""
        return {"precision": self.prior.precision} if self.ard is not None else {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the tensors of :meth:`state_dict`."""
        if self.ard is not None:
            self.prior.precision.copy_(state["precision"])
            self.prior.apply()

    def add_penalty(self, parameters: Parameters, gradient: Parameters) -> None:
        """Add the gradient of the penalty, if there is one."""
        if self._penalty_buffers is not None:
            self.penalty.add_gradient(parameters.w, gradient.w, self._penalty_buffers)

    def loss(self, theta: Tensor) -> Tensor:
        """Sum of L (with its weight M/N), Ω and the penalty, (chains,), in double precision."""
        parameters = self.views(theta)
        residual = self.forward.predict(parameters).double() - self.forward.labels
        value = (self.particles / self.student.width) * residual.square().mean(dim=1)
        if self.self_energy:
            power = self.forward.powers(parameters.w).double() * parameters.a.double().square()
            value += self.student.scale**2 / len(self.forward) * power.sum(dim=1)
        return value + self.penalty.value(parameters.w) if self.penalty.strength else value

    def readout_distribution(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        r"""Mean (chains, M) of the readouts given the weights, and the Cholesky factor of Λ.

        Without output bias the readouts are Gaussian, a | W ~ N(Λ⁻¹ b, Λ⁻¹); double precision::

            Λ = k s² ΦΦᵀ + k' diag(ΦΦᵀ) + 1/σ_a²,   b = k s Φy
            k = 2(M/N)/(PT),   k' = 2N^(-2γ)/(PT) with self-energy, else 0,   s the scale
        """
        gram, phi_y = self.forward.gram(self.views(theta).w)
        unit = 2 / (len(self.forward) * self.temperature)
        weight = unit * self.particles / self.student.width
        precision = (weight * self.scale**2) * gram
        diagonal = precision.diagonal(dim1=1, dim2=2)
        if self.self_energy:
            diagonal += unit * self.student.scale**2 * gram.diagonal(dim1=1, dim2=2)
        diagonal += 1 / self.student.readout_variance
        factor = cholesky(
            precision,
            kappa=self.kappa,
            what="the precision of the readouts given the weights",
        )
        mean = torch.cholesky_solve((weight * self.scale * phi_y).unsqueeze(2), factor)
        return mean.squeeze(2), factor

    def value(self, theta: Tensor) -> Tensor:
        """U of each chain, (chains,): :meth:`potential` by one pass over the field's tiles."""
        return self.loss(theta) + self.prior_value(theta)

    def potential(self, theta: Tensor) -> Tensor:
        """U of each chain, (chains,); differentiable and memory-intensive, for tests."""
        parameters = self.views(theta)
        w, a, _ = parameters
        f = self.student.forward(parameters, self.data.inputs, scale=self.scale)
        value = (self.particles / self.student.width) * (f - self.data.labels).square().mean(dim=1)
        if self.self_energy:
            power = self.student.features(w, self.data.inputs).square().mean(dim=2)
            value = value + self.student.scale**2 * (a.square() * power).sum(dim=1)
        return value + self.penalty.value(w) + self.prior_value(theta)


def network_posterior(
    student: Student,
    data: Dataset,
    *,
    kappa: float,
    chains: int = 1,
    homogeneity_penalty: float = 0.0,
    tile_elements: int | None = None,
) -> ParticleEnergy:
    """The Bayesian posterior of the network: U = L + T · prior, plus a penalty if asked for.

    The prior is Gaussian; for another, see :mod:`feature_learning.energies.own_prior`.
    """
    return ParticleEnergy(
        student,
        data,
        kappa=kappa,
        chains=chains,
        homogeneity_penalty=homogeneity_penalty,
        tile_elements=tile_elements,
    )


def mean_field_energy(
    student: Student,
    data: Dataset,
    *,
    kappa: float,
    chains: int = 1,
    particles: int | None = None,
    ard: Ard | None = None,
    tile_elements: int | None = None,
) -> ParticleEnergy:
    """The mean-field energy U = (M/N) L(f̄) + Ω + T · prior; with ``ard`` MF-ARD."""
    return ParticleEnergy(
        student,
        data,
        kappa=kappa,
        chains=chains,
        particles=particles,
        self_energy=True,
        ard=ard,
        tile_elements=tile_elements,
    )

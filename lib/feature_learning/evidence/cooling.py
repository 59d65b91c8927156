r"""The two paths of a population of networks: cooling from the prior, and release from a tether.

Cooling, t = β = 1/(2κ²), leads from the prior (β = 0) to the posterior at the given κ ::

    π_β(W) = p(W) G_β(W),   G_β(W) = ∫ p(a) exp(-β L(W, a)) da

The readouts a are integrated out, so that their fluctuations do not broaden the distribution of the
weights w_r. With the eigenvalues e_i of ΦΦᵀ, the components g_i of Φy along its eigenvectors, the
scale s of the output and q = 2β/P, one decomposition serves all β::

    log G_β = -½ Σ_i log σ_a² λ_i - ½ q |y|² + ½ Σ_i (q s g_i)²/λ_i,   λ_i = q s² e_i + 1/σ_a²

Release, t = λ, removes the tether of the first neurons (:mod:`feature_learning.energies.tether`)
at fixed κ.

Both paths are for networks (not mean fields) without output bias. Members move by
:class:`~feature_learning.samplers.Gibbs`: exact readouts given W, weights by Langevin dynamics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from feature_learning.energies.tether import Tether, TetheredEnergy
from feature_learning.errors import ArgumentError, check_integer, check_scale
from feature_learning.evidence.annealing import FloatArray, Population
from feature_learning.model.randomness import offspring
from feature_learning.model.student import Student
from feature_learning.model.teachers import Dataset
from feature_learning.model.tiled_forward import TiledForward
from feature_learning.samplers.friction import automatic_friction
from feature_learning.samplers.gibbs import Gibbs
from feature_learning.samplers.steps import default_step

#: Highest κ at which members move; at larger κ their distribution is practically the prior.
_HOTTEST = 10.0
#: Moves between two measurements of the curvature, which sets the step size.
_STEP_EVERY = 5


@dataclass(frozen=True)
class ReadoutEvidence:
    """log G_β of networks with given weights, as a function of β.

    Attributes
    ----------
    eigenvalues, components : array (chains, particles)
        Eigenvalues e_i and components g_i.
    power : float
        Squared norm ``|y|²`` of the labels.
    n_train : int
        Number of training samples P.
    student : Student
    """

    eigenvalues: FloatArray
    components: FloatArray
    power: float
    n_train: int
    student: Student

    def __call__(self, beta: float) -> FloatArray:
        """The log of G_β, (chains,)."""
        q, scale = 2 * beta / self.n_train, self.student.scale
        variance = self.student.readout_variance
        precision = q * scale**2 * self.eigenvalues + 1 / variance
        explained = (np.square(q * scale * self.components) / precision).sum(axis=1)
        return np.asarray(
            0.5 * (explained - q * self.power) - 0.5 * np.log(variance * precision).sum(axis=1)
        )


class _Networks:
    """Base class of the two paths: networks in one batch, and how they move."""

    def __init__(
        self,
        student: Student,
        data: Dataset,
        *,
        kappa: float,
        members: int,
        steps: int = 20,
        tether: Tether | None = None,
        tile_elements: int | None = None,
    ) -> None:
        check_scale("kappa", kappa)
        check_integer("members", members, at_least=2)
        check_integer("steps", steps, at_least=1)
        if student.output_bias_variance is not None:
            raise ArgumentError(
                "a population needs a student without output bias, not output_bias_variance = "
                f"{student.output_bias_variance!r}"
            )
        self.student, self.data, self.kappa, self.members = student, data, kappa, members
        self.steps, self.tether, self.tile_elements = steps, tether, tile_elements

    def views(self, position: Tensor) -> Tensor:
        """Hidden weights (members, particles, fan_in)."""
        return self.student.views(position, self.members, self.student.width).w

    def choose(self, position: Tensor, order: NDArray[np.int64]) -> None:
        """Replace member r by member ``order[r]``."""
        chosen = torch.from_numpy(order).to(position.device)
        for piece in self.student.views(position, self.members, self.student.width):
            piece.copy_(piece[chosen])

    def energy(self, kappa: float, law: Tether | None) -> TetheredEnergy:
        """Energy of all members at κ, with the tether ``law`` of the first neurons."""
        energy = TetheredEnergy(
            self.student,
            self.data,
            kappa=kappa,
            chains=self.members,
            tile_elements=self.tile_elements,
        )
        if law is not None:
            energy.tether(law)
        return energy

    def advance(
        self, population: Population, energy: TetheredEnergy, random: torch.Generator
    ) -> None:
        """``steps`` steps of every member, in place, after an exact draw of the readouts."""
        friction = automatic_friction(self.student, kappa=energy.kappa, readout=False)
        sampler = Gibbs(1.0, every=self.steps + 1, friction=friction)
        # The step size is measured with readouts drawn at this noise.
        sampler.draw_readouts(energy, population.position, random)
        if not population.step_size or len(population.ladder) % _STEP_EVERY == 1:
            population.step_size = default_step(sampler, energy, population.position)
        sampler = sampler.with_step(population.step_size)
        state = sampler.init(energy, population.position, random)
        with energy.forward.stepping():
            # done=1 avoids a second draw of the readouts.
            sampler.advance(state, energy, self.steps, random, done=1)
        population.position.copy_(state.position)


class Cooling(_Networks):
    """Path from the prior to the posterior at κ, optionally with a tether of the first neurons.

    Parameters
    ----------
    student : Student
    data : Dataset
    kappa : float
        Noise at the end of the path.
    members : int
    steps : int
        Steps of the sampler at every noise.
    tether : Tether, optional
        Distribution that replaces the prior of the first neurons on the whole path.
    tile_elements : int, optional
        Memory bound.

    Raises
    ------
    ArgumentError
        If a number is out of range, or for a student with output bias.
    """

    begin = 0.0

    @property
    def end(self) -> float:
        """β at κ."""
        return 0.5 / self.kappa**2

    def place(self, share: float) -> float:
        """The β at a share of log(1 + β/β_0), with β_0 that of the highest noise."""
        first = 0.5 / _HOTTEST**2
        return first * math.expm1(share * math.log1p(self.end / first))

    def start(self, random: torch.Generator) -> Tensor:
        """Draws at β = 0, made on the CPU."""
        random = offspring(random)
        labels = self.data.labels
        position = self.student.sample_prior(
            self.members, self.student.width, random, dtype=labels.dtype, device=labels.device
        )
        if self.tether is not None:
            w = self.views(position)
            w[:, : self.tether.neurons] = self.tether.draw(self.members, random).to(w)
        return position

    def log_density(self, position: Tensor) -> Callable[[float], FloatArray]:
        """The function β → log G_β of every member; the prior cancels between different β."""
        return readout_evidence(
            self.student, self.data, self.views(position), tile_elements=self.tile_elements
        )

    def move(self, population: Population, random: torch.Generator) -> None:
        """Move every member at κ = 1/√(2β)."""
        beta = population.at or self.end
        kappa = self.kappa if beta >= self.end else min(math.sqrt(0.5 / beta), _HOTTEST)
        self.advance(population, self.energy(kappa, self.tether), random)


class Release(_Networks):
    """Path from the tethered (λ = 0) to the free posterior (λ = 1), see :class:`Cooling`."""

    begin, end = 0.0, 1.0

    @cached_property
    def ends(self) -> tuple[Tether, Tether]:
        """The distributions q_0 and q_1 of the first neurons."""
        if self.tether is None:
            raise ArgumentError("a release needs a tether")
        return self.tether, Tether.prior(self.student, self.tether.neurons)

    def place(self, share: float) -> float:
        """λ = 1 - (1 - share)³, since the distribution changes most at the end of the release."""
        return float(1 - (1 - share) ** 3)

    def law(self, fraction: float) -> Tether:
        """The distribution q_λ of the first neurons."""
        held, free = self.ends
        return held.towards(free, fraction)

    def log_density(self, position: Tensor) -> Callable[[float], FloatArray]:
        """The function λ → log q_λ of the first neurons; all else does not depend on λ."""
        w = self.views(position)[:, : self.ends[0].neurons].double().cpu().numpy()
        return lambda fraction: self.law(fraction).log_density(w)

    def move(self, population: Population, random: torch.Generator) -> None:
        """Move every member at κ, with the first neurons held to q_λ."""
        law = self.law(1.0 if population.at is None else population.at)
        self.advance(population, self.energy(self.kappa, law), random)


def readout_evidence(
    student: Student, data: Dataset, w: Tensor, *, tile_elements: int | None = None
) -> ReadoutEvidence:
    """The function β → log G_β for weights (chains, particles, fan_in), in double precision."""
    field = TiledForward(
        student,
        Dataset(data.inputs.double(), data.labels.double()),
        chains=w.shape[0],
        particles=w.shape[1],
        scale=student.scale,
        tile_elements=tile_elements,
    )
    gram, phi_y = field.gram(w.double())
    eigenvalues, vectors = torch.linalg.eigh(gram)
    components = (vectors.mT @ phi_y.unsqueeze(2)).squeeze(2)
    return ReadoutEvidence(
        eigenvalues.clamp_min(0).cpu().numpy(),
        components.cpu().numpy(),
        float(field.labels.square().sum()),
        len(data),
        student,
    )

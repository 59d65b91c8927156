r"""Mini-batches: an energy whose gradient is also to be had, with noise, from some of the samples.

The training set is cut into blocks of B samples (the last one may be smaller). With block b chosen
with probability P_b/P, independently for every chain and step::

    ĝ = ∂L_b/∂θ + T ∂prior/∂θ,   L_b = (1/P_b) Σ_{μ in b} (f(x_μ) - y_μ)²,   E ĝ = ∇U exactly

The blocks stay as they are: which samples share a block is fixed, which block is used is random. ĝ
has the covariance ``C(θ) = Σ_b (P_b/P) (∇L_b - ∇L)(∇L_b - ∇L)ᵀ``, which SGLD of step η turns into
additional noise of variance η² C per step, beside the 2ηT of the thermal one: an excess temperature
ηC/2, of first order in η, which depends on θ. It is not removed here.

Memory is that of a few blocks, however many there are. Chains are taken one after the other, each
with its own block: a batch of chains saves nothing here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from feature_learning.energies.particles import ParticleEnergy
from feature_learning.errors import ArgumentError, check_integer
from feature_learning.model.field import Field
from feature_learning.model.parameters import Parameters
from feature_learning.model.teachers import Dataset

#: Fields in which all blocks but the last take turns; with the last one's own there are
#: ``HELD + 1`` at most, each with its samples and its buffers.
HELD = 16


class MiniBatchEnergy:
    """A particle energy with :meth:`estimate`; in everything else the energy it is made from.

    Parameters
    ----------
    energy : ParticleEnergy
        Network posterior or mean field, without ARD.
    batch_size : int
        B, at most the number of samples.
    """

    def __init__(self, energy: ParticleEnergy, batch_size: int) -> None:
        data = energy.data
        check_integer("batch_size", batch_size, at_least=1, at_most=len(data))
        if energy.refresh_every:
            raise ArgumentError("batch_size needs an energy without ARD")
        self.full, self.batch_size = energy, batch_size
        self.temperature, self.chains, self.particles = (
            energy.temperature,
            energy.chains,
            energy.particles,
        )
        self.scale, self.refresh_every, self.field = energy.scale, 0, energy.field
        self._holders: dict[int, tuple[int, Field]] = {}

    def __len__(self) -> int:
        """The number of blocks."""
        return math.ceil(len(self.full.data) / self.batch_size)

    def cut(self, block: int) -> slice:
        """The samples of a block."""
        first = block * self.batch_size
        return slice(first, min(first + self.batch_size, len(self.full.data)))

    def draw(self, random: torch.Generator) -> list[int]:
        """The block of each chain: that of a sample drawn at random."""
        samples = torch.randint(
            len(self.full.data), (self.chains,), generator=random, device=random.device
        )
        return [int(sample) // self.batch_size for sample in samples]

    def _field(self, block: int) -> Field:
        """The field of one chain on a block.

        A field has buffers of its own: blocks take turns in :data:`HELD` of them, but for the last
        one, which may be smaller and has a field to itself.
        """
        slot = -1 if block == len(self) - 1 else block % HELD
        held, field = self._holders.get(slot, (None, None))
        if held == block and field is not None:
            return field
        full, cut = self.full, self.cut(block)
        if field is None:
            field = Field(
                full.student,
                _part(full.data, cut),
                chains=1,
                particles=full.particles,
                scale=full.scale,
                coupled=full.self_energy,
                block_elements=full.block_elements,
            )
        else:
            field.refill(full.data.inputs[cut], full.data.labels[cut])
        self._holders[slot] = block, field
        return field

    def estimate(self, theta: Tensor, out: Tensor, random: torch.Generator) -> None:
        """ĝ with a fresh block for every chain, written into ``out``."""
        self.estimate_from(theta, out, self.draw(random))

    def estimate_from(self, theta: Tensor, out: Tensor, chosen: list[int]) -> None:
        """ĝ with the given block for each chain, written into ``out``."""
        full = self.full
        parameters, gradient = full.views(theta), full.views(out)
        for chain, block in enumerate(chosen):
            one = slice(chain, chain + 1)
            mine = Parameters(*(piece[one] for piece in parameters))
            ours = Parameters(*(piece[one] for piece in gradient))
            full.data_gradient(self._field(block), mine, ours)
        full.add_penalty(parameters, gradient)
        out.addcmul_(theta, full.prior.stiffness)

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """∇U with all samples."""
        self.full.gradient(theta, out)

    def views(self, theta: Tensor) -> Parameters:
        """Views of the flat vector."""
        return self.full.views(theta)

    def readout(self, theta: Tensor) -> Parameters:
        """The parameters that define the predictor."""
        return self.full.readout(theta)

    def refresh(self, theta: Tensor) -> None:
        """Nothing follows the particles."""

    def memory(self) -> dict[str, Tensor]:
        """Nothing: blocks are fixed, and drawn with the generator of the run."""
        return {}

    def restore(self, memory: dict[str, Tensor]) -> None:
        """Nothing to put back."""


def _part(data: Dataset, cut: slice) -> Dataset:
    """Some samples of a data set, copied."""
    fields = {**vars(data), "inputs": data.inputs[cut].clone(), "labels": data.labels[cut].clone()}
    return Dataset(**fields)

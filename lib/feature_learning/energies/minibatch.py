r"""Mini-batches: an energy with an unbiased estimate of its gradient from some of the samples.

The training set is cut into blocks of B samples (the last one may be smaller). With block b chosen
with probability P_b/P, independently for every chain and step::

    ĝ = ∂L_b/∂θ + T ∂prior/∂θ,   L_b = (1/P_b) Σ_{μ in b} (f(x_μ) - y_μ)²,   E ĝ = ∇U exactly

The blocks are fixed; only the choice of the block is random. ĝ has the covariance
``C(θ) = Σ_b (P_b/P) (∇L_b - ∇L)(∇L_b - ∇L)ᵀ``, which SGLD of step η turns into additional noise of
variance η² C per step, besides the thermal noise 2ηT: an excess temperature ηC/2, of first order in
η, which depends on θ. It is not corrected here.

Memory is that of a few blocks, whatever their number. Chains are processed one after the other,
each with its own block, so a batch of chains saves no time here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from feature_learning.energies.base import Fixed
from feature_learning.energies.particles import ParticleEnergy
from feature_learning.errors import ArgumentError, check_integer
from feature_learning.model.forward import Forward
from feature_learning.model.parameters import Parameters
from feature_learning.model.teachers import Dataset

#: Number of forward passes, with samples and buffers, that all blocks but the last share; the last
#: block has its own, so that there are at most ``HELD + 1``.
HELD = 16


class MiniBatchEnergy(Fixed):
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
        self.scale, self.forward = energy.scale, energy.forward
        self._holders: dict[int, tuple[int, Forward]] = {}

    def __len__(self) -> int:
        """The number of blocks."""
        return math.ceil(len(self.full.data) / self.batch_size)

    def cut(self, block: int) -> slice:
        """Range of the samples of a block."""
        first = block * self.batch_size
        return slice(first, min(first + self.batch_size, len(self.full.data)))

    def draw(self, random: torch.Generator) -> list[int]:
        """Draw a block for each chain, as the block of a random sample."""
        drawn = torch.randint(
            len(self.full.data), (self.chains,), generator=random, device=random.device
        )
        return [int(sample) // self.batch_size for sample in drawn]

    def _forward(self, block: int) -> Forward:
        """The forward pass of one chain on a block.

        Each forward pass has its own buffers: the blocks share :data:`HELD` of them, except for the
        last block, which may be smaller and has its own.
        """
        slot = -1 if block == len(self) - 1 else block % HELD
        held, field = self._holders.get(slot, (None, None))
        if held == block and field is not None:
            return field
        full, cut = self.full, self.cut(block)
        if field is None:
            field = Forward(
                full.student,
                _part(full.data, cut),
                chains=1,
                particles=full.particles,
                scale=full.scale,
                coupled=full.self_energy,
                tile_elements=full.tile_elements,
            )
        else:
            field.refill(full.data.inputs[cut], full.data.labels[cut])
        self._holders[slot] = block, field
        return field

    def estimate(self, theta: Tensor, out: Tensor, random: torch.Generator) -> None:
        """Write ĝ into ``out``, with a fresh block for every chain."""
        self.estimate_from(theta, out, self.draw(random))

    def estimate_from(self, theta: Tensor, out: Tensor, chosen: list[int]) -> None:
        """Write ĝ into ``out``, with the given block for each chain."""
        full = self.full
        parameters, gradient = full.views(theta), full.views(out)
        for chain, block in enumerate(chosen):
            one = slice(chain, chain + 1)
            mine = Parameters(*(piece[one] for piece in parameters))
            ours = Parameters(*(piece[one] for piece in gradient))
            full.data_gradient(self._forward(block), mine, ours)
        full.add_penalty(parameters, gradient)
        full.add_prior(theta, out)

    def gradient(self, theta: Tensor, out: Tensor) -> None:
        """∇U with all samples."""
        self.full.gradient(theta, out)

    def views(self, theta: Tensor) -> Parameters:
        """Views of the flat vector."""
        return self.full.views(theta)

    def predictor_parameters(self, theta: Tensor) -> Parameters:
        """The parameters that define the predictor."""
        return self.full.predictor_parameters(theta)


def _part(data: Dataset, cut: slice) -> Dataset:
    """Copy of some samples of a data set."""
    fields = {**vars(data), "inputs": data.inputs[cut].clone(), "labels": data.labels[cut].clone()}
    return Dataset(**fields)

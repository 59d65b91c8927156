"""The field of a batch of networks on one data set, and the sums every gradient is made of."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from feature_learning.errors import ArgumentError, check_integer
from feature_learning.student import Parameters, Student
from feature_learning.teachers import Dataset


class _Block(NamedTuple):
    """One block of samples, with every view the loop needs made once: views cost microseconds."""

    span: slice
    inputs: Tensor  # (block, fan_in)
    inputs_t: Tensor  # (fan_in, block)
    labels: Tensor  # (block,), broadcast to (chains, 1, block)
    z: Tensor  # (chains·particles, block): pre-activations, then φ, then (ReLU) φ'
    scratch: Tensor  # the same shape; the same memory where the activation needs none
    z_batch: Tensor  # z and scratch as (chains, particles, block)
    scratch_batch: Tensor
    f: Tensor  # (chains, 1, block): the field, then the residual
    f_column: Tensor  # the same as (chains, block, 1)
    rx: Tensor  # (chains, block, fan_in): residual times input


class Field:
    r"""The field of a batch of networks on one data set, and its gradient, without allocation.

    Inputs are stored in blocks, transposed and not. Two matrix products per block are all the
    arithmetic that counts: pre-activations ``z = W Xᵀ`` and ``G = φ'(z) · (r ∘ X)``. A block's
    residual is final as soon as its own forward pass is done, so one pass over the data does both,
    and the activations of a block can stay in the cache.

    Parameters
    ----------
    student : Student
    data : Dataset
        Inputs (samples, dim) and labels (samples,).
    chains, particles : int
        Leading axes of the parameters; ``particles`` is the width for a network.
    scale : float
        f = scale · Σ_b a_b φ_b + c; N^(-γ) for a network, N^(1-γ)/M for a mean field.
    block_elements : int
        Upper bound for chains · particles · (samples in a block): the size of one activation buffer
        in numbers. Memory is at most two such buffers whatever the number of samples.
    """

    def __init__(
        self,
        student: Student,
        data: Dataset,
        *,
        chains: int,
        particles: int,
        scale: float,
        block_elements: int = 2**20,
    ) -> None:
        check_integer("chains", chains, at_least=1)
        check_integer("particles", particles, at_least=1)
        check_integer("block_elements", block_elements, at_least=1)
        if data.inputs.shape[1] != student.dim:
            raise ArgumentError(
                f"inputs must have dim = {student.dim} columns, not {data.inputs.shape[1]}"
            )
        self.student, self.chains, self.particles, self.scale = student, chains, particles, scale
        self.labels, samples = data.labels, len(data)
        inputs = data.inputs
        if student.hidden_bias_variance is not None:
            inputs = torch.cat([inputs, inputs.new_ones(samples, 1)], dim=1)
        count = math.ceil(samples / max(1, block_elements // (chains * particles)))
        length = math.ceil(samples / count)
        # Rows of a power-of-two length fall into the same cache sets: shift them by one line.
        stride = length + 16 if length % 64 == 0 else length
        rows, new = chains * particles, inputs.new_empty
        z = new(rows, stride)
        scratch = new(rows, stride) if student.phi.needs_scratch else z
        f, rx = new(chains, 1, length), new(chains, length, student.fan_in)
        self.blocks = []
        for start in range(0, samples, length):
            span = slice(start, min(start + length, samples))
            here = span.stop - span.start
            here_z, here_scratch = z[:, :here], scratch[:, :here]
            self.blocks.append(
                _Block(
                    span,
                    inputs[span].contiguous(),
                    inputs[span].t().contiguous(),
                    data.labels[span].expand(chains, 1, here),
                    here_z,
                    here_scratch,
                    _batched(here_z, chains),
                    _batched(here_scratch, chains),
                    f[..., :here],
                    f[..., :here].transpose(1, 2),
                    rx[:, :here],
                )
            )

    def __len__(self) -> int:
        return self.labels.shape[0]

    def _activate(self, w: Tensor, block: _Block) -> None:
        """Fill ``block.z`` with φ (and its scratch with what the slope will need)."""
        torch.mm(w.view(-1, w.shape[2]), block.inputs_t, out=block.z)
        self.student.phi.value_(block.z, block.scratch)

    def _output(self, parameters: Parameters, block: _Block, minus: Tensor | None) -> None:
        """Fill ``block.f`` with scale Σ_b a_b φ_b + c, minus the labels if given."""
        _, a, c = parameters
        readout = a.unsqueeze(1)
        if minus is None:
            torch.bmm(readout, block.z_batch, out=block.f)
            block.f.mul_(self.scale)
        else:
            torch.baddbmm(minus, readout, block.z_batch, beta=-1, alpha=self.scale, out=block.f)
        if c.shape[1]:
            block.f.add_(c.unsqueeze(2))

    def predict(self, parameters: Parameters, out: Tensor | None = None) -> Tensor:
        """The field f on every sample, (chains, samples)."""
        if out is None:
            out = parameters.w.new_empty(self.chains, len(self))
        for block in self.blocks:
            self._activate(parameters.w, block)
            self._output(parameters, block, None)
            out[:, block.span] = block.f.squeeze(1)
        return out

    def features(self, w: Tensor) -> Tensor:
        """φ(w_b·x_μ) for all samples, (chains, particles, samples): allocates."""
        out = w.new_empty(self.chains, self.particles, len(self))
        for block in self.blocks:
            self._activate(w, block)
            out[..., block.span] = block.z_batch
        return out

    def gram(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """ΦΦᵀ, (chains, particles, particles), and Φy, (chains, particles), in double precision.

        Block by block: memory does not grow with the number of samples.
        """
        gram = w.new_zeros(self.chains, self.particles, self.particles, dtype=torch.float64)
        drive = w.new_zeros(self.chains, self.particles, dtype=torch.float64)
        for block in self.blocks:
            self._activate(w, block)
            gram += block.z_batch @ block.z_batch.transpose(1, 2)
            drive += (block.z_batch @ block.labels.transpose(1, 2)).squeeze(2)
        return gram, drive

    def correlate(
        self,
        parameters: Parameters,
        *,
        drive: Tensor,
        drive_readout: Tensor,
        power: Tensor | None = None,
        power_readout: Tensor | None = None,
        residual: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> None:
        r"""Sums over the samples that every gradient of this package is made of.

        With r_μ the residual f(x_μ) - y_μ (or ``residual`` if given, shape (chains, samples))::

            drive[c,b,:]        = Σ_μ r_μ φ'(z_bμ) x_μ          (chains, particles, fan_in)
            drive_readout[c,b]  = Σ_μ r_μ φ(z_bμ)               (chains, particles)
            power[c,b,:]        = Σ_μ φ(z_bμ) φ'(z_bμ) x_μ      only if asked for
            power_readout[c,b]  = Σ_μ φ(z_bμ)²                  only if asked for
            bias[c]             = Σ_μ r_μ                       only if asked for

        For a homogeneous activation the two ``_readout`` sums are w · drive and w · power.
        """
        w, phi = parameters.w, self.student.phi
        for block in self.blocks:
            first = block.span.start == 0
            self._activate(w, block)
            if residual is None:
                self._output(parameters, block, block.labels)
                column = block.f_column
            else:
                column = residual[:, block.span].unsqueeze(2)
            torch.mul(column, block.inputs, out=block.rx)
            if bias is not None:
                _accumulate(bias, column.sum(dim=1), first)
            # Everything that needs φ comes before φ turns into the gate φ'.
            if not phi.homogeneous:
                _accumulate_product(drive_readout.unsqueeze(2), block.z_batch, column, first)
                if power_readout is not None:
                    norm = torch.linalg.vector_norm(block.z_batch, dim=2)
                    _accumulate(power_readout, norm.square_(), first)
            elif power is not None:  # φ φ' = φ
                self._accumulate_power(power, block, first)
            in_place = phi.slope_(block.z, block.scratch) is block.z
            if power is not None and not phi.homogeneous:
                block.z.mul_(block.scratch)
                self._accumulate_power(power, block, first)
            gate = block.z_batch if in_place else block.scratch_batch
            _accumulate_product(drive, gate, block.rx, first)
        if phi.homogeneous:
            torch.linalg.vecdot(w, drive, out=drive_readout)
            if power is not None and power_readout is not None:
                torch.linalg.vecdot(w, power, out=power_readout)

    def _accumulate_power(self, power: Tensor, block: _Block, first: bool) -> None:
        """Add Σ_μ z_bμ x_μ of one block: all chains share the inputs, so this is one product."""
        flat = power.view(1, -1, power.shape[2])
        _accumulate_product(flat, block.z.unsqueeze(0), block.inputs.unsqueeze(0), first)


def _batched(rows: Tensor, chains: int) -> Tensor:
    """(chains·particles, block) seen as (chains, particles, block), strided or not."""
    return rows.as_strided(
        (chains, rows.shape[0] // chains, rows.shape[1]),
        (rows.shape[0] // chains * rows.stride(0), rows.stride(0), rows.stride(1)),
    )


def _accumulate(total: Tensor, value: Tensor, first: bool) -> None:
    """Start or continue a sum over blocks."""
    total.copy_(value) if first else total.add_(value)


def _accumulate_product(total: Tensor, left: Tensor, right: Tensor, first: bool) -> None:
    """Start or continue a sum of batched matrix products, in place."""
    if left.shape[0] == 1:  # one product: the plain routine has less overhead than the batched one
        target, factors = total[0], (left[0], right[0])
        torch.mm(*factors, out=target) if first else target.addmm_(*factors)
    elif first:
        torch.bmm(left, right, out=total)
    else:
        total.baddbmm_(left, right)

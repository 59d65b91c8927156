"""Tiles of chains and samples, small enough for their activations to stay in the cache."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


def default_tile_elements(device: torch.device | str) -> int:
    """Size of a tile of activations: it fits the second-level cache of a CPU; large on a GPU."""
    return 2**18 if torch.device(device).type == "cpu" else 2**28


class Tile(NamedTuple):
    """Some chains on some samples, with all views of the loop created once to save time."""

    chains: slice
    span: slice
    inputs: Tensor  # (block, fan_in)
    inputs_batch: Tensor  # the same for every chain of the tile, (tile, block, fan_in)
    inputs_t: Tensor  # (fan_in, block)
    labels: Tensor  # (block,), broadcast to (tile, block, 1)
    z: Tensor  # (tile, block, particles): pre-activations, then φ, then (ReLU) φ'
    scratch: Tensor  # the same shape; the same memory as z if the activation needs none
    f: Tensor  # (tile, block, 1): the network output, then the residual
    f_row: Tensor  # the same as (tile, 1, block)
    rx: Tensor  # (tile, fan_in, block): residual times input


def cut(
    inputs: Tensor,
    labels: Tensor,
    *,
    chains: int,
    particles: int,
    elements: int,
    second_buffer: bool,
) -> list[Tile]:
    """Tiles that cover every sample of every chain once; all of them share the same buffers.

    Parameters
    ----------
    inputs, labels : Tensor
        (samples, fan_in) and (samples,).
    chains, particles : int
    elements : int
        Upper bound for chains · particles · samples of a tile (at least one sample of one chain).
    second_buffer : bool
        Whether ``scratch`` has its own memory.
    """
    n_train, fan_in = inputs.shape
    length = _even(n_train, max(1, elements // particles))
    # Small problems process several chains at once, in fewer and larger calls.
    batch = _even(chains, max(1, elements // (particles * length)))
    new = inputs.new_empty
    # Rows of a power-of-two length share the same cache sets: shift them by one line.
    stride = particles + 16 if particles % 64 == 0 else particles
    z = new(batch, length, stride)
    scratch = new(batch, length, stride) if second_buffer else z
    f, rx = new(batch, length, 1), new(batch, fan_in, length)
    buffers = z[..., :particles], scratch[..., :particles], f, rx
    spans = [slice(at, min(at + length, n_train)) for at in range(0, n_train, length)]
    # All chains share the inputs of a block, plain and transposed.
    blocks = [(span, inputs[span], inputs[span].t().contiguous()) for span in spans]
    return [
        _tile(slice(at, min(at + batch, chains)), block, labels, buffers)
        for at in range(0, chains, batch)
        for block in blocks
    ]


def _even(total: int, largest: int) -> int:
    """Length of equal pieces of ``total``, as few as possible and none longer than ``largest``."""
    return math.ceil(total / math.ceil(total / min(total, largest)))


def _tile(
    chains: slice,
    block: tuple[slice, Tensor, Tensor],
    labels: Tensor,
    buffers: tuple[Tensor, Tensor, Tensor, Tensor],
) -> Tile:
    """One tile, on its part of the shared buffers."""
    span, inputs, inputs_t = block
    tile, length = chains.stop - chains.start, span.stop - span.start
    z, scratch, f, rx = buffers
    f = f[:tile, :length]
    return Tile(
        chains,
        span,
        inputs,
        inputs.expand(tile, -1, -1),
        inputs_t,
        labels[span].unsqueeze(1).expand(tile, length, 1),
        z[:tile, :length],
        scratch[:tile, :length],
        f,
        f.transpose(1, 2),
        rx[:tile, :, :length],
    )

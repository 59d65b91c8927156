"""The parameters of a batch of networks, and sums and factors per chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

# Configurations import this module, and torch takes seconds to import: import it on first use.
if TYPE_CHECKING:
    from torch import Tensor


class Parameters(NamedTuple):
    """Views into the flat parameter vector of a batch of networks.

    Attributes
    ----------
    w : Tensor
        (chains, particles, fan_in); the last column holds the hidden bias if there is one.
    a : Tensor
        (chains, particles); empty for a collapsed model, whose readouts are integrated out.
    c : Tensor
        (chains, 1) or (chains, 0) without an output bias.
    """

    w: Tensor
    a: Tensor
    c: Tensor


def against(values: Tensor, piece: Tensor) -> Tensor:
    """Values (chains,) reshaped to broadcast along the first axis of ``piece``."""
    return values.view(-1, *(1,) * (piece.dim() - 1))


def spread(values: Tensor, like: Tensor, views: Callable[[Tensor], Iterable[Tensor]]) -> Tensor:
    """Flat vector with the layout of ``views``, filled with the value of each chain."""
    import torch

    flat = torch.empty_like(like)
    for piece in views(flat):
        piece.copy_(against(values, piece))
    return flat


def chain_sums(pieces: Iterable[Tensor]) -> Tensor:
    """Sum over pieces (chains, ...) of all entries of each chain, (chains,), double precision."""
    import torch

    # Sum over the axes in place: flattening a transposed view would copy it first.
    sums = [piece.sum(dim=tuple(range(1, piece.dim())), dtype=torch.float64) for piece in pieces]
    return torch.stack(sums).sum(dim=0)

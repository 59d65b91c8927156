r"""A penalty on the inhomogeneity of each neuron's weights, which prevents a selection of inputs.

The homogeneity penalty of the authors' rebuttal, added to the loss L, is::

    H(w) = λ Σ_i Var_j |w_ij|,    Var_j |w_ij| = (1/d) Σ_j (|w_ij| - s_i)²,  s_i = (1/d) Σ_j |w_ij|

with the population variance over the d input coordinates (1/d, not 1/(d-1): our choice, a
difference of 3 % in λ at d = 35); a hidden bias is not a coordinate. Its gradient is::

    ∂H/∂w_ij = (2λ/d) ( w_ij - s_i sign(w_ij) )

The mean s_i itself is not penalised. At small temperature, however, all ``|w_ij|`` of a neuron are
close to it, and a sign can no longer change without passing through zero. Only one of d directions
then follows the prior: s_i is Gaussian with variance σ_w²/d² (restricted to s_i > 0), so that
without data ``|w_i|²`` decreases from σ_w² to σ_w²/d. The penalty shrinks the weights as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from feature_learning.errors import check_real, store_plain


@dataclass(frozen=True)
class HomogeneityPenalty:
    """H(w) of the module docstring.

    Parameters
    ----------
    strength : float
        λ, at least 0, in units of the loss (mean squared error).
    dim : int
        d; columns of w beyond it are biases.

    Raises
    ------
    ArgumentError
        If λ is negative or not finite.
    """

    strength: float
    dim: int

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("homogeneity_penalty", self.strength, at_least=0)

    def value(self, w: Tensor) -> Tensor:
        """H of each chain, (chains,), for w (chains, particles, dim or more); differentiable."""
        spread = w[..., : self.dim].abs().var(dim=2, correction=0)
        return self.strength * spread.sum(dim=1)

    def buffers(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Buffers for :meth:`add_gradient`: signs shaped as w, means (chains, particles, 1)."""
        coordinates = w[..., : self.dim]
        return torch.empty_like(coordinates), w.new_empty(*w.shape[:2], 1)

    def add_gradient(self, w: Tensor, out: Tensor, buffers: tuple[Tensor, Tensor]) -> None:
        """Add ∂H/∂w to ``out``, shaped like w, using only the memory of :meth:`buffers`."""
        signs, means = buffers
        coordinates, target = w[..., : self.dim], out[..., : self.dim]
        torch.linalg.vector_norm(coordinates, ord=1, dim=2, keepdim=True, out=means)
        torch.sign(coordinates, out=signs).mul_(means.div_(self.dim))
        slope = 2 * self.strength / self.dim
        target.add_(coordinates, alpha=slope).sub_(signs, alpha=slope)

r"""Activations φ and their derivatives, computed in place so that the inner loop never allocates.

For a block of pre-activations, the gradient of a two-layer network needs first φ (for the residual)
and then ``φ'``. ReLU can use the same memory for both: φ replaces the pre-activations and, once the
residual is known, the 0/1 gate ``φ'`` replaces φ (``sign_`` of a non-negative number). On a CPU
this is many times cheaper than building a boolean mask.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from feature_learning.errors import check_choice


@dataclass(frozen=True)
class Activation:
    """One activation.

    Attributes
    ----------
    name : str
        Name on the command line.
    function : callable
        φ as a differentiable function that allocates its result, for tests and theory.
    value_ : callable
        ``value_(z, scratch)`` replaces z by φ(z) in place; it may leave ``φ'(z)`` in ``scratch``.
    slope_ : callable
        ``slope_(phi, scratch)`` returns ``φ'`` given φ (and the scratch of ``value_``); it may
        overwrite and return either argument.
    homogeneous : bool
        Whether ``φ(z) = φ'(z) z``. Then ``Σ_μ r_μ φ(w·x_μ) = w · Σ_μ r_μ φ'(w·x_μ) x_μ``: the
        gradient of the readout follows from that of the hidden weights at no cost.
    needs_scratch : bool
        Whether ``scratch`` must be a separate buffer (otherwise it is never used).
    """

    name: str
    function: Callable[[Tensor], Tensor]
    value_: Callable[[Tensor, Tensor], Tensor]
    slope_: Callable[[Tensor, Tensor], Tensor]
    homogeneous: bool = False
    needs_scratch: bool = True


def _erf_value_(z: Tensor, scratch: Tensor) -> Tensor:
    # φ' = 2/√π exp(-z²) needs z, which the next line overwrites: compute it first.
    torch.mul(z, z, out=scratch).neg_().exp_().mul_(2 / math.sqrt(math.pi))
    return z.erf_()


def _tanh_slope_(phi: Tensor, scratch: Tensor) -> Tensor:
    return torch.mul(phi, phi, out=scratch).neg_().add_(1)


def _sigmoid_slope_(phi: Tensor, scratch: Tensor) -> Tensor:
    torch.mul(phi, phi, out=scratch).neg_()
    return scratch.add_(phi)


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation(
            "relu",
            torch.relu,
            lambda z, _: z.relu_(),
            lambda phi, _: phi.sign_(),
            homogeneous=True,
            needs_scratch=False,
        ),
        Activation(
            "linear",
            lambda z: z,
            lambda z, _: z,
            lambda phi, _: phi.fill_(1),
            homogeneous=True,
            needs_scratch=False,
        ),
        Activation("erf", torch.erf, _erf_value_, lambda _, scratch: scratch),
        Activation("tanh", torch.tanh, lambda z, _: z.tanh_(), _tanh_slope_),
        Activation("sigmoid", torch.sigmoid, lambda z, _: z.sigmoid_(), _sigmoid_slope_),
    )
}


def activation(name: str) -> Activation:
    """Look up an activation by name.

    Raises
    ------
    ArgumentError
        If there is no activation of that name.
    """
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)]

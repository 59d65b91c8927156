r"""Activations φ, written for a loop that may not allocate.

The gradient of a two-layer network needs, for a block of pre-activations, first φ (to get the
residual) and afterwards ``φ'``. ReLU can do both in the same memory: the pre-activations become φ
in place and, once the residual is known, φ becomes the 0/1 gate ``φ'`` in place (``sign_`` of a
non-negative number). This is many times cheaper on a CPU than building a boolean mask.
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
        As given on the command line.
    function : callable
        φ, allocating and differentiable: for tests and theory.
    value_ : callable
        ``value_(z, scratch)`` turns z into φ(z) in place; may leave ``φ'(z)`` in ``scratch``.
    slope_ : callable
        ``slope_(phi, scratch)`` returns ``φ'`` given φ (and the scratch of ``value_``); it may
        overwrite and return either argument.
    homogeneous : bool
        True if ``φ(z) = φ'(z) z``. Then ``Σ_μ r_μ φ(w·x_μ) = w · Σ_μ r_μ φ'(w·x_μ) x_μ``: the
        gradient of the readout follows from that of the hidden weights for free.
    needs_scratch : bool
        True if ``scratch`` must be a buffer (otherwise it is never touched).
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
    """Look an activation up by name.

    Raises
    ------
    ArgumentError
        If there is none of that name.
    """
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)]

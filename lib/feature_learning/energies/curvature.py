r"""Largest curvature of an energy by power iteration, the basis of default step sizes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from feature_learning.energies.base import Energy


def largest_curvature(
    energy: Energy,
    theta: Tensor,
    random: torch.Generator,
    *,
    scale: Tensor | None = None,
    iterations: int = 30,
    tolerance: float = 0.02,
) -> float:
    r"""Largest absolute eigenvalue of ∇²U at ``theta``, over all chains of the batch.

    Power iteration ``v ← Hv/|Hv|``, with Hv from a central difference of the gradient,
    ``Hv = (∇U(θ + εv) - ∇U(θ - εv)) / (2ε)``: the chains do not interact, so H is block diagonal
    and the iteration finds the stiffest chain.

    Parameters
    ----------
    energy, theta
        Energy and flat parameter vector.
    random : torch.Generator
        Source of the initial direction, on the device of ``theta``.
    scale : Tensor, optional
        Scale s of each parameter: the curvature is that of U(θ + s z) as a function of z.
        Parameters with s = 0 stay fixed.
    iterations, tolerance
        Stop when the relative change of the estimate is below ``tolerance``, or after
        ``iterations``.

    Returns
    -------
    float
        A lower estimate, typically correct within ``tolerance``.
    """
    direction = torch.empty_like(theta).normal_(generator=random)
    direction = direction if scale is None else direction * (scale != 0)
    direction /= direction.norm()
    # The step must be large enough against float32 rounding of the gradient, and small against θ.
    # It is scaled to one chain, so that the result does not depend on the number of chains.
    epsilon = 1e-2 * float(theta.norm().clamp_min(1e-6)) / math.sqrt(energy.chains)
    forward, backward = torch.empty_like(theta), torch.empty_like(theta)
    value = 0.0
    for _ in range(iterations):
        shift = epsilon * direction if scale is None else epsilon * (scale * direction)
        energy.gradient(theta + shift, forward)
        energy.gradient(theta - shift, backward)
        product = (forward - backward) / (2 * epsilon)
        product = product if scale is None else scale * product
        previous, value = value, float(product.norm())
        if value == 0.0 or abs(value - previous) < tolerance * value:
            break
        direction = product / value
    return value

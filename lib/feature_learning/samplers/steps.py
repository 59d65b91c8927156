"""The default step size, computed from the curvature at the start."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from feature_learning.energies.base import Energy
from feature_learning.energies.curvature import largest_curvature
from feature_learning.errors import ArgumentError
from feature_learning.samplers.base import Sampler


def default_step(
    sampler: Sampler, energy: Energy, position: Tensor, *, factor: float = 1.0
) -> float:
    """A safe step size from the curvature at the start, rounded down to two digits.

    Rounding makes runs that differ only in their seed use the same step in most cases.

    Raises
    ------
    ArgumentError
        If the curvature at the start is not finite and positive.
    """
    probe = torch.Generator(device=position.device).manual_seed(0)
    curvature = largest_curvature(energy, position, probe)
    if not 0 < curvature < math.inf:
        raise ArgumentError(
            f"step must be given: the curvature at the start is {curvature!r}, not positive"
        )
    step = factor * sampler.starting_step(curvature)
    unit = 10.0 ** (math.floor(math.log10(step)) - 1)
    return float(f"{math.floor(step / unit) * unit:.2g}")

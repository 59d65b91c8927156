r"""The Metropolis test and the adaptation of the step, shared by MALA and HMC.

A proposal that changes the energy of a chain (with its kinetic part, if any) by ΔH is accepted with
probability ``min(1, e^(-ΔH/T))``, for each chain: the sampled distribution is then correct at every
step size, which affects only the speed.

During burn-in each chain's step is multiplied by a factor e^x, found by the dual averaging of
Hoffman and Gelman, J. Mach. Learn. Res. 15 (2014), eq. (6)::

    H̄ ← (1 - 1/(n+n₀)) H̄ + (δ - α)/(n+n₀)      α the acceptance probability, δ its target
    x = log 10 - (√n/0.05) H̄,    x̄ ← n^(-0.75) x + (1 - n^(-0.75)) x̄,    n₀ = 10

After burn-in the factor stays at e^x̄: a step that follows the chain would change the sampled
distribution. The whole state of the adaptation is part of a checkpoint.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Scale, offset and exponent of the averaging, from the paper.
_GAMMA, _OFFSET, _DECAY = 0.05, 10.0, 0.75


def init_adaptation(chains: int, device: torch.device) -> dict[str, Tensor]:
    """Initial state of the adaptation and the statistics, each (chains,), double precision."""
    names = ("log_factor", "log_average", "shortfall", "adapted", "accepted", "tried")
    return {name: torch.zeros(chains, dtype=torch.float64, device=device) for name in names}


def factor(extra: dict[str, Tensor], adapting: bool) -> Tensor:
    """The adapted factor of the step, (chains,)."""
    return extra["log_factor" if adapting else "log_average"].exp()


def probability(change: Tensor, temperature: float) -> Tensor:
    """Acceptance probability min(1, e^(-ΔH/T)), 0 where the proposal is not finite."""
    return torch.nan_to_num(-change / temperature, nan=-math.inf).clamp(max=0).exp()


def decide(probability: Tensor, extra: dict[str, Tensor], random: torch.Generator) -> Tensor:
    """Draw which chains accept, (chains,) of bool, and update the statistics."""
    draw = torch.empty_like(probability).uniform_(generator=random)
    extra["accepted"] += probability
    extra["tried"] += 1
    return draw < probability


def adapt(probability: Tensor, target: float, extra: dict[str, Tensor]) -> None:
    """One step of dual averaging, in place."""
    n = extra["adapted"].add_(1)
    extra["shortfall"].lerp_(target - probability, 1 / (n + _OFFSET))
    extra["log_factor"].copy_(math.log(10) - n.sqrt() / _GAMMA * extra["shortfall"])
    extra["log_average"].lerp_(extra["log_factor"], n.pow(-_DECAY))


def report(extra: dict[str, Tensor], adapting: bool) -> dict[str, Tensor]:
    """Mean acceptance probability since the start, and the adapted factor of the step."""
    return {
        "acceptance": extra["accepted"] / extra["tried"].clamp(min=1),
        "step_factor": factor(extra, adapting),
    }

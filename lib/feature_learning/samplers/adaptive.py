r"""SGLD whose step adapts to the size of the gradient (SA-SGLD), without a Metropolis test.

One step of size Δτ in an auxiliary time τ, for each chain::

    g = |∇U(θ)|^s / Ω
    ζ ← e^(-αΔτ/2) ζ + (1 - e^(-αΔτ/2)) g/α
    Δt = ψ(ζ) Δτ,   ψ(ζ) = m (ζ^r + M)/(ζ^r + m)
    θ ← θ - Δt ∇U(θ) + √(2TΔt) ξ,   ξ ~ N(0, 1)
    ζ ← e^(-αΔτ/2) ζ + (1 - e^(-αΔτ/2)) g/α      with g at the new θ

arXiv 2511.11666. The step lies between m Δτ (large gradients, large ζ) and M Δτ. Samples are
uniform in τ, not in Langevin time: averages must weight each sample by Δt = ψ(ζ) Δτ of the step
that leaves it, which the run loop does. Unweighted averages are wrong at any step size. In Langevin
time the path is that of SGLD, and ζ only determines how it is divided into steps; so the weighted
averages need no correction term as Δτ → 0, and have a bias in Δτ like that of SGLD.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from feature_learning.energies.base import Density, Energy
from feature_learning.errors import ArgumentError, check_real, store_plain
from feature_learning.model.randomness import normal_
from feature_learning.samplers.base import ChainwiseOps, Overdamped, SamplerState


@dataclass(frozen=True)
class AdaptiveSGLD(Overdamped):
    """SA-SGLD with step Δτ = ``step_size``.

    The default step is that of SGLD: with the default m, M and Ω, ψ is 1 at the start. The guards
    of the run loop compare the actual steps Δt = ψ Δτ, averaged over chains, with the curvature at
    the present positions. As gradients decrease ψ grows towards M, regardless of the stability
    limit. A step that is too long need not diverge, since large gradients shorten the next steps:
    the chain would stay at the edge of stability, and its averages would be far off.

    Attributes
    ----------
    step_size : float
        Δτ.
    smallest, largest : float
        m and M, the range of Δt/Δτ.
    rate : float
        α, the rate per unit of τ at which ζ forgets earlier gradients.
    power, sharpness : float
        s and r.
    scale : float or None
        Ω; None takes ``|∇U|^s/α`` of each chain at the start, so that ζ starts at 1.
    """

    step_size: float
    smallest: float = 0.1
    largest: float = 10.0
    rate: float = 1.0
    power: float = 2.0
    sharpness: float = 0.25
    scale: float | None = None

    def __post_init__(self) -> None:
        store_plain(self)
        check_real("step_size", self.step_size, above=0)
        check_real("smallest", self.smallest, above=0)
        check_real("largest", self.largest, at_least=self.smallest)
        for name in ("rate", "power", "sharpness"):
            check_real(name, getattr(self, name), above=0)
        if self.scale is not None:
            check_real("scale", self.scale, above=0)

    def init(self, energy: Energy, position: Tensor, random: torch.Generator) -> SamplerState:
        """Start at ``position`` with ζ at its stationary value there."""
        state = SamplerState.start(position)
        energy.gradient(state.position, state.gradient)
        size = self._size(state, self._per_chain(energy))
        scale = size / self.rate if self.scale is None else torch.full_like(size, self.scale)
        state.extra["scale"] = scale.clamp_min(1e-300)
        state.extra["zeta"] = size / state.extra["scale"] / self.rate
        state.extra["weight"] = self._ratio(state.extra["zeta"])
        return state

    def advance(
        self, state: SamplerState, energy: Energy, steps: int, random: torch.Generator, *, done: int
    ) -> None:
        """``steps`` steps in place."""
        theta, gradient, noise = state.position, state.gradient, state.noise
        zeta, weight, scale = (state.extra[name] for name in ("zeta", "weight", "scale"))
        per_chain, every = self._per_chain(energy), energy.refresh_every
        forget = -math.expm1(-0.5 * self.rate * self.step_size)
        drive = self._size(state, per_chain) / scale / self.rate
        for step in range(done, done + steps):
            if every and step % every == 0:
                energy.refresh(theta)
            zeta.lerp_(drive, forget)
            span = per_chain.spread(self._ratio(zeta) * self.step_size, theta)
            theta.addcmul_(gradient, span, value=-1)
            normal_(noise, random)
            theta.addcmul_(noise, span.mul_(2 * energy.temperature).sqrt_())
            energy.gradient(theta, gradient)
            drive = self._size(state, per_chain) / scale / self.rate
            zeta.lerp_(drive, forget)
        # The Δt of the step that will leave the present position: how long the path stays there.
        weight.copy_(self._ratio(zeta.lerp(drive, forget)))

    def _per_chain(self, energy: Energy) -> ChainwiseOps:
        if not hasattr(energy, "views"):
            raise ArgumentError(
                f"sampler adaptive needs an energy of particles with readouts, "
                f"not {type(energy).__name__}"
            )
        return ChainwiseOps(cast(Density, energy))

    def _size(self, state: SamplerState, per_chain: ChainwiseOps) -> Tensor:
        """|∇U|^s of each chain."""
        return per_chain.sum(state.gradient.square()).pow(0.5 * self.power)

    def _ratio(self, zeta: Tensor) -> Tensor:
        """ψ(ζ)."""
        size = zeta.pow(self.sharpness)
        return self.smallest * (size + self.largest) / (size + self.smallest)

    def step_multiplier(self, state: SamplerState) -> float:
        """Mean of ψ(ζ) over the chains, for the steps that leave the present positions."""
        return float(state.extra["weight"].mean())

    def report(self, state: SamplerState) -> dict[str, Tensor]:
        """Empty: nothing is recorded besides the weight."""
        return {}

    def weight(self, state: SamplerState) -> Tensor:
        """ψ(ζ) of the step that leaves the present position."""
        return state.extra["weight"].clone()

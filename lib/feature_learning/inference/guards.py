r"""Guards of a run: divergence, equipartition, and the step size relative to the curvature.

Equipartition is checked in two places. (1) Underdamped velocities must have the temperature T
after burn-in. (2) Along the stiffest direction, of curvature λ, an unadjusted step samples a
variance that is wrong by a known factor (positions: 1/(1 - ηλ/2) for SGLD; velocities:
1/(1 - h²λ/4) for BAOAB). Learning changes λ, so it is measured repeatedly during the run. A factor
above ``max_variance_bias`` ends the run with advice on the step size. One hot direction among
thousands does not harm the averages; the threshold detects steps close to instability.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from feature_learning.energies.base import Energy
from feature_learning.energies.curvature import largest_curvature
from feature_learning.errors import DivergenceError, EquipartitionError
from feature_learning.samplers.base import Sampler, SamplerState


@dataclass(frozen=True)
class Guards:
    """Thresholds at which a run is aborted.

    Attributes
    ----------
    growth : float
        Largest allowed training MSE of a chain, in units of the largest MSE at the start or E[y²],
        whichever is larger.
    temperature_tolerance : float
        Largest allowed relative deviation of the kinetic temperature from T, averaged over the
        measurements after burn-in. A run beyond it is certainly wrong. A converged run must meet a
        stricter limit of 2 %. The limit here is loose because a slow descent keeps the velocities
        at 1.05 to 1.1 T for a whole run at any step, and rounding, which differs between
        processors, would decide on which side of a tighter limit the run ends.
    min_memories : float
        Langevin time after burn-in, in units of the velocities' memory 1/f, before their
        temperature is judged: the heat of the descent needs a few such times to dissipate.
    max_variance_bias : float
        Largest allowed inflation of the variance along the stiffest direction.
    """

    growth: float = 10.0
    temperature_tolerance: float = 0.2
    min_memories: float = 10.0
    max_variance_bias: float = 4.0

    def check_finite(
        self,
        state: SamplerState,
        train_mse: NDArray[np.float64] | None,
        ceiling: float,
        at: str,
        advice: str,
    ) -> None:
        """Raise :class:`DivergenceError` if a chain has left for infinity.

        Without a training MSE only the position is looked at.
        """
        finite = bool(torch.isfinite(state.position).all())
        if train_mse is None:
            if not finite:
                raise DivergenceError(f"the chains diverged {at}: not finite; {advice}")
            return
        worst = float(np.max(train_mse)) if np.isfinite(train_mse).all() else math.inf
        if worst > self.growth * ceiling or not finite:
            raise DivergenceError(
                f"the chains diverged {at}: training MSE {worst:.3g}, at most {ceiling:.3g} at the "
                f"start; {advice}"
            )

    def check_temperature(self, ratios: list[float], memories: float, at: str, advice: str) -> None:
        """Raise :class:`EquipartitionError` if the kinetic temperature is off."""
        if not ratios or memories < self.min_memories:
            return
        ratio = float(np.mean(ratios))
        if abs(ratio - 1) > self.temperature_tolerance:
            raise EquipartitionError(
                f"equipartition fails {at}: the kinetic temperature is {ratio:.3f} T, but should "
                f"be T within {self.temperature_tolerance:.0%}; {advice}, or a longer burn-in"
            )

    def check_curvature(
        self, sampler: Sampler, energy: Energy, state: SamplerState, at: str
    ) -> float:
        """Measure λ_max and raise :class:`EquipartitionError` if the step is too large for it."""
        probe = torch.Generator(device=state.position.device).manual_seed(0)
        curvature = largest_curvature(
            energy,
            state.position,
            probe,
            scale=sampler.parameter_scale(energy, state.position),
            iterations=12,
            tolerance=0.05,
        )
        # Scale the curvature by the current step multiplier.
        steepness = curvature * sampler.step_multiplier(state)
        if sampler.variance_bias_factor(steepness) > self.max_variance_bias:
            raise EquipartitionError(
                f"the step size {sampler.step_size:.4g} is too large {at}: along the stiffest "
                f"direction (curvature {curvature:.3g}) the sampled variance is "
                f"{sampler.variance_bias_factor(steepness):.3g} times the right one; "
                f"use at most {sampler.largest_step(steepness):.2g}"
            )
        return curvature

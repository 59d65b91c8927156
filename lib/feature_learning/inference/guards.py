r"""What is watched while chains run: divergence, equipartition, and the step against the curvature.

Equipartition is checked in two places. (1) Underdamped velocities must have the temperature T
once burn-in is over. (2) Along the stiffest direction, of curvature λ, an unadjusted step samples a
variance too large by a known factor (positions: 1/(1 - ηλ/2) for SGLD; velocities: 1/(1 - h²λ/4)
for BAOAB). Learning changes λ, so it is measured again as the run goes, and a factor above
``max_inflation`` ends the run with a size that works. One direction of thousands may be hot without
harm to the averages; what the threshold catches is the neighbourhood of instability.
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
    """Thresholds of the watch.

    Attributes
    ----------
    growth : float
        The training MSE of no chain may exceed this multiple of its largest of start and E[y²].
    temperature_tolerance : float
        Largest allowed relative deviation of the kinetic temperature from T, averaged over the
        looks after burn-in. What it ends cannot be right. Much less, 2 %, is asked of a run that
        is called converged: a slow descent keeps velocities at 1.05 to 1.1 T for a whole run at any
        step, and rounding, which differs between processors, decides on which side of a closer
        limit it ends.
    min_memories : float
        Langevin time after burn-in, in units of the velocities' memory 1/f, before their
        temperature is judged: heat of the descent takes a few of them to leave.
    max_inflation : float
        Largest allowed inflation of the variance along the stiffest direction.
    """

    growth: float = 10.0
    temperature_tolerance: float = 0.2
    min_memories: float = 10.0
    max_inflation: float = 4.0

    def check_finite(
        self,
        state: SamplerState,
        train_mse: NDArray[np.float64],
        ceiling: float,
        at: str,
        advice: str,
    ) -> None:
        """Raise :class:`DivergenceError` if a chain has left for infinity."""
        worst = float(np.max(train_mse)) if np.isfinite(train_mse).all() else math.inf
        if worst > self.growth * ceiling or not bool(torch.isfinite(state.position).all()):
            raise DivergenceError(
                f"the chains diverged {at}: training MSE {worst:.3g}, at the start at most "
                f"{ceiling:.3g}; {advice}"
            )

    def check_temperature(self, ratios: list[float], memories: float, at: str, advice: str) -> None:
        """Raise :class:`EquipartitionError` if the kinetic temperature is off."""
        if not ratios or memories < self.min_memories:
            return
        ratio = float(np.mean(ratios))
        if abs(ratio - 1) > self.temperature_tolerance:
            raise EquipartitionError(
                f"equipartition fails {at}: the kinetic temperature is {ratio:.3f} T, it should be "
                f"T within {self.temperature_tolerance:.0%}; {advice}, or burn in longer"
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
        # A step so many times longer is unstable at a curvature so many times smaller.
        steepness = curvature * sampler.pace(state)
        if sampler.inflation(steepness) > self.max_inflation:
            raise EquipartitionError(
                f"the step size {sampler.step_size:.4g} is too large {at}: along the stiffest "
                f"direction (curvature {curvature:.3g}) the sampled variance is "
                f"{sampler.inflation(steepness):.3g} times the right one; "
                f"use at most {sampler.largest_step(steepness):.2g}"
            )
        return curvature

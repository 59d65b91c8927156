"""Sampling options: the sampler, the length of a run and the starting points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from feature_learning.choices import STARTS, option
from feature_learning.errors import (
    ArgumentError,
    check_choice,
    check_integer,
    check_real,
    check_scale,
    store_plain,
)
from feature_learning.samplers.registry import SamplerOptions, UnderdampedOptions

# Configurations import this module, and torch takes seconds to import.
if TYPE_CHECKING:
    from torch import Tensor

    from feature_learning.energies.base import Energy
    from feature_learning.samplers.base import Sampler
    from feature_learning.samplers.schedules import Schedule


SETTLED = (
    "run until all chains, or those in one code, meet the criterion on R-hat and ESS, at most "
    "--langevin-time (default for networks if length, step and burn-in are not given)"
)
"""Help text of the option ``until_settled``."""


@dataclass(frozen=True)
class SamplingOptions:
    """Options for sampling an energy.

    Attributes
    ----------
    sampler : SamplerOptions
        One of :data:`feature_learning.samplers.registry.SAMPLERS`, with its own options.
    langevin_time : float or None
        Budget Σ η (Σ h: unit-mass time, for the underdamped sampler); None takes the default of the
        sampler.
    burn_in : float
        Fraction of the budget, see :func:`feature_learning.samplers.schedules.uniform`.
    measurements : int
        Number of measurements of the observables.
    start : str
        ``prior``, ``planted`` (neurons aligned with the target), ``spread`` (every other chain
        planted) or ``released`` (from a tilted prior, :mod:`feature_learning.energies.release`).
    until_settled : bool
        Grow the run until a rule ends it, with ``langevin_time`` as the upper limit
        (:func:`feature_learning.samplers.schedules.growing`). For networks with the sampler
        ``underdamped`` and no given step, the sampler is tuned after the first descent of the loss
        (:mod:`feature_learning.samplers.tuning`).
    warmup : float
        Fraction of the budget, within burn-in, for the first descent of the loss.
    step_factor : float
        Factor of the default step: above 1 if the curvature is known not to grow from its start.
    """

    sampler: SamplerOptions = field(default_factory=UnderdampedOptions)
    langevin_time: float | None = option(
        None,
        "length: sum of step sizes, burn-in included (networks with underdamped run until they are "
        "settled; mf 7200; hmc and gibbs 3000; all others 4100)",
        metavar="T",
    )
    burn_in: float = option(0.5, "fraction of the run that is discarded")
    measurements: int = option(200, "measurements per run", keyed_as="looks")
    start: str = option("prior", "starting points", allowed=STARTS)
    until_settled: bool = option(False, SETTLED)
    warmup: float = 0.1
    step_factor: float = 1.0

    def __post_init__(self) -> None:
        store_plain(self)
        if not isinstance(self.sampler, SamplerOptions):
            raise ArgumentError(
                f"sampler must be options such as UnderdampedOptions(), not {self.sampler!r}"
            )
        if self.langevin_time is not None:
            check_real("langevin_time", self.langevin_time, above=0)
        check_choice("start", self.start, STARTS)
        check_scale("step_factor", self.step_factor)
        check_real("burn_in", self.burn_in, at_least=0, at_most=0.99)
        check_real("warmup", self.warmup, at_least=0, at_most=0.99)
        check_integer("measurements", self.measurements, at_least=16 if self.until_settled else 1)
        if self.until_settled and self.burn_in != 0.5:
            raise ArgumentError(
                f"burn_in must be 0.5 with until_settled, not {self.burn_in!r}: the first half "
                "of a growing run is burn-in"
            )
        if self.until_settled and getattr(self.sampler, "step_schedule", "constant") != "constant":
            raise ArgumentError("step_schedule must be constant with until_settled")

    @property
    def budget(self) -> float:
        """Langevin time of the whole run, or its upper limit with ``until_settled``."""
        return self.sampler.budget if self.langevin_time is None else self.langevin_time

    def build(self, energy: Energy, position: Tensor) -> Sampler:
        """Build the sampler, with its default step if none is given."""
        from feature_learning.samplers.steps import default_step

        step = self.sampler.step
        if step is None:
            trial = self.sampler.build(1.0, energy)
            step = default_step(trial, energy, position, factor=self.step_factor)
        return self.sampler.build(step, energy)

    def tuning(self, energy: Energy) -> Callable[..., tuple[float, float, float]] | None:
        """The function that tunes the sampler while it runs; None if there is no tuning."""
        from feature_learning.energies.particles import ParticleEnergy
        from feature_learning.samplers.tuning import tuned

        network = type(energy) is ParticleEnergy and not energy.self_energy
        if not (self.until_settled and network and self.sampler.step is None):
            return None
        if not isinstance(self.sampler, UnderdampedOptions):
            return None
        friction = self.sampler.friction
        return partial(tuned, friction=None if isinstance(friction, str) else friction)

    def schedule(self, sampler: Sampler) -> Schedule:
        """Equally spaced measurements over the budget, with the step schedule of the sampler."""
        from feature_learning.samplers import schedules

        if self.until_settled:
            return schedules.growing(
                step_size=sampler.step_size,
                langevin_time=self.budget,
                measurements=self.measurements,
            )
        steady = schedules.uniform(
            step_size=sampler.step_size,
            langevin_time=self.budget,
            burn_in=self.burn_in,
            warmup=min(self.warmup, self.burn_in),
            measurements=self.measurements,
        )
        return self.sampler.shaped(steady)

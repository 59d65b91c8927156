"""How an energy is sampled: by which sampler, how long, and where chains start."""

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

# torch takes seconds to import, and a configuration says how it is sampled.
if TYPE_CHECKING:
    from torch import Tensor

    from feature_learning.energies.base import Energy
    from feature_learning.samplers.base import Sampler
    from feature_learning.samplers.schedules import Schedule


SETTLED = (
    "run until R-hat and ESS are good, of all chains or of those in one code, at most "
    "--langevin-time (default: if a network's length, step and burn-in are not given)"
)
"""Help of the option of that name."""


@dataclass(frozen=True)
class Sampling:
    """How an energy is sampled.

    Attributes
    ----------
    sampler : SamplerOptions
        One of :data:`feature_learning.samplers.registry.SAMPLERS`, with its own options.
    langevin_time : float or None
        Budget Σ η (Σ h: unit-mass time, for the underdamped sampler); None takes that of the
        sampler.
    burn_in : float
        Fraction of the budget, see :func:`feature_learning.samplers.schedules.uniform`.
    looks : int
        How often observables are measured.
    start : str
        ``prior``, ``planted`` (neurons aligned with the target), ``spread`` (every other chain
        planted) or ``released`` (from a tilted prior, :mod:`feature_learning.energies.release`).
    until_settled : bool
        ``langevin_time`` is the most there can be, and the run grows until a rule ends it
        (:func:`feature_learning.samplers.schedules.growing`). Networks by the sampler
        ``underdamped`` without a step of their own are tuned once they have settled
        (:mod:`feature_learning.samplers.tuning`).
    settle : float
        Fraction of the budget, part of the burn-in, in which the loss descends first.
    step_factor : float
        Of the default step: above 1 where the curvature is known not to grow from its start.
    """

    sampler: SamplerOptions = field(default_factory=UnderdampedOptions)
    langevin_time: float | None = option(
        None,
        "length: sum of step sizes with burn-in (networks by underdamped run until they are "
        "settled; mf 7200; hmc and gibbs 3000; all others 4100)",
        metavar="T",
    )
    burn_in: float = option(0.5, "fraction that does not count")
    looks: int = option(200, "measurements per run")
    start: str = option("prior", "starting points", allowed=STARTS)
    until_settled: bool = option(False, SETTLED)
    settle: float = 0.1
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
        check_real("settle", self.settle, at_least=0, at_most=0.99)
        check_integer("looks", self.looks, at_least=16 if self.until_settled else 1)
        if self.until_settled and self.burn_in != 0.5:
            raise ArgumentError(
                f"burn_in must be 0.5 with until_settled, not {self.burn_in!r}: of a run "
                "that grows the first half does not count"
            )
        if self.until_settled and getattr(self.sampler, "step_schedule", "constant") != "constant":
            raise ArgumentError("step_schedule must be constant with until_settled")

    @property
    def budget(self) -> float:
        """Langevin time of the whole run, or the most there can be."""
        return self.sampler.budget if self.langevin_time is None else self.langevin_time

    def build(self, energy: Energy, position: Tensor) -> Sampler:
        """The sampler, with its default step if none is given."""
        from feature_learning.samplers.steps import default_step

        step = self.sampler.step
        if step is None:
            trial = self.sampler.build(1.0, energy)
            step = default_step(trial, energy, position, factor=self.step_factor)
        return self.sampler.build(step, energy)

    def tuning(self, energy: Energy) -> Callable[..., tuple[float, float, float]] | None:
        """What tunes the sampler while it runs, if anything does."""
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
        """Equally spaced looks over the budget, with the sampler's own schedule of steps."""
        from feature_learning.samplers import schedules

        if self.until_settled:
            return schedules.growing(
                step_size=sampler.step_size, langevin_time=self.budget, looks=self.looks
            )
        steady = schedules.uniform(
            step_size=sampler.step_size,
            langevin_time=self.budget,
            burn_in=self.burn_in,
            settle=min(self.settle, self.burn_in),
            looks=self.looks,
        )
        return self.sampler.shaped(steady)

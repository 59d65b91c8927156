"""How an energy is sampled: which sampler, its step, the length of the run, where chains start."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from feature_learning import choices
from feature_learning.energies.base import Energy
from feature_learning.energies.ladder import LadderEnergy
from feature_learning.energies.minibatch import MiniBatchEnergy
from feature_learning.energies.particles import ParticleEnergy
from feature_learning.errors import (
    ArgumentError,
    check_choice,
    check_integer,
    check_real,
    check_scale,
    store_plain,
)
from feature_learning.samplers import (
    HMC,
    MALA,
    SGLD,
    AdaptiveSGLD,
    Gibbs,
    MiniBatchSGLD,
    PreconditionedSGLD,
    QuantisedLangevin,
    ReplicaExchange,
    Sampler,
    Underdamped,
    schedules,
)
from feature_learning.samplers.quantised import VARIANCES, QuantumSchedule
from feature_learning.samplers.schedules import Schedule
from feature_learning.samplers.steps import default_step

#: Name on the command line to class.
SAMPLERS: dict[str, Callable[[float], Sampler]] = {
    "sgld": SGLD,
    "underdamped": Underdamped,
    "mala": MALA,
    "hmc": HMC,
    "gibbs": Gibbs,
    "preconditioned": PreconditionedSGLD,
    "adaptive": AdaptiveSGLD,
    "quantised": QuantisedLangevin,
}


@dataclass(frozen=True)
class Sampling:
    """How an energy is sampled.

    Attributes
    ----------
    sampler : str
        One of :data:`SAMPLERS`, each with the other settings of its class at their defaults.
    step : float or None
        η or h; None takes :func:`default_step` at the start, times ``step_factor``.
    step_factor : float
        Above 1 where the curvature is known not to grow from its start.
    friction : float or None
        Of the samplers ``underdamped`` and ``gibbs`` after settling; None for 0.02, or for what
        tuning finds.
    langevin_time : float
        Budget Σ η (Σ h: unit-mass time, for the underdamped sampler).
    burn_in : float
        Fraction of the budget, see :func:`feature_learning.samplers.schedules.uniform`.
    settle : float
        Likewise.
    looks : int
        How often observables are measured.
    until_settled : bool
        ``langevin_time`` is the most there can be, and the run grows until a rule ends it
        (:func:`feature_learning.samplers.schedules.growing`). Networks by the sampler
        ``underdamped`` without a step of their own are tuned once they have settled
        (:mod:`feature_learning.samplers.tuning`).
    start : str
        ``prior``, ``planted`` (neurons aligned with the target), ``spread`` (every other chain
        planted) or ``released`` (from a tilted prior, :mod:`feature_learning.energies.release`).
    step_schedule : str
        Of the sampler ``sgld``: one of :data:`feature_learning.samplers.schedules.SHAPES`. The
        budget counts the largest step; a schedule that falls reaches less Langevin time in the same
        steps.
    rounding : str or None
        Of the sampler ``quantised``: ``stochastic`` (None), ``nearest`` or ``floor``.
    quantum_epoch : int or None
        Of the sampler ``quantised``: steps of an epoch of Seok and Cho's schedule, in which the
        quantum falls from its first value; thermal noise fills what it leaves. None keeps it.
    quantum : float or None
        Of the sampler ``quantised``: the multiple its steps are rounded to, at the start; None
        takes √(2ηT), the size of the thermal noise.
    batch_size : int or None
        Samples of a mini-batch, for the sampler ``sgld``; None takes all.
    """

    sampler: str = "underdamped"
    step: float | None = None
    step_factor: float = 1.0
    friction: float | None = 0.02
    langevin_time: float = 3000.0
    burn_in: float = 0.5
    settle: float = 0.1
    looks: int = 200
    until_settled: bool = False
    start: str = "prior"
    step_schedule: str = "constant"
    rounding: str | None = None
    quantum_epoch: int | None = None
    quantum: float | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        store_plain(self)
        check_choice("sampler", self.sampler, SAMPLERS)
        for name, sampler in (
            *((name, "quantised") for name in ("rounding", "quantum_epoch", "quantum")),
            ("batch_size", "sgld"),
        ):
            if getattr(self, name) is not None and self.sampler != sampler:
                raise ArgumentError(
                    f"{name} is for sampler {sampler}, not for sampler {self.sampler}"
                )
        check_choice("step_schedule", self.step_schedule, schedules.SHAPES)
        if self.step_schedule != "constant" and self.sampler != "sgld":
            raise ArgumentError(
                f"step_schedule {self.step_schedule} is for sampler sgld, "
                f"not for sampler {self.sampler}"
            )
        if self.rounding is not None:
            check_choice("rounding", self.rounding, VARIANCES)
        if self.quantum_epoch is not None:
            check_integer("quantum_epoch", self.quantum_epoch, at_least=1)
        if self.quantum is not None:
            check_scale("quantum", self.quantum)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, at_least=1)
        check_choice("start", self.start, choices.STARTS)
        if self.step is not None:
            check_scale("step", self.step)
        check_scale("step_factor", self.step_factor)
        if self.friction is not None:
            check_scale("friction", self.friction)
        check_real("langevin_time", self.langevin_time, above=0)
        check_real("burn_in", self.burn_in, at_least=0, at_most=0.99)
        check_real("settle", self.settle, at_least=0, at_most=0.99)
        check_integer("looks", self.looks, at_least=16 if self.until_settled else 1)
        if self.until_settled and self.burn_in != 0.5:
            raise ArgumentError(
                f"burn_in must be 0.5 with until_settled, not {self.burn_in!r}: of a run "
                "that grows the first half does not count"
            )
        if self.until_settled and self.step_schedule != "constant":
            raise ArgumentError(
                f"step_schedule must be constant with until_settled, not {self.step_schedule}"
            )

    def build(self, energy: Energy, position: Tensor) -> Sampler:
        """The sampler, with its default step if none is given."""
        sampler = SAMPLERS[self.sampler](1.0)
        if isinstance(sampler, Underdamped | Gibbs) and self.friction is not None:
            sampler = replace(sampler, friction=self.friction)
        if self.batch_size is not None:
            sampler = MiniBatchSGLD(1.0)
        if isinstance(energy, LadderEnergy):
            if not isinstance(sampler, Underdamped | SGLD):
                raise ArgumentError(
                    f"a ladder needs sampler underdamped or sgld, not sampler {self.sampler}"
                )
            sampler = ReplicaExchange(sampler)
        sampler = sampler.with_step(
            self.step or default_step(sampler, energy, position, factor=self.step_factor)
        )
        if isinstance(sampler, QuantisedLangevin):
            # Rounding noise must not stand for the thermal one (see the module): no larger.
            first = self.quantum or math.sqrt(2 * sampler.step_size * energy.temperature)
            quantum: float | QuantumSchedule = first
            if self.quantum_epoch is not None:
                quantum = QuantumSchedule.down_from(first, epoch=self.quantum_epoch)
            rounding = self.rounding or sampler.rounding
            sampler = replace(sampler, quantum=quantum, rounding=rounding)
        return sampler

    def batched(self, energy: Energy) -> Energy:
        """The energy, with mini-batches if there is a batch size.

        Raises
        ------
        ArgumentError
            For an energy that has none (collapsed, or with ARD), or too large a batch.
        """
        if self.batch_size is None:
            return energy
        if not isinstance(energy, ParticleEnergy):
            raise ArgumentError(f"batch_size needs particles, not {type(energy).__name__}")
        return MiniBatchEnergy(energy, self.batch_size)

    def tunes(self, energy: Energy) -> bool:
        """Whether the sampler is tuned while it runs."""
        network = type(energy) is ParticleEnergy and not energy.self_energy
        own = self.step is not None or self.sampler != "underdamped"
        return self.until_settled and network and not own

    def schedule(self, sampler: Sampler) -> Schedule:
        """Equally spaced looks over the budget, with the step sizes of ``step_schedule``."""
        if self.until_settled:
            return schedules.growing(
                step_size=sampler.step_size, langevin_time=self.langevin_time, looks=self.looks
            )
        steady = schedules.uniform(
            step_size=sampler.step_size,
            langevin_time=self.langevin_time,
            burn_in=self.burn_in,
            settle=min(self.settle, self.burn_in),
            looks=self.looks,
        )
        return schedules.SHAPES[self.step_schedule](steady)

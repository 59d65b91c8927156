"""Registry of the samplers: each name with the options of its sampler.

A new sampler needs a module, a class here with an entry in :data:`SAMPLERS`, and a test. The class
provides what the rest of the library must know about the sampler (its default length, the energies
that it cannot sample). Its fields are the options of the command line, of sweeps and of keys.
External programs may add classes to the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from feature_learning.choices import ROUNDINGS, STEP_SCHEDULES, option
from feature_learning.errors import (
    ArgumentError,
    check_choice,
    check_integer,
    check_real,
    check_scale,
    store_plain,
)

# The samplers themselves need torch, which takes seconds to import.
if TYPE_CHECKING:
    from feature_learning.energies.base import Energy
    from feature_learning.samplers.base import Sampler
    from feature_learning.samplers.schedules import Schedule

#: Ratio of neighbouring κ in a ladder; at P = 500 a third of the swaps is then accepted.
KAPPA_RATIO = 1.03


@dataclass(frozen=True)
class SamplerOptions:
    """Options common to all samplers.

    Attributes
    ----------
    step : float or None
        η or h; None takes the default from the curvature at the start
        (:func:`feature_learning.samplers.steps.default_step`).
    """

    #: Name, and class as ``module:Class``: a module of this folder, or one with its package.
    name: ClassVar[str]
    implementation: ClassVar[str]
    #: Default Langevin time of a run.
    budget: ClassVar[float] = 4100.0
    #: Whether it needs particles with readouts and an energy that is fixed during the run.
    fixed_energy: ClassVar[bool] = False
    #: Whether it needs particles with readouts.
    particles: ClassVar[bool] = False
    #: Whether it supports an output bias.
    output_bias: ClassVar[bool] = True
    #: Whether it supports replica exchange.
    exchanges: ClassVar[bool] = False
    #: Whether it moves the readouts by the same dynamics as the weights.
    moves_readouts: ClassVar[bool] = True

    step: float | None = option(None, "step size (from the curvature at the start)")

    def __post_init__(self) -> None:
        store_plain(self)
        if self.step is not None:
            check_scale("step", self.step)

    def kappas(self, kappa: float) -> tuple[float, ...]:
        """The κ of each network of a chain, from κ on; more than one with replica exchange."""
        return (kappa,)

    def build(self, step: float, energy: Energy) -> Sampler:
        """Build the sampler for an energy at a step size, as replica exchange for a ladder."""
        from feature_learning.samplers.exchange import ReplicaExchange

        module, _, name = self.implementation.partition(":")
        place = module if "." in module else f"feature_learning.samplers.{module}"
        made = getattr(import_module(place), name)
        sampler: Any = made(step, **self.settings(step, energy))
        if not hasattr(energy, "replicas"):
            return cast("Sampler", sampler)
        if not self.exchanges:
            raise ArgumentError(
                f"a ladder needs sampler underdamped or sgld, not sampler {self.name}"
            )
        return ReplicaExchange(sampler)

    def settings(self, step: float, energy: Energy) -> dict[str, Any]:
        """Arguments of the sampler besides the step size."""
        return {}

    def energy(self, energy: Energy) -> Energy:
        """The energy to sample: the same one, or its version with mini-batches."""
        return energy

    def shaped(self, schedule: Schedule) -> Schedule:
        """The schedule with the step sizes of this sampler."""
        return schedule


@dataclass(frozen=True)
class ExchangingOptions(SamplerOptions):
    """Options of a sampler that supports replica exchange."""

    exchanges: ClassVar[bool] = True

    replicas: int = option(
        1,
        "replica exchange: each chain has R networks at kappa, rho kappa, rho^2 kappa, ... that "
        "swap, and the network at kappa is reported (1: no exchange)",
        metavar="R",
        keyed_as="rungs",
    )
    kappa_ratio: float | None = option(
        None,
        f"kappa of a replica over that of the one before ({KAPPA_RATIO}); at most 1 + 1/sqrt(P)",
        metavar="RHO",
        keyed_as="rung_ratio",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("replicas", self.replicas, at_least=1, at_most=250)
        if self.kappa_ratio is not None:
            check_real("kappa_ratio", self.kappa_ratio, above=1, at_most=10)
            if self.replicas == 1:
                raise ArgumentError(
                    "kappa_ratio has no effect with replicas 1: it is for two or more"
                )

    def kappas(self, kappa: float) -> tuple[float, ...]:
        """The κ of every replica, from κ on."""
        ratio = KAPPA_RATIO if self.kappa_ratio is None else self.kappa_ratio
        return tuple(kappa * ratio**replica for replica in range(self.replicas))


@dataclass(frozen=True)
class SGLDOptions(ExchangingOptions):
    """Langevin dynamics without velocities, on all training samples or on mini-batches.

    Attributes
    ----------
    step_schedule : str
        One of :data:`feature_learning.samplers.schedules.SHAPES`. The budget counts the largest
        step; a decreasing schedule covers less Langevin time in the same number of steps.
    batch_size : int or None
        Training samples per mini-batch; None takes all.
    """

    name: ClassVar[str] = "sgld"
    implementation: ClassVar[str] = "sgld:SGLD"

    step_schedule: str = option("constant", "schedule of the step size", allowed=STEP_SCHEDULES)
    batch_size: int | None = option(None, "training samples per mini-batch (all)", metavar="B")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("step_schedule", self.step_schedule, STEP_SCHEDULES)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, at_least=1)

    def build(self, step: float, energy: Energy) -> Sampler:
        """Build the sampler, or its version for mini-batches."""
        from feature_learning.samplers.minibatch import MiniBatchSGLD

        return super().build(step, energy) if self.batch_size is None else MiniBatchSGLD(step)

    def energy(self, energy: Energy) -> Energy:
        """The energy, with mini-batches if there is a batch size.

        Raises
        ------
        ArgumentError
            If the energy has no mini-batches (collapsed, or with ARD), or the batch is too large.
        """
        from feature_learning.energies.minibatch import MiniBatchEnergy
        from feature_learning.energies.particles import ParticleEnergy

        if self.batch_size is None:
            return energy
        if not isinstance(energy, ParticleEnergy):
            raise ArgumentError(f"batch_size needs particles, not {type(energy).__name__}")
        return MiniBatchEnergy(energy, self.batch_size)

    def shaped(self, schedule: Schedule) -> Schedule:
        """The schedule with the step sizes of ``step_schedule``."""
        from feature_learning.samplers.schedules import SHAPES

        return SHAPES[self.step_schedule](schedule)


@dataclass(frozen=True)
class InertialOptions(SamplerOptions):
    """Options of a sampler with velocities."""

    friction: float | Literal["auto"] | None = option(
        None, "friction (0.02; for mf 0.01); auto: critical for the prior", metavar="F"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.friction, str):
            if self.friction != "auto":
                raise ArgumentError(f"friction must be a number or 'auto', not {self.friction!r}")
        elif self.friction is not None:
            check_scale("friction", self.friction)

    def settings(self, step: float, energy: Energy) -> dict[str, Any]:
        """The friction, if it is given."""
        return {} if self.friction is None else {"friction": self.friction}


@dataclass(frozen=True)
class UnderdampedOptions(InertialOptions, ExchangingOptions):
    """Langevin dynamics with velocities, by the BAOAB splitting."""

    name: ClassVar[str] = "underdamped"
    implementation: ClassVar[str] = "underdamped:Underdamped"
    budget: ClassVar[float] = 3000.0


@dataclass(frozen=True)
class MALAOptions(SamplerOptions):
    """Langevin steps with a Metropolis test."""

    name: ClassVar[str] = "mala"
    implementation: ClassVar[str] = "mala:MALA"
    fixed_energy: ClassVar[bool] = True


@dataclass(frozen=True)
class HMCOptions(SamplerOptions):
    """Hamiltonian Monte Carlo."""

    name: ClassVar[str] = "hmc"
    implementation: ClassVar[str] = "hmc:HMC"
    budget: ClassVar[float] = 3000.0
    fixed_energy: ClassVar[bool] = True


@dataclass(frozen=True)
class GibbsOptions(InertialOptions):
    """Exact draws of the readouts between underdamped steps of the weights."""

    name: ClassVar[str] = "gibbs"
    implementation: ClassVar[str] = "gibbs:Gibbs"
    budget: ClassVar[float] = 3000.0
    fixed_energy: ClassVar[bool] = True
    output_bias: ClassVar[bool] = False
    moves_readouts: ClassVar[bool] = False


@dataclass(frozen=True)
class PreconditionedOptions(SamplerOptions):
    """SGLD with a diagonal preconditioner."""

    name: ClassVar[str] = "preconditioned"
    implementation: ClassVar[str] = "preconditioned:PreconditionedSGLD"


@dataclass(frozen=True)
class AdaptiveOptions(SamplerOptions):
    """SGLD whose step adapts to the size of the gradient."""

    name: ClassVar[str] = "adaptive"
    implementation: ClassVar[str] = "adaptive:AdaptiveSGLD"
    particles: ClassVar[bool] = True


@dataclass(frozen=True)
class QuantisedOptions(SamplerOptions):
    """SGLD with steps rounded to multiples of a quantum, as part of the noise.

    Attributes
    ----------
    rounding : str or None
        ``stochastic`` (None), ``nearest`` or ``floor``.
    quantum : float or None
        Quantum at the start; None takes √(2ηT), the size of the thermal noise.
    quantum_epoch : int or None
        Steps per epoch of the schedule of Seok and Cho, in which the quantum decreases from its
        first value; thermal noise supplies the rest of the variance. None keeps the quantum
        constant.
    """

    name: ClassVar[str] = "quantised"
    implementation: ClassVar[str] = "quantised:QuantisedLangevin"

    rounding: str | None = option(None, "rounding of the steps (stochastic)", allowed=ROUNDINGS)
    quantum: float | None = option(None, "unit of the rounded steps (size of the thermal noise)")
    quantum_epoch: int | None = option(
        None, "steps per epoch of the decreasing quantum (constant quantum)", metavar="E"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounding is not None:
            check_choice("rounding", self.rounding, ROUNDINGS)
        if self.quantum is not None:
            check_scale("quantum", self.quantum)
        if self.quantum_epoch is not None:
            check_integer("quantum_epoch", self.quantum_epoch, at_least=1)

    def settings(self, step: float, energy: Energy) -> dict[str, Any]:
        """Quantum and rounding; by default rounding noise does not exceed thermal noise."""
        from feature_learning.samplers.quantised import QuantumSchedule

        first = self.quantum or math.sqrt(2 * step * energy.temperature)
        quantum: float | QuantumSchedule = first
        if self.quantum_epoch is not None:
            quantum = QuantumSchedule.down_from(first, epoch=self.quantum_epoch)
        return {"quantum": quantum} | ({} if self.rounding is None else {"rounding": self.rounding})


#: The options class of each sampler, by name.
SAMPLERS: dict[str, type[SamplerOptions]] = {
    each.name: each
    for each in (
        SGLDOptions,
        UnderdampedOptions,
        MALAOptions,
        HMCOptions,
        GibbsOptions,
        PreconditionedOptions,
        AdaptiveOptions,
        QuantisedOptions,
    )
}

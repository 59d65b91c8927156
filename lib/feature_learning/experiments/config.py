"""The configuration of a point: everything that defines its numbers, checked before any work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from feature_learning.choices import LARGEST_SEED, option
from feature_learning.errors import (
    ArgumentError,
    check_integer,
    check_scale,
    store_plain,
)
from feature_learning.experiments.compatibility import check_together
from feature_learning.experiments.machine import Machine
from feature_learning.experiments.methods import (
    KernelLimit,
    MeanField,
    Method,
    NetworkPosterior,
)
from feature_learning.experiments.runs import AsPublished, Chains, Populations, Run
from feature_learning.model.patterns import canonical, half_cube, signs_of
from feature_learning.model.student import Network, Student
from feature_learning.model.teachers import SparseParity, Teacher, check_teacher
from feature_learning.samplers.options import SamplingOptions
from feature_learning.samplers.registry import InertialOptions, SamplerOptions, UnderdampedOptions

# Modules that compute are imported in the functions that use them: importing torch takes seconds,
# and the command-line parser needs this class.
if TYPE_CHECKING:
    from feature_learning.model.teachers import Dataset

#: Most relevant coordinates for which a code is planted by default: 10 give 512 patterns.
_LARGEST_CODE = 10


#: Placeholder for the default run, which depends on the method: None for the NNGP.
_CHOSEN: Any = Chains()


@dataclass(frozen=True)
class PointConfig:
    """Everything that defines a point. Defaults are the paper's parity setting.

    Attributes
    ----------
    teacher : Teacher
        The task: a :class:`~feature_learning.model.teachers.SparseParity`, a
        :class:`~feature_learning.model.teachers.SingleIndex`, or a teacher of one's own.
    network : Network
        Architecture and prior; its input dimension is that of the teacher.
    method : NetworkPosterior, MeanField, MeanFieldARD or KernelLimit
        What is computed.
    run : Chains, AsPublished, Populations, Integrals or None
        How it is sampled; None for the NNGP, which is exact.
    machine : Machine
        Device, precision and memory bound.
    n_train, kappa : int, float
        Number of training samples P, and noise scale κ: T = 2κ².
    seed : int
        Seed of data, starts and noise.
    n_test : int
        Number of held-out points.

    Raises
    ------
    ArgumentError
        If parts are incompatible, such as a sampler that cannot sample the energy of the method or
        a code whose length differs from the sparsity of the task.
    """

    teacher: Teacher = field(default_factory=SparseParity)
    network: Network = field(default_factory=Network)
    method: Method = field(default_factory=NetworkPosterior)
    run: Run | None = _CHOSEN
    machine: Machine = field(default_factory=Machine)
    n_train: int = option(1000, "training samples P", keyed_as="samples")
    kappa: float = option(0.005, "noise, T = 2 kappa^2")
    seed: int = option(0, "data, start and noise")
    n_test: int = option(20_000, "held-out points", keyed_as="test_samples")

    def __post_init__(self) -> None:
        store_plain(self)
        check_teacher(self.teacher)
        check_integer("n_train", self.n_train, at_least=1)
        check_integer("n_test", self.n_test, at_least=2)
        check_integer("seed", self.seed, at_least=0, at_most=LARGEST_SEED)
        check_scale("kappa", self.kappa)
        if isinstance(self.method, KernelLimit):
            self._set("run", None if self.run is _CHOSEN else self.run)
            if self.run is not None:
                raise ArgumentError("method nngp is exact: it has no run")
        elif self.run is None:
            raise ArgumentError(f"run must be given: method {self.method.name} is sampled")
        if isinstance(self.run, Chains):
            self._set("run", self._chosen(self.run))
        if isinstance(self.run, Chains | Populations) and self.run.code is not None:
            sizes = {"sparsity": self.teacher.sparsity, "width": self.network.width}
            self._set("run", replace(self.run, code=canonical(self.run.code, **sizes)))
        # Building these checks the other values, before any work.
        _ = self.student, self.sampling
        check_together(self)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # the class is frozen

    def _chosen(self, run: Chains) -> Chains:
        """Choose the values that were not given and depend on the other options."""
        sampler, network = run.sampler, isinstance(self.method, NetworkPosterior)
        able = network and isinstance(sampler, UnderdampedOptions) and sampler.replicas == 1
        # None until they are chosen here, contrary to their types.
        settled: Any = run.until_settled
        start: Any = run.start
        chains: Any = run.chains
        if settled is None:
            free = run.langevin_time is None and run.burn_in == 0.5 and sampler.step is None
            several = chains is None or (isinstance(chains, int) and chains >= 4)
            apart = start in (None, "planted", "spread")
            settled = able and free and several and apart and not run.stop_when_converged
        apart = able and settled is True
        if start is None:
            start = "spread" if apart else "prior"
        if chains is None:
            chains = 8 if apart else 4
        code = run.code
        if settled is True and start in ("planted", "spread") and network and code is None:
            code = self._planted_code()
        if isinstance(sampler, InertialOptions) and sampler.friction == "auto":
            sampler = replace(sampler, friction=self._automatic_friction(sampler))
        return replace(
            run, sampler=sampler, until_settled=settled, start=start, chains=chains, code=code
        )

    def _planted_code(self) -> str | None:
        """The code of largest evidence, if the network is wide enough for it.

        A parity of many coordinates has more pairs of patterns than the network has neurons.
        """
        sparsity = self.teacher.sparsity
        if type(self.teacher) is not SparseParity or sparsity > _LARGEST_CODE:
            return None
        return half_cube(sparsity) if 2 ** (sparsity - 1) <= self.network.width else None

    def _automatic_friction(self, sampler: SamplerOptions) -> float:
        """The number for ``auto``, so that keys, tables and results record the value used."""
        from feature_learning.samplers.friction import automatic_friction

        moving = sampler.moves_readouts and not self.collapsed
        return automatic_friction(self.student, kappa=self.kappa, readout=moving)

    @property
    def collapsed(self) -> bool:
        """Whether particles without readouts are sampled: a mean field by the collapsed solver."""
        return isinstance(self.method, MeanField) and self.method.collapsed

    @property
    def particles(self) -> int:
        """Number of neurons, or of particles of a mean field."""
        own = self.method.particles if isinstance(self.method, MeanField) else None
        return self.network.width if own is None else own

    @property
    def chains(self) -> int:
        """Number of chains, populations or integrals; 1 for the NNGP."""
        return 1 if self.run is None else self.run.chains

    @property
    def kappas(self) -> tuple[float, ...]:
        """κ of each replica of a chain, starting with the κ of the point; one without replicas."""
        run = self.run
        return run.sampler.kappas(self.kappa) if isinstance(run, Chains) else (self.kappa,)

    @property
    def networks(self) -> int:
        """Networks in one batch: chains times replicas, or members of one population."""
        if isinstance(self.run, Populations):
            return self.run.networks
        return self.chains * len(self.kappas)

    @property
    def signs(self) -> list[list[int]]:
        """The code as signs, (neurons, sparsity)."""
        return signs_of(self.run.code if isinstance(self.run, Chains | Populations) else None)

    @property
    def student(self) -> Student:
        """The network for inputs of the teacher's dimension, with the method's tilted prior."""
        tilt = self.method.tilt if isinstance(self.method, NetworkPosterior) else 1.0
        return Student(
            **vars(self.network),
            dim=self.teacher.dim,
            tilt=tilt,
            tilted=self.teacher.sparsity if tilt != 1 else 0,
        )

    @property
    def sampling(self) -> SamplingOptions:
        """How the energy is sampled, with the default budget of sampler and method.

        Plain MF moves by rare jumps of single particles, which need long runs and low friction. Its
        curvature stays at its initial value (0.5 to 0.7 at the paper's size), so that a longer step
        is safe.
        """
        if isinstance(self.run, AsPublished):
            return self.run.sampling
        if not isinstance(self.run, Chains):
            return SamplingOptions()
        run, sampler, budget, factor = self.run, self.run.sampler, None, 1.0
        if isinstance(sampler, UnderdampedOptions):
            if self.method.name == "mf":
                friction = 0.01 if sampler.friction is None else sampler.friction
                sampler, budget, factor = replace(sampler, friction=friction), 7200.0, 1.5
            elif run.until_settled and isinstance(self.method, NetworkPosterior):
                budget = self._longest
        return SamplingOptions(
            sampler=sampler,
            langevin_time=budget if run.langevin_time is None else run.langevin_time,
            burn_in=run.burn_in,
            measurements=run.measurements,
            start=run.start,
            until_settled=run.until_settled,
            step_factor=factor,
        )

    @property
    def _longest(self) -> float:
        """Longest Langevin time, 256/ω₀ with ω₀ = √T/s of the widest prior.

        Convergence is first judged after a thirty-second of it.
        """
        from feature_learning.samplers.friction import softest_frequency

        return float(f"{256 / softest_frequency(self.student, kappa=self.kappa):.2g}")

    def datasets(self) -> tuple[Dataset, Dataset]:
        """Training set and held-out points, on the device."""
        import torch

        from feature_learning.model.teachers import make_dataset

        where: dict[str, Any] = {
            "seed": self.seed,
            "dtype": getattr(torch, self.machine.dtype),
            "device": self.machine.device,
        }
        train = make_dataset(self.teacher, self.n_train, **where)
        return train, make_dataset(self.teacher, self.n_test, stream="test", **where)

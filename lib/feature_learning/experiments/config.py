"""The configuration of a point: everything that defines its numbers, checked before any work."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from feature_learning import choices
from feature_learning.choices import LARGEST_DEGREE, LARGEST_SEED
from feature_learning.errors import (
    ArgumentError,
    check_choice,
    check_integer,
    check_real,
    check_scale,
    shortened,
    store_plain,
)
from feature_learning.experiments.applicability import (
    NEUTRAL,
    refuse_sampler,
    refuse_without_effect,
)

# What computes is imported where it is made: torch takes seconds, and a parser needs this class.
if TYPE_CHECKING:
    from feature_learning.model.student import Student
    from feature_learning.model.teachers import Dataset, Teacher
    from feature_learning.samplers.options import Sampling

#: Two neighbouring κ of a ladder: a third of the swaps is accepted then at P = 500.
RUNG_RATIO = 1.03
#: Options whose default of None tells whether they were set. (Neither step nor budget: the points
#: of a grid share them, the kernel limit among them.)
_TELLING = ("particles", "friction", *NEUTRAL)


#: In the place of a value that depends on the others; None before the checks, never after.
_CHOSEN: Any = None


#: Relevant coordinates of the largest code that is planted without being named: 512 patterns.
_LARGEST_CODE = 10


def _half_cube(sparsity: int) -> str:
    """The code that has one neuron of each pair of patterns {s, -s}: all s that begin with +."""
    signs = itertools.product("+-", repeat=sparsity - 1)
    return " ".join(f"+{''.join(each)}" for each in signs)


@dataclass(frozen=True)
class PointConfig:
    """Everything that defines a point. Defaults are the paper's parity setting.

    ``langevin_time``, ``step`` and ``friction`` of None mean the defaults of sampler and method
    (:attr:`make_sampling`). A friction of ``auto`` is replaced at once by the number that
    :func:`~feature_learning.samplers.friction.automatic_friction` gives for this prior and noise.
    ``particles`` of None means the width. ``protocol="published"`` runs plain SGLD on the published
    clock and stopping rule and reports the last sample ("as run").
    ``nngp_variant`` is ``matched`` or ``as-published``. ``penalty`` is λ of the homogeneity penalty
    λ Σ_i Var_j ``|w_ij|`` on the loss of the network. ``tilt`` multiplies the prior variance of its
    weights on the relevant coordinates (:mod:`feature_learning.theory.free_energy`). With ``rungs``
    above 1 each chain is a ladder of so many networks at κ, ρκ, ρ²κ, … that swap (replica exchange,
    :mod:`feature_learning.samplers.exchange`), ρ the ``rung_ratio`` (None: 1.03), and what is
    reported is the network at κ. With sampler ``population`` each chain is a population of
    ``members`` networks (None: 16), cooled from the prior with ``moves`` steps (None: 30) at each
    noise; with a ``code``, sign patterns of specialised neurons such as ``"+-++ -+++"``, its
    neurons are held to it and let go (:mod:`feature_learning.evidence.populations`). With sampler
    ``integration`` each chain is a thermodynamic integral along the same ways, over ``members``
    networks (None: 4) that are never resampled. Which option has an effect for which method stands
    in :data:`feature_learning.experiments.applicability.SCOPES`; ``particles``, ``friction``,
    ``rounding``, ``quantum_epoch``, ``quantum``, ``batch_size``, a ``penalty`` above 0, a ``tilt``
    other than 1 and a ``step_schedule`` that is not constant are refused where they have none, and
    so is a sampler that does not go with the method
    (:func:`feature_learning.experiments.applicability.refuse_sampler`).
    """

    teacher: str = "parity"
    dim: int = 35
    sparsity: int = 4
    degree: int = 4
    width: int = 512
    gamma: float = 0.5
    activation: str = "relu"
    weight_variance: float = 1.0
    readout_variance: float = 1.0
    hidden_bias_variance: float | None = None
    output_bias_variance: float | None = None
    samples: int = 1000
    kappa: float = 0.005
    method: str = "network"
    sampler: str = "underdamped"
    protocol: str | None = None
    chains: int = _CHOSEN
    seed: int = 0
    langevin_time: float | None = None
    step: float | None = None
    step_schedule: str = "constant"
    friction: float | Literal["auto"] | None = None
    burn_in: float = 0.5
    looks: int = 200
    start: str = _CHOSEN
    stop_when_converged: bool = False
    solver: str = "particles"
    particles: int | None = None
    alpha0: float = 4.0
    nngp_variant: str = "matched"
    test_samples: int = 20_000
    dtype: str = "float32"
    device: str = "cpu"
    block_elements: int | None = None
    penalty: float = 0.0
    rounding: str | None = None
    quantum_epoch: int | None = None
    quantum: float | None = None
    batch_size: int | None = None
    tilt: float = 1.0
    rungs: int = 1
    rung_ratio: float | None = None
    members: int | None = None
    moves: int | None = None
    code: str | None = None
    until_settled: bool = _CHOSEN

    def __post_init__(self) -> None:
        store_plain(self)
        self._choose()
        check_choice("teacher", self.teacher, choices.TEACHERS)
        check_choice("method", self.method, choices.METHODS)
        check_choice("sampler", self.sampler, choices.SAMPLERS)
        check_choice("dtype", self.dtype, choices.DTYPES)
        check_choice("solver", self.solver, choices.SOLVERS)
        check_integer("samples", self.samples, at_least=1)
        check_integer("test_samples", self.test_samples, at_least=2)
        check_integer("chains", self.chains, at_least=1)
        # Also where another teacher does not ask for it.
        check_integer("degree", self.degree, at_least=1, at_most=LARGEST_DEGREE)
        check_integer("seed", self.seed, at_least=0, at_most=LARGEST_SEED)
        if self.block_elements is not None:
            check_integer("block_elements", self.block_elements, at_least=1)
        check_choice("nngp_variant", self.nngp_variant, choices.NNGP_VARIANTS)
        check_scale("kappa", self.kappa)
        check_scale("alpha0", self.alpha0)
        check_real("penalty", self.penalty, at_least=0)
        check_scale("tilt", self.tilt)
        if self.protocol is not None:
            check_choice("protocol", self.protocol, choices.PROTOCOLS)
            if self.method != "network" or self.langevin_time is not None:
                raise ArgumentError(
                    "protocol published needs method network and no langevin_time, "
                    f"not method {self.method!r} and langevin_time {self.langevin_time!r}"
                )
            if self.sampler not in ("sgld", PointConfig.sampler):
                raise ArgumentError(
                    f"protocol published is of sampler sgld, not of sampler {self.sampler}"
                )
            # One name for one run, whether or not the sampler was given.
            object.__setattr__(self, "sampler", PointConfig.sampler)
        check_integer("rungs", self.rungs, at_least=1, at_most=250)
        if self.rung_ratio is not None:
            check_real("rung_ratio", self.rung_ratio, above=1, at_most=10)
        # Within these bounds the powers do not overflow.
        check_scale("kappa of the last of rungs", self.kappas[-1])
        if self.members is not None:
            check_integer("members", self.members, at_least=2, at_most=100_000)
        if self.moves is not None:
            check_integer("moves", self.moves, at_least=1)
        if self.code is not None:
            object.__setattr__(self, "code", self._canonical_code(self.code))
        if self.particles is not None:
            check_integer("particles", self.particles, at_least=1)
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, at_least=1, at_most=self.samples)
        if isinstance(self.friction, str):
            self._set_friction(self.friction)
        # The rest is checked by what it is handed to; do so now, before any work.
        _ = self.make_teacher, self.make_student, self.make_sampling
        self._choose_code()
        values = {name: getattr(self, name) for name in _TELLING}
        given = {name: each for name, each in values.items() if each != NEUTRAL.get(name)}
        refuse_without_effect(self, given)
        refuse_sampler(self)

    def _choose(self) -> None:
        """Put values in the place of those that depend on others, where none are given.

        A network by underdamped dynamics whose length nobody has set runs until it is settled, with
        chains that start apart, four of each kind.
        """
        able = self.method == "network" and self.protocol is None
        able = able and self.sampler == "underdamped" and self.rungs == 1
        asked = {name: getattr(self, name) for name in ("chains", "start", "until_settled")}
        if asked["until_settled"] is None:
            free = self.langevin_time is None and self.burn_in == 0.5 and self.step is None
            several = asked["chains"] is None or (
                isinstance(asked["chains"], int) and asked["chains"] >= 4
            )
            able = able and free and several and asked["start"] in (None, "planted", "spread")
            able = able and not self.stop_when_converged
            asked["until_settled"] = able
        apart = able and asked["until_settled"] is True
        if asked["chains"] is None:
            asked["chains"] = 8 if apart else 4
        if asked["start"] is None:
            asked["start"] = "spread" if apart else "prior"
        for name, value in asked.items():
            object.__setattr__(self, name, value)  # the class is frozen for everyone else

    def _choose_code(self) -> None:
        """Plant the code of largest evidence where a parity is run until it is settled.

        A parity of more than a few coordinates has more pairs of patterns than there are neurons.
        """
        planted = self.until_settled is True and self.start in ("planted", "spread")
        fits = self.sparsity <= _LARGEST_CODE and 2 ** (self.sparsity - 1) <= self.width
        plain = self.method == "network" and self.teacher == "parity" and self.code is None
        if planted and fits and plain:
            object.__setattr__(self, "code", _half_cube(self.sparsity))

    def _set_friction(self, asked: str) -> None:
        """Put a number in the place of ``auto``: keys, tables and results then say what was run."""
        if asked != "auto":
            raise ArgumentError(f"friction must be a number or 'auto', not {asked!r}")
        moving = not self.collapsed and self.sampler != "gibbs"
        from feature_learning.samplers.friction import automatic_friction

        number = automatic_friction(self.make_student, kappa=self.kappa, readout=moving)
        object.__setattr__(self, "friction", number)  # the class is frozen for everyone else

    def _canonical_code(self, code: object) -> str:
        """The patterns in order, one blank between them: one name for one code."""
        patterns = sorted(code.split()) if isinstance(code, str) else []
        if not patterns or any(
            len(each) != self.sparsity or set(each) - {"+", "-"} for each in patterns
        ):
            raise ArgumentError(
                f"code must be patterns of {self.sparsity} signs such as "
                f"{('+-' * self.sparsity)[: self.sparsity]!r}, with blanks between them, "
                f"not {shortened(code)}"
            )
        if len(patterns) > self.width:
            raise ArgumentError(
                f"code must have at most width = {self.width} patterns, not {len(patterns)}"
            )
        return " ".join(patterns)

    @property
    def signs(self) -> list[list[int]]:
        """The code as signs, (neurons, sparsity)."""
        patterns = () if self.code is None else self.code.split()
        return [[1 if sign == "+" else -1 for sign in pattern] for pattern in patterns]

    @property
    def collapsed(self) -> bool:
        """Whether particles without readouts are sampled: a mean field by the collapsed solver."""
        return self.method in ("mf", "mf-ard") and self.solver == "collapsed"

    @property
    def measures_evidence(self) -> bool:
        """Whether each chain is a population of networks, or an integral, that gives log Z."""
        return self.method == "network" and self.sampler in choices.EVIDENCE_SAMPLERS

    @property
    def steps_a_noise(self) -> int:
        """Of an evidence, at each noise on the way: between two looks of an integral."""
        return 30 if self.moves is None else self.moves

    @property
    def networks(self) -> int:
        """Networks in one batch: chains, times the rungs of each, or members for an evidence."""
        if self.measures_evidence:
            usual = 16 if self.sampler == "population" else 4
            return usual if self.members is None else self.members
        return self.chains * self.rungs

    @property
    def kappas(self) -> tuple[float, ...]:
        """The κ of every rung, from κ on."""
        ratio = RUNG_RATIO if self.rung_ratio is None else self.rung_ratio
        return tuple(self.kappa * ratio**rung for rung in range(self.rungs))

    @property
    def make_teacher(self) -> Teacher:
        """The teacher."""
        from feature_learning.model.teachers import SingleIndex, SparseParity

        if self.teacher == "parity":
            return SparseParity(self.dim, self.sparsity)
        return SingleIndex(self.dim, self.sparsity, self.degree)

    @property
    def make_student(self) -> Student:
        """The student."""
        from feature_learning.model.student import Student

        return Student(
            dim=self.dim,
            width=self.width,
            gamma=self.gamma,
            activation=self.activation,
            weight_variance=self.weight_variance,
            readout_variance=self.readout_variance,
            hidden_bias_variance=self.hidden_bias_variance,
            output_bias_variance=self.output_bias_variance,
            tilt=self.tilt,
            tilted=self.sparsity if self.tilt != 1 else 0,
        )

    @property
    def make_sampling(self) -> Sampling:
        """The sampler's settings, with the default budget of sampler and method.

        Plain MF moves by rare jumps of single particles, which take long and like low friction; its
        curvature stays at its start (0.5 to 0.7 at the paper's size), so a longer step is safe.
        """
        from feature_learning.samplers.options import Sampling

        kind = "sgld" if self.protocol is not None else self.sampler
        if kind in choices.EVIDENCE_SAMPLERS:  # these are the networks that settle in its code
            time = 1500.0 if self.langevin_time is None else self.langevin_time
            return Sampling(langevin_time=time)
        slow = self.method == "mf" and kind == "underdamped"
        overdamped = kind not in ("underdamped", "gibbs", "hmc")
        default = 4100.0 if overdamped else 7200.0 if slow else 3000.0
        friction: float | None = 0.01 if slow else 0.02
        if self.until_settled and self.method == "network" and kind == "underdamped":
            default, friction = self._longest, None
        return Sampling(
            sampler=kind,
            step=self.step,
            step_factor=1.5 if slow else 1.0,
            friction=friction if self.friction is None else cast(float, self.friction),
            until_settled=self.until_settled,
            langevin_time=default if self.langevin_time is None else self.langevin_time,
            burn_in=self.burn_in,
            looks=self.looks,
            start=self.start,
            step_schedule=self.step_schedule if self.sampler == kind == "sgld" else "constant",
            rounding=self.rounding if kind == "quantised" else None,
            quantum_epoch=self.quantum_epoch if kind == "quantised" else None,
            quantum=self.quantum if kind == "quantised" else None,
            batch_size=self.batch_size if self.sampler == kind == "sgld" else None,
        )

    @property
    def _longest(self) -> float:
        """256/ω₀, ω₀ = √T/s of the widest prior; judged from a thirty-second of it on."""
        from feature_learning.samplers.friction import softest_frequency

        return float(f"{256 / softest_frequency(self.make_student, kappa=self.kappa):.2g}")

    def datasets(self) -> tuple[Dataset, Dataset]:
        """Training set and held-out points, on the device."""
        import torch

        from feature_learning.model.teachers import draw

        teacher, dtype = self.make_teacher, getattr(torch, self.dtype)
        return (
            draw(teacher, self.samples, seed=self.seed, dtype=dtype, device=self.device),
            draw(
                teacher,
                self.test_samples,
                seed=self.seed,
                stream="test",
                dtype=dtype,
                device=self.device,
            ),
        )

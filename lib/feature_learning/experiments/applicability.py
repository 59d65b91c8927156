"""Which option has an effect where: one table for configurations, the command line and its help.

An option that is given and would change nothing is refused: who sets the friction of SGLD believes
something about the run that is not so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from feature_learning.choices import EVIDENCE_SAMPLERS
from feature_learning.errors import ArgumentError


class _Choices(Protocol):
    """The fields of a :class:`~feature_learning.experiments.config.PointConfig` that decide."""

    @property
    def method(self) -> str: ...
    @property
    def teacher(self) -> str: ...
    @property
    def sampler(self) -> str: ...
    @property
    def protocol(self) -> str | None: ...
    @property
    def nngp_variant(self) -> str: ...
    @property
    def solver(self) -> str: ...
    @property
    def collapsed(self) -> bool: ...
    @property
    def output_bias_variance(self) -> float | None: ...
    @property
    def batch_size(self) -> int | None: ...
    @property
    def start(self) -> str: ...
    @property
    def penalty(self) -> float: ...
    @property
    def rungs(self) -> int: ...
    @property
    def tilt(self) -> float: ...
    @property
    def step(self) -> float | None: ...
    @property
    def code(self) -> str | None: ...


@dataclass(frozen=True)
class Scope:
    """Where an option has an effect.

    Attributes
    ----------
    words : str
        For people: "has an effect for ...".
    holds : callable
        Whether a configuration is of that kind.
    decided_by : tuple of str
        The choices that decide, quoted when an option is refused.
    """

    words: str
    holds: Callable[[_Choices], bool]
    decided_by: tuple[str, ...]


def _method(words: str, *methods: str) -> Scope:
    return Scope(words, lambda choices: choices.method in methods, ("method",))


_SAMPLED = _method("methods network, mf and mf-ard", "network", "mf", "mf-ard")
_MEAN_FIELD = _method("methods mf and mf-ard", "mf", "mf-ard")
_NETWORK = _method("method network", "network")
_OWN_CLOCK = Scope(
    "methods network, mf and mf-ard without protocol published",
    lambda choices: choices.method != "nngp" and choices.protocol is None,
    ("method", "protocol"),
)
_CHAINS = Scope(
    "methods network, mf and mf-ard without protocol published, but for samplers population and "
    "integration",
    lambda choices: _OWN_CLOCK.holds(choices) and choices.sampler not in EVIDENCE_SAMPLERS,
    ("method", "sampler", "protocol"),
)
_MOVED = Scope(
    "methods network, mf and mf-ard, but for samplers population and integration",
    # With a protocol there is no sampler of these names.
    lambda choices: choices.method != "nngp" and choices.sampler not in EVIDENCE_SAMPLERS,
    ("method", "sampler"),
)
_POPULATION = Scope(
    "samplers population and integration of method network",
    lambda choices: choices.method == "network" and choices.sampler in EVIDENCE_SAMPLERS,
    ("method", "sampler"),
)
_CODED = Scope(
    "samplers population and integration of method network, and starts planted and spread of "
    "others",
    lambda choices: (
        choices.method == "network"
        and (choices.sampler in EVIDENCE_SAMPLERS or choices.start in ("planted", "spread"))
    ),
    ("method", "sampler", "start"),
)
_QUANTISED = Scope(
    "sampler quantised of methods network, mf and mf-ard",
    lambda choices: _OWN_CLOCK.holds(choices) and choices.sampler == "quantised",
    ("method", "sampler", "protocol"),
)

#: Option to scope. An option that is not named here has an effect always.
SCOPES: dict[str, Scope] = {
    "degree": Scope(
        "teacher single-index", lambda choices: choices.teacher == "single-index", ("teacher",)
    ),
    "width": _SAMPLED,
    "test_samples": Scope(
        "all but nngp-variant as-published, which has 50,000 points of its own",
        lambda choices: choices.method != "nngp" or choices.nngp_variant != "as-published",
        ("method", "nngp_variant"),
    ),
    "sampler": _OWN_CLOCK,
    "langevin_time": Scope(
        "methods network, mf and mf-ard without protocol published; of samplers "
        "population and integration with a code",
        lambda choices: (
            _OWN_CLOCK.holds(choices)
            and (choices.sampler not in EVIDENCE_SAMPLERS or choices.code is not None)
        ),
        ("method", "sampler", "protocol"),
    ),
    "protocol": _NETWORK,
    "step": _MOVED,
    "friction": Scope(
        "samplers underdamped and gibbs of methods network, mf and mf-ard",
        lambda choices: _OWN_CLOCK.holds(choices) and choices.sampler in ("underdamped", "gibbs"),
        ("method", "sampler", "protocol"),
    ),
    "step_schedule": Scope(
        "sampler sgld of methods network, mf and mf-ard",
        lambda choices: _OWN_CLOCK.holds(choices) and choices.sampler == "sgld",
        ("method", "sampler", "protocol"),
    ),
    "rounding": _QUANTISED,
    "quantum_epoch": _QUANTISED,
    "quantum": _QUANTISED,
    "batch_size": Scope(
        "sampler sgld of methods network and mf",
        lambda choices: (
            _OWN_CLOCK.holds(choices)
            and choices.sampler == "sgld"
            and choices.method in ("network", "mf")
        ),
        ("method", "sampler", "protocol"),
    ),
    "burn_in": _CHAINS,
    "start": _MOVED,
    "chains": _SAMPLED,
    "stop_when_converged": _CHAINS,
    "until_settled": _CHAINS,
    "solver": _MEAN_FIELD,
    "particles": _MEAN_FIELD,
    "alpha0": _method("method mf-ard", "mf-ard"),
    "penalty": _NETWORK,
    "tilt": _NETWORK,
    "rungs": Scope(
        "samplers underdamped and sgld of method network",
        lambda choices: (
            _OWN_CLOCK.holds(choices)
            and choices.method == "network"
            and choices.sampler in ("underdamped", "sgld")
        ),
        ("method", "sampler", "protocol"),
    ),
    "rung_ratio": Scope("two rungs or more", lambda choices: choices.rungs > 1, ("rungs",)),
    "nngp_variant": _method("method nngp", "nngp"),
    "block_elements": _SAMPLED,
    "looks": _CHAINS,
    "members": _POPULATION,
    "moves": _POPULATION,
    "code": _CODED,
    "checkpoint": _SAMPLED,
    "max_time": _CHAINS,
}


#: Fields that PointConfig got later, with the value that means "as before". At this value they say
#: nothing new: they are accepted anywhere, and stay out of the keys of stored results, so that the
#: cells of before keep theirs.
NEUTRAL: dict[str, Any] = {
    **{"penalty": 0.0, "quantum": None, "batch_size": None},
    **{"step_schedule": "constant", "rounding": None, "quantum_epoch": None, "tilt": 1.0},
    **{"rungs": 1, "rung_ratio": None, "members": None, "moves": None, "code": None},
    "until_settled": False,
}

#: Samplers that need a fixed energy of particles with readouts, and can have no other.
_FIXED = ("mala", "hmc", "gibbs")


def refuse_sampler(choices: _Choices) -> None:
    """Refuse a sampler that cannot sample what the method asks for.

    Raises
    ------
    ArgumentError
        Naming sampler, method, solver or bias.
    """
    if choices.start == "released":
        moving = choices.sampler in _FIXED or choices.batch_size is not None
        if choices.method != "network" or choices.protocol is not None or moving:
            raise ArgumentError(
                "start released changes the prior during the run: it is for method network without "
                f"protocol, batch_size and samplers {', '.join(_FIXED)}, not for method "
                f"{choices.method}, protocol {choices.protocol}, sampler {choices.sampler}, "
                f"batch_size {choices.batch_size}"
            )
    if choices.method == "nngp" or choices.protocol is not None:
        return
    sampler = choices.sampler
    if sampler in EVIDENCE_SAMPLERS:
        fixed = {"method": "network", "start": "prior", "penalty": 0.0, "tilt": 1.0, "step": None}
        fixed["output_bias_variance"] = None
        for name, value in fixed.items():
            if getattr(choices, name) != value:
                raise ArgumentError(
                    f"sampler {sampler} needs {name} = {value!r}, not {getattr(choices, name)!r}"
                )
    if choices.rungs > 1 and (
        choices.start == "released" or choices.batch_size is not None or choices.penalty
    ):
        raise ArgumentError(
            f"rungs = {choices.rungs} swap networks of one fixed energy at several kappa: without "
            f"start released, batch_size and penalty, not with start {choices.start}, "
            f"batch_size {choices.batch_size}, penalty {choices.penalty:g}"
        )
    if sampler in _FIXED and (choices.method == "mf-ard" or choices.collapsed):
        raise ArgumentError(
            f"sampler {sampler} needs method network, or mf with solver particles, "
            f"not method {choices.method} with solver {choices.solver}"
        )
    if (sampler == "adaptive" or choices.batch_size is not None) and choices.collapsed:
        what = "batch_size" if choices.batch_size is not None else "sampler adaptive"
        raise ArgumentError(f"{what} needs solver particles, not solver {choices.solver}")
    if sampler == "gibbs" and choices.output_bias_variance is not None:
        raise ArgumentError(
            "sampler gibbs needs a student without output bias, not output_bias_variance = "
            f"{choices.output_bias_variance!r}"
        )


def flag(name: str) -> str:
    """An option as it is spelt on the command line."""
    return f"--{name.replace('_', '-')}"


def refuse_without_effect(
    choices: _Choices, given: Mapping[str, object], *, spell: Callable[[str], str] = str
) -> None:
    """Refuse the first of the ``given`` options that has no effect under these ``choices``.

    One whose value agrees with what is run anyway is accepted: sampler sgld with the published
    protocol, which is SGLD, or one rung of a sampler that has no ladders.

    Parameters
    ----------
    choices : PointConfig
        The configuration.
    given : mapping of str to object
        Options that were set on purpose, with their values.
    spell : callable
        How the sentence spells an option.

    Raises
    ------
    ArgumentError
        Naming the option, what it is for and the choices that leave it without effect.
    """
    for name, value in given.items():
        scope = SCOPES.get(name)
        if scope is not None and not scope.holds(choices) and not _agrees(choices, name, value):
            chosen = ", ".join(
                f"{spell(choice)} {value}"
                for choice in scope.decided_by
                if (value := getattr(choices, choice)) is not None
            )
            raise ArgumentError(
                f"{spell(name)} has no effect with {chosen}: it is for {scope.words}"
            )


def _agrees(choices: _Choices, name: str, value: object) -> bool:
    """Whether a value says what is so without it."""
    if name == "sampler":
        return choices.protocol is not None and value == "sgld"
    return value is not None and value == NEUTRAL.get(name)


def scopes_listed() -> str:
    """The table for people: options with the same scope on one line, one scope after another."""
    lines = []
    for scope in dict.fromkeys(SCOPES.values()):
        options = ", ".join(flag(name) for name, each in SCOPES.items() if each is scope)
        lines.append(f"  {scope.words}\n    {options}")
    return "\n".join(lines)

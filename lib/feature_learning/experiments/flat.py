"""A configuration as a flat list of names and values, as it is typed, listed, keyed and stored.

The command line, sweep files and tables name options without their parts: ``friction``, not
``run.sampler.friction``. Four names (teacher, method, sampler, protocol) choose the parts; every
other name is a field of one of them, see :func:`feature_learning.choices.option`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields
from functools import lru_cache
from typing import Any, NamedTuple, get_args, get_type_hints

from feature_learning.choices import PROTOCOLS
from feature_learning.errors import ArgumentError, check_choice
from feature_learning.experiments.config import PointConfig
from feature_learning.experiments.machine import Machine
from feature_learning.experiments.methods import METHODS, KernelLimit
from feature_learning.experiments.runs import EVIDENCE, AsPublished, Chains
from feature_learning.model.student import Network
from feature_learning.model.teachers import TEACHERS, name_of, settings_of
from feature_learning.samplers import registry

#: The names that choose parts, with their defaults.
CHOICES = {"teacher": "parity", "method": "network", "sampler": "underdamped", "protocol": None}
#: Values of options that a configuration does not have. These names are in every key; options added
#: later are in a key only if they differ from their default.
_FIRST = {
    **{"teacher": "parity", "dim": 35, "sparsity": 4, "degree": 4, "width": 512, "gamma": 0.5},
    **{"activation": "relu", "weight_variance": 1.0, "readout_variance": 1.0},
    **{"hidden_bias_variance": None, "output_bias_variance": None},
    **{"n_train": 1000, "kappa": 0.005, "method": "network", "sampler": "underdamped"},
    **{"protocol": None, "chains": 4, "seed": 0, "langevin_time": None, "step": None},
    **{"friction": None, "burn_in": 0.5, "measurements": 200, "start": "prior"},
    **{"stop_when_converged": False, "solver": "particles", "particles": None, "alpha0": 4.0},
    **{"nngp_variant": "matched", "n_test": 20_000, "dtype": "float32", "device": "cpu"},
    **{"tile_elements": None},
}


class Part(NamedTuple):
    """A chosen part: its place in a configuration, its class, and its options."""

    place: str
    kind: type
    options: dict[str, Field[Any]]


def options_of(kind: type) -> dict[str, Field[Any]]:
    """The options of a class, by name."""
    return {each.name: each for each in fields(kind) if "help" in each.metadata}


def classes() -> Iterator[tuple[str, type]]:
    """Every class with options, after a description of where they have an effect."""
    yield "", PointConfig
    yield "", Network
    yield "", Machine
    for kind, known in (("teacher", TEACHERS), ("method", METHODS)):
        for name, part in known.items():
            yield f"{kind} {name}", part
    yield "chains", Chains
    yield "protocol published", AsPublished
    for kind, table in (("sampler", registry.SAMPLERS), ("sampler", EVIDENCE)):
        for name, each in table.items():
            yield f"{kind} {name}", each


def samplers() -> list[str]:
    """Names of the samplers, of chains and of evidence."""
    return [*registry.SAMPLERS, *EVIDENCE]


def hints() -> dict[str, Any]:
    """The type of every option by name, in the column order of tables."""
    return _hints(tuple(part for _, part in classes()))


@lru_cache(maxsize=4)
def _hints(registered: tuple[type, ...]) -> dict[str, Any]:
    known = {"teacher": str, "method": str, "sampler": str, "protocol": str | None}
    for part in registered:
        types = get_type_hints(part)
        known |= {name: types[name] for name in options_of(part)}
    order = [*_FIRST, *(name for name in known if name not in _FIRST)]
    return {name: known[name] for name in order}


def absent() -> dict[str, Any]:
    """Values of options that a configuration does not have, in the column order of tables."""
    return _absent(tuple(part for _, part in classes()))


@lru_cache(maxsize=4)
def _absent(registered: tuple[type, ...]) -> dict[str, Any]:
    found = {name: each.default for part in registered for name, each in options_of(part).items()}
    # The default of until_settled is chosen later; without a run it is False.
    found |= _FIRST | {"until_settled": False}
    return {name: found[name] for name in _hints(registered)}


def later() -> dict[str, Any]:
    """The options added later, with the values at which they are left out of keys."""
    return {name: value for name, value in absent().items() if name not in _FIRST}


def key_names() -> dict[str, str]:
    """Name of every option that keys know by another one to that one."""
    found = (each for _, part in classes() for each in options_of(part).values())
    return {each.name: each.metadata["keyed_as"] for each in found if each.metadata["keyed_as"]}


def chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """The four choices, with defaults for those not given."""
    return CHOICES | {name: given[name] for name in CHOICES if name in given}


def parts(given: Mapping[str, Any]) -> list[Part]:
    """The parts that these choices compose.

    Raises
    ------
    ArgumentError
        For a choice that does not exist, or has no effect with the others.
    """
    choices = chosen(given)
    method = METHODS[check_choice("method", choices["method"], METHODS)]
    kinds: dict[str, type] = {
        "": PointConfig,
        "teacher": TEACHERS[check_choice("teacher", choices["teacher"], TEACHERS)],
        "network": Network,
        "method": method,
        "machine": Machine,
    }
    sampler = check_choice("sampler", choices["sampler"], samplers())
    if choices["protocol"] is not None:
        check_choice("protocol", choices["protocol"], PROTOCOLS)
        kinds["run"] = AsPublished
    elif method is not KernelLimit:
        if sampler in EVIDENCE:
            kinds["run"] = EVIDENCE[sampler]
        else:
            kinds |= {"sampler": registry.SAMPLERS[sampler], "run": Chains}
    if "sampler" not in kinds and sampler not in EVIDENCE and sampler != CHOICES["sampler"]:
        check_sampler_said(given)
    idle = method.idle(given)
    return [
        Part(place, kind, {n: each for n, each in options_of(kind).items() if n not in idle})
        for place, kind in kinds.items()
    ]


def check_sampler_said(given: Mapping[str, Any]) -> None:
    """Refuse a sampler that is given although it has no effect.

    Raises
    ------
    ArgumentError
        For the NNGP, and with a protocol for any sampler but SGLD, which the protocol uses.
    """
    choices = chosen(given)
    plain = choices["protocol"] is None and choices["method"] != KernelLimit.name
    if plain or "sampler" not in given:
        return
    if choices["protocol"] is None:
        raise ArgumentError(without_effect("sampler", given))
    if given["sampler"] != "sgld":
        raise ArgumentError(
            f"sampler has no effect with protocol {choices['protocol']}, which uses sampler sgld: "
            "it is for chains without protocol"
        )


def composed(given: Mapping[str, Any]) -> tuple[PointConfig, set[str]]:
    """A configuration from names and values, and the names that have no effect in it.

    Raises
    ------
    ArgumentError
        For an unknown name, and for incompatible values.
    """
    for name in given:
        if name not in hints():
            near = difflib.get_close_matches(name, hints(), n=1)
            raise ArgumentError(
                f"there is no option {name}" + (f"; did you mean {near[0]}?" if near else "")
            )
    made: dict[str, Any] = {"run": None}
    used = set(CHOICES)
    for place, kind, options in parts(given):
        values = {name: given[name] for name in options if name in given}
        used |= values.keys()
        if place == "":
            arguments = values
        elif place == "run" and "sampler" in made:
            made[place] = kind(sampler=made.pop("sampler"), **values)
        else:
            made[place] = kind(**values)
    return PointConfig(**made, **arguments), given.keys() - used


def configure(**given: Any) -> PointConfig:
    """A configuration from names and values, such as ``method="mf", solver="collapsed"``.

    An option without effect is accepted if it has its default value.

    Raises
    ------
    ArgumentError
        For an unknown name, for one that has no effect with the chosen parts, and for incompatible
        values.
    """
    config, idle = composed(given)
    for name in given:
        if name in idle and given[name] != absent()[name]:
            raise ArgumentError(without_effect(name, given))
    return config


def without_effect(name: str, given: Mapping[str, Any], mark: str = "") -> str:
    """The message that an option has no effect, and where it has; ``mark`` precedes each choice."""
    places, choices = _places(name), chosen(given)
    decide = [*places] if set(places) in ({"teacher"}, {"method"}) else [*CHOICES][1:]
    if choices["protocol"] is not None or choices["method"] == KernelLimit.name:
        choices["sampler"] = None
    words = ", ".join(f"{mark}{each} {choices[each]}" for each in decide if choices.get(each))
    return f"{name} has no effect with {words}: it is for {_listed(places)}"


def scopes() -> dict[str, list[str]]:
    """Options by the words for where they have an effect, without those that always have one."""
    found: dict[str, list[str]] = {}
    for name in hints():
        places = _places(name)
        if places and "" not in places and places.get("teacher") != list(TEACHERS):
            found.setdefault(_listed(places), []).append(name)
    return found


def _places(name: str) -> dict[str, list[str]]:
    """Names of the parts that have an option, by kind: teacher, method, sampler, ..."""
    places: dict[str, list[str]] = {}
    for place, part in classes():
        if name in options_of(part):
            kind, _, which = place.partition(" ")
            places.setdefault(kind, []).append(which)
    return places


def _listed(places: Mapping[str, Sequence[str]]) -> str:
    """Where an option has an effect, in words."""
    if "" in places or not places:  # an option of every sampled point, or a choice
        return "methods network, mf and mf-ard"
    found = []
    for kind, names in places.items():
        if kind == "chains":
            found.append("chains (no protocol, samplers but population and integration)")
        elif set(names) == set(registry.SAMPLERS):
            found.append("all samplers but population and integration")
        elif len(names) == 1:
            found.append(f"{kind} {names[0]}")
        else:
            found.append(f"{kind}s {', '.join(names[:-1])} and {names[-1]}")
    return "; ".join(found)


def flat(config: PointConfig) -> dict[str, Any]:
    """A configuration as names and values, all of them: the inverse of :func:`configure`.

    The fields of a teacher that is not in :data:`~feature_learning.model.teachers.TEACHERS` are
    named ``teacher.FIELD``; such a configuration cannot be made again from its names and values.
    """
    run, method, teacher = config.run, config.method, config.teacher
    found: dict[str, Any] = {"teacher": name_of(teacher), "method": method.name}
    if isinstance(run, AsPublished):
        found["protocol"] = run.protocol
    elif isinstance(run, Chains):
        found["sampler"] = run.sampler.name
    elif run is not None:
        found["sampler"] = run.name
    if found["teacher"] not in TEACHERS:
        found |= {"dim": teacher.dim, "sparsity": teacher.sparsity}
        found |= {f"teacher.{name}": value for name, value in settings_of(teacher).items()}
    here: list[Any] = [config, teacher, config.network, method, config.machine, run]
    here.append(run.sampler if isinstance(run, Chains) else None)
    for part in here:
        if part is not None:
            found |= {name: getattr(part, name) for name in options_of(type(part))}
    return absent() | found


def replaced(config: PointConfig, **changes: Any) -> PointConfig:
    """The same configuration with other values of some options."""
    return configure(**flat(config) | changes)


def kinds(name: str) -> tuple[Any, ...]:
    """The types that an option can have."""
    hint = hints()[name]
    return get_args(hint) or (hint,)

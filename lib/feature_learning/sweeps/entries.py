"""Values in a sweep file: their types, their reasons, and conditions on them."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

from feature_learning.errors import GridError
from feature_learning.experiments.flat import absent, hints
from feature_learning.experiments.flat import kinds as kinds_of

#: Stands for the value "default": the option is left out.
_DEFAULT = object()
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def condition(name: str, value: Any, where: str) -> Callable[[Any], bool]:
    """A test of one key: whether it equals a value, is one of several, or lies within bounds."""
    kinds = _kinds(name, where)
    if isinstance(value, str) and str not in kinds and value.strip()[:1] in ("<", ">"):
        bounds = [_bound(name, part.strip(), where) for part in value.split(",")]
        return lambda actual: (
            # None (a default that depends on other options) and words like "auto" never match.
            isinstance(actual, int | float)
            and all(compare(actual, each) for compare, each in bounds)
        )
    values = value if isinstance(value, list) else [value]
    if not values:
        raise GridError(f"{where}: {name} is an empty list")
    allowed = [scalar(name, each, where) for each in values]
    allowed = [absent()[name] if each is _DEFAULT else each for each in allowed]
    return lambda actual: actual in allowed


def _bound(name: str, text: str, where: str) -> tuple[Callable[[float, float], bool], float]:
    sign = next((sign for sign in _COMPARISONS if text.startswith(sign)), None)
    try:
        number = float(text.removeprefix(sign or ""))
    except ValueError:
        number = math.nan
    if sign is None or math.isnan(number):
        raise GridError(f"{where}: {name} must be bounds like '>=100, <1000', not {text!r}")
    return _COMPARISONS[sign], number


def _kinds(name: str, where: str) -> tuple[Any, ...]:
    """The types that a key can have."""
    if name not in hints():
        near = difflib.get_close_matches(name, hints(), n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(hints())}"
        raise GridError(f"{where}: unknown key {name!r}; {meant}")
    return kinds_of(name)


def said(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options whose value is not "default"."""
    return {name: value for name, value in values.items() if value is not _DEFAULT}


def plain(name: str, value: Any, where: str) -> Any:
    """A value, taken out of the table ``{ value = ..., reason = ... }`` if it is in one."""
    if not isinstance(value, dict):
        return value
    if value.keys() != {"value", "reason"}:
        raise GridError(f"{where}: {name} must be a value or {{ value = ..., reason = ... }}")
    reason(value, f"{where}, {name}")
    return value["value"]


def scalar(name: str, value: Any, where: str) -> Any:
    """A value of the type that its key has in PointConfig."""
    kinds, value = _kinds(name, where), plain(name, value, where)
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    if value == "default":
        return _DEFAULT
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if float in kinds and number:
        try:
            return float(value)
        except OverflowError:
            pass
    elif type(value) in kinds or value in words:
        return value
    wanted = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    known = [wanted[kind] for kind in kinds if kind in wanted]
    allowed = " or ".join([*known, *(repr(word) for word in words)])
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    raise GridError(f"{where}: {name} must be {allowed}, not {shown}")


def reason(table: Mapping[str, Any], where: str) -> None:
    """Check that a table gives a reason."""
    reason = table.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise GridError(f"{where}: reason must be a sentence, not {reason!r}")


def table(value: Any, where: str) -> dict[str, Any]:
    """A table without its reason."""
    if not isinstance(value, dict):
        raise GridError(f"{where} must be a table, not {value!r}")
    return {name: each for name, each in value.items() if name != "reason"}

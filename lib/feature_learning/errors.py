"""Named errors, and the checks that raise them with the argument, its value and what is allowed.

Every public function checks its input through these few helpers, so that a wrong number ends in one
sentence a reader can act on instead of a traceback from inside a matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress
from numbers import Integral, Real


class FeatureLearningError(Exception):
    """Base of every error raised on purpose; a program turns it into one line.

    Attributes
    ----------
    exit_code : int
        Of a program that ends with it.
    """

    exit_code = 2


class ArgumentError(FeatureLearningError, ValueError):
    """An argument is outside its allowed range."""


class DeviceError(FeatureLearningError, RuntimeError):
    """A device was asked for that this machine does not have, or that ran out of memory."""


class DivergenceError(FeatureLearningError, RuntimeError):
    """The dynamics left the region where the step size is stable."""


class EquipartitionError(FeatureLearningError, RuntimeError):
    """The sampled temperature is not the one asked for: the samples are not the posterior's."""


class CheckpointError(FeatureLearningError, RuntimeError):
    """A checkpoint is damaged or belongs to another run."""


class GridError(ArgumentError):
    """A file that describes a sweep says something that cannot be computed."""


class StoreError(FeatureLearningError, RuntimeError):
    """A file of a store cannot be written, or cannot be trusted."""


class WorkerError(FeatureLearningError, RuntimeError):
    """The process that computed a point died, as by ``kill -9`` or when memory ran out."""


class OutputError(FeatureLearningError, OSError):
    """What was computed cannot be printed."""


class ConvergenceError(FeatureLearningError, RuntimeError):
    """A solver was asked to insist on convergence and did not converge."""


def check_real(
    name: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> float:
    """Return ``value`` as a finite float, or raise :class:`ArgumentError`."""
    allowed = "a finite number"
    if above is not None:
        allowed += f" above {above:g}"
    if at_least is not None:
        allowed += f" of at least {at_least:g}"
    if at_most is not None:
        allowed += (
            f"{' and' if above is not None or at_least is not None else ''} at most {at_most:g}"
        )
    number = math.nan
    if not isinstance(value, bool) and isinstance(value, Real):
        with suppress(TypeError, ValueError, OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise ArgumentError(f"{name} must be {allowed}, not {shortened(value)}")
    if (
        (above is not None and number <= above)
        or (at_least is not None and number < at_least)
        or (at_most is not None and number > at_most)
    ):
        raise ArgumentError(f"{name} must be {allowed}, not {value!r}")
    return number


def shortened(value: object) -> str:
    """A value for a sentence; Python refuses to write whole numbers of thousands of digits."""
    try:
        text = repr(value)
    except ValueError:
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:60]}..."


#: The largest whole number: what tables and arrays of 64 bits can hold.
LARGEST_INTEGER = 2**63 - 1
#: Ranges in which float32 arithmetic can represent squares and ratios of a parameter.
SMALLEST, LARGEST = 1e-9, 1e9


def check_scale(name: str, value: object) -> float:
    """Return ``value`` if it is positive and of a size that float32 can square and divide by."""
    return check_real(name, value, at_least=SMALLEST, at_most=LARGEST)


def check_integer(name: str, value: object, *, at_least: int, at_most: int | None = None) -> int:
    """Return ``value`` as an int within the bounds, or raise :class:`ArgumentError`."""
    allowed = f"a whole number of at least {at_least}"
    if at_most is not None:
        allowed += f" and at most {at_most}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ArgumentError(f"{name} must be {allowed}, not {shortened(value)}")
    number = int(value)
    if number > LARGEST_INTEGER and at_most is None:
        allowed += f" and at most {LARGEST_INTEGER}"
    if number < at_least or number > (LARGEST_INTEGER if at_most is None else at_most):
        raise ArgumentError(f"{name} must be {allowed}, not {shortened(value)}")
    return number


def store_plain(settings: object) -> None:
    """Put Python's own numbers and texts in the place of NumPy's in the fields of a dataclass.

    They are equal, but neither JSON nor compiled code takes NumPy's. For ``__post_init__``.
    """
    for name, value in vars(settings).items():
        # Asked for without importing NumPy, which takes longer than all the rest of a refusal.
        if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
            plain = value.item()
        elif type(value) not in (bool, int, float) and isinstance(value, Real):
            plain = float(value)  # a fraction
        else:
            continue
        object.__setattr__(settings, name, plain)  # such a class is frozen


def check_choice(name: str, value: object, allowed: Collection[str]) -> str:
    """Return ``value`` if it is one of the ``allowed`` names, or raise :class:`ArgumentError`."""
    if not isinstance(value, str) or value not in allowed:
        raise ArgumentError(
            f"{name} must be one of {', '.join(sorted(allowed))}, not {shortened(value)}"
        )
    return value

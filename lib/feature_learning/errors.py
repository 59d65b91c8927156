"""Named errors, and checks whose messages give the argument, its value and the allowed range.

Every public function checks its input through these few helpers, so that a wrong number leads to
one clear sentence instead of a traceback from inside a matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress
from numbers import Integral, Real


class FeatureLearningError(Exception):
    """Base of every error raised on purpose; a program prints it as one line.

    Attributes
    ----------
    exit_code : int
        Exit code of a program that ends with this error.
    """

    exit_code = 2


class ArgumentError(FeatureLearningError, ValueError):
    """An argument is outside its allowed range."""


class DeviceError(FeatureLearningError, RuntimeError):
    """The requested device does not exist on this machine, or ran out of memory."""


class DivergenceError(FeatureLearningError, RuntimeError):
    """The dynamics left the region where the step size is stable."""


class EquipartitionError(FeatureLearningError, RuntimeError):
    """The sampled temperature is wrong: the samples do not represent the posterior."""


class CheckpointError(FeatureLearningError, RuntimeError):
    """A checkpoint is damaged or belongs to another run."""


class GridError(ArgumentError):
    """The description of a sweep contains something that cannot be computed."""


class StoreError(FeatureLearningError, RuntimeError):
    """A file of a store cannot be written, or is invalid."""


class WorkerError(FeatureLearningError, RuntimeError):
    """The process that computed a point died, for example by ``kill -9`` or for lack of memory."""


class OutputError(FeatureLearningError, OSError):
    """The output cannot be printed."""


class ConvergenceError(FeatureLearningError, RuntimeError):
    """A solver did not converge although convergence was required."""


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
    """A value as text for a message; Python refuses to write integers of thousands of digits."""
    try:
        text = repr(value)
    except ValueError:
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:60]}..."


#: The largest whole number that tables and arrays of 64 bits can hold.
LARGEST_INTEGER = 2**63 - 1
#: Range in which float32 arithmetic can represent squares and ratios of a parameter.
SMALLEST, LARGEST = 1e-9, 1e9


def check_scale(name: str, value: object) -> float:
    """Return ``value`` if it is positive and float32 can represent its square and ratios."""
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
    """Replace NumPy scalars in the fields of a dataclass by Python numbers and texts.

    The values are equal, but neither JSON nor compiled code accepts those of NumPy. For use in
    ``__post_init__``.
    """
    for name, value in vars(settings).items():
        # Test the type without importing NumPy, which takes longer than the rest of a refusal.
        if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
            plain = value.item()
        elif type(value) not in (bool, int, float) and isinstance(value, Real):
            plain = float(value)  # a fraction
        else:
            continue
        object.__setattr__(settings, name, plain)  # the class is frozen


def check_choice(name: str, value: object, allowed: Collection[str]) -> str:
    """Return ``value`` if it is one of the ``allowed`` names, or raise :class:`ArgumentError`."""
    if not isinstance(value, str) or value not in allowed:
        raise ArgumentError(
            f"{name} must be one of {', '.join(sorted(allowed))}, not {shortened(value)}"
        )
    return value

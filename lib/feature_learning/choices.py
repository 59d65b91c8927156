"""Declaration of options: a field with its help text, and the allowed values.

The command line, the files of sweeps, keys and tables are all derived from these fields. The
allowed values are listed here, apart from their implementations, because torch takes seconds to
import.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field
from typing import Any


def option(
    default: Any,
    text: str,
    *,
    allowed: Collection[str] | None = None,
    metavar: str | None = None,
    keyed_as: str | None = None,
) -> Any:
    """A field of a frozen dataclass that is an option.

    Parameters
    ----------
    default
        Value of the option if none is given; None means that it depends on other options.
    text : str
        Help text of the command line.
    allowed : collection of str, optional
        The allowed values.
    metavar : str, optional
        Placeholder for the value in the help text, if the type is not informative.
    keyed_as : str, optional
        Name in the keys of stored results, if the option was renamed after they were computed.
    """
    metadata = {"help": text, "allowed": allowed, "metavar": metavar, "keyed_as": keyed_as}
    return field(default=default, metadata=metadata)


ACTIVATIONS = ("relu", "linear", "erf", "tanh", "sigmoid")
STARTS = ("prior", "planted", "spread", "released")
STEP_SCHEDULES = ("constant", "polynomial", "cyclical")
ROUNDINGS = ("stochastic", "nearest", "floor")
SOLVERS = ("particles", "collapsed")
NNGP_VARIANTS = ("matched", "as-published")
PROTOCOLS = ("published",)
#: Of a page: show what is stored and compute some of it again, or compute everything.
PROFILES = ("stored", "paper")
DTYPES = ("float32", "float64")

#: Largest degree of a Hermite polynomial whose labels stay within single precision.
LARGEST_DEGREE = 20

#: Seeds are words of 32 bits, from which the streams of a seed are derived
#: (:mod:`feature_learning.model.randomness`), so that no two seeds share a stream.
LARGEST_SEED = 2**32 - 1

"""How an option is declared: a field with its help, and the words that it can have.

Everything that names an option is derived from the field: the command line, the files of sweeps,
keys and tables. The words stand apart from what they mean, since torch takes seconds to import.
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
        Its value where none is given; None stands for one that depends on the others.
    text : str
        The help of the command line.
    allowed : collection of str, optional
        The words that it can have.
    metavar : str, optional
        Its value in the help, where the type says too little.
    keyed_as : str, optional
        Its name in the keys of stored results, where it was renamed since they were computed.
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
#: Of a page: to compute fewer points and seeds, to show what is stored, to compute everything.
PROFILES = ("quick", "stored", "paper")
DTYPES = ("float32", "float64")

#: Of a Hermite polynomial: the labels of larger ones leave single precision.
LARGEST_DEGREE = 20

#: Seeds of whole words of 32 bits, of which the streams of a seed are made
#: (:mod:`feature_learning.randomness`): no two seeds share a stream.
LARGEST_SEED = 2**32 - 1

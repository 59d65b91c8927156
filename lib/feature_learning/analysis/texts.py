"""Numbers as text, the same in every table of the book."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from feature_learning.errors import check_integer

#: In place of a number that is not there.
ABSENT = "–"


def number_text(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without an exponent where it can be read so.

    Digits before the decimal point are all written. Outside of 1e-4 to 1e6 it is a power of ten in
    TeX, for Markdown.
    """
    check_integer("digits", digits, at_least=1)
    if not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if not -4 <= int(exponent) < 6:
        return rf"${mantissa}\cdot10^{{{int(exponent)}}}$"
    return f"{value:.{max(digits - 1 - int(exponent), 0)}f}"


def value_text(value: float, error: float = math.nan) -> str:
    """A value ± its standard error, both to the place at which the error begins to count.

    The error has one significant digit, two if the first is a one; no digit of the value before its
    decimal point is taken away. Without an error (NaN or zero) the value has three.
    """
    if not math.isfinite(value):
        return ABSENT
    if not (math.isfinite(error) and error > 0):
        return number_text(value)
    leading, exponent = f"{error:.1e}".split("e")
    place = int(exponent) - (1 if leading.startswith("1") else 0)
    if place < -9:
        return f"{number_text(value)} ± {number_text(error, 1)}"
    decimals = max(-place, 0)
    # Adding zero takes the sign from a zero.
    shown, bar = round(value, decimals) + 0.0, round(error, -place)
    return f"{shown:.{decimals}f} ± {bar:.{decimals}f}"


def mean_text(values: Sequence[float]) -> str:
    """Mean ± standard error over runs; of one run its value."""
    numbers = np.asarray(values, dtype=float)
    if not numbers.size:
        return ABSENT
    count = len(numbers)
    error = float(numbers.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return value_text(float(numbers.mean()), error)

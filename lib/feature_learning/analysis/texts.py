"""Numbers as text, the same in every table of the book."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from feature_learning.errors import check_integer

#: Text for a missing number.
ABSENT = "–"


def number_text(value: float, digits: int = 3) -> str:
    """A number with ``digits`` significant digits, without an exponent between 1e-4 and 1e6.

    All digits before the decimal point are written. Outside this range the text has a power of ten
    in TeX, for Markdown.
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
    """A value ± its standard error, both rounded at the leading digit of the error.

    The error has one significant digit, or two if the first is a one; the value keeps all digits
    before its decimal point. Without an error (NaN or zero) the value has three digits.
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
    # Adding zero removes the sign of a negative zero.
    shown, bar = round(value, decimals) + 0.0, round(error, -place)
    return f"{shown:.{decimals}f} ± {bar:.{decimals}f}"


def mean_text(values: Sequence[float]) -> str:
    """Mean ± standard error over runs; for one run only its value."""
    numbers = np.asarray(values, dtype=float)
    if not numbers.size:
        return ABSENT
    count = len(numbers)
    error = float(numbers.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return value_text(float(numbers.mean()), error)

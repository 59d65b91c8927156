r"""Numbers as the tables of the pages write them: significant digits, no exponents of a program.

One rule for all tables: so many significant digits, trailing zeros kept, powers of ten as
mathematics (:math:`6\times10^{-6}`), and a dash for what is not there.
"""

from __future__ import annotations

import math

ABSENT = "–"
"""What stands for a number that is not there."""
_SMALLEST, _LARGEST = 1e-4, 1e6


def significant(value: float, digits: int = 3) -> str:
    """A number with that many significant digits, ``120`` or ``0.0351``; a dash if not finite."""
    if not math.isfinite(value):
        return ABSENT
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if not _SMALLEST <= abs(value) < _LARGEST:
        return rf"${mantissa}\times10^{{{power}}}$"
    # What is left of the point may have more digits than are known: they become zeros.
    return f"{float(f'{mantissa}e{power}'):.{max(0, digits - 1 - power)}f}"


def with_error(value: float, error: float, digits: int = 2) -> str:
    """``0.0173 ± 0.0009``: both to the last digit of the error, of which ``digits`` are shown.

    An error that is not finite, or not above zero, is a dash beside a value of three digits.
    """
    if not math.isfinite(value):
        return ABSENT
    if not (math.isfinite(error) and error > 0):
        return f"{significant(value)} ± {ABSENT}"
    power = int(f"{error:.{digits - 1}e}".split("e")[1])
    places = max(0, digits - 1 - power)
    return f"{value:.{places}f} ± {error:.{places}f}"

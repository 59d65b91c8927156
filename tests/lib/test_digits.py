"""How the pages write numbers."""

from __future__ import annotations

import math

import pytest

from feature_learning.digits import significant, with_error


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (104.0, 2, "100"),
        (104.0, 3, "104"),
        (1286.7, 3, "1290"),
        (0.0, 3, "0"),
        (0.00094, 2, "0.00094"),
        (0.999, 2, "1.0"),
        (-3.16234, 3, "-3.16"),
        (6.04e-6, 1, r"$6\times10^{-6}$"),
        (2.5e7, 2, r"$2.5\times10^{7}$"),
        (math.nan, 3, "–"),
        (math.inf, 3, "–"),
    ],
)
def test_significant_digits_without_the_exponents_of_a_program(value, digits, text):
    assert significant(value, digits) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.017312, 0.00094, "0.01731 ± 0.00094"),
        (35.13, 0.96, "35.13 ± 0.96"),
        (151.4, 3.04, "151.4 ± 3.0"),
        (1075.2, 120.0, "1075 ± 120"),
        (0.5, 0.0, "0.500 ± –"),
        (0.5, math.nan, "0.500 ± –"),
        (math.nan, 0.1, "–"),
    ],
)
def test_a_value_ends_with_the_last_digit_of_its_error(value, error, text):
    assert with_error(value, error) == text

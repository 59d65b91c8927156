"""Numbers in tables, rounded at the leading digit of their error."""

import math

import numpy as np
import pytest

from feature_learning.analysis.curve import Curve
from feature_learning.analysis.texts import ABSENT, mean_text, number_text, value_text
from feature_learning.errors import ArgumentError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0189, "0.0189"),
        (0.019, "0.0190"),
        (24.76, "24.8"),
        (9.996, "10.0"),
        (2013.0, "2013"),
        (0.0, "0"),
        (-0.5, "-0.500"),
        (0.000122, "0.000122"),
        (5e9, r"$5.00\cdot10^{9}$"),
        (-2e-6, r"$-2.00\cdot10^{-6}$"),
        (math.nan, ABSENT),
    ],
)
def test_a_number_has_three_digits_and_no_exponent_where_it_can_be_read(value, text):
    assert number_text(value) == text


def test_digits_can_be_chosen():
    assert number_text(5e9, 1) == r"$5\cdot10^{9}$"
    assert number_text(1 / 3, 1) == "0.3"
    with pytest.raises(ArgumentError, match=r"^digits must be"):
        number_text(1.0, 0)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (71.3, 41.0, "71 ± 40"),
        (2013.0, 124.0, "2013 ± 120"),
        (0.032601, 0.00009, "0.03260 ± 0.00009"),
        (0.51234, 0.0321, "0.51 ± 0.03"),
        (18.06, 1.05, "18.1 ± 1.1"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (0.5, 0.096, "0.50 ± 0.10"),
        (330.0, 20.0, "330 ± 20"),
        (-0.00001, 0.003, "0.000 ± 0.003"),
        (1.33, 0.0, "1.33"),
        (1.33, math.nan, "1.33"),
        (math.nan, 0.1, ABSENT),
    ],
)
def test_value_and_error_end_at_the_same_place(value, error, text):
    assert value_text(value, error) == text


def test_an_error_too_small_to_write_is_a_power_of_ten():
    assert value_text(0.5, 2e-11) == r"0.500 ± $2\cdot10^{-11}$"


def test_a_mean_over_runs_has_their_standard_error():
    assert mean_text([1.0, 2.0, 3.0]) == "2.0 ± 0.6"
    assert mean_text(np.array([0.25])) == "0.250"
    assert mean_text([]) == ABSENT


def test_a_curve_tells_its_points_and_has_a_dash_elsewhere():
    found = Curve(
        np.array([10.0, 100.0]),
        np.array([1.0, 0.1234]),
        np.array([np.nan, 0.02]),
        np.ones(2, bool),
    )
    assert found.text(10) == "1.00"
    assert found.text(100) == "0.12 ± 0.02"
    assert found.text(500) == ABSENT

"""The onset of learning is bracketed, never interpolated."""

import numpy as np
import pytest
from diagrams import table

from feature_learning.onset import crossing, onset_text


@pytest.mark.parametrize(
    ("values", "bounds", "text"),
    [
        ((0.1, 0.7, 0.9), (100, 1000), "100 to 1000"),
        ((0.7, 0.8, 0.9), (np.nan, 100), "up to 100"),
        ((0.1, 0.2, 0.3), (10_000, np.nan), "not up to 10000"),
    ],
)
def test_an_onset_is_bracketed_by_neighbours(values, bounds, text):
    rows = [(p, 0.01, v) for p, v in zip((100, 1000, 10_000), values, strict=True)]
    found = crossing(table(*reversed(rows)), 0.01)
    np.testing.assert_equal(found, bounds)
    assert onset_text(found) == text


def test_an_empty_row_has_no_onset():
    assert onset_text(crossing(table((100, 0.01, 1.0)), 0.005)) == "not computed"

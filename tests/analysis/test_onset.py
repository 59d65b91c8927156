"""The onset of learning is bracketed, never interpolated."""

import numpy as np
import pytest
from diagrams import table

from feature_learning.analysis.onset import columns_apart, crossing, onset_text


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
    found = crossing(table((100, 0.01, 1.0)), 0.005)
    assert onset_text(found) == "not computed"
    assert onset_text(found, empty="not printed") == "not printed"


def test_onsets_are_compared_in_columns_of_their_common_grid():
    def row(*values):
        return table(*[(p, 0.01, v) for p, v in zip((100, 500, 1000, 5000), values, strict=False)])

    early, late = row(0.1, 0.7, 0.9, 0.9), row(0.1, 0.2, 0.3, 0.9)
    assert columns_apart(late, early, 0.01) == 2
    assert columns_apart(early, late, 0.01) == -2
    assert columns_apart(early, early, 0.01) == 0
    # A column that only we have does not count.
    assert columns_apart(late, early[early["n_train"] != 1000], 0.01) == 1


def test_onsets_are_not_compared_where_a_cell_is_missing_or_nothing_is_learned():
    full = table((100, 0.01, 0.1), (500, 0.01, 0.7))
    assert columns_apart(full[:1], full, 0.01) is None
    assert columns_apart(full, table((100, 0.01, 0.1), (500, 0.01, 0.2)), 0.01) is None
    assert columns_apart(full, full, 0.005) is None

"""Differences of tables in units of their errors."""

import numpy as np
import pandas as pd
import pytest
from diagrams import table

from feature_learning.analysis.agreement import differences, share_within
from feature_learning.errors import ArgumentError


def test_errors_of_two_means_add_in_squares():
    (row,) = differences(
        table((100, 0.01, 0.9), sem=0.3), table((100, 0.01, 0.4), sem=0.4)
    ).itertuples()
    assert (row.error, row.z, row.freedom, row.borrowed) == (
        pytest.approx(0.5), pytest.approx(1.0), 4, False,
    )  # fmt: skip


def test_a_single_seed_scatters_as_the_published_seeds_do():
    (row,) = differences(
        table((100, 0.01, 1.0), sem=0.001, seeds=1), table((100, 0.01, 0.0), sem=0.2, seeds=3)
    ).itertuples()
    # Their standard deviation is 0.2 √3; ours the same, theirs over √3.
    assert row.error == pytest.approx(np.hypot(0.2 * np.sqrt(3), 0.2))
    assert (row.freedom, row.borrowed) == (2, True)


def test_cells_that_only_one_has_are_not_compared():
    assert differences(table((100, 0.01, 1.0)), table((100, 0.02, 1.0), (500, 0.01, 1.0))).empty


def test_the_share_is_counted_and_the_expected_one_is_met_by_equal_seeds():
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(2, 4000, 3))

    def means(seeds):
        return pd.DataFrame(
            {
                "n_train": np.arange(1, 4001),
                "kappa": 0.01,
                "value": seeds.mean(axis=1),
                "sem": seeds.std(axis=1, ddof=1) / np.sqrt(3),
                "seeds": 3,
                "converged": True,
            }
        )

    share, expected = share_within(differences(means(ours), means(theirs)))
    # Binomial error 0.003.
    assert share == pytest.approx(expected, abs=0.012)
    assert expected == pytest.approx(0.960, abs=0.001)


def test_a_share_of_nothing_is_refused():
    with pytest.raises(ArgumentError, match=r"^found must have at least one cell, not none"):
        share_within(differences(table((100, 0.01, 1.0)), table((500, 0.01, 1.0))))

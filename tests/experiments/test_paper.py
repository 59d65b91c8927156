"""The shipped tables and the published stopping rule."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

import feature_learning
from feature_learning.errors import ArgumentError
from feature_learning.experiments.paper import (
    PARITY,
    PROTOCOLS,
    SINGLE_INDEX,
    PublishedPoint,
    published,
    published_tables,
)

CSV = Path(feature_learning.__file__).parent / "experiments" / "published.csv"
ROWS = list(csv.DictReader(CSV.read_text(encoding="utf-8").splitlines()))
SERIES = sorted({(row["table"], row["method"], row["observable"]) for row in ROWS})


def test_every_row_of_the_file_is_found_once():
    assert published_tables() == sorted({row["table"] for row in ROWS})
    assert sum(len(published(*series)) for series in SERIES) == len(ROWS)


@pytest.mark.parametrize("series", SERIES, ids=" ".join)
def test_points_are_in_the_units_of_the_library(series):
    rows = [row for row in ROWS if (row["table"], row["method"], row["observable"]) == series]
    points = published(*series)
    keys = [(point.n_train, point.kappa) for point in points]
    assert keys == sorted(set(keys))
    by_key = dict(zip(keys, points, strict=True))
    for row in rows:
        point = by_key[int(row["n_train"]), float(row["kappa"])]
        # E[y²] of the fourth Hermite polynomial is 24; m_S = E[f y]/E[y²].
        unit = {"half MSE": 2.0, "MSE": 1.0, "1": 1.0, "E[f y]": 1 / 24}[row["unit"]]
        assert point.value == pytest.approx(unit * float(row["value"]), rel=1e-12)
        if row["error"]:
            sem = unit * float(row["error"])
            if row["error_kind"] == "std":
                sem /= math.sqrt(int(row["seeds"]))
            assert point.sem == pytest.approx(sem, rel=1e-12)
        else:
            assert math.isnan(point.sem)
        assert point.seeds == int(row["seeds"])


def test_known_values_of_the_paper():
    def at(points, n_train, kappa):
        return next(p for p in points if (p.n_train, p.kappa) == (n_train, kappa))

    grid = published("parity-grid", "SGLD")
    assert at(grid, 5000, 1e-3).value == pytest.approx(2 * 0.0129, rel=0.01)
    overlap = published("parity-grid", "SGLD", "m_S")
    assert at(overlap, 5000, 1e-3).value == pytest.approx(0.906, abs=0.001)
    assert at(published("figure-1", "MF-ARD"), 1000, 0.005).value == pytest.approx(0.0332, rel=0.01)
    # Seeds of the learning curves scatter by a standard deviation: the error bar is smaller.
    sgld = published("figure-1", "SGLD")
    assert [point.n_train for point in sgld] == [
        10,
        100,
        500,
        750,
        1000,
        2133,
        3666,
        5000,
        7500,
        10000,
    ]
    assert isinstance(sgld[0], PublishedPoint)


def test_a_table_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ArgumentError, match=r"^table must be one of figure-1.*, not 'figure-9'"):
        published("figure-9", "SGLD")


@pytest.mark.parametrize(
    ("method", "observable"), [("SGDL", "test_mse"), ("SGLD", "mse")], ids=["method", "observable"]
)
def test_a_misspelt_series_is_refused_and_not_empty(method, observable):
    with pytest.raises(ArgumentError):
        published("figure-1", method, observable)


@pytest.mark.parametrize(
    ("n_train", "kappa", "watches"),
    [
        (550, 1e-3, True),
        (551, 1e-3, False),
        (10_000, 0.02, True),
        (10_000, 0.0199, False),
        (10, 0.1, True),
    ],
)
def test_training_is_watched_at_few_samples_or_high_noise_only(n_train, kappa, watches):
    for protocol in PROTOCOLS.values():
        assert protocol.rule(n_train, kappa).watch_training is watches


def first_end(rule, **series):
    """Look at which each chain is first told to stop, -1 for never, fed one look at a time."""
    arrays = {name: np.asarray(values, dtype=float) for name, values in series.items()}
    chains, measurements = next(iter(arrays.values())).shape
    ends = np.full(chains, -1)
    for measurement in range(measurements):
        seen = {name: values[:, : measurement + 1] for name, values in arrays.items()}
        done = rule.finished(seen, np.ones(measurement + 1, dtype=bool))
        assert done.shape == (chains,)
        # Once done, always done.
        assert done[ends >= 0].all()
        ends[(ends < 0) & done] = measurement
    return ends.tolist()


def test_the_parity_rule_ends_one_measurement_after_the_test_error_falls_below_003():
    test = [
        [0.5, 0.0299, 0.5, 0.5, 0.5],  # noise: the first hit counts, later looks do not undo it
        [0.5, 0.03, 0.03, 0.03, 0.03],  # below, not at
        [0.01, 0.01, 0.01, 0.01, 0.01],
        [0.5, 0.5, 0.5, 0.5, 0.02],  # too late to be told
    ]
    train = np.zeros((4, 5))
    rule = PARITY.rule(5000, 1e-3)
    assert first_end(rule, test_mse=test, train_error=train, train_mse=train) == [2, -1, 1, -1]


def test_the_parity_rule_watches_the_training_0_1_error_up_to_one_percent():
    test = np.ones((3, 4))
    train = [[0.5, 0.01, 0.5, 0.5], [0.5, 0.0101, 0.5, 0.5], [0.5, 0.5, 0.0, 0.0]]
    zero = np.zeros((3, 4))
    rule = PARITY.rule(500, 1e-3)
    assert first_end(rule, test_mse=test, train_error=train, train_mse=zero) == [2, -1, 3]


def test_the_single_index_rule_ends_two_measurements_after_and_watches_the_training_mse():
    test = [[0.0149, 1, 1, 1, 1], [0.015, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
    train = [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 0.01, 1, 1, 1]]
    zero = np.zeros((3, 5))
    few, many = SINGLE_INDEX.rule(550, 1e-3), SINGLE_INDEX.rule(5000, 1e-3)
    assert first_end(few, test_mse=test, train_mse=train, train_error=zero) == [2, -1, 3]
    assert first_end(many, test_mse=test, train_mse=train, train_error=zero) == [2, -1, -1]

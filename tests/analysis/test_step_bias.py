"""Differences between a step and half of it, and their errors."""

import math

import numpy as np
import pandas as pd
import pytest

from feature_learning.analysis.results import Results
from feature_learning.analysis.step_bias import halvings
from feature_learning.errors import ArgumentError


def table(values, sems=None, steps=(0.5, 0.25), block="a", n_train=1000):
    """One row for every step and seed; ``values`` is (steps, seeds)."""
    values = np.asarray(values, dtype=float)
    sems = np.full(values.shape, math.nan) if sems is None else np.asarray(sems, dtype=float)
    rows = [
        {
            "block": block,
            "n_train": n_train,
            "kappa": 0.005,
            "seed": seed,
            "asked_step": step,
            "protocol": pd.NA,
            "sampler": "underdamped",
            "test_mse_one_sample": values[at, seed],
            "test_mse_one_sample_sem": sems[at, seed],
            "m_S": 1 - values[at, seed],
            # As a table is read: missing numbers are NA.
            "m_S_sem": pd.NA if math.isnan(sems[at, seed]) else sems[at, seed],
        }
        for at, step in enumerate(steps)
        for seed in range(values.shape[1])
    ]
    return pd.DataFrame(rows).dropna(subset="m_S")


def halving(frame, observable="test_mse_one_sample"):
    (found,) = [each for each in halvings(Results(frame), ["a"]) if each.observable == observable]
    return found


def test_seeds_are_compared_in_pairs():
    found = halving(table([[3.0, 5.0, 7.0], [2.9, 4.7, 6.8]]))
    assert (found.seeds, found.step, found.n_train) == (3, 0.5, 1000)
    assert found.value == pytest.approx(5)
    assert found.difference == pytest.approx(0.2)
    assert found.sem == pytest.approx(np.std([0.1, 0.3, 0.2], ddof=1) / math.sqrt(3))
    overlap = halving(table([[3.0, 5.0, 7.0], [2.9, 4.7, 6.8]]), "m_S")
    assert overlap.difference == pytest.approx(-0.2)


def test_chains_that_differ_more_than_seeds_set_the_error():
    found = halving(table([[3.0, 5.0], [2.9, 4.9]], sems=[[0.3, 0.4], [0.0, 1.2]]))
    assert found.sem == pytest.approx(1.3 / 2)


def test_a_seed_without_its_partner_is_left_out():
    found = halving(table([[3.0, 5.0], [2.9, math.nan]]))
    assert found.seeds == 1
    assert found.difference == pytest.approx(0.1)
    assert math.isnan(found.sem)
    assert halvings(Results(table([[3.0]], steps=(0.5,))), ["a"]) == []


def test_every_step_of_a_row_of_halves_is_compared_with_the_next():
    frame = table([[3.0, 5.0], [2.9, 4.7], [2.8, 4.8]], steps=(0.5, 0.25, 0.125))
    found = [each for each in halvings(Results(frame), ["a"]) if each.observable != "m_S"]
    assert [each.step for each in found] == [0.5, 0.25]
    assert [each.difference for each in found] == pytest.approx([0.2, 0.0])


def test_the_correction_continues_the_value_to_a_step_of_zero_by_the_order_of_the_method():
    values = np.array([[3.0, 5.0], [2.4, 4.4]])
    splitting, sgld = table(values), table(values).assign(protocol="published")
    found = [halving(frame) for frame in (splitting, sgld)]
    assert [each.order for each in found] == [2, 1]
    # A bias of 0.8 h²/0.25 or 1.2 h/0.5: 0.6 of it is gone at half of the step.
    assert [each.correction[0] for each in found] == pytest.approx([-0.8, -1.2])
    noisy = halving(table([[3.0, 5.0], [2.4, 4.6]]))
    assert noisy.correction == pytest.approx((-4 / 3 * 0.5, 4 / 3 * noisy.sem))


@pytest.mark.parametrize("steps", [(0.5, 0.3), (0.5, 0.25, 0.1)])
def test_steps_that_are_no_pair_are_refused(steps):
    frame = table(np.ones((len(steps), 2)), steps=steps)
    with pytest.raises(ArgumentError, match=r"block a must have a step and its half at P=1000"):
        halvings(Results(frame), ["a"])

"""False stops of runs until they have settled, on chains with a known distribution."""

from __future__ import annotations

import numpy as np
import pytest

from feature_learning.inference.diagnostics import ConvergenceRule, standard_error
from feature_learning.inference.stopping import StopWhenConverged
from feature_learning.samplers.schedules import growing

RULE = ConvergenceRule(observables=("x",))
#: The limit is 32: a run is judged first when its length is 1.
SCHEDULE = growing(step_size=1e-3, langevin_time=32.0, measurements=200)
TIMES = np.cumsum([each.steps * each.step_size for each in SCHEDULE.segments])


def relaxing(random, time, signs):
    """Ornstein-Uhlenbeck processes of variance 1 and this relaxation time, from ±3."""
    x, draws, before = 3.0 * signs, [], 0.0
    for now in TIMES:
        memory, before = np.exp(-(now - before) / time), now
        x = memory * x + np.sqrt(1 - memory**2) * random.normal(size=len(signs))
        draws.append(x)
    return np.stack(draws, axis=1)


def hopping(random, time, signs):
    """Two states, ±1, with noise of deviation 1/2; the state forgets in this time."""
    state, draws, before = 1.0 * signs, [], 0.0
    for now in TIMES:
        flips = random.random(len(signs)) < 0.5 * (1 - np.exp(-(now - before) / time))
        state, before = np.where(flips, -state, state), now
        draws.append(state + 0.5 * random.normal(size=len(signs)))
    return np.stack(draws, axis=1)


def stopped(draws):
    """Length and draws of the second half at the stop, as the run loop has them; None without."""
    rule, each = StopWhenConverged(RULE, every=100), 50
    for end in range(3 * each, draws.shape[1] + 1, each):
        counted = np.zeros(end, dtype=bool)
        counted[end - 2 * each :] = True
        if rule.finished({"x": draws[:, :end]}, counted).all():
            return TIMES[end - 1], draws[:, counted.nonzero()[0]]
    return None


def errors(law, time, signs, runs):
    """Of the stopped runs the error of the mean, 0 in truth, in units of what it says it is."""
    random, found = np.random.default_rng(0), []
    for _ in range(runs):
        end = stopped(law(random, time, signs))
        if end is not None:
            found.append(abs(end[1].mean()) / standard_error(end[1]))
    return np.array(found)


APART = np.repeat([1, -1], 4)


@pytest.mark.parametrize("time", [0.01, 0.1, 0.3, 1.0, 10.0])
@pytest.mark.parametrize("law", [relaxing, hopping])
def test_eight_chains_that_start_apart_are_not_stopped_by_chance(law, time):
    found = errors(law, time, APART, 40)
    assert (found < 4).all()
    # It is no rule that never stops; and what it stops has errors as they should be.
    assert len(found) == 40 if time == 0.01 else len(found) < 30 if time > 0.1 else True
    if len(found) > 20:
        assert np.sqrt(np.square(found).mean()) == pytest.approx(1, abs=0.5)


def test_chains_that_start_together_are_stopped_where_they_start():
    """Why starts are apart: nothing in the chains says that there is another state."""
    assert len(errors(hopping, 100.0, np.ones(8), 20)) > 15
    assert errors(hopping, 100.0, np.ones(8), 20).min() > 4


def test_four_chains_can_all_meet_in_one_of_two_states():
    found = errors(hopping, 3.0, np.repeat([1, -1], 2), 100)
    assert 2 <= (found > 4).sum() <= 30

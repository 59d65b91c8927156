"""The three words: agreed, agreed within a code, not settled."""

import numpy as np
import pytest

from feature_learning.inference.diagnostics import ConvergenceRule
from feature_learning.inference.verdict import AGREED, NOT_SETTLED, WITHIN, judge
from feature_learning.model.codes import Code

RULE = ConvergenceRule()
PLANTED = ConvergenceRule(planted=True)
EIGHT, FOUR = 8, 4 * 256  # pairs with one neuron each, and with one on either side


def series(centres, codes, *, measurements=200, seed=0):
    """Independent draws about each chain's centre, and its code at every look."""
    random = np.random.default_rng(seed)
    draws = random.normal(size=(len(centres), measurements)) + np.array(centres)[:, None]
    columns = [np.broadcast_to(np.asarray(each, float), measurements) for each in codes]
    return {"m_S": draws, "test_mse": draws**2 + draws, "code": np.stack(columns)}


def test_chains_in_one_place_agree_whatever_their_codes_do():
    wandering = np.tile([EIGHT, FOUR], 100)
    for codes in ([0] * 4, [EIGHT] * 4, [wandering] * 4):
        found = judge(series([0] * 4, codes), RULE)
        assert found.word == AGREED
        assert found.chains.all()
        assert found.convergence.converged


def test_without_codes_chains_agree_or_not():
    for centres, word in (([0] * 4, AGREED), ([0, 0, 0, 9], NOT_SETTLED)):
        draws = series(centres, [EIGHT] * 4)
        del draws["code"]
        assert judge(draws, RULE).word == word


def test_four_chains_in_one_code_agree_within_it_while_others_sit_elsewhere():
    centres, codes = [0, 9, 0, 0, 5, 0], [EIGHT, FOUR, EIGHT, EIGHT, 3, EIGHT]
    found = judge(series(centres, codes), RULE)
    assert found.word == WITHIN
    assert found.chains.tolist() == [True, False, True, True, False, True]
    assert found.convergence.converged
    assert found.convergence.r_hat["m_S"] < 1.01


@pytest.mark.parametrize(
    ("centres", "codes"),
    [
        ([0, 0, 0, 9, 9], [EIGHT, EIGHT, EIGHT, FOUR, FOUR]),  # three are too few
        ([0, 0, 0, 5, 9], [EIGHT] * 4 + [FOUR]),  # one of the four disagrees
        ([0, 0, 0, 5], [EIGHT] * 4),  # all in one code, and disagree
        ([0, 0, 0, 0, 9], [EIGHT] * 4 + [np.repeat([EIGHT, FOUR], 100)]),  # one has left it
        ([0, 0, 0, 0, 9], [0] * 4 + [FOUR]),  # no code is none to agree within
    ],
)
def test_everything_else_is_not_settled(centres, codes):
    found = judge(series(centres, codes), RULE)
    assert found.word == NOT_SETTLED
    assert found.chains.all()
    assert found.convergence.reasons


def test_a_dip_below_the_threshold_is_no_change_of_code():
    dipping = np.full(200, EIGHT)
    dipping[[3, 50, 120]] = FOUR
    found = judge(series([0, 0, 0, 0, 9], [dipping] + [EIGHT] * 3 + [7]), RULE)
    assert found.word == WITHIN
    dipping[-1] = FOUR  # where it is now
    assert judge(series([0, 0, 0, 0, 9], [dipping] + [EIGHT] * 3 + [7]), RULE).word == NOT_SETTLED


def test_chains_that_were_all_planted_agree_within_their_code_at_most():
    assert judge(series([0] * 4, [EIGHT] * 4), PLANTED).word == WITHIN
    assert judge(series([0, 0, 0, 9], [EIGHT] * 4), PLANTED).word == NOT_SETTLED
    # The code has melted, or neurons come and go: the start is forgotten.
    assert judge(series([0] * 4, [0] * 4), PLANTED).word == AGREED
    assert judge(series([0] * 4, [np.tile([EIGHT, FOUR], 100)] * 4), PLANTED).word == AGREED


def code(**pairs):
    """Of pairs of two coordinates: ``same=(2, 1)`` has two neurons at ++ and one at --."""
    names = {"same": ("++", "--"), "other": ("+-", "-+")}
    found = {
        pattern: count
        for name, counts in pairs.items()
        for pattern, count in zip(names[name], counts, strict=True)
        if count
    }
    return Code(tuple(sorted(found.items())), np.nan)


def test_the_number_of_a_profile_tells_profiles_apart():
    sides = [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 1)]
    codes = [code(), *(code(same=each) for each in sides)]
    codes += [code(same=one, other=two) for one in sides for two in sides if one <= two]
    numbers = {each.profile: each.number for each in codes}
    assert (numbers["none"], numbers["2 x 1+0"], numbers["1 x 1+1"]) == (0, 2, 256)
    assert len(numbers) == len(set(numbers.values())) == len(codes)
    # Which side of which pair it is makes no difference; nor do doubles round it.
    assert code(same=(1, 2), other=(0, 1)).number == code(same=(1, 0), other=(2, 1)).number
    assert all(int(float(each)) == each < 2**53 for each in numbers.values())

"""Normal numbers of the compiled code: the published generator and the normal distribution."""

import numpy as np
import pytest
import torch
from compiled import needs_compiled
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from feature_learning.model.randomness import normal_
from feature_learning.native import normal


def philox(counters, key):
    """Philox 4x32-10 of counters (n, 4) as in its paper, words (n, 4)."""
    mask = np.uint64(0xFFFFFFFF)
    c = [column.astype(np.uint64) for column in counters.T]
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        first, second = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (second >> np.uint64(32)) ^ c[1] ^ np.uint64(k0),
            second & mask,
            (first >> np.uint64(32)) ^ c[3] ^ np.uint64(k1),
            first & mask,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1).astype(np.uint32)


def box_muller(first, second):
    """Two normal numbers from two words, in double precision."""
    radius = np.sqrt(-2 * np.log((first >> 8) * 2.0**-24 + 2.0**-25))
    angle = (second.astype(np.int32) >> 8) * 2.0**-25 * np.pi
    # The lowest bit exchanges the two, the next one turns the cosine round.
    cosine = radius * np.cos(angle) * np.where(second & 2, -1, 1)
    sine, swap = radius * np.sin(angle), (second & 1).astype(bool)
    return np.where(swap, sine, cosine), np.where(swap, cosine, sine)


def test_the_generator_that_the_numbers_are_held_against_has_its_published_test_vector():
    zeros = np.zeros((1, 4), np.uint64)
    assert [hex(word) for word in philox(zeros, 0)[0]] == [
        "0x6627e8d5",
        "0xe169c58d",
        "0xbc57ac4c",
        "0x9b00dbd8",
    ]


@needs_compiled
@given(count=st.integers(1, 700), key=st.integers(0, 2**63 - 1))
def test_every_number_follows_from_its_place_and_the_key(count, key):
    found = normal.fill(torch.empty(count), key).numpy()
    blocks = -(-count // 64)
    counters = np.zeros((16 * blocks, 4), np.uint64)
    counters[:, 0] = np.arange(16 * blocks)
    words = philox(counters, key)
    pairs = [*box_muller(words[:, 0], words[:, 1]), *box_muller(words[:, 2], words[:, 3])]
    expected = np.stack([each.reshape(blocks, 16) for each in pairs], axis=1).ravel()[:count]
    # Near u = 1 the logarithm is a small difference of two: its root has an error of 1e-4 there.
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-4)


@needs_compiled
def test_the_numbers_are_normal_and_independent():
    random = torch.Generator().manual_seed(1)
    draws = np.stack([normal_(torch.empty(10_000), random).numpy() for _ in range(100)])
    assert stats.kstest(draws.ravel(), "norm").pvalue > 1e-3
    # Squares of independent normal numbers: each mean within four standard errors.
    count = draws.size
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((draws.astype(float) ** power).mean() - expected) < 4 * np.sqrt(variance / count)
    # Neighbours in a step, the partners of a pair, and the same place in consecutive steps.
    for one, other in (
        (draws[:, 1:], draws[:, :-1]),
        (draws[:, 16:], draws[:, :-16]),
        (draws[1:], draws[:-1]),
    ):
        for f in (np.asarray, np.square):
            a, b = f(one) - f(one).mean(), f(other) - f(other).mean()
            assert abs((a * b).mean()) < 4 * a.std() * b.std() / np.sqrt(one.size)


@needs_compiled
def test_one_seed_gives_another_noise_without_the_compiled_code(monkeypatch):
    compiled = normal_(torch.empty(1000), torch.Generator().manual_seed(2))
    monkeypatch.setattr(normal, "takes", lambda out: False)
    plain = normal_(torch.empty(1000), torch.Generator().manual_seed(2))
    assert abs(np.corrcoef(compiled.numpy(), plain.numpy())[0, 1]) < 4 / np.sqrt(1000)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_generator_is_the_whole_state(dtype):
    random = torch.Generator().manual_seed(3)
    out, again = torch.empty(1000, dtype=dtype), torch.empty(1000, dtype=dtype)
    normal_(out, random)
    state = random.get_state()
    following = normal_(out, random).clone()
    random.set_state(state)
    assert torch.equal(normal_(again, random), following)
    assert not torch.equal(normal_(again, random), following)


def test_double_precision_and_gaps_in_memory_are_left_to_torch():
    strided = torch.empty(10, 2)[:, 0]
    for out in (torch.empty(5, dtype=torch.float64), strided):
        assert not normal.takes(out)
        expected = torch.empty_like(out).normal_(generator=torch.Generator().manual_seed(4))
        assert torch.equal(normal_(out, torch.Generator().manual_seed(4)), expected)

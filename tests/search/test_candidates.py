"""The best continuations against a plain order of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.search.beam import best_continuations
from s2s_cli.search.step_model import GROUP, Prediction, greatest

SIZES = [1, 5, GROUP, GROUP + 4, 3 * GROUP - 1, 9 * GROUP, 9 * GROUP + 17]


@settings(max_examples=100)
@given(
    seed=st.integers(0, 10_000),
    sentences=st.integers(1, 4),
    hypotheses=st.integers(1, 5),
    vocabulary=st.sampled_from([5, GROUP, GROUP + 3, GROUP + 4, GROUP + 5, 3 * GROUP - 1, 5 * GROUP + 4, 20 * GROUP]),
    first=st.sampled_from([3, 4]),
    count=st.integers(1, 12),
    impossible=st.floats(0.0, 1.0),
)
def test_the_same_candidates_as_a_plain_order(seed, sentences, hypotheses, vocabulary, first, count, impossible):
    generator = np.random.default_rng(seed)
    log_probs_BK = -generator.random((sentences, hypotheses), np.float32)
    shape = (sentences, hypotheses, vocabulary)
    next_BKV = -generator.exponential(size=shape).astype(np.float32)
    next_BKV[generator.random(shape) < impossible] = -np.inf

    found, ends_BK = best_continuations(log_probs_BK, Prediction(next_BKV, None), first, count, 3)

    np.testing.assert_array_equal(ends_BK, log_probs_BK + next_BKV[:, :, 3])
    sums_BKV = log_probs_BK[:, :, None] + next_BKV[:, :, first:]
    most = min(count, hypotheses * min(count, vocabulary - first))
    expected_BC = -np.sort(-sums_BKV.reshape(sentences, -1))[:, :most]
    np.testing.assert_array_equal(found.log_probs_BC, expected_BC)
    rows_B1 = np.arange(sentences)[:, None]
    assert found.symbols_BC.min() >= first
    np.testing.assert_array_equal(sums_BKV[rows_B1, found.origins_BC, found.symbols_BC - first], expected_BC)
    for row in range(sentences):
        pairs = zip(found.origins_BC[row].tolist(), found.symbols_BC[row].tolist(), strict=True)
        assert len(set(pairs)) == most


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [0, 1, 5, 70])
@pytest.mark.parametrize("values", [1_000_000, 7, 2, 1])
def test_the_greatest_are_those_of_a_stable_sort(size, count, values):
    """values: how many different ones there are. Of equal ones the first is taken."""
    values_BKV = np.random.default_rng(size).integers(0, values, (2, 3, size)).astype(np.float32)
    values_BKV[1, :, ::2] = -np.inf
    before = values_BKV.copy()
    found_BKC, indices_BKC = greatest(values_BKV, count)
    for place in np.ndindex(2, 3):
        row_V = values_BKV[place]
        expected = sorted(range(size), key=lambda index: -row_V[index])[:count]
        assert indices_BKC[place].tolist() == expected
        np.testing.assert_array_equal(found_BKC[place], row_V[expected])
    np.testing.assert_array_equal(values_BKV, before)

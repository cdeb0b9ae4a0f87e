"""The quick top-k against the plain one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.search.candidates import GROUP, best_candidates


@settings(max_examples=100)
@given(
    seed=st.integers(0, 10_000),
    sentences=st.integers(1, 4),
    hypotheses=st.integers(1, 5),
    vocabulary=st.sampled_from([5, GROUP, GROUP + 3, GROUP + 4, GROUP + 5, 3 * GROUP - 1, 5 * GROUP + 4]),
    first=st.sampled_from([0, 3, 4]),
    count=st.integers(1, 12),
    impossible=st.floats(0.0, 1.0),
)
def test_the_same_candidates_as_a_plain_top_k(seed, sentences, hypotheses, vocabulary, first, count, impossible):
    generator = torch.Generator().manual_seed(seed)
    log_probs_BK = -torch.rand(sentences, hypotheses, generator=generator)
    shape = (sentences, hypotheses, vocabulary)
    next_BKV = torch.randn(shape, generator=generator).log_softmax(2)
    next_BKV.masked_fill_(torch.rand(shape, generator=generator) < impossible, -torch.inf)

    found = best_candidates(log_probs_BK, next_BKV, first, count)

    sums_BKV = log_probs_BK.unsqueeze(2) + next_BKV[:, :, first:]
    expected = sums_BKV.flatten(1).topk(min(count, hypotheses * (vocabulary - first))).values
    assert torch.equal(found.log_probs_BC, expected)
    rows = torch.arange(sentences).unsqueeze(1)
    assert found.symbols_BC.min() >= first
    assert torch.equal(sums_BKV[rows, found.origins_BC, found.symbols_BC - first], expected)
    for row in range(sentences):
        pairs = zip(found.origins_BC[row].tolist(), found.symbols_BC[row].tolist(), strict=True)
        assert len(set(pairs)) == expected.size(1)


@pytest.mark.parametrize("first", [0, 4])
def test_the_table_is_left_as_it_was(first):
    next_BKV = torch.randn(2, 3, 200).log_softmax(2)
    before = next_BKV.clone()
    best_candidates(torch.zeros(2, 3), next_BKV, first, 5)
    assert torch.equal(next_BKV, before)

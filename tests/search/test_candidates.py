"""The best continuations against a plain top-k over all of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.search.beam import best_continuations
from s2s_cli.search.step_model import GROUP, Prediction, greatest


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
def test_the_same_candidates_as_a_plain_top_k(seed, sentences, hypotheses, vocabulary, first, count, impossible):
    generator = torch.Generator().manual_seed(seed)
    log_probs_BK = -torch.rand(sentences, hypotheses, generator=generator)
    shape = (sentences, hypotheses, vocabulary)
    next_BKV = torch.randn(shape, generator=generator).log_softmax(2)
    next_BKV.masked_fill_(torch.rand(shape, generator=generator) < impossible, -torch.inf)

    found, ends_BK = best_continuations(log_probs_BK, Prediction(next_BKV, None), first, count, 3)

    assert torch.equal(ends_BK, log_probs_BK + next_BKV[:, :, 3])
    sums_BKV = log_probs_BK.unsqueeze(2) + next_BKV[:, :, first:]
    expected = sums_BKV.flatten(1).topk(min(count, hypotheses * min(count, vocabulary - first))).values
    assert torch.equal(found.log_probs_BC, expected)
    rows = torch.arange(sentences).unsqueeze(1)
    assert found.symbols_BC.min() >= first
    assert torch.equal(sums_BKV[rows, found.origins_BC, found.symbols_BC - first], expected)
    for row in range(sentences):
        pairs = zip(found.origins_BC[row].tolist(), found.symbols_BC[row].tolist(), strict=True)
        assert len(set(pairs)) == expected.size(1)


@pytest.mark.parametrize("size", [1, GROUP, 9 * GROUP, 9 * GROUP + 17])
@pytest.mark.parametrize("count", [0, 1, 5, 70])
def test_the_greatest_are_those_of_a_sort(size, count):
    values_BKV = torch.randn(2, 3, size, generator=torch.Generator().manual_seed(size))
    before = values_BKV.clone()
    found_BKC, indices_BKC = greatest(values_BKV, count)
    assert torch.equal(found_BKC, values_BKV.sort(dim=2, descending=True).values[:, :, :count])
    assert torch.equal(values_BKV.gather(2, indices_BKC), found_BKC)
    assert torch.equal(values_BKV, before)

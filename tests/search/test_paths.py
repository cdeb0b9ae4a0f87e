"""Greedy search and sampling."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import TableModel, all_finished, batch, distributions, trace

from s2s_cli.search.greedy import greedy_search
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.search.sampling import sample
from s2s_cli.text.tokenizer import EOS

SHORT = SearchOptions(max_length_ratio=1.0, max_length_offset=1)


def draw(model, sentences, sampling, seed=0, options=SHORT):
    return sample(model, *batch(sentences), options, sampling, torch.Generator().manual_seed(seed))


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), least=st.integers(0, 4), padding=st.integers(0, 3))
def test_greedy_takes_the_most_probable_symbol_each_time(seed, least, padding):
    model, source = TableModel(vocabulary=90, seed=seed), [7, 5, 12]
    options = SearchOptions(min_length=least)
    other = [4] * 9
    (found,), _ = greedy_search(model, *batch([source, other], padding), options)
    symbols = found.ids + [EOS] * found.finished
    log_probs, _ = distributions(model, source, symbols)
    for place, symbol in enumerate(symbols):
        first = EOS if place >= least else EOS + 1
        assert symbol == first + int(log_probs[place, first:].argmax())
    log_prob, attention = trace(model, source, symbols)
    assert found.log_prob == pytest.approx(log_prob, abs=1e-5)
    np.testing.assert_allclose(found.attention, attention[: len(found.ids)], atol=1e-6)


def test_greedy_cuts_at_the_limit_of_each_sentence():
    found = greedy_search(TableModel(end_bias=-1000.0), *batch([[5], [5, 6, 7, 8]]), SHORT)
    assert [(len(h.ids), h.finished) for (h,) in found] == [(2, False), (5, False)]


def test_samples_follow_the_distribution_of_the_model():
    model, source, draws = TableModel(vocabulary=6, seed=2), [5, 6], 20_000
    found = draw(model, [source], SamplingOptions(count=draws))[0]
    frequency = Counter(tuple(h.ids) for h in found if h.finished)
    for ids in all_finished(6, limit=3):
        probabilities = distributions(model, source, ids)[0].exp()
        probabilities[:, :EOS] = 0.0  # PAD, UNK and BOS are never drawn: their share goes to the others
        probabilities /= probabilities.sum(1, keepdim=True)
        expected = probabilities[range(len(ids) + 1), [*ids, EOS]].prod()
        assert frequency[tuple(ids)] / draws == pytest.approx(float(expected), abs=0.02)


def test_a_sample_has_the_log_probability_of_the_model():
    model, sources = TableModel(vocabulary=12, seed=4), [[5, 6], [9, 9, 9, 4]]
    found = draw(model, sources, SamplingOptions(temperature=2.0, top_k=4, count=5))
    for source, hypotheses in zip(sources, found, strict=True):
        assert len(hypotheses) == 5
        assert hypotheses == sorted(hypotheses, key=lambda h: (not h.finished, -h.score))
        for hypothesis in hypotheses:
            log_prob, attention = trace(model, source, hypothesis.ids + [EOS] * hypothesis.finished)
            assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-4)
            np.testing.assert_allclose(hypothesis.attention, attention[: len(hypothesis.ids)], atol=1e-6)


@pytest.mark.parametrize("sampling", [SamplingOptions(top_k=1), SamplingOptions(temperature=1e-4)])
def test_the_sharpest_samples_are_greedy(sampling):
    model, sentences = TableModel(vocabulary=20, seed=1), [[5, 6], [7], [8, 8, 8]]
    greedy = greedy_search(model, *batch(sentences), SHORT)
    assert [h.ids for (h,) in draw(model, sentences, sampling)] == [h.ids for (h,) in greedy]


def test_the_same_seed_draws_the_same():
    model, sentences = TableModel(vocabulary=30), [[5, 6, 7]] * 4
    ids = [[[h.ids for h in found] for found in draw(model, sentences, SamplingOptions(count=3), s)] for s in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]

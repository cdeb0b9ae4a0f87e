"""Greedy search and sampling."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import TableModel, all_finished, batch, distributions, trace

from s2s_cli.search.greedy import greedy_search
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.search.sampling import sample
from s2s_cli.text.tokenizer import EOS

TINY_NUCLEUS = SamplingOptions(top_p=1e-6)
SHORT = SearchOptions(max_length_ratio=1.0, max_length_offset=1)


def draw(model, sentences, sampling, count=1, places=None, padding=0):
    return sample(model, *batch(sentences, padding), replace(SHORT, sampling=sampling, n_best=count), places)


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


def probability(model, source, ids, sampling=SamplingOptions()):  # noqa: B008
    """Of drawing these pieces and EOS, by the definition: temperature, then top-k, then the nucleus of what is left."""
    product = 1.0
    for log_probs, symbol in zip(distributions(model, source, ids)[0].tolist(), [*ids, EOS], strict=True):
        weights = {v: math.exp(p / sampling.temperature) for v, p in enumerate(log_probs) if v >= EOS}
        ranked = sorted(weights, key=weights.__getitem__, reverse=True)[: sampling.top_k]
        total = sum(weights[v] for v in ranked)
        nucleus = []
        while sum(weights[v] for v in nucleus) < sampling.top_p * total * (1 - 1e-9):
            nucleus.append(ranked[len(nucleus)])
        product *= weights[symbol] / sum(weights[v] for v in nucleus) if symbol in nucleus else 0.0
    return product


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingOptions(),
        SamplingOptions(temperature=0.6, seed=9),
        SamplingOptions(top_k=2),
        SamplingOptions(top_p=0.7),
        SamplingOptions(temperature=1.5, top_k=3, top_p=0.8),
    ],
)
def test_samples_follow_the_distribution(sampling):
    """PAD, UNK and BOS are never drawn: their share goes to the others."""
    model, source, draws = TableModel(vocabulary=7, seed=2), [5, 6], 6_000
    found = draw(model, [source], sampling, draws)[0]
    frequency = Counter(tuple(h.ids) for h in found if h.finished)
    for ids in all_finished(7, limit=3):
        expected = probability(model, source, ids, sampling)
        assert frequency[tuple(ids)] / draws == pytest.approx(expected, abs=0.025)
        assert expected > 0 or not frequency[tuple(ids)]


def test_a_sample_has_the_log_probability_of_the_model():
    model, sources = TableModel(vocabulary=12, seed=4), [[5, 6], [9, 9, 9, 4]]
    found = draw(model, sources, SamplingOptions(temperature=2.0, top_k=4, top_p=0.9), count=5)
    for source, hypotheses in zip(sources, found, strict=True):
        assert len(hypotheses) == 5
        for hypothesis in hypotheses:
            log_prob, attention = trace(model, source, hypothesis.ids + [EOS] * hypothesis.finished)
            assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-4)
            np.testing.assert_allclose(hypothesis.attention, attention[: len(hypothesis.ids)], atol=1e-6)


@pytest.mark.parametrize(
    "sampling",
    [SamplingOptions(top_k=1), SamplingOptions(temperature=1e-4), SamplingOptions(temperature=1e-30), TINY_NUCLEUS],
)
def test_the_sharpest_samples_are_greedy(sampling):
    model, sentences = TableModel(vocabulary=20, seed=1), [[5, 6], [7], [8, 8, 8]]
    greedy = greedy_search(model, *batch(sentences), SHORT)
    assert [h.ids for (h,) in draw(model, sentences, sampling)] == [h.ids for (h,) in greedy]


def ids_of(found):
    return [[h.ids for h in hypotheses] for hypotheses in found]


def test_seed_place_and_number_decide_a_draw():
    model, sentences = TableModel(vocabulary=30), [[5, 6, 7]] * 4
    one, again, other = (ids_of(draw(model, sentences, SamplingOptions(seed=s), count=3)) for s in (1, 1, 2))
    assert one == again != other
    assert len({tuple(map(tuple, ids)) for ids in one}) == 4  # of one sentence at four places
    assert [ids[:1] for ids in one] == ids_of(draw(model, sentences, SamplingOptions()))


@settings(max_examples=40)
@given(
    sentences=st.lists(st.lists(st.integers(4, 30), max_size=6), min_size=1, max_size=6),
    padding=st.integers(0, 4),
    random=st.randoms(use_true_random=False),
    sampling=st.builds(SamplingOptions, top_k=st.sampled_from([None, 9]), top_p=st.sampled_from([0.8, 1.0])),
)
def test_draws_depend_neither_on_the_batch_nor_on_padding_nor_on_order(sentences, padding, random, sampling):
    model = TableModel(vocabulary=70)
    places = [(7, number) for number in range(len(sentences))]
    together = ids_of(draw(model, sentences, sampling, 2, places, padding))
    order = random.sample(range(len(sentences)), len(sentences))
    shuffled = ids_of(draw(model, [sentences[i] for i in order], sampling, 2, [places[i] for i in order]))
    for place, i in enumerate(order):
        assert shuffled[place] == together[i]
        assert ids_of(draw(model, [sentences[i]], sampling, 2, [places[i]])) == [together[i]]

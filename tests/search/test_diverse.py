"""Diverse beam search against its definition written plainly, beam search, and itself on other batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import TableModel, batch, distributions, trace
from test_beam import OPTIONS, SEEDS, SENTENCES, assert_same, limit

from s2s_cli.search.beam import beam_search
from s2s_cli.search.diverse import diverse_beam_search
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.tokenizer import EOS

DIVERSE = st.builds(
    lambda options, groups, width, diversity: replace(
        options, beam=groups * width, n_best=min(options.n_best, groups * width), groups=groups, diversity=diversity
    ),
    OPTIONS,
    st.integers(2, 4),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.4, 1.0, 5.0]),
)
few = settings(max_examples=60, deadline=None)


def search(model, sentences, options, padding=0):
    return diverse_beam_search(model, *batch(sentences, padding), options)


def by_definition(model, source, options):
    """Symbols and scores of the n best: one step after the other, one group after the other, over all symbols."""
    width = options.beam // options.groups
    open_, ended = [[(0.0, ())] for _ in range(options.groups)], [[] for _ in range(options.groups)]
    finished: dict[tuple[int, ...], float] = {}
    for length in range(1, limit(source, options) + 1):
        uses: Counter[int] = Counter()
        for group in range(options.groups):
            if len(ended[group]) >= width:
                continue
            tables = [(p, ids, distributions(model, source, ids)[0][-1].tolist()) for p, ids in open_[group]]
            candidates = [
                (p + table[v] - options.diversity * uses[v], p + table[v], (*ids, v))
                for p, ids, table in tables
                for v in range(EOS + 1, len(table))
            ]
            kept = sorted(candidates, reverse=True)[:width]
            ends = [(p + table[EOS], ids) for p, ids, table in tables] if length > options.min_length else []
            least = sorted([c[0] for c in kept] + [p for p, _ in ends], reverse=True)[:width][-1]
            ended[group] += [(ids, p) for p, ids in ends if p >= least]
            finished |= {ids: p / options.penalty(length) for p, ids in ends if p >= least}
            open_[group] = [(p, ids) for _, p, ids in kept]
            uses.update(ids[-1] for _, _, ids in kept)
    return sorted(finished.items(), key=lambda each: -each[1])[: options.n_best]


@few
@given(SEEDS, SENTENCES.map(lambda sentences: sentences[:2]), DIVERSE, st.sampled_from([8, 20]))
def test_it_finds_what_the_definition_says(seed, sentences, options, vocabulary):
    model = TableModel(vocabulary, seed, spread=1.0, end_bias=1.0)  # prices matter, and ends come near the pieces
    for source, found in zip(sentences, search(model, sentences, options), strict=True):
        expected = by_definition(model, source, options)
        finished = [hypothesis for hypothesis in found if hypothesis.finished]
        assert [tuple(hypothesis.ids) for hypothesis in finished] == [ids for ids, _ in expected]
        assert [hypothesis.score for hypothesis in finished] == pytest.approx([s for _, s in expected], abs=1e-4)


@few
@given(SEEDS, SENTENCES, OPTIONS)
def test_one_group_is_beam_search(seed, sentences, options):
    model = TableModel(vocabulary=12, seed=seed)
    expected = beam_search(model, *batch(sentences), options)
    for one, other in zip(search(model, sentences, replace(options, groups=1)), expected, strict=True):
        assert_same(one, other)


@few
@given(SEEDS, SENTENCES, DIVERSE)
def test_scores_and_attention_are_those_of_a_scorer_and_none_comes_twice(seed, sentences, options):
    model = TableModel(vocabulary=12, seed=seed)
    for source, found in zip(sentences, search(model, sentences, options), strict=True):
        assert 1 <= len(found) <= options.n_best
        assert found == sorted(found, key=lambda hypothesis: (not hypothesis.finished, -hypothesis.score))
        assert len({(tuple(hypothesis.ids), hypothesis.finished) for hypothesis in found}) == len(found)
        for hypothesis in found:
            symbols = hypothesis.ids + [EOS] * hypothesis.finished
            log_prob, attention = trace(model, source, symbols)
            assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-4)
            assert hypothesis.finished == (len(hypothesis.ids) < limit(source, options))
            np.testing.assert_allclose(hypothesis.attention, attention[: len(hypothesis.ids)], atol=1e-6)


@few
@given(SEEDS, SENTENCES, DIVERSE, st.integers(0, 4), st.randoms(use_true_random=False))
def test_results_depend_neither_on_the_batch_nor_on_padding_nor_on_order(seed, sentences, options, padding, random):
    model = TableModel(vocabulary=70, seed=seed)
    together = search(model, sentences, options, padding)
    order = random.sample(range(len(sentences)), len(sentences))
    shuffled = search(model, [sentences[i] for i in order], options)
    for place, i in enumerate(order):
        assert_same(together[i], search(model, [sentences[i]], options)[0])
        assert_same(together[i], shuffled[place])


def test_diversity_makes_lists_more_diverse():
    options = SearchOptions(beam=4, n_best=4, groups=4, diversity=0.0)
    sentences = [[4 + number, 9] for number in range(20)]
    model = TableModel(vocabulary=40, spread=3.0)
    alike, unlike = (
        [len({tuple(hypothesis.ids[:1]) for hypothesis in found}) for found in search(model, sentences, each)]
        for each in (options, replace(options, diversity=3.0))
    )
    assert alike == [1] * 20  # without a price all groups find the same
    assert sum(unlike) > 2 * sum(alike)


def test_a_group_at_a_dead_end_adds_nothing():
    """After symbol 5 only the end is possible, which comes before the least length."""

    class DeadEnd(TableModel):
        def step(self, previous_BK, state):
            step, state = super().step(previous_BK, state)
            step.log_probs_BKV[previous_BK == 5] = -np.inf
            return step, state

    model = DeadEnd(vocabulary=6)
    model.table[:] = np.log([1e-9, 1e-9, 1e-9, 0.2, 0.41, 0.39])
    options = SearchOptions(2, 2, min_length=3, max_length_ratio=1.0, max_length_offset=4, groups=2, diversity=1.0)
    assert [hypothesis.ids for hypothesis in search(model, [[7]], options)[0]] == [[4] * 5]
    model.table[:, 4] = -np.inf  # no way round
    [found] = search(model, [[7]], options)[0]
    assert found.log_prob == -np.inf and not found.finished


def test_an_empty_batch_and_a_vocabulary_smaller_than_a_group():
    nothing = np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    options = SearchOptions(beam=6, n_best=6, groups=2)
    assert diverse_beam_search(TableModel(), *nothing, options) == []
    found = search(TableModel(vocabulary=5), [[4, 5]], options)[0]
    assert sorted(len(hypothesis.ids) for hypothesis in found) == list(range(len(found)))

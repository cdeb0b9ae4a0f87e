"""Beam search against exhaustive search, a scorer, greedy search, and itself on other batches."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import TableModel, all_finished, batch, trace

from s2s_cli.search import beam
from s2s_cli.search.beam import beam_search
from s2s_cli.search.greedy import greedy_search
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import PENALTIES, SearchOptions
from s2s_cli.text.tokenizer import EOS

SEEDS = st.integers(0, 10_000)
SENTENCES = st.lists(st.lists(st.integers(4, 30), max_size=6), min_size=1, max_size=6)
OPTIONS = st.builds(
    SearchOptions,
    beam=st.integers(3, 6),
    n_best=st.integers(1, 3),
    normalization=st.sampled_from(sorted(PENALTIES)),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    min_length=st.integers(0, 3),
    max_length_ratio=st.sampled_from([0.5, 1.0, 2.0]),
    max_length_offset=st.integers(0, 5),
)
few = settings(max_examples=60)


def search(model: TableModel, sentences: list[list[int]], options: SearchOptions, padding: int = 0):
    return beam_search(model, *batch(sentences, padding), options)


def limit(source: list[int], options: SearchOptions) -> int:
    return max(int(len(source) * options.max_length_ratio) + options.max_length_offset, options.min_length + 1)


def assert_same(one: list[Hypothesis], other: list[Hypothesis]) -> None:
    assert [hypothesis.ids for hypothesis in one] == [hypothesis.ids for hypothesis in other]
    assert [hypothesis.finished for hypothesis in one] == [hypothesis.finished for hypothesis in other]
    for a, b in zip(one, other, strict=True):
        assert a.score == pytest.approx(b.score, abs=1e-5)
        np.testing.assert_allclose(a.attention, b.attention, atol=1e-6)


@few
@given(SEEDS, SENTENCES, OPTIONS)
def test_beam_of_one_is_greedy(seed, sentences, options):
    model, options = TableModel(vocabulary=9, seed=seed), replace(options, beam=1, n_best=1)
    greedy = greedy_search(model, *batch(sentences), options)
    for one, other in zip(search(model, sentences, options), greedy, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("normalization", sorted(PENALTIES))
@settings(max_examples=8)
@given(seed=SEEDS, alpha=st.sampled_from([0.0, 0.5, 1.0, 1.5]), least=st.integers(0, 2))
def test_a_wide_beam_finds_the_optimum(normalization, seed, alpha, least):
    options = SearchOptions(500, 3, normalization, alpha, least, max_length_ratio=1.0, max_length_offset=2)
    model, sources = TableModel(vocabulary=7, seed=seed), [[5, 6], [9, 4, 7], [8]]
    for source, found in zip(sources, search(model, sources, options), strict=True):
        penalty = PENALTIES[normalization]
        scores = {
            tuple(ids): trace(model, source, [*ids, EOS])[0] / penalty(len(ids) + 1, alpha)
            for ids in all_finished(7, limit(source, options), least)
        }
        best = sorted(scores, key=scores.__getitem__, reverse=True)[:3]
        assert [hypothesis.score for hypothesis in found] == pytest.approx([scores[ids] for ids in best], abs=1e-5)
        assert [scores[tuple(h.ids)] for h in found] == pytest.approx([scores[ids] for ids in best], abs=1e-5)


@few
@given(SEEDS, SENTENCES, OPTIONS)
def test_scores_and_attention_are_those_of_a_scorer(seed, sentences, options):
    model = TableModel(vocabulary=12, seed=seed)
    for source, found in zip(sentences, search(model, sentences, options), strict=True):
        for hypothesis in found:
            symbols = hypothesis.ids + [EOS] * hypothesis.finished
            log_prob, attention = trace(model, source, symbols)
            assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-4)
            penalty = PENALTIES[options.normalization](len(symbols), options.length_penalty)
            assert hypothesis.score == pytest.approx(log_prob / penalty, abs=1e-4)
            assert hypothesis.attention.dtype == np.float32
            np.testing.assert_allclose(hypothesis.attention, attention[: len(hypothesis.ids)], atol=1e-6)


@few
@given(SEEDS, SENTENCES, OPTIONS)
def test_lists_are_sorted_unique_and_within_the_limits(seed, sentences, options):
    model = TableModel(vocabulary=12, seed=seed)
    for source, found in zip(sentences, search(model, sentences, options), strict=True):
        assert len(found) == options.n_best
        assert found == sorted(found, key=lambda hypothesis: (not hypothesis.finished, -hypothesis.score))
        assert len({(tuple(hypothesis.ids), hypothesis.finished) for hypothesis in found}) == len(found)
        for hypothesis in found:
            longest = limit(source, options)
            assert options.min_length <= len(hypothesis.ids) <= longest
            assert hypothesis.finished == (len(hypothesis.ids) < longest)
            assert min(hypothesis.ids, default=EOS + 1) > EOS


@few
@given(SEEDS, SENTENCES, OPTIONS, st.integers(0, 4), st.randoms(use_true_random=False), st.sampled_from([0, 6]))
def test_results_depend_neither_on_the_batch_nor_on_padding_nor_on_order(
    seed, sentences, options, padding, random, decimals
):
    model = TableModel(vocabulary=70, seed=seed)
    model.table = model.table.round(decimals)  # with none, many symbols are equally probable
    together = search(model, sentences, options, padding)
    order = random.sample(range(len(sentences)), len(sentences))
    shuffled = search(model, [sentences[i] for i in order], options)
    for place, i in enumerate(order):
        assert_same(together[i], search(model, [sentences[i]], options)[0])
        assert_same(together[i], shuffled[place])


@pytest.mark.parametrize("normalization", sorted(PENALTIES))
def test_the_stop_by_bound_changes_no_result(normalization, monkeypatch):
    """Without it the search does more work and finds the same."""
    options = SearchOptions(beam=6, n_best=2, normalization=normalization, length_penalty=0.3, max_length_offset=2)
    sentences = [[4 + i, 9, 5] for i in range(40)]
    eager, patient = (TableModel(vocabulary=40, seed=3, spread=4.0) for _ in range(2))
    quick = search(eager, sentences, options)
    done = beam.done

    def never_by_bound(state, length, width):
        return done(state._replace(last_penalty_B=np.full_like(state.last_penalty_B, np.inf)), length, width)

    monkeypatch.setattr(beam, "done", never_by_bound)
    for one, other in zip(quick, search(patient, sentences, options), strict=True):
        assert_same(one, other)
    assert eager.rows_computed < patient.rows_computed


def test_finished_sentences_leave_the_batch():
    options = SearchOptions(beam=2, max_length_ratio=1.0, max_length_offset=0)
    never_ending = TableModel(vocabulary=12, end_bias=-1000.0)
    search(never_ending, [[5] * 2, [5] * 30], options)
    assert never_ending.rows_computed == 2 * 1 + 2 * 2 + 28 * 2  # both at first, then the long one alone


def test_cut_hypotheses_are_flagged():
    options = SearchOptions(beam=3, n_best=3, max_length_ratio=1.0, max_length_offset=1)
    for hypothesis in search(TableModel(end_bias=-1000.0), [[4, 5, 6]], options)[0]:
        assert not hypothesis.finished
        assert len(hypothesis.ids) == 4


def test_a_finished_hypothesis_comes_before_better_cut_ones():
    options = SearchOptions(beam=2, n_best=2, normalization="average", max_length_ratio=1.0, max_length_offset=2)
    model = TableModel(end_bias=-3.0, seed=6)
    seen = 0
    for found in search(model, [[4 + i] for i in range(30)], options):
        first, second = found
        if first.finished and not second.finished:
            seen += second.score > first.score
    assert seen


def test_a_model_without_attention():
    class Blind(TableModel):
        def step(self, previous_BK, state):
            step, state = super().step(previous_BK, state)
            return dataclasses.replace(step, attention_BKS=None), state

    assert search(Blind(), [[5, 6]], SearchOptions())[0][0].attention is None


def test_an_empty_batch_and_an_empty_source():
    nothing = np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    assert beam_search(TableModel(), *nothing, SearchOptions()) == []
    found = search(TableModel(), [[]], SearchOptions(max_length_offset=0))[0]
    assert len(found) == 1
    assert len(found[0].ids) <= 1


def test_a_vocabulary_smaller_than_the_beam():
    """With one piece beside the special symbols there are as many translations as lengths."""
    found = search(TableModel(vocabulary=5), [[4, 5]], SearchOptions(beam=8, n_best=8))[0]
    assert sorted(len(hypothesis.ids) for hypothesis in found) == list(range(8))


def test_impossible_symbols_are_never_taken():
    model = TableModel(vocabulary=8)
    model.table[:, 6:] = -np.inf
    for hypothesis in search(model, [[4, 5, 6]], SearchOptions(beam=6, n_best=6))[0]:
        assert set(hypothesis.ids) <= {4, 5}
        assert hypothesis.log_prob > -np.inf

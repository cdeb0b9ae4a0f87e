"""Searches for translations that must contain phrases, or begin with something, or avoid something."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import TableModel, all_finished, batch, distributions, trace

from s2s_cli.search.beam import beam_search
from s2s_cli.search.constrained import allocated, constrained_beam_search
from s2s_cli.search.diverse import diverse_beam_search
from s2s_cli.search.greedy import greedy_search
from s2s_cli.search.guidance import Avoided, Guide, Guided, Opening, forced
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.search.phrases import Phrase, Phrases
from s2s_cli.search.sampling import sample
from s2s_cli.text.tokenizer import EOS

VOCABULARY = 11
PIECES = st.integers(EOS + 1, VOCABULARY - 1)
IDS = st.lists(PIECES, min_size=1, max_size=4).map(tuple)
GOES_ON = np.arange(VOCABULARY + 1) % 3 == 1  # 4, 7 and 10 go on with a word; no phrase begins with them here
SILENT = np.arange(VOCABULARY + 1) == VOCABULARY  # in some tests there is one symbol more, which has no text
PHRASES = st.lists(
    st.builds(lambda ids, first, *rest: Phrase((first, *ids[1:]), *rest), IDS, PIECES.filter(lambda x: x % 3 != 1),
              st.sampled_from([1, 1, 1, 2]), st.booleans()),
    max_size=3, unique_by=lambda phrase: phrase.ids,
)  # fmt: skip
SEEDS = st.integers(0, 10_000)
SENTENCES = st.lists(st.tuples(st.lists(st.integers(4, 30), max_size=6), PHRASES), min_size=1, max_size=5)
OPTIONS = st.builds(
    SearchOptions,
    beam=st.integers(2, 6),
    n_best=st.integers(1, 2),
    min_length=st.integers(0, 3),
    max_length_ratio=st.sampled_from([0.5, 1.0]),
    max_length_offset=st.integers(0, 4),
)
few = settings(max_examples=30)


def search(model: TableModel, sentences, options: SearchOptions) -> list[list[Hypothesis]]:
    sources, phrases = zip(*sentences, strict=True)
    return constrained_beam_search(model, *batch(sources), options, phrases, GOES_ON, SILENT)


def times(ids: list[int], phrase: Phrase) -> int:
    """How often a phrase stands in the text, whole and without overlaps, one position after the other."""
    ids = [symbol for symbol in ids if not SILENT[symbol]]
    found = place = 0
    while place + len(phrase.ids) <= len(ids):
        end = place + len(phrase.ids)
        is_cut = phrase.is_word and end < len(ids) and GOES_ON[ids[end]]
        if tuple(ids[place:end]) == phrase.ids and not is_cut:
            found, place = found + 1, end
        else:
            place += 1
    return found


def symbols_of(hypothesis: Hypothesis) -> list[int]:
    return hypothesis.ids + [EOS] * hypothesis.finished


@few
@given(SEEDS, SENTENCES, OPTIONS, st.sampled_from([0.0, 5.0, -1000.0]), st.integers(0, 1))
def test_all_phrases_come_and_scores_are_those_of_the_model(seed, sentences, options, end_bias, silent):
    model = TableModel(VOCABULARY + silent, seed=seed, end_bias=end_bias)
    for (source, phrases), found in zip(sentences, search(model, sentences, options), strict=True):
        assert found
        for hypothesis in found:
            for phrase in phrases:
                assert times(hypothesis.ids, phrase) >= phrase.times
            log_prob, attention = trace(model, source, symbols_of(hypothesis))
            assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-3)
            np.testing.assert_allclose(hypothesis.attention, attention[: len(hypothesis.ids)], atol=1e-6)


@few
@given(SEEDS, SENTENCES, OPTIONS)
def test_without_phrases_it_is_beam_search(seed, sentences, options):
    model = TableModel(VOCABULARY, seed=seed)
    sentences = [(source, []) for source, _ in sentences]
    plain = beam_search(model, *batch([source for source, _ in sentences]), options)
    for found, expected in zip(search(model, sentences, options), plain, strict=True):
        assert [(each.ids, each.score, each.finished) for each in found] == [
            (each.ids, each.score, each.finished) for each in expected
        ]


@few
@given(SEEDS, SENTENCES, OPTIONS)
def test_batch_mates_change_nothing(seed, sentences, options):
    model = TableModel(VOCABULARY, seed=seed)
    together = search(model, sentences, options)
    for sentence, found in zip(sentences, together, strict=True):
        [alone] = search(model, [sentence], options)
        assert [each.ids for each in found] == [each.ids for each in alone]
        assert [each.score for each in found] == pytest.approx([each.score for each in alone], abs=1e-5)


@settings(max_examples=8)
@given(SEEDS, st.lists(st.sampled_from([(5,), (5, 6), (6, 5), (6, 6)]), max_size=2, unique=True))
def test_a_wide_beam_finds_the_optimum(seed, wanted):
    options = SearchOptions(600, 1, "none", max_length_ratio=1.0, max_length_offset=2)
    model, source, phrases = TableModel(7, seed=seed), [5, 6], [Phrase(ids) for ids in wanted]
    limit = len(source) + 2 + sum(map(len, wanted))
    possible = [ids for ids in all_finished(7, limit) if all(times(ids, phrase) for phrase in phrases)]
    best = max(trace(model, source, [*ids, EOS])[0] for ids in possible)
    [[found]] = constrained_beam_search(model, *batch([source]), options, [phrases], *np.zeros((2, 7), bool))
    assert found.score == pytest.approx(best, abs=1e-4)


@few
@given(PHRASES, st.lists(PIECES | st.just(VOCABULARY), max_size=14))
def test_states_follow_a_string(phrases, ids):
    """Symbol by symbol, what is met in full is what a plain scan of the string finds."""
    table = Phrases([phrases], GOES_ON, SILENT)
    states_1M = table.first_BM
    for count, symbol in enumerate(ids, start=1):
        before_1 = table.needs(states_1M)
        demanded = {symbol for symbol in table.demanded(states_1M)[0].tolist() if symbol}
        reached = [table.needs(table.after(states_1M, np.array([one])))[0] for one in demanded]
        assert min(reached, default=0) <= max(before_1[0] - 1, 0)  # so it is always possible to come to an end
        states_1M = table.after(states_1M, np.array([symbol]))
        is_complete = all(times(ids[:count], phrase) >= phrase.times for phrase in phrases)
        assert (table.met(states_1M) == table.totals())[0] == is_complete
        assert (table.needs(states_1M)[0] == 0) == is_complete


@few
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(0, 4)), min_size=1, max_size=20), st.integers(1, 8))
def test_the_beam_is_shared_as_a_loop_shares_it(candidates, width):
    log_probs, banks = (np.array(values) for values in zip(*candidates, strict=True))
    log_probs = np.where(log_probs == -9, -np.inf, log_probs)
    left = {bank: [p for p in range(len(candidates)) if banks[p] == bank and log_probs[p] > -np.inf] for bank in banks}
    chosen: list[int] = []
    while len(chosen) < width and any(left.values()):
        for bank in sorted(left, reverse=True):
            if left[bank] and len(chosen) < width:
                chosen.append(max(left[bank], key=lambda place: (log_probs[place], -place)))
                left[bank].remove(chosen[-1])
    found = allocated(log_probs[None], banks[None], width)[0]
    possible = [place for place in found if log_probs[place] > -np.inf]
    assert Counter(possible) == Counter(chosen)
    assert list(log_probs[found]) == sorted(log_probs[found], reverse=True)


def test_phrases_that_the_best_translation_has_cost_nothing():
    options, model = SearchOptions(beam=60, max_length_ratio=1.0, max_length_offset=3), TableModel(8, seed=5)
    sources = [[4 + i, 9] for i in range(8)]
    for source, [best] in zip(sources, beam_search(model, *batch(sources), options), strict=True):
        if best.finished and len(best.ids) > 1:
            phrases = [Phrase(tuple(best.ids[:2])), Phrase((best.ids[-1],))]
            phrases = list({phrase.ids: phrase for phrase in phrases}.values())
            [[found]] = constrained_beam_search(model, *batch([source]), options, [phrases], *np.zeros((2, 8), bool))
            assert found.score >= best.score - 1e-5


# ----------------------------------------------------------------------------------------------- beginnings and bans


def avoid(avoided: list[tuple[int, ...]]) -> Avoided:
    """States are all beginnings of what is to be avoided; where symbols lead is found by trying. Only what differs from
    state 0 is noted."""
    beginnings = sorted({ids[:place] for ids in avoided for place in range(len(ids))} | {()}, key=len)
    table = np.zeros((len(beginnings), VOCABULARY), np.int64)
    for state, written in enumerate(beginnings):
        for symbol in range(VOCABULARY):
            ids = (*written, symbol)
            ends = [ids[place:] for place in range(len(ids) + 1)]
            reached = next(beginnings.index(end) for end in ends if end in beginnings)
            table[state, symbol] = ~reached if any(ids[-len(each) :] == each for each in avoided) else reached
    zeros_V = np.zeros(VOCABULARY, np.int64)
    states, symbols = (table != np.stack([zeros_V, *table[:1].repeat(len(table) - 1, axis=0)])).nonzero()
    keys_X, likes_Q = states * VOCABULARY + symbols, np.zeros(len(table), np.int64)
    return Avoided(len(table), keys_X, table[states, symbols], likes_Q, zeros_V)


AVOIDED = st.lists(IDS, min_size=1, max_size=3)
GUIDED = st.lists(
    st.tuples(st.lists(st.integers(4, 30), max_size=6), st.lists(PIECES, max_size=5), AVOIDED | st.just([])),
    min_size=1, max_size=4,
)  # fmt: skip
SEARCHES = {
    "greedy": lambda model, sources, options, room: greedy_search(model, *sources, options, room),
    "beam": lambda model, sources, options, room: beam_search(model, *sources, options, room),
    "diverse": lambda model, sources, options, room: diverse_beam_search(
        model, *sources, replace(options, beam=4, groups=2), room
    ),
    "sample": lambda model, sources, options, room: sample(
        model, *sources, replace(options, sampling=SamplingOptions()), None, room
    ),
}


def guide_of(prefix: list[int], avoided: list[tuple[int, ...]]) -> Guide:
    return Guide(forced(prefix) if prefix else None, avoid(avoided) if avoided else None)


def has(ids: list[int], phrase: tuple[int, ...]) -> bool:
    return any(tuple(ids[place : place + len(phrase)]) == phrase for place in range(len(ids)))


@pytest.mark.parametrize("name", SEARCHES)
@settings(max_examples=15)
@given(seed=SEEDS, sentences=GUIDED, options=OPTIONS)
def test_every_search_is_led(name, seed, sentences, options):
    model = TableModel(VOCABULARY, seed=seed)
    guides = [guide_of(prefix, avoided) for _, prefix, avoided in sentences]
    room_B = np.array([len(prefix) for _, prefix, _ in sentences])
    sources = batch([source for source, _, _ in sentences])
    together = SEARCHES[name](Guided(model, guides), sources, options, room_B)
    for place, ((source, prefix, avoided), found) in enumerate(zip(sentences, together, strict=True)):
        for hypothesis in found:
            assert hypothesis.ids[: len(prefix)] == prefix
            for phrase in avoided:
                assert not has(hypothesis.ids[max(0, len(prefix) - len(phrase) + 1) :], phrase) or has(prefix, phrase)
            log_prob, _ = trace(model, source, symbols_of(hypothesis))
            assert hypothesis.log_prob == pytest.approx(log_prob, abs=1e-3)
        if name != "sample":
            alone = SEARCHES[name](Guided(model, guides[place : place + 1]), batch([source]), options, room_B[[place]])
            assert [each.ids for each in alone[0]] == [each.ids for each in found]


@few
@given(SEEDS, SENTENCES, OPTIONS, st.lists(PIECES, min_size=1, max_size=4), PIECES)
def test_a_led_model_is_searched_for_phrases(seed, sentences, options, prefix, avoided):
    model = TableModel(VOCABULARY, seed=seed)
    sources, phrases = zip(*sentences, strict=True)
    guides = [guide_of(prefix, [(avoided, avoided)])] * len(sources)
    found = constrained_beam_search(
        Guided(model, guides), *batch(sources), options, phrases, GOES_ON, SILENT, np.full(len(sources), len(prefix))
    )
    for each, hypotheses in zip(phrases, found, strict=True):
        for hypothesis in hypotheses:
            assert hypothesis.ids[: len(prefix)] == prefix
            assert all(times(hypothesis.ids, phrase) >= phrase.times for phrase in each)


@few
@given(SEEDS, st.sets(PIECES, min_size=1, max_size=6), st.sets(PIECES, min_size=1, max_size=6))
def test_an_opening_with_choices_takes_the_best_of_them(seed, first, second):
    """One symbol of the first set, or one of the second after a 4."""
    model, options = TableModel(VOCABULARY, seed=seed), SearchOptions(beam=1, max_length_offset=8)
    first_N, second_N = (np.array(sorted(symbols)) for symbols in (first, second))
    opening = Opening(((first_N, np.where(first_N == 4, 1, 2)), (second_N, np.full(len(second_N), 2))), (), 2)
    [[found]] = greedy_search(Guided(model, [Guide(opening)]), *batch([[7, 8]]), options)
    log_probs, _ = distributions(model, [7, 8], found.ids)
    assert found.ids[0] == max(first, key=lambda symbol: log_probs[0, symbol])
    if found.ids[0] == 4:
        assert found.ids[1] == max(second, key=lambda symbol: log_probs[1, symbol])


@pytest.mark.parametrize("avoided", [[], [(EOS,)]], ids=["", "end avoided"])
@pytest.mark.parametrize("least", [0, 2])
def test_the_end_is_a_choice_of_an_opening_to_every_search(least, avoided):
    choices = ((np.array([4]), np.array([1])), (np.array([EOS, 5]), np.array([2, 2])))
    guide = Guide(Opening(choices, (), 2), avoid(avoided) if avoided else None)
    options = SearchOptions(beam=1, min_length=least, max_length_offset=8)
    for name, search_by in SEARCHES.items():
        [[found, *_]] = search_by(Guided(TableModel(VOCABULARY, end_bias=8.0), [guide]), batch([[7, 8]]), options, 0)
        assert found.ids[:2] == ([4, 5] if least or avoided else [4]), name

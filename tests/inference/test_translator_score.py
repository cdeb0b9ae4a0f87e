"""Scores of given pairs, over a model that copies its input with the case of letters swapped."""

from __future__ import annotations

import pytest
from copy_model import ALPHABET, GREEDY, TOKENIZERS, CopyModel, copy_translator
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.errors import DataError
from s2s_cli.inference import dividing
from s2s_cli.inference.translation import Scored
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions

TEXT = st.text(alphabet=ALPHABET[1:], max_size=8)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=12)


@given(st.lists(TEXT.filter(bool), min_size=1, max_size=12))
@settings(max_examples=30)
def test_a_translation_is_scored_as_the_search_scored_it(lines: list[str]) -> None:
    translator = copy_translator()
    found = translator.translate(lines, SearchOptions(beam=1, normalization="none"))
    scored = translator.score(lines, [translation.text for translation in found])
    for translation, score in zip(found, scored, strict=True):
        assert score.log_prob == pytest.approx(translation.score, abs=1e-4)
        assert score.tokens == len(translation.tokens) + 1
        assert not score.truncated


@given(PAIRS, st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_batches_and_order_make_no_difference(pairs: list[tuple[str, str]], randomness) -> None:
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    expected = copy_translator().score(sources, targets, batch_tokens=1)
    order = randomness.sample(range(len(pairs)), len(pairs))
    shuffled = copy_translator().score([sources[i] for i in order], [targets[i] for i in order], batch_tokens=30)
    for place, i in enumerate(order):
        assert shuffled[place].tokens == expected[i].tokens
        assert shuffled[place].log_prob == pytest.approx(expected[i].log_prob, abs=1e-4)


def test_the_right_target_is_likelier_than_a_wrong_one() -> None:
    right, wrong, short, empty = copy_translator().score(["abc"] * 4, ["ABC", "ABD", "AB", ""])
    assert right.log_prob > max(wrong.log_prob, short.log_prob, empty.log_prob)
    assert [scored.tokens for scored in (right, wrong, short, empty)] == [4, 4, 3, 1]


def test_a_blank_source_never_reaches_the_model() -> None:
    model = CopyModel()
    scored = Translator(model, TOKENIZERS, options=GREEDY).score(["", "a", " \t"], ["x", "", "y"])
    assert [scored[0], scored[2]] == [Scored(), Scored()]
    assert scored[1].tokens == 1
    assert [len(batch) for batch in model.batches] == [1]


def test_long_sides_are_scored_whole() -> None:
    whole, parts = copy_translator(max_pieces=100), copy_translator(max_pieces=4)
    pairs = ["Abc. " * 5, "abcdefgh"], ["aBC. " * 5, "ABCDEFGH"]
    assert parts.score(*pairs) == whole.score(*pairs)
    assert [scored.tokens for scored in parts.score(*pairs)] == [25, 9]
    assert not any(scored.truncated for scored in parts.score(*pairs))


def test_endless_sides_are_cut_and_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dividing, "WHOLE_PIECES", 4)
    fits, long_source, long_target = copy_translator().score(["a" * 4, "a" * 5, "a"], ["A", "A", "A" * 5])
    assert not fits.truncated
    assert long_source.truncated and long_target.truncated
    assert long_source.log_prob == pytest.approx(fits.log_prob)
    assert long_target.tokens == 5


def test_faults() -> None:
    translator = copy_translator()
    with pytest.raises(DataError, match="2 and 1"):
        translator.score(["a", "b"], ["A"])
    with pytest.raises(DataError, match="line 1: lone surrogate"):
        translator.score(["a"], ["\ud800"])
    with pytest.raises(TypeError):
        translator.score("a", ["A"])

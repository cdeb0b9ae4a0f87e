"""Translation of lists, over a model that copies its input with the case of letters swapped."""

from __future__ import annotations

import random
import threading
import tracemalloc
from dataclasses import replace

import pytest
from copy_model import ALPHABET, GREEDY, TOKENIZERS, CopyModel, copy_translator
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli import Request
from s2s_cli.errors import DataError, ExitCode, UsageError
from s2s_cli.inference import dividing
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

WORDS = st.text(alphabet=ALPHABET[1:], min_size=1, max_size=6)
LINES = st.lists(st.lists(WORDS, max_size=5).map(" ".join), max_size=20)


@given(LINES, st.sampled_from([1, 8, 64, 4000]), st.sampled_from([1, 3]))
@settings(max_examples=40)
def test_one_translation_for_each_line_in_order(lines: list[str], batch_tokens: int, beam: int) -> None:
    translations = copy_translator().translate(lines, SearchOptions(beam=beam), batch_tokens=batch_tokens)
    assert [translation.source for translation in translations] == lines
    assert [translation.text for translation in translations] == [line.swapcase() for line in lines]


@given(LINES, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_batches_and_order_make_no_difference(lines: list[str], randomness: random.Random) -> None:
    """Any batch size, and shuffled input: the same translations, scores within 1e-4."""
    order = randomness.sample(range(len(lines)), len(lines))
    options = SearchOptions(beam=3)
    expected = copy_translator().translate(lines, options, batch_tokens=1)
    for batch_tokens in (8, 64):
        shuffled = copy_translator().translate([lines[i] for i in order], options, batch_tokens=batch_tokens)
        for place, i in enumerate(order):
            assert shuffled[place].text == expected[i].text
            assert shuffled[place].alignment == expected[i].alignment
            assert shuffled[place].score == pytest.approx(expected[i].score, abs=1e-4)


@pytest.mark.parametrize("blank", ["", " ", "\t \u3000", "\ufeff", "\0\x01", "\u2028"])
def test_blank_lines_never_reach_the_model(blank: str) -> None:
    model = CopyModel()
    translator = Translator(model, TOKENIZERS, options=GREEDY)
    translation = translator.translate([blank, "a", blank])[0]
    assert (translation.source, translation.text, translation.score) == (blank, "", None)
    assert translation.n_best == [] and translation.finished
    assert [len(batch) for batch in model.batches] == [1]


def test_words_are_aligned() -> None:
    (translation,) = copy_translator().translate(["one  two three"])
    assert translation.alignment == [(0, 0), (1, 1), (2, 2)]
    assert translation.source_tokens[:4] == ["o", "n", "e", "▁"]
    assert translation.tokens[:4] == ["O", "N", "E", "▁"]


def test_n_best_candidates_are_distinct_and_ranked() -> None:
    (translation,) = copy_translator().translate(["abc"], SearchOptions(beam=5, n_best=4))
    scores = [candidate.score for candidate in translation.n_best]
    assert len({candidate.text for candidate in translation.n_best}) == 4
    assert scores == sorted(scores, reverse=True)
    assert (translation.text, translation.score) == ("ABC", scores[0])


def test_a_long_word_is_divided_and_put_together_again() -> None:
    fits, longer = copy_translator(max_pieces=10).translate(["a" * 10, "a" * 95])
    assert (fits.text, fits.truncated) == ("A" * 10, False)
    assert (longer.text, longer.truncated) == ("A" * 95, False)
    assert longer.alignment == [(0, 0)]


def test_of_a_line_of_10_mb_the_beginning_is_translated_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # A mark above and marks below in turn: sorting them, as NFC asks for, takes quadratic time.
    text = ("a" + "\u0301\u0316" * 50) * 50_000
    lines = [text, " " * 10_000_000, "x" * 10_000_000]
    monkeypatch.setattr(dividing, "LINE_BYTES", 20_000)
    translator = copy_translator()
    translator.translate(["warm"])
    tracemalloc.start()
    marks, blank, letters = translator.translate(lines)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert marks.truncated and letters.truncated and not blank.truncated
    assert letters.text == "X" * 20_000
    assert peak < 40_000_000


def test_a_lone_surrogate_is_a_typed_error() -> None:
    with pytest.raises(DataError, match=r"line 2: lone surrogate U\+D800 at character 3") as raised:
        copy_translator().translate(["fine", "ab\ud800"])
    assert raised.value.exit_code == ExitCode.DATA


def test_one_string_is_no_list_of_lines() -> None:
    with pytest.raises(TypeError, match="list of lines"):
        copy_translator().translate("one line")


@pytest.mark.parametrize("line", [None, b"bytes", 5, Request(None)])  # type: ignore[arg-type]
def test_what_is_no_text_is_named(line: object) -> None:
    with pytest.raises(TypeError, match="line 2 is no text"):
        copy_translator().translate(["fine", line])  # type: ignore[list-item]


def test_lines_may_come_from_a_generator() -> None:
    found = copy_translator().translate(line for line in ["a", "b"])  # type: ignore[arg-type]
    assert [each.text for each in found] == ["A", "B"]


def test_without_end_of_sentence_it_stops_at_the_limit() -> None:
    options = replace(GREEDY, max_length_ratio=2.0, max_length_offset=5)
    (translation,) = copy_translator(ends=False).translate(["abc"], options)
    assert not translation.finished
    assert translation.text.startswith("ABC")
    assert 6 <= len(translation.tokens) <= 11


def test_line_breaks_of_the_tokenizer_become_spaces() -> None:
    class Breaking(CharacterTokenizer):
        """A tokenizer that breaks lines where there are spaces."""

        def __init__(self, terminator: str) -> None:
            super().__init__(ALPHABET)
            self.terminator = terminator

        def decode(self, ids: list[int]) -> str:  # type: ignore[override]
            return super().decode(ids).replace(" ", self.terminator)

    for terminator in "\n\r\0":
        tokenizers = TokenizerPair(TOKENIZERS.source, Breaking(terminator))
        (translation,) = Translator(CopyModel(), tokenizers, options=GREEDY).translate(["a b"])
        assert translation.text == "a b"


def test_line_breaks_in_a_line_are_spaces_to_the_model() -> None:
    (translation,) = copy_translator().translate(["a\nb\u2028c\x0bd"])
    assert translation.text == "A B C D"


def test_step_scores_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many short lines fit the token budget, one step never has more than so many log-probabilities."""
    model = CopyModel()
    monkeypatch.setattr("s2s_cli.inference.translator.STEP_SCORES", 7 * 4 * model.vocabulary)
    translator = Translator(model, TOKENIZERS)
    translator.translate(["ab"] * 100, SearchOptions(beam=4))
    assert max(len(batch) for batch in model.batches) == 7


def test_threads_share_a_translator() -> None:
    translator = copy_translator()
    results: dict[int, list[str]] = {}

    def work(number: int) -> None:
        lines = [f"thread {number} line {i}" for i in range(20)]
        results[number] = [translation.text for translation in translator.translate(lines, batch_tokens=50)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [f"THREAD {number} LINE {i}" for i in range(20)] for number in range(4)}


@pytest.mark.parametrize("number", [0, -1, 1025, 1 << 32])
def test_threads_and_workers_are_of_a_number_that_a_machine_can_have(number: int) -> None:
    for name in ("threads", "workers"):
        with pytest.raises(UsageError, match=f"--{name}: must be from 1 to 1024, not {number}"):
            Translator.load("no-model", **{name: number})

"""Lines of several parts, over a model that copies its input with the case of letters swapped."""

from __future__ import annotations

import io
import itertools
import json
import lzma
from dataclasses import replace
from pathlib import Path

import pytest
from copy_model import ALPHABET, GREEDY, TOKENIZERS, CopyModel, copy_translator
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.inference.attention_view.view import AttentionView
from s2s_cli.inference.dividing import Division, divide
from s2s_cli.inference.output import OutputOptions
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translation import Candidate
from s2s_cli.inference.translator import Translator
from s2s_cli.inference.writing import best_combinations
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

BIBLE = Path(__file__).parents[2] / "recipes" / "data" / "bible-es-en" / "web-rv1909.tsv.xz"
TEXT = st.text(alphabet=ALPHABET[1:] + " .。\u3000\u0301é中\0", max_size=80)
SPLITS = st.sampled_from(["always", "long", "never"])


def translator(split: str, *, max_pieces: int = 50, source: str = "", target: str = "") -> Translator:
    return Translator(CopyModel(), TOKENIZERS, options=GREEDY, division=Division(split, max_pieces, source, target))


@given(st.lists(TEXT, max_size=5), st.integers(1, 9), st.sampled_from(["always", "long"]))
@settings(deadline=None)
def test_the_parts_of_a_line_are_the_line_and_none_is_too_long(lines: list[str], max_pieces: int, split: str) -> None:
    for line, source in zip(lines, divide(lines, TOKENIZERS.source, Division(split, max_pieces)), strict=True):
        assert "".join(part.text for part in source.parts) == line.strip()
        assert all(len(part.ids) <= max_pieces or len(part.text) == 1 for part in source.parts)
        assert not source.truncated


@given(st.lists(TEXT, max_size=5), st.integers(1, 60), SPLITS)
@settings(deadline=None, max_examples=50)
def test_nothing_is_lost_and_words_are_those_of_the_line(lines: list[str], max_pieces: int, split: str) -> None:
    found = translator(split, max_pieces=max_pieces, source="en", target="en").translate(lines)
    whole = translator("never").translate(lines)
    for line, expected in zip(found, whole, strict=True):
        if "。" not in line.source:  # a full stop of another language, after which English has a space
            assert (line.text, line.alignment) == (expected.text, expected.alignment)
        assert line.finished and not line.truncated


def test_twenty_sentences_come_out_as_twenty() -> None:
    sentences = [f"Satz Nummer {i} ist hier." for i in range(20)]
    (found,) = copy_translator().translate([" ".join(sentences)])
    alone = copy_translator().translate(sentences)
    assert found.text == " ".join(each.text for each in alone)
    assert found.text.count(".") == 20
    assert found.alignment == [(word, word) for word in range(100)]
    assert found.tokens == [token for each in alone for token in each.tokens]
    assert found.source_tokens == [token for each in alone for token in each.source_tokens]
    assert found.score == pytest.approx(sum(each.score or 0 for each in alone), abs=1e-4)


def test_lines_are_divided_as_the_division_says() -> None:
    line = "Abc. Def."
    assert [len(translator(split).reader.read([line])[0].parts) for split in ("always", "long", "never")] == [2, 1, 1]
    assert [len(translator(split, max_pieces=6).reader.read([line])[0].parts) for split in ("long", "never")] == [2, 1]


@pytest.mark.parametrize(
    ("source", "target", "line", "text"),
    [
        ("en", "en", "Ab.  Cd?", "aB. cD?"),
        ("en", "zh", "Ab. Cd?", "aB.cD?"),
        ("en", "ja", "Ab. Cd?", "aB.cD?"),
        ("zh", "en", "A。B?", "a? b?"),  # an unknown mark is copied as "?"
        ("zh", "zh", "A。B?", "a?b?"),
        ("en", "en", "Ab. " + "C" * 60, "aB. " + "c" * 60),
    ],
)
def test_translations_are_joined_as_the_target_language_does(source: str, target: str, line: str, text: str) -> None:
    assert translator("always", source=source, target=target).translate([line])[0].text == text


def test_one_part_without_end_makes_the_line_unfinished() -> None:
    (found,) = copy_translator(ends=False).translate(["Ab. Cd."])
    assert not found.finished


@given(st.lists(st.lists(st.floats(-9, 0), min_size=1, max_size=4), min_size=1, max_size=4), st.integers(1, 9))
def test_the_best_combinations_are_those_of_a_full_search(scores: list[list[float]], count: int) -> None:
    lists = [[Candidate(str(score), score, []) for score in sorted(each, reverse=True)] for each in scores]
    sums = [sum(candidate.score for candidate in chosen) for chosen in best_combinations(lists, count)]
    every = sorted((sum(each) for each in itertools.product(*scores)), reverse=True)
    assert sums == pytest.approx(every[:count])


def test_an_n_best_list_combines_those_of_the_parts() -> None:
    options = SearchOptions(beam=5, n_best=4)
    (found,) = copy_translator().translate(["ab. Cd."], options)
    assert found.n_best[0].text == found.text == "AB. cD."
    assert len({candidate.text for candidate in found.n_best}) == 4
    scores = [candidate.score for candidate in found.n_best]
    assert scores == sorted(scores, reverse=True) and scores[0] == found.score


def test_each_part_has_its_own_heat_map(tmp_path: Path) -> None:
    with AttentionView(tmp_path / "page.html") as view:
        view.show(copy_translator().translate(["one.", "", "two. Three."], keep_attention=True))
    page = (tmp_path / "page.html").read_text()
    assert [name for name in ("1", "2", "3", "3.1", "3.2") if f"Line {name}<" in page] == ["1", "3.1", "3.2"]


def test_a_chapter_in_one_line_loses_no_verse() -> None:
    """The first chapter of the Bible, in two languages, is one line of all its words."""
    with lzma.open(BIBLE, "rt", encoding="utf-8") as file:
        rows = [next(file).split("\t") for _ in range(31)]
    verses = [english.strip() for _, english, _ in rows] + [spanish.strip() for _, _, spanish in rows]
    characters = sorted(set("".join(verses)) - {" "})
    tokenizer = CharacterTokenizer(["▁", *characters])
    model = CopyModel(vocabulary=tokenizer.size)
    chapter = Translator(
        model, TokenizerPair(tokenizer, tokenizer), options=GREEDY, division=Division("always", 60, "es", "en")
    )
    (found,) = chapter.translate([" ".join(verses)], replace(GREEDY, max_length_offset=10))
    assert found.text == " ".join(" ".join(verses).split())
    assert found.alignment == [(word, word) for word in range(len(found.text.split()))]
    assert found.finished and not found.truncated


def test_words_are_those_of_the_line_though_one_is_the_sign_of_a_space() -> None:
    (found,) = copy_translator().translate(["▁ a b▁c d"])
    assert found.alignment[-1] == (3, 3)


def test_json_and_alignments_are_of_the_whole_line() -> None:
    sink = io.BytesIO()
    translate_stream(copy_translator(), io.BytesIO(b"A bc. De.\n"), sink, GREEDY, OutputOptions(format="json"))
    record = json.loads(sink.getvalue())
    assert (record["source"], record["translation"]) == ("A bc. De.", "a BC. dE.")
    assert record["alignment"] == [[0, 0], [1, 1], [2, 2]]
    assert "".join(record["source_tokens"]) == "A▁bc.De."
    assert record["finished"] and not record["truncated"]

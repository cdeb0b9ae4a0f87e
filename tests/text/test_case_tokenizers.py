"""Tokenizers of text in case markup: the same text and words, other pieces, and files that say so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from s2s_cli.errors import DataError
from s2s_cli.recipe import schema
from s2s_cli.sealed import Manifest, ManifestWriter, SealedDirectory
from s2s_cli.text.casing import BREAK, CAPITALS, ESCAPE, MARKS, TITLE
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.segmentation import SEGMENTERS
from s2s_cli.text.sentencepieces import SentencePieceTokenizer, train_sentencepiece
from s2s_cli.text.tokenizer import (
    SYMBOLS,
    TERM_TAGS,
    UNK,
    Tokenizer,
    TokenizerPair,
    load_tokenizers,
    mark_name,
    save_tokenizers,
)
from s2s_cli.text.training import require_same_algorithms, train_tokenizers

LINES = [
    "Knowledge is power. The knowledge of NASA and the McDonald brothers.",
    "The power of the dog: I know the USA, the USA knows me.",
    "Знание сила, и сила США в знание. Знание и сила.",
    f"A literal {ESCAPE}{TITLE} mark{CAPITALS}{BREAK} of the dog",
] * 8
TAGS = [mark_name(1), mark_name(2)]


def _trained(model: str, *, case_markup: bool = True, tags: list[str] | None = None) -> SentencePieceTokenizer:
    found = train_sentencepiece(
        LINES, model=model, vocabulary=150, character_coverage=1.0, tags=tags or [], case_markup=case_markup
    )
    return SentencePieceTokenizer.from_bytes(found.to_bytes())


MODELS = {model: _trained(model, tags=[*TERM_TAGS, *TAGS]) for model in SEGMENTERS}
each_model = pytest.mark.parametrize("model", MODELS)
LETTERS = st.sampled_from([*"KkNnOoWw.: ", " ", "и", "И", "中", TITLE, CAPITALS, BREAK, ESCAPE])


@each_model
def test_a_word_has_the_same_pieces_in_any_case(model: str) -> None:
    tokenizer = MODELS[model]
    lower, title, upper = (
        "".join(tokenizer.pieces(ids)) for ids in tokenizer.encode(["knowledge", "Knowledge", "KNOWLEDGE"])
    )
    assert (lower, title, upper) == ("▁knowledge", f"▁knowledge{TITLE}", f"▁knowledge{CAPITALS}")
    assert {f"▁usa{CAPITALS}", f"▁знание{TITLE}"} & {*tokenizer.pieces(range(tokenizer.size))}  # one piece, any script
    pieces = [tokenizer.pieces(ids) for ids in tokenizer.encode(["Power", "power"])]
    assert len(pieces[0]) <= len(pieces[1]) + 1


@each_model
@settings(deadline=None, max_examples=50)
@given(text=st.text(LETTERS, max_size=20))
def test_all_text_of_known_characters_comes_back(model: str, text: str) -> None:
    tokenizer, line = MODELS[model], clean_line(text)
    [ids] = tokenizer.encode([line])
    assert tokenizer.decode(ids) == re.sub("中+", "⁇", line)
    words = tokenizer.word_indices(ids)
    assert sorted(set(words)) == list(range(len(line.split())))


@each_model
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_whatever_a_model_writes_has_no_marks_and_as_many_words_as_told(model: str, data: st.DataObject) -> None:
    tokenizer = MODELS[model]
    marks = [index for index in range(tokenizer.size) if set(tokenizer.pieces([index])[0]) & set(MARKS)]
    others = {index for index in range(tokenizer.size) if ESCAPE in tokenizer.pieces([index])[0]}
    others |= {*tokenizer.unwritten}
    symbols = st.integers(len(SYMBOLS), tokenizer.size - 1) | st.sampled_from(marks) | st.sampled_from(tokenizer.marks)
    ids = data.draw(st.lists(symbols.filter(lambda index: index not in others), max_size=12))
    text = tokenizer.decode(ids)
    assert not set(text) & {*MARKS, ESCAPE, "▁"}
    places, words = tokenizer.text_pieces(ids)
    assert sorted(set(words)) == list(range(max(len(text.split()), bool(places))))
    lengths = [len(tokenizer.decode(ids[:end])) for end in range(len(ids) + 1)]
    assert lengths == sorted(lengths)
    without = [index for index in ids if index not in tokenizer.tags.values()]
    if without == ids:  # the plain way and that of texts with tags
        tag = tokenizer.marks[0]
        assert tokenizer.decode([tag, *ids]) == tokenizer.decode([*ids, tag]) == text


@each_model
@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**64 - 1), line=st.sampled_from(LINES))
def test_sampled_segmentations_have_the_same_text(model: str, seed: int, line: str) -> None:
    tokenizer = MODELS[model]
    [ids] = tokenizer.encode([line])
    sampled = SEGMENTERS[tokenizer.algorithm](tokenizer, 0.3).segment(ids, seed)
    assert tokenizer.algorithm == model and tokenizer.decode(sampled) == line


@each_model
def test_texts_go_on_after_tags_as_if_these_were_not_there(model: str) -> None:
    tokenizer = MODELS[model]
    first, second = tokenizer.marks
    for parts in (
        ["The ", "Dog"],
        ["Know", "ledge"],
        ["I", "NASA"],
        ["Mc", "Donald"],
        ["mc", "Donald"],
        ["US", "A"],
        ["", "USA"],
    ):
        ids = tokenizer.encode_marked([parts[0], first, parts[1], second])
        assert tokenizer.decode(ids) == "".join(parts)
        assert tokenizer.decode(ids[: ids.index(first)]) == parts[0].strip()
    pieces = tokenizer.pieces(tokenizer.encode_marked(["the ", first, " USA"]))
    assert "".join(pieces) == f"▁the{TAGS[0]}▁usa{CAPITALS}"
    opening, giving, closing = tokenizer.term_tags or ()
    told = tokenizer.encode_marked(["the ", opening, "USA", giving, " NASA", closing, " knows"])
    assert tokenizer.decode(told) == "the USA NASA knows"
    assert tokenizer.text_pieces(told)[1][-1] == 2


def test_inside_a_line_no_word_begins_and_case_is_marked() -> None:
    tokenizer = MODELS["bpe"]
    assert "".join(tokenizer.pieces(tokenizer.encode_inside("USA"))) == f"usa{CAPITALS}"
    assert tokenizer.encode_inside(" USA") == tokenizer.encode_inside("▁USA") == tokenizer.encode(["USA"])[0]


@each_model
def test_pieces_are_spelled_as_their_text(model: str) -> None:
    tokenizer = MODELS[model]
    assert tokenizer.spelled(tokenizer.pieces(tokenizer.encode(["The USA"])[0])) == "▁The▁USA"
    assert tokenizer.pieces(tokenizer.case_marks) == [*MARKS]


def test_no_capital_need_be_in_the_text() -> None:
    tokenizer = train_sentencepiece(
        ["abc cba"] * 9, model="unigram", vocabulary=20, character_coverage=0.98, case_markup=True
    )
    assert UNK not in tokenizer.encode(["ABC Cba"])[0]


# ---------------------------------------------------------------------------------------------------------------- files


def test_bytes_say_that_there_is_markup_and_stay_those_of_a_model() -> None:
    plain, marked = _trained("bpe", case_markup=False), _trained("bpe")
    assert not plain.case_markup and marked.case_markup
    assert b"case markup" not in plain.to_bytes()
    processor = SentencePieceProcessor()
    processor.LoadFromSerializedProto(marked.to_bytes())
    assert processor.encode(f"usa{CAPITALS}") == marked.encode(["USA"])[0]


@pytest.mark.parametrize(("case_markup", "form"), [(False, 2), (True, 3)])
def test_an_older_version_refuses_what_it_does_not_know(tmp_path: Path, case_markup: bool, form: int) -> None:
    tokenizer = _trained("bpe", case_markup=case_markup)
    writer = ManifestWriter(tmp_path)
    save_tokenizers(TokenizerPair(tokenizer, tokenizer), writer)
    writer.seal(Manifest)
    assert json.loads((tmp_path / "tokenizers.json").read_text())["format"] == form
    again = load_tokenizers(SealedDirectory.open(tmp_path)).target
    assert again.to_bytes() == tokenizer.to_bytes() and again.case_markup == case_markup


def _of_recipe(lines: list[str], **values: object) -> Tokenizer:
    return train_tokenizers(schema.Tokenizer.read({"vocabulary": 90, **values}), lines, []).source


@each_model
def test_both_have_markup_or_none_where_one_extends_the_other(model: str) -> None:
    old, new = (_of_recipe(LINES[:2], model=model, case_markup=True), _of_recipe(LINES, model=model, case_markup=True))
    both = type(old).from_bytes(old.extended(new).to_bytes())
    assert both.case_markup and both.size > old.size
    for line, ids in zip(LINES, both.encode(LINES), strict=True):
        assert both.decode(ids) == line
    plain = _of_recipe(LINES, model=model)
    with pytest.raises(DataError, match="without case markup cannot be extended by one with it"):
        plain.extended(new)
    with pytest.raises(DataError, match="with case markup cannot be extended by one without it"):
        new.extended(plain)


@pytest.mark.parametrize("has", [False, True])
def test_a_recipe_that_extends_another_model_says_the_same(has: bool) -> None:
    tokenizer = _of_recipe(LINES, case_markup=has)
    require_same_algorithms(schema.Tokenizer.read({"case_markup": has}), TokenizerPair(tokenizer, tokenizer))
    with pytest.raises(DataError, match="source side has (no )?case markup") as raised:
        require_same_algorithms(schema.Tokenizer.read({"case_markup": not has}), TokenizerPair(tokenizer, tokenizer))
    assert raised.value.hint == f"give case_markup: {str(has).lower()}"


def test_sides_can_differ() -> None:
    config = schema.Tokenizer.read({"vocabulary": 90, "case_markup": True, "source": {"case_markup": False}})
    pair = train_tokenizers(config, LINES, LINES)
    assert (pair.source.case_markup, pair.target.case_markup) == (False, True)

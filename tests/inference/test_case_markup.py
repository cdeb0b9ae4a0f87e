"""Translators with tokenizers in case markup, on a model that copies: each stage gives text as it should be written."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

from copy_model import GREEDY, CopyModel
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli import Request
from s2s_cli.inference.dividing import Division
from s2s_cli.inference.output import OutputOptions
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.glossary import Glossary, Row
from s2s_cli.text.protected import Finder
from s2s_cli.text.sentencepieces import train_sentencepiece
from s2s_cli.text.tokenizer import TERM_TAGS, TokenizerPair, mark_name

WORDS = "Knowledge knowledge is power NASA McDonald iPhone USA USAs I the O'Neill Über Élan Ω знание Знание 42".split()
LINES = [" ".join([*WORDS[i:], *WORDS[:i]]) + ", (yes). ? ⃞" for i in range(len(WORDS))] * 4
MARKS = [mark_name(number) for number in (1, 2, 3)]
TOKENIZER = train_sentencepiece(
    LINES, model="unigram", vocabulary=120, character_coverage=1.0, tags=[*MARKS, *TERM_TAGS], case_markup=True
)
PAIR = TokenizerPair(TOKENIZER, TOKENIZER)
SPANS = ["<b>", "</b>", "{name}"]
TEXTS = st.lists(st.sampled_from([*WORDS, ",", ".", "(", ")", "⃞"]), min_size=1, max_size=12).map(" ".join)


def translator(max_pieces: int = 200, **others: object) -> Translator:
    division = Division("always", max_pieces, "en", "en")
    return Translator(CopyModel(TOKENIZER.size), PAIR, options=GREEDY, division=division, **others)  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(TEXTS, st.sampled_from([1, 4]), st.sampled_from([200, 9]))
def test_what_is_copied_reads_as_it_did_and_its_words_are_linked(text: str, beam: int, max_pieces: int) -> None:
    [found] = translator(max_pieces).translate([text], SearchOptions(beam=beam))
    assert found.text == text
    words = list(range(len(text.split())))
    assert found.alignment == list(zip(words, words, strict=True))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*WORDS, *SPANS, " ", "mc", "e"]), min_size=2, max_size=10).map("".join))
def test_spans_stand_where_they_stood_even_within_words(line: str) -> None:
    [found] = translator(finder=Finder()).translate([line])
    assert found.text == " ".join(line.split())


def test_terms_are_told_in_the_case_they_are_given_in() -> None:
    glossary = Glossary([Row("power", "NASA")])
    aided = replace(translator().reader, inline=glossary)
    [source] = aided.read(["the power is"])
    opening, giving, closing = TOKENIZER.term_tags or ()
    ids = source.parts[0].ids
    told = ids[ids.index(giving) + 1 : ids.index(closing)]
    assert ids.count(opening) == 1 and TOKENIZER.decode(told) == "NASA"


def test_what_is_written_in_json_has_words_as_in_the_text() -> None:
    sink = BytesIO()
    translate_stream(translator(), BytesIO(b"The USA is\n"), sink, GREEDY, OutputOptions(format="json"))
    assert '"translation": "The USA is"' in sink.getvalue().decode()


def test_an_exported_model_knows_its_markup(tools, tmp_path: Path) -> None:
    folder = tools.export(tmp_path / "model", ("en", "en"), PAIR, packed=True, seed=3)
    loaded = Translator.load(folder, device="cpu", threads=1)
    assert loaded.tokenizers.joint and loaded.tokenizers.target.case_markup
    requests = [Request("the power", constraints=("NASA",), avoid=("Knowledge", "i"), prefix="McDo")]
    [found] = loaded.translate(requests, SearchOptions(beam=4))
    assert found.text.startswith("McDo") and "NASA" in found.text
    assert not {"Knowledge", "i", "I"} & set(found.text.split())

"""Protected spans come out exactly once, well nested, whatever the model makes of their marks."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from copy_model import ALPHABET, GREEDY, TOKENIZERS, CopyModel
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli import Request
from s2s_cli.inference.dividing import Division
from s2s_cli.inference.inline import flatten
from s2s_cli.inference.memory import Lookup, TranslationMemory
from s2s_cli.inference.protection import masked, restored
from s2s_cli.inference.translation import Candidate, Translation
from s2s_cli.inference.translator import Translator
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.codes import Code
from s2s_cli.text.glossary import Glossary, Row
from s2s_cli.text.protected import Finder
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TERM_TAGS, TokenizerPair, mark_name
from scripts.protected_spans import is_nested

MARKS = [mark_name(number) for number in (1, 2, 3)]
MARKED = TokenizerPair(*(CharacterTokenizer([*MARKS, *text], MARKS) for text in (ALPHABET, ALPHABET.swapcase())))
FINDER = Finder((*Finder().kinds, "numbers"), (r"ABC-\d",))
SPANS = ["<b>", "</b>", "<i>", "</i>", "<x/>", "%s", "{name}", "http://e.org/a", "a@b.org", "12.5", "ABC-1"]
LINES = st.lists(st.sampled_from([*SPANS, *SPANS, "Uno", "due.", "tre", ",", "Quattro!"]), max_size=9).flatmap(
    lambda words: st.lists(st.sampled_from(["", " ", " "]), min_size=len(words), max_size=len(words)).map(
        lambda spaces: "".join(map(str.__add__, words, spaces)).strip()
    )
)


def translator(tokenizers: TokenizerPair = TOKENIZERS, split: str = "always", finder: Finder = FINDER) -> Translator:
    model = CopyModel(tokenizers.target.size)
    division = Division(split, 100, "en", "en")
    return Translator(model, tokenizers, options=GREEDY, division=division, finder=finder)


def spans(text: str) -> list[Code]:
    return [part for part in FINDER.parts(text) if isinstance(part, Code)]


def expected_pairs(line: str) -> bool:
    """Whether pairs of the line are nested, so that those of its translation must be."""
    return is_nested(spans(line))


def assert_kept(line: str, text: str) -> None:
    """Every span of the line is in the text as often as in the line; pairs are nested if they were."""
    for span in {code.text for code in spans(line)}:
        assert text.count(span) >= Counter(code.text for code in spans(line))[span], (line, text)
    if expected_pairs(line):
        tags = [code for code in spans(text) if code.text in SPANS[:4]]
        assert is_nested(tags), (line, text)
        assert Counter(code.text for code in tags) == Counter(c.text for c in spans(line) if c.text in SPANS[:4])


def swapped(line: str) -> str:
    """What the model makes of a line, its protected spans left as they are."""
    return "".join(part.swapcase() if isinstance(part, str) else part.text for part in FINDER.parts(line))


@pytest.mark.parametrize("tokenizers", [TOKENIZERS, MARKED], ids=["plain", "marked"])
@settings(max_examples=60)
@given(line=LINES)
def test_what_the_model_copies_is_where_it_was(tokenizers: TokenizerPair, line: str):
    found = translator(tokenizers).translate([line])[0]
    assert_kept(line, found.text)
    if tokenizers is MARKED and len(spans(line)) <= len(MARKS):
        assert "".join(found.text.split()) == "".join(swapped(line).split())


@settings(max_examples=60)
@given(line=LINES, marked=st.booleans())
def test_masked_and_restored_by_identity_any_line_is_what_it_was(line: str, marked: bool):
    flat = masked(line, FINDER, marked=marked)
    if flat is not None:
        whole = Translation(flat.text, [Candidate(flat.text, 0.0, [])], [])
        assert restored(whole, flat).text == line


@settings(max_examples=100)
@given(line=LINES, data=st.data())
def test_any_marks_of_a_hypothesis_give_each_span_once(line: str, data: st.DataObject):
    """Missing, repeated, permuted and foreign marks."""
    with translator(MARKED) as found:
        [source] = found.reader.read([line])
        symbols = st.sampled_from(MARKED.target.marks) | st.integers(4 + len(MARKS), MARKED.target.size - 1)
        lists = []
        for part in source.parts:
            ids = [data.draw(st.lists(symbols, max_size=9)) for _ in range(2 if part.ids else 0)]
            hypotheses = [Hypothesis(each, -float(n), -float(n), True, None) for n, each in enumerate(ids)]
            lists.append(found.writer.candidates(part, hypotheses))
        written = found.writer.line(source, lists, SearchOptions(n_best=2))
    for text in [written.text, *(candidate.text for candidate in written.n_best)]:
        assert_kept(line, text) if source.flat else None
    assert written.protected == [code.text for code in spans(line)]


def test_a_mark_goes_where_the_model_writes_it():
    with translator(MARKED) as found:
        [source] = found.reader.read(["Go <b>on</b> to {name}, now"])
        part = source.parts[0]
        assert MARKED.source.pieces([i for i in part.ids if i in MARKED.source.marks]) == MARKS
        first, second, third = MARKED.target.marks
        x, y, z = MARKED.target.encode(["X", " Y", " Z"])
        ids = [third, *x, first, *y, second, *z]
        [candidate] = found.writer.candidates(part, [Hypothesis(ids, -1.0, -1.0, True, None)])
        assert found.writer.line(source, [[candidate]], GREEDY).text == "{name} X <b>Y</b> Z"


def test_several_sentences_number_their_marks_anew():
    line = "Aber %s brav {x} cool ABC-1 dann. Ein <x/> fein 12.5 gut."
    found = translator(MARKED)
    [source] = found.reader.read([line])
    assert [len(part.spans) for part in source.parts] == [3, 2]
    assert found.translate([line])[0].text == swapped(line)


def test_more_spans_than_marks():
    line = "a %s b %d c {x} d {y} e {z} f"
    [source] = translator(MARKED).reader.read([line])
    assert len(source.parts[0].spans) == 3
    assert_kept(line, translator(MARKED).translate([line])[0].text)


@pytest.mark.parametrize("tokenizers", [TOKENIZERS, MARKED], ids=["plain", "marked"])
def test_a_line_does_not_depend_on_others(tokenizers: TokenizerPair):
    lines = ["Uno %s due.", "", "{x}", "<b>tre</b> uno. Due http://e.org/a tre", "uno"] * 3
    with translator(tokenizers) as found:
        together = found.translate(lines)
        assert together == [found.translate([line])[0] for line in lines]
        assert [each.source for each in together] == lines


def test_without_spans_all_is_as_without_protection():
    lines = ["Uno due. Tre", "a  b", " "]
    plain = translator()
    plain.reader = replace(plain.reader, finder=None)
    assert translator().translate(lines) == plain.translate(lines)


def test_alignments_count_the_words_of_the_line():
    found = translator(MARKED).translate(["ab {name} cd, <b>ef</b>."])[0]
    assert found.text == "AB {name} CD, <b>EF</b>."
    assert found.alignment == [(0, 0), (1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("beam", [1, 4])
def test_a_phrase_is_avoided_even_where_a_span_stands_in_it(beam: int):
    """Longer words are allowed: so the model goes on with the last one."""
    requests = [Request(line, avoid=("cd ef",)) for line in ("ab <b>cd</b> ef", "<b>ab c</b>d ef")]
    for each in (translator(MARKED), translator()):
        for found in each.translate(requests, SearchOptions(beam=beam)):
            assert re.fullmatch(r"AB CD EF\w", re.sub("<[^>]*>", "", found.text)), found.text


def test_a_line_of_spans_alone_is_copied():
    found = translator().translate(["%s: {x}"], SearchOptions(beam=1))[0]
    assert (found.text, found.score) == ("%s: {x}", 0.0)
    assert json.loads(found.to_json(0))["protected"] == ["%s", "{x}"]


@pytest.mark.parametrize("line", ['<a  href="x">12,  3</a>', "Go {{ a  b }},  {{ c  d }} on"])
def test_the_spaces_in_a_span_stay(line: str):
    """Those of the text do not: they count as one."""
    assert translator().translate([line])[0].text == swapped(line).replace(",  ", ", ")


TERMED = TokenizerPair(CharacterTokenizer([*MARKS, *TERM_TAGS, *ALPHABET], [*MARKS, *TERM_TAGS]), MARKED.target)


def test_terms_are_written_into_what_the_model_reads():
    glossary = Glossary([Row("Haus", "house"), Row("des", "of")])
    found = Translator(CopyModel(), TERMED, options=GREEDY, finder=Finder(), division=Division(source="de"))
    source, plain = replace(found.reader, inline=glossary).read(["Das <b>Haus</b> ist da. Im Haus ist %s.", "Hausboot"])
    read = ["".join(TERMED.source.pieces(part.ids)) for part in source.parts]
    assert read == [
        "Das⟦1⟧⟦term⟧▁Haus⟦is⟧▁house⟦/term⟧⟦2⟧▁ist▁da.",
        "Im⟦term⟧▁Haus⟦is⟧▁house⟦/term⟧▁ist⟦1⟧.",
    ]
    assert plain.parts[0].ids == TERMED.source.encode(["Hausboot"])[0]
    part = source.parts[0]
    ids = MARKED.target.encode(["the house"])[0]
    attention_TS = np.zeros((len(ids), len(part.ids) + 1), np.float32)
    attention_TS[:3, 0] = 1.0  # "the" looks at "Das", and "house" at what was said of the term
    attention_TS[3:, part.ids.index((TERMED.source.term_tags or (0, 0))[1]) + 2] = 1.0
    [candidate] = found.writer.candidates(part, [Hypothesis(ids, -1.0, -1.0, True, attention_TS)])
    assert candidate.alignment == [(0, 0), (1, 1)]
    assert candidate.evidence.source_pieces == len("Das⟦⟧▁Haus▁ist▁da.") + 1  # what is said of it has no translation


def test_documents_have_their_codes_as_marks_too(tmp_path: Path):
    from s2s_cli.documents.document import Languages
    from s2s_cli.documents.formats import read_document
    from s2s_cli.documents.translation import translate_document

    path = tmp_path / "a.po"
    path.write_bytes(b"""msgid "Ab %s cd, <b>ef</b> {name} gh"\nmsgstr ""\n\nmsgid "Ab cd %s"\nmsgstr ""\n""")
    with translator(MARKED, finder=Finder()) as found, path.open("rb") as file:
        assert isinstance(found.model, CopyModel)
        written = translate_document(found, read_document("po", file, Languages("en", "de")), GREEDY)
        read = np.concatenate([batch.ravel() for batch in found.model.batches])
    assert b'msgstr "aB %s CD, <b>EF</b> {name} GH"' in written
    assert b'msgstr "aB CD %s"' in written
    assert [(read == mark).sum() for mark in MARKED.source.marks] == [2, 1, 1]  # the fourth code has no mark


def test_deep_nesting_and_long_lines_are_restored():
    line = "<b>" * 200 + "Uno" + "</b>" * 200 + " due"
    assert translator(MARKED).translate([line])[0].text.count("b>") == 400
    assert translator(split="never").translate(["%s uno " * 500])[0].text.count("%s") == 500


def test_a_span_never_ends_the_line():
    texts = [each.text for each in translator().translate(["Uno <b\rx> due", "Uno <b \0x>", "<b\rx>"])]
    assert [text.translate({13: "!", 10: "!", 0: "!"}) for text in texts] == ["uNO <b x> DUE", "uNO <b  x>", "<b x>"]


def test_a_line_that_is_not_text_is_refused_as_ever():
    from s2s_cli.errors import DataError

    with pytest.raises(DataError, match="surrogate"):
        translator().translate(["%s \ud800"])


def test_json_has_a_confidence_for_each_word_of_the_line():
    for tokenizers in (TOKENIZERS, MARKED):
        for found in translator(tokenizers).translate(["ab {name} cd, <b>ef</b>. Gh %s", "{name} %s", "ab cd"]):
            record = json.loads(found.to_json(0))
            assert len(record["word_confidence"]) == len(found.text.split())
            assert record["omissions"] == []


def test_a_memory_leaves_the_marks_of_other_texts_alone():
    flats = [flatten(FINDER.parts(line), marked=True) for line in ("uno %s due", "tre <b>due</b> {name} uno")]
    plain, remembering = translator(MARKED, finder=Finder()), translator(MARKED, finder=Finder())
    memory = Lookup(TranslationMemory([("uno due", "zero %s")]))
    remembering.reader = replace(remembering.reader, memory=memory)
    assert plain.reader.carries and remembering.reader.carries
    taken, made = remembering.translate_flats(flats)
    assert (taken.text, taken.origin, made.origin) == ("zero %s", "memory", "model")
    assert made.n_best == plain.translate_flats(flats)[1].n_best and made.n_best[0].marks

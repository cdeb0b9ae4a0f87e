"""Terms of a glossary that are demanded of the translations of the sentences they stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from itertools import product
from pathlib import Path

import pytest
from copy_model import ALPHABET, CopyModel
from gibberish import BEAM, TOKENIZERS, gibberish, text_of, times
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli import Request
from s2s_cli.errors import DataError, UsageError
from s2s_cli.inference.dividing import Division
from s2s_cli.inference.inline import flatten
from s2s_cli.inference.memory import Lookup, TranslationMemory
from s2s_cli.inference.protection import masked, restored
from s2s_cli.inference.reading import Source
from s2s_cli.inference.searching import Job, Searcher
from s2s_cli.inference.translation import Candidate, Translation
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.codes import Code, Kind, Part
from s2s_cli.text.glossary import Glossary, Row
from s2s_cli.text.protected import Finder
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair, mark_name

ROWS = [Row("car", "red caravan"), Row("man", "us"), Row("Anna", "reddish", ["any-case"]), Row("is", "drives an")]
GLOSSARY = Glossary(ROWS)
MARKS = [mark_name(number) for number in (1, 2)]
SYMBOLS = [*ALPHABET, *"<>/%"]


def forced(kind: str = "subwords", workers: int = 1, language: str = "") -> Translator:
    made = Translator(
        gibberish(kind).model,
        gibberish(kind).tokenizers,
        options=BEAM,
        division=Division(target=language, max_pieces=30),
        workers=workers,
    )
    made.reader = replace(made.reader, forced=GLOSSARY)
    return made


def demanded(source: Source) -> list[tuple[str, ...]]:
    """The constraints of each part."""
    return [part.demand.constraints if part.demand else () for part in source.parts]


def assert_written(text: str, translation: str) -> None:
    for target in {each.term.targets[0] for each in GLOSSARY.find(text)}:
        wanted = sum(each.term.targets[0] == target for each in GLOSSARY.find(text))
        assert times(target, translation) >= wanted, (text, translation)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_term_is_written_as_often_as_it_stands_there_whatever_the_batch(kind: str):
    lines, translator = [*text_of(5, 20), "", "car car man"], forced(kind)
    together = translator.translate(lines)
    for line, translation in zip(lines, together, strict=True):
        assert_written(line, translation.text)
        assert translator.translate([line])[0].text == translation.text


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_search_writes_what_the_first_one_leaves_out(workers: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("s2s_cli.inference.translator.LEAST_SHARE", 16)
    plain, lines = gibberish("subwords"), [*text_of(5, 40), "car car men", "us is"]
    as_ever = [each.text for each in plain.translate(lines, BEAM)]
    of_cars = [text.split() for line, text in zip(lines, as_ever, strict=True) if "car" in line.split()]
    [(common, _)] = Counter(word for words in of_cars for word in {*words} if word.isalpha()).most_common(1)
    glossary = Glossary([Row("car", common), Row("men", "red caravan")])
    translator = forced(workers=workers)
    translator.reader = replace(translator.reader, forced=glossary)
    wanted = [each.text for each in translator.translate(lines)]
    translator.reader = replace(translator.reader, inline=glossary)  # which this model does not read
    found = [each.text for each in translator.translate(lines)]
    kinds = set[bool]()
    for line, text, before, other in zip(lines, found, as_ever, wanted, strict=True):
        terms = Counter(each.term.targets[0] for each in glossary.find(line))
        lacks = any(times(target, before) < count for target, count in terms.items())
        assert text == (other if lacks else before)
        kinds |= {lacks} if terms else set()
    assert kinds == {True, False}
    greedy = replace(BEAM, beam=1)
    assert translator.translate(lines, greedy) == plain.translate(lines, greedy)
    translator.close()


def test_second_searches_come_last_and_share_batches(monkeypatch: pytest.MonkeyPatch):
    jobs, search = list[Job](), Searcher.search
    monkeypatch.setattr(Searcher, "search", lambda self, job: [jobs.append(job), search(self, job)][1])
    translator = forced()
    translator.reader = replace(translator.reader, inline=GLOSSARY)
    translator.translate(text_of(5, 40), batch_tokens=60)
    is_second = [any(part.demand for part in job.parts) for job in jobs]
    assert is_second == sorted(is_second)
    parts = [len(job.parts) for job, second in zip(jobs, is_second, strict=True) if second]
    assert max(parts) > 1 and len(parts) < is_second.count(False)


def test_lines_without_terms_are_translated_as_ever():
    lines = ["the red men", "caravan - us", ""]
    assert forced().translate(lines) == gibberish("subwords").translate(lines)
    assert forced().translate(lines, SearchOptions(beam=1)) == gibberish("subwords").translate(
        lines, SearchOptions(beam=1)
    )


def test_a_term_belongs_to_its_sentence():
    line = "the car drives. Anna is red. Anna an Anna."
    translator = forced()
    [source] = translator.reader.read([line])
    assert demanded(source) == [("red caravan",), ("reddish", "drives an"), ("reddish",) * 2]
    alone = [translator.translate([part.text.strip()])[0].text for part in source.parts]
    assert translator.translate([line])[0].text == " ".join(alone)


def test_workers_do_the_same():
    lines, alone, shared = text_of(7, 60), forced(), forced(workers=2)
    with shared:
        found = shared.translate(lines, batch_tokens=100)
    assert [each.text for each in found] == [each.text for each in alone.translate(lines)]


def test_what_a_request_says_counts_for_more():
    translator = forced()
    requests = [
        Request("the car", ("red caravan",)),  # is not demanded twice
        Request("the car", ("a red caravan", "us")),
        Request("the car. the man.", avoid=("caravan",)),
        Request("the car", prefix="the red"),
    ]
    found = [phrases for source in translator.reader.read(requests) for phrases in demanded(source)]
    assert found == [("red caravan",), ("a red caravan", "us", "red caravan"), ("us",), ("red caravan",)]
    once, both, without, begun = (each.text for each in translator.translate(requests))
    assert times("red caravan", once) >= 1
    assert times("a red caravan", both) >= 1 and times("us", both) >= 1
    assert not times("caravan", without.lower()) and times("us", without)
    assert begun.startswith("the red") and times("red caravan", begun)


def test_a_memory_is_asked_first():
    lookup = Lookup(TranslationMemory([("the car", "us")]))
    translator = forced()
    translator.reader = replace(translator.reader, memory=lookup)
    taken, made = translator.translate(["the car", "a car"])
    assert taken.text == "us"
    assert times("red caravan", made.text)


def test_what_the_model_cannot_write_is_told_with_its_line(tmp_path: Path):
    path = tmp_path / "terms.tsv"
    path.write_text("car\tred\nstreet\tStraße\n")
    with pytest.raises(DataError) as error:
        forced().reader.check_terms(Glossary.read(path))
    assert str(error.value).startswith(f"{path}:2: the model cannot write 'ß' of the translation of the term 'street'")
    path.write_text("car\tred\ncar\tStraße\n")  # the second one need not be written
    forced().reader.check_terms(Glossary.read(path))


@pytest.mark.parametrize("options", [SearchOptions(beam=1), replace(BEAM, groups=2)], ids=["greedy", "diverse"])
def test_searches_that_cannot_see_to_it_are_refused(options: SearchOptions):
    with pytest.raises(UsageError):
        forced().translate(["the car"], options)


# ----------------------------------------------------------------------------------------------------- spans and terms


def copying(*, marked: bool) -> Translator:
    """Swaps the case of what it reads, and forces the spelling of two words."""
    tags = MARKS if marked else []
    pair = TokenizerPair(
        CharacterTokenizer([*tags, *SYMBOLS], tags),
        CharacterTokenizer([*tags, *(symbol.swapcase() for symbol in SYMBOLS)], tags),
    )
    made = Translator(
        CopyModel(pair.target.size),
        pair,
        options=SearchOptions(beam=4),
        division=Division(source="en", target="en"),
        finder=Finder(),
    )
    glossary = Glossary([Row("ab cd", "AB CD EF"), Row("gh", "GH")])
    made.reader = replace(made.reader, forced=glossary)
    return made


@pytest.mark.parametrize("marked", [False, True])
def test_spans_stay_and_tear_no_term_apart(marked: bool):
    lines = ["xy %s ab cd.", "<b>ab</b> cd xy", "ab <i>cd</i>, <b>gh</b> {n}", "<b>ab %s cd</b>. Gh {x} gh"]
    with copying(marked=marked) as translator:
        for line, found in zip(lines, translator.translate(lines), strict=True):
            assert times("AB CD EF", found.text) == 1, found.text
            for span in ("%s", "<b>", "</b>", "<i>", "</i>", "{n}", "{x}"):
                assert found.text.count(span) == line.count(span), found.text
        [source] = translator.reader.read(["Gh %s xy. Gh gh."])
        assert demanded(source) == [(), ("GH",)]


def test_so_it_is_in_documents():
    from s2s_cli.documents.document import Languages
    from s2s_cli.documents.formats import read_document
    from s2s_cli.documents.translation import translate_document

    content = b"""msgid "xy <b>ab</b> cd %s"\nmsgstr ""\n\nmsgid "xy"\nmsgstr ""\n"""
    for marked in (False, True):
        with copying(marked=marked) as translator:
            assert translator.reader.carries == marked
            document = read_document("po", BytesIO(content), Languages("en", "de"))
            text = translate_document(translator, document, translator.options).decode()
        assert times("AB CD EF", text) == 1, text
        assert [text.count(span) for span in ("<b>", "</b>", "%s")] == [2, 2, 2]  # in the source and in the translation


def parts_of(layout: list[str], order: list[str]) -> Iterator[Part]:
    """Words, with codes between them."""
    for word, code in zip(layout, order, strict=True):
        yield f"{word} "
        if code:
            kind = Kind.OPEN if code in "bi" else Kind.CLOSE if code in "BI" else Kind.ALONE
            yield Code(f"<{code}>", kind, code.lower())


@settings(max_examples=80)
@given(
    st.lists(st.sampled_from(["", "", "b", "B", "i", "I", "x"]), min_size=5, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 14)), max_size=4),
)
def test_no_code_is_put_into_a_phrase(codes: list[str], alignment: list[tuple[int, int]], marks: list[tuple[int, int]]):
    """Wherever alignment and marks say, in text of one phrase or of two that overlap."""
    flat = flatten(tuple(parts_of("one two three four five".split(), codes)), marked=True)
    marks = sorted({(place, at) for place, at in marks if place < len(flat.places)}, key=lambda mark: mark[1])
    for text, phrases in product(["A b c D e"], [["b c"], ["b c", "c D"], ["A b c D e"], ["e"]]):
        found, plain = (flat.restored(text, alignment, marks, each) or () for each in (phrases, ()))
        written = "".join(part if isinstance(part, str) else part.text for part in found)
        assert all(phrase in written for phrase in phrases), written
        assert [part for part in found if isinstance(part, Code)] == [p for p in plain if isinstance(p, Code)]
        assert "".join(part for part in found if isinstance(part, str)).replace(" ", "") == text.replace(" ", "")


def test_so_it_is_where_the_translation_reads_as_the_source():
    flat = flatten(tuple(parts_of(["a", "b", "c"], ["", "x", ""])))
    assert flat.restored("a b c", []) == flat.parts
    parts = flat.restored("a b c", [], (), ["b c"])
    assert parts is not None and "a b c" in parts
    flat = masked("a b %s c", Finder(), marked=False)
    assert flat is not None and flat.text == "a b c"
    for phrases, text in (((), "a b %s c"), (("b c",), "a b c %s")):
        same = Candidate("a b c", 0.0, [], phrases=phrases)
        assert restored(Translation("a b c", [same], []), flat).text == text

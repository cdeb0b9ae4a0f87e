"""Demands on lines with protected spans: both come out, over a translator that writes gibberish."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
from gibberish import BEAM, TOKENIZERS, WORDS, gibberish, times
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from s2s_cli import Request
from s2s_cli.errors import DataError
from s2s_cli.inference.demands import Demand
from s2s_cli.inference.dividing import Division
from s2s_cli.inference.inline import flatten, written
from s2s_cli.inference.nesting import Place, without_codes
from s2s_cli.inference.translator import Translator
from s2s_cli.inference.unbroken import unbroken
from s2s_cli.text.codes import Code, Kind
from s2s_cli.text.protected import Finder
from scripts.protected_spans import is_nested

KINDS = st.sampled_from(sorted(TOKENIZERS))
PLAIN = [word for word in WORDS if word.isalpha()]
PHRASES = st.lists(st.sampled_from(PLAIN), min_size=1, max_size=3).map(" ".join)
SPANS = ["<b>", "</b>", "<i>", "</i>", "<x/>", "%s", "{name}", "http://e.org/a"]
SPANNED = st.lists(st.sampled_from([*SPANS, *WORDS]), min_size=1, max_size=9).flatmap(
    lambda words: st.lists(st.sampled_from(["", " ", " "]), min_size=len(words), max_size=len(words)).map(
        lambda spaces: "".join(map(str.__add__, words, spaces)).strip()
    )
)


def spans_of(text: str) -> list[Code]:
    return [part for part in Finder().parts(text) if isinstance(part, Code)]


def assert_spans(line: str, text: str) -> None:
    for span, count in Counter(code.text for code in spans_of(line)).items():
        assert text.count(span) >= count, (line, text)
    tags = Counter(code.text for code in spans_of(text) if code.text in SPANS[:5])
    assert tags == Counter(code.text for code in spans_of(line) if code.text in SPANS[:5]), (line, text)


@cache
def protecting(kind: str, language: str = "en") -> Translator:
    plain = gibberish(kind)
    division = Division("long", source="en", target=language, max_pieces=30)
    model, pair = plain.model, plain.tokenizers
    return Translator(model, pair, options=BEAM, division=division, finder=Finder())


@settings(max_examples=40)
@given(KINDS, SPANNED, st.lists(PHRASES, max_size=3), PHRASES.map(lambda text: text + " ") | PHRASES | st.just(""))
def test_demands_and_protected_spans_are_both_kept(kind: str, line: str, phrases: list[str], prefix: str) -> None:
    translator = protecting(kind)
    [source] = translator.reader.read([line])
    assume(bool(source.parts and source.parts[0].ids) and source.flat is not None)
    [found] = translator.translate([Request(line, phrases, prefix=prefix)], replace(BEAM, n_best=2))
    for candidate in found.n_best:
        assert candidate.text.startswith(prefix), (prefix, candidate.text)
        for phrase, count in Counter(phrases).items():
            assert times(phrase, candidate.text) >= count, (phrase, candidate.text)
        assert_spans(line, candidate.text)
        assert is_nested(spans_of(candidate.text)) or not is_nested(spans_of(line))


@settings(max_examples=40)
@given(KINDS, SPANNED, st.data())
def test_a_prefix_may_have_spans_of_the_line(kind: str, line: str, data: st.DataObject) -> None:
    translator = protecting(kind)
    [source] = translator.reader.read([line])
    assume(bool(source.parts and source.parts[0].ids) and source.flat is not None)
    singles = [code.text for code in spans_of(line) if code.kind is Kind.ALONE]
    assume(bool(singles))
    words = data.draw(st.lists(st.sampled_from(PLAIN), max_size=3))
    words.insert(data.draw(st.integers(0, len(words))), data.draw(st.sampled_from(singles)))
    prefix = " ".join(words)
    [found] = translator.translate([Request(line, prefix=prefix)])
    assert found.text.startswith(prefix), (prefix, found.text)
    assert_spans(line, found.text)
    assert "  " not in found.text, (line, prefix, found.text)


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (Request("the {name} car", ("red {name}",)), "the constraint 'red {name}' has {name}, which is protected"),
        (Request("{name} <b>", ("car",)), "protected text alone has no translation that constraints"),
        (Request("{name}", prefix="the"), "protected text alone has no translation that constraints"),
    ],
)
def test_demands_that_protected_text_cannot_meet_are_told(request_: Request, what: str) -> None:
    for work in (protecting("words").translate, lambda lines: protecting("words").reader.check(lines[1], BEAM)):
        with pytest.raises(DataError) as raised:
            work(["a", request_])
        assert what in str(raised.value)


@pytest.mark.parametrize(
    ("line", "prefix", "phrase", "expected"),
    [
        ("{x} ein rotes Auto", "the red", "red car", "the red car {x} is"),
        ("ein <br/> rotes Auto", "the <br/>", "the red", "the <br/> red car is"),
        ("ein {a} rotes {x} Auto", "the {a}", "the red car", "the {a} red car {x} is"),
        ("ein{x}rotes Auto", "{x} the", "", "{x} the red car is"),
        ("ein<br/>rotes {a}Auto", "the<br/>", "", "the<br/> red car {a} is"),
        ("<b>ein</b> rotes Auto", "<b>the</b>", "", "<b>the</b> red car is"),
        ("ein <b>rotes Auto</b>", "the <b>", "", "the <b>red car is</b>"),
    ],
)
def test_a_phrase_that_the_prefix_begins_goes_on_behind_it(line: str, prefix: str, phrase: str, expected: str) -> None:
    """Spans before its end go behind it, but for those of the prefix, which divide it."""
    flat, text = flatten(Finder().parts(line)), "the red car is"
    demanded = unbroken(Demand(prefix=prefix), flat, Finder())
    phrases = [phrase] if phrase else []
    assert "".join(written(piece.part) for piece in demanded.pieces(text, [], (), phrases)) == expected


@pytest.mark.parametrize(
    ("line", "prefix", "begins", "left"),
    [("go &amp; a@b.org", "a@b.org", "a@b.org", "&amp;"), ("go %s, {a}, {b}", "{a}", "{a}", "%s, {b}")],
)
def test_of_an_enumeration_only_what_the_prefix_has_goes(line: str, prefix: str, begins: str, left: str):
    flat = flatten(Finder().parts(line))
    demanded = unbroken(Demand(prefix=prefix), flat, Finder())
    text = "".join(written(piece.part) for piece in demanded.pieces(flat.text, [], (), ()))
    assert text.startswith(begins) and left in text and text.count(prefix) == 1


@given(
    st.lists(st.sampled_from(["ab", "c d", ""]), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 8), st.sampled_from(list(Kind))), max_size=6),
    st.sets(st.integers(0, 24), max_size=6),
)
def test_codes_leave_each_range_as_if_it_were_the_only_one(
    texts: list[str], codes: list[tuple[int, Kind]], edges: set[int]
):
    """As many ranges are done at once: one after the other, from the left."""
    laid: list[str | int] = [*texts]
    for number, (at, _) in enumerate(codes):
        laid.insert(min(at, len(laid)), number)
    numbers = iter(range(len(codes)))
    laid = [item if isinstance(item, str) else next(numbers) for item in laid]
    places = [Place(Code("x", kind), 0, False, False, False) for _, kind in codes]
    sorted_edges = sorted(edge for edge in edges if edge <= len("".join(texts)))
    ranges = list(zip(sorted_edges[::2], sorted_edges[1::2], strict=False))
    expected = laid
    for each in ranges:
        expected = without_codes([each], expected, places)
    assert _merged(without_codes(ranges, laid, places)) == _merged(expected)


def _merged(laid: Sequence[str | int]) -> list[str | int]:
    """With each text in one piece."""
    merged: list[str | int] = [""]
    for item in laid:
        last = merged[-1]
        if isinstance(item, str) and isinstance(last, str):
            merged[-1] = last + item
        else:
            merged.append(item)
    return [item for item in merged if item != ""]

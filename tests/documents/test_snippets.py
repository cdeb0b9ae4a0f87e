"""Pieces of markup, as programs send them: tags come back, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import pytest
from fake_translators import FakeTranslator, backwards, shouted

from s2s_cli.documents.snippets import snippet
from s2s_cli.errors import DataError


def translated(text: str, form: str, write=shouted, ignored=(), splitting=(), keeps_lines=False) -> str:
    translator, names = FakeTranslator(write), {"ignored": frozenset(ignored), "splitting": frozenset(splitting)}
    reader: Any = translator.reader
    found = snippet(text, form, ("en", "de"), reader=reader, **names, keeps_lines=keeps_lines)
    return found.written(dict(zip(found.flats, translator.translate(list(found.flats)), strict=True)))


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("html", "one <b>two</b> &amp; three", "ONE <b>TWO</b> &amp; THREE"),
        ("html", "<p>one</p><p>two<br>three</p>", "<p>ONE</p><p>TWO<br>THREE</p>"),
        ("html", "<meta charset=latin1>Über <i>all</i>", "<meta charset=latin1>ÜBER <i>ALL</i>"),
        ("xml", "one <a>two</a> three &lt; four", "ONE <a>TWO</a> THREE &lt; FOUR"),
        ("xml", "  one<br/>two\n", "  ONE<br/>TWO\n"),
        ("xml", "", ""),
        ("xml", "<!-- one --> two <![CDATA[three]]>", "<!-- one --> TWO THREE"),
    ],
)
def test_text_is_translated_and_markup_is_not(form: str, text: str, expected: str):
    assert translated(text, form).upper() == expected.upper()
    assert ("<b>" in text) == ("<b>" in translated(text, form))


def test_ignored_elements_stay_as_they_are_and_move_with_their_words():
    # As Weblate sends placeholders.
    text = 'open <x id="12">%s</x> now'
    assert translated(text, "xml", ignored=["x"]) == 'OPEN <x id="12">%s</x> NOW'
    assert '<x id="12"></x>' in translated('open <x id="12"></x> now', "xml", backwards, ignored=["x"])


def test_ends_of_lines_stay_where_they_are_asked_for():
    text = "one two.\n\n  three <x/> four\n<b>five\nsix</b>"
    assert translated(text, "xml", backwards, keeps_lines=True) == ("two. one\n\n  four three <x/>\n<b>five\nsix</b>")
    assert "\n" not in translated(text, "xml", backwards).strip()


def test_space_without_a_newline_is_read_once():
    """If the rest of it was read again at each of its characters, this would take as long as all other tests
    together."""
    space = 500_000 * " "
    assert translated(f"one{space}two \n three", "xml", keeps_lines=True) == "ONE TWO \n THREE"


def test_nothing_moves_across_an_element_that_splits():
    assert translated("<s>one two</s><s>three four</s>", "xml", backwards, splitting=["s"]) == (
        "<s>two one</s><s>four three</s>"
    )
    assert translated("<i>one two</i> three", "xml", backwards) == "three <i>two one</i>"


@pytest.mark.parametrize("text", ["<a>one", "one</s2s>", "a & b", "&nbsp;", "<a b=c>x</a>", "\ud800", "<a>" * 300])
def test_xml_that_is_not_sound_is_refused(text: str):
    with pytest.raises(DataError):
        translated(text, "xml")


def test_anything_is_html_but_a_lone_surrogate():
    assert translated("one </i> < two", "html") == "ONE</i> &lt; TWO"
    with pytest.raises(DataError):
        translated("\ud800", "html")

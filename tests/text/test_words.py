"""Words of a text are always the same, however it is encoded."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.text.words import words_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Un café noir.", ["Un", "café", "noir", "."]),
        ("C++ 很好!", ["C", "+", "+", "很", "好", "!"]),
        ("हिन्दी है।", ["हिन्दी", "है", "।"]),
        ("Do\u00adnau\u2060, \u00ad", ["Donau", ","]),
        (" \t", []),
    ],
)
def test_words_are_letters_and_signs(text: str, expected: list[str]):
    assert [word.text for word in words_of(text)] == expected


@given(st.text("aé\u0301\u00ad\u2060É가\u1100\u1161 .好ﬁß", max_size=12), st.booleans())
def test_words_are_composed_and_have_no_hints_for_breaking(text: str, ignore_case: bool):
    words = words_of(text, ignore_case=ignore_case)
    for word in words:
        plain = normalize("NFC", text[word.start : word.end].replace("\u00ad", "").replace("\u2060", ""))
        assert word.text == (plain.casefold() if ignore_case else plain)
    composed = [word.text for word in words_of(normalize("NFC", text), ignore_case=ignore_case)]
    assert [word.text for word in words] == composed

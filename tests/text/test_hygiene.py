"""Hygiene of lines."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.text.hygiene import clean_line, one_line


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("", ""),
        (" \t\u3000\u00a0", ""),
        ("  two \t words\r", "two words"),
        ("\ufeffbegin", "begin"),
        ("a\u2028b\u2029c\u0085d\x0be\x0cf", "a b c d e f"),
        ("a\0b\x07c\x7fd\x9fe", "abcde"),
        ("e\u0301te\u0301", "été"),
        ("日本語\u3000テキスト", "日本語 テキスト"),
        ("\u200b \u2060\u00ad\u200e", ""),  # nothing to be seen
        ("\u200bno\u200de", "\u200bno\u200de"),
        ("Do\u00adnau\u00ad, e\u00ad\u0301, a\u2060b", "Donau, é, ab"),  # hints for the breaking of lines
        ("Case AND ﬁ ½ stay", "Case AND ﬁ ½ stay"),
    ],
)
def test_clean_line(raw: str, clean: str) -> None:
    assert clean_line(raw) == clean


@given(st.text())
def test_clean_lines_are_normal_and_stay_as_they_are(text: str) -> None:
    clean = clean_line(text)
    assert clean_line(clean) == clean
    assert clean == unicodedata.normalize("NFC", clean)
    assert len(clean.splitlines()) <= 1
    assert not any(unicodedata.category(character) == "Cc" for character in clean)
    assert "  " not in clean and clean == clean.strip()


@given(st.text())
def test_one_line_has_no_terminator_and_no_other_length(text: str) -> None:
    line = one_line(text)
    assert len(line) == len(text) and not set(line) & set("\n\r\0")

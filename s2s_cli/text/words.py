"""Words of a text in any language, for comparing and counting: no linguist's, but always the same.

A word is a run of letters, digits and their marks; a sign is a word of its own, and so is each character of the scripts
that are written without spaces.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from unicodedata import is_normalized, normalize

from s2s_cli.text.hygiene import BREAK_HINTS

# Ranges of the scripts without spaces (Thai to Myanmar, Khmer, kana, Han), and of the marks of others, which `\w` is
# without. The package regex has them all by name, but takes as long to import as a sentence to translate.
UNSPACED = "\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0963\u0966-\u0dff\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\u20d0-\u20ff\ufe20-\ufe2f"
)
_LETTER = rf"(?:[^\W{UNSPACED}]|[{_MARKS}])"
_WORD = re.compile(rf"[{UNSPACED}]|{_LETTER}(?:{_LETTER}|[{BREAK_HINTS}])*|[^\s{BREAK_HINTS}]")
_HINT = re.compile(f"[{BREAK_HINTS}]")
_NO_HINTS = dict.fromkeys(map(ord, BREAK_HINTS))


class Word(NamedTuple):
    """A word, and where it stands in its text: text[start:end]."""

    text: str
    """In NFC, without hints for the breaking of lines; folded if case is ignored."""
    start: int
    end: int


def words_of(text: str, *, ignore_case: bool = False) -> list[Word]:
    """The words of a text, in order.

    >>> [word.text for word in words_of("C++ 很好!")]
    ['C', '+', '+', '很', '好', '!']
    """
    fold = str.casefold if ignore_case else str
    is_plain = is_normalized("NFC", text) and not _HINT.search(text)  # then all pieces of it are, too
    return [
        Word(fold(match[0] if is_plain else _plain(match[0])), match.start(), match.end())
        for match in _WORD.finditer(text)
    ]


def _plain(text: str) -> str:
    return normalize("NFC", text.translate(_NO_HINTS))

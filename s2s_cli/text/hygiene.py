"""Hygiene: the cleaning of every line before tokenisation, in preparation as in translation."""

from __future__ import annotations

import unicodedata

BYTE_ORDER_MARK = "\ufeff"
BREAK_HINTS = "\u00ad\u2060"
"""Soft hyphen and word joiner, which only say where a line may end, and would make unknown words of known ones."""

# Deleted: the C0 and C1 controls that are not white space, and these. White space of any kind (tab, vertical tab, form
# feed, U+0085, U+2028, U+2029, U+00A0, ...) is what `str.split` splits at.
_DELETED = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if not chr(code).isspace()}
_DELETED |= dict.fromkeys(map(ord, BYTE_ORDER_MARK + BREAK_HINTS))

# Terminators become spaces: deleting one would join two words, and keeping it would end the line.
_TERMINATORS = dict.fromkeys(map(ord, "\n\r\0"), " ")


def clean_line(text: str) -> str:
    """One line in NFC, without control characters and hints for its breaking, its words separated by single spaces.
    Idempotent.

    A line of white space and format characters (zero-width spaces, marks of direction) alone is blank: it looks so, and
    a model would make up a translation.
    """
    if not text.isprintable():
        text = text.translate(_DELETED)
        if all(unicodedata.category(character) == "Cf" or character.isspace() for character in text):
            return ""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.split())


def one_line(text: str) -> str:
    """`text` without the characters that readers take for the end of a line."""
    return text.translate(_TERMINATORS)

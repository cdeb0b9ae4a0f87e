"""Case markup: text in lower case, with a mark after each word that begins with a capital or is in capitals, so that a
tokenizer has the same pieces for "Knowledge", "KNOWLEDGE" and "knowledge" (Bérard et al. 2019; Etchegoyhen
and Gete 2020).

Marks are suffixes: a word begins as it does without them, and a frequent form can be one piece with its mark. They are
combining characters, which SentencePiece joins with letters of any script, which no normalisation changes, and which
texts hardly have. Where a text has one all the same, an escape is put before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby

TITLE = "\u20e4"  # combining enclosing upward pointing triangle
"""After letters of which the first is a capital: `knowledge` with it is "Knowledge", `i` is "I"."""
CAPITALS = "\u20de"  # combining enclosing square
"""After two or more letters, all of which are capitals."""
BREAK = "\u20df"  # combining enclosing diamond
"""Between letters that no mark says anything of and those that one does: the place in "iPhone" before the capital."""
MARKS = TITLE + CAPITALS + BREAK
SIGNS = str.maketrans(dict(zip(MARKS, "⇧⇪⇩", strict=True)))
"""For `str.translate`: what shows the marks where a piece stands by itself, as nothing can be drawn around nothing."""
ESCAPE = "\u20e2"  # combining enclosing screen
"""Before any of the four that is in a text: it stands for itself."""

# Letters but those of scripts without case, which may stand beside others without a space; and the accents of scripts
# with case, which `\w` is without. What else is a letter does not matter: what would not come back is not marked.
_CASELESS = (
    "\u0590-\u109f\u1100-\u139f\u1400-\u1c7f\u2d30-\ua63f\ua800-\uab2f\uabc0-\ufaff\ufb1d-\ufeff\uff66-\uffdc"
    "\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W\d_{_CASELESS}]"
_ACCENT = "[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\ufe20-\ufe2f]"
_BEGIN, _LETTERS = rf"(?<!{_LETTER})(?<!{_ACCENT})", rf"(?:{_LETTER}++|{_ACCENT}++)++"
_WORDS = rf"(?<![a-z])[a-z]*+{_LETTERS}"  # of a to z alone, nothing would change
_MARKED = rf"{ESCAPE}([{MARKS}{ESCAPE}])|{_BEGIN}({_LETTERS})([{TITLE}{CAPITALS}])|[{MARKS}]"
_LAST = rf"{_BEGIN}{_LETTERS}\Z"
_LITERALS = f"[{MARKS}{ESCAPE}]"
_compiled = cache(re.compile)  # when first used: it takes several ms, and few tokenizers have markup
_WITHOUT = dict.fromkeys(map(ord, MARKS))


def mark(text: str) -> str:
    """The text in case markup. Only capitals that a letter in lower case does not give back stay ("İ", "ẞ").

    >>> mark("Knowledge of NASA") == f"knowledge{TITLE} of nasa{CAPITALS}"
    True
    >>> mark("McDonald, iPhone") == f"mc{TITLE}donald{TITLE}, i{BREAK}phone{TITLE}"
    True
    """
    if not text.isascii():
        text = _compiled(_LITERALS).sub(rf"{ESCAPE}\g<0>", text)
    return text if text == text.lower() else _compiled(_WORDS).sub(_marked_word, text)


def unmark(text: str) -> str:
    """The inverse: unmark(mark(text)) == text. Marks after no letter, as a model may write them, are left out."""
    return text if text.isascii() else _compiled(_MARKED).sub(_unmarked, text)


def without_marks(text: str) -> str:
    """Without what is no text by itself."""
    return text if text.isascii() else text.translate(_WITHOUT)


def begun(text: str) -> tuple[str, str | None]:
    """The beginning of a text in case markup, where its last letters may go on; and which of the marks that may follow
    these give the beginning back: one, either, or "" for none. None if it does not end with letters.

    >>> begun("Knowl") == ("knowl", TITLE)
    True
    """
    marked = mark(text)
    if not _compiled(_LAST).search(text):
        return marked, None
    if marked[-1] not in MARKS:
        return marked, ""
    marked, sign = marked[:-1], marked[-1]
    last = _compiled(_LAST).search(marked)
    return marked, TITLE + CAPITALS if last and len(last[0]) == 1 else sign


def after_letters(text: str) -> str:
    """The character after the letters that a text begins with, if there is one: a mark after them is of all of them."""
    found = _compiled(_LETTERS).match(text)
    return text[found.end() if found else 0 :][:1]


def is_letter(character: str) -> bool:
    """Whether a mark after it is of this character, too: it belongs to a script with case."""
    return bool(_compiled(_LETTERS).match(character))


def capital(letter: str) -> str:
    """One letter for one: there is none for "ß"."""
    upper = letter.upper()
    return upper if len(upper) == 1 else letter


def _marked_word(found: re.Match[str]) -> str:
    word = found[0]
    lower = word.lower()
    if lower == word:
        return word
    if _titled(lower) == word:
        return lower + TITLE
    return lower + CAPITALS if lower.upper() == word else "".join(_marked_parts(word))


def _marked_parts(word: str) -> Iterator[str]:
    """A word of mixed case: several capitals by themselves, one with what follows it."""
    single, is_open = "", False  # a single one; whether there were letters without a mark since the last one
    for are_capitals, group in groupby(word, _is_capital):
        letters = "".join(group)
        if are_capitals:
            yield BREAK if is_open else ""
            single, is_open = (letters, False) if len(letters) == 1 else ("", False)
            yield "" if single else letters.lower() + CAPITALS
        else:
            yield single.lower() + letters + (TITLE if single else "")
            single, is_open = "", not single
    yield single.lower() + TITLE if single else ""


def _is_capital(letter: str) -> bool:
    lower = letter.lower()
    return lower != letter and len(lower) == 1 and lower.upper() == letter


def _unmarked(found: re.Match[str]) -> str:
    literal, word, sign = found.groups(default="")
    if not sign:
        return literal
    return _titled(word) if sign == TITLE else "".join(map(capital, word))


def _titled(word: str) -> str:
    return capital(word[0]) + word[1:]

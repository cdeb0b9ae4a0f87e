"""Accelerators: the letter of a menu's entry that a key chooses, which a sign before it tells, as in `_Open`.

The sign is no part of the word, so it is taken out before translation, and put before a letter of the translation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from s2s_cli.text.codes import Code, Kind, Parts


class Accelerator(NamedTuple):
    """The sign, the letter after it, how many characters of text are before it, and how many breaks."""

    sign: str
    letter: str
    place: int
    breaks: int

    def put_into(self, parts: Parts) -> Parts:
        """The translation with the sign, unless it has one: before the letter if it is there, or else before the first
        one, of what stands between the same breaks. A script without capitals has no keys, so there the letter follows
        in parentheses, as is the custom in Chinese and Japanese."""
        if any(self.sign in part for part in parts if isinstance(part, str)):
            return parts
        own = list(self._own(parts))
        best = min((each for index, before in own for each in self._letters(parts, index, before)), default=None)
        if best is not None:
            return self._with_sign(parts, best[1], best[2], self.sign)
        words = [index for index, _ in own if re.search(r"\w", str(parts[index]))]
        if not words:
            return parts
        end = len(re.sub(r"\W*\Z", "", str(parts[words[-1]])))
        return self._with_sign(parts, words[-1], end, f"({self.sign}{self.letter.upper()})")

    def _own(self, parts: Parts) -> Iterator[tuple[int, int]]:
        """The texts between the breaks where the sign was, and how many characters of text stand before each."""
        before = breaks = 0
        for index, part in enumerate(parts):
            if isinstance(part, str):
                if breaks == self.breaks:
                    yield index, before
                before += len(part)
            else:
                breaks += part.kind is Kind.BREAK

    def _letters(self, parts: Parts, index: int, before: int) -> Iterator[tuple[int, int, int]]:
        """The letters of a text that a key can stand for: how bad, of which part, and where in it."""
        text = str(parts[index])
        for at, letter in enumerate(text):
            if letter.casefold() == self.letter.casefold():
                is_first = at == 0 or not text[at - 1].isalnum()
                yield (0 if before + at == self.place else 1 if is_first else 2), index, at
            elif letter.lower() != letter.upper():
                yield 3, index, at

    @staticmethod
    def _with_sign(parts: Parts, index: int, at: int, sign: str) -> Parts:
        text = str(parts[index])
        return (*parts[:index], f"{text[:at]}{sign}{text[at:]}", *parts[index + 1 :])


def without_accelerator(parts: Parts, sign: str) -> tuple[Parts, Accelerator | None]:
    """The parts without the sign, which is to be there once, and what it told. sign: "" if there is none in the
    document.

    It begins a word, or is inside one before a small letter, as in `Sa~ve`: `AT&T` and `LC_ALL` have none.
    """
    places = [index for index, part in enumerate(parts) if isinstance(part, str) and sign in part]
    if not sign or len(places) != 1:
        return parts, None
    text = str(parts[places[0]])
    before, _, after = text.partition(sign)
    begins = not before[-1:].isalnum()
    if sign in after or not (after[:1].isalnum() if begins else after[:1].islower() and sign != "_"):
        return parts, None
    earlier = parts[: places[0]]
    place = len(before) + sum(len(part) for part in earlier if isinstance(part, str))
    breaks = sum(isinstance(part, Code) and part.kind is Kind.BREAK for part in earlier)
    return (*earlier, before + after, *parts[places[0] + 1 :]), Accelerator(sign, after[0], place, breaks)

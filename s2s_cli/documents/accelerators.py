"""Accelerators: the letter of a menu's entry that a key chooses, which a sign before it tells, as in `_Open`.

The sign is no part of the word, so it is taken out before translation, and put before a letter of the translation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from s2s_cli.text.codes import Part, Parts


class Accelerator(NamedTuple):
    """The sign, the letter after it, and how many characters of text are before it."""

    sign: str
    letter: str
    place: int

    def put_into(self, parts: Parts) -> Parts:
        """The translation with the sign: before the letter if it has it, or else before its first one. A script without
        capitals has no keys, so there the letter follows in parentheses, as is the custom in Chinese and Japanese."""
        best = min(self._candidates(parts), default=None)
        if best is None:
            return self._appended(parts)
        _, index, at = best
        text = str(parts[index])
        return (*parts[:index], f"{text[:at]}{self.sign}{text[at:]}", *parts[index + 1 :])

    def _candidates(self, parts: Parts) -> Iterator[tuple[int, int, int]]:
        """The letters that a key can stand for: how bad, of which part, and where in it."""
        before = 0
        for index, part in enumerate(parts):
            if not isinstance(part, str):
                continue
            for at, letter in enumerate(part):
                if letter.casefold() == self.letter.casefold():
                    is_first = at == 0 or not part[at - 1].isalnum()
                    yield (0 if before + at == self.place else 1 if is_first else 2), index, at
                elif letter.lower() != letter.upper():
                    yield 3, index, at
            before += len(part)

    def _appended(self, parts: Parts) -> Parts:
        """With the letter after the last word."""
        words = [index for index, part in enumerate(parts) if isinstance(part, str) and re.search(r"\w", part)]
        if not words:
            return parts
        text = str(parts[words[-1]])
        end = len(re.sub(r"\W*\Z", "", text))
        key = f"{text[:end]}({self.sign}{self.letter.upper()}){text[end:]}"
        return (*parts[: words[-1]], key, *parts[words[-1] + 1 :])


def without_accelerator(parts: Parts, sign: str) -> tuple[Parts, Accelerator | None]:
    """The parts without the sign, which is to be there once, before a letter or digit, and what it told. sign: "" if
    there is none in the document."""
    if not sign:
        return parts, None
    before, found = 0, None
    taken: list[Part] = []
    for part in parts:
        if isinstance(part, str):
            at = part.find(sign)
            if at >= 0:
                letter = part[at + len(sign) :][:1]
                if found or part.count(sign) > 1 or not letter.isalnum():
                    return parts, None
                found = Accelerator(sign, letter, before + at)
                part = part[:at] + part[at + len(sign) :]
            before += len(part)
        taken.append(part)
    return tuple(taken), found

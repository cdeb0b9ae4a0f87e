"""What stands in a text without being text: tags, placeholders, addresses, which are not translated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """How a code may move within its segment."""

    OPEN = "open"  # with the words between it and its `CLOSE`
    CLOSE = "close"
    ALONE = "alone"  # with the words beside it
    BREAK = "break"  # not at all: what stands on its two sides is translated separately


@dataclass(frozen=True)
class Code:
    """An inline code: a tag, a placeholder, an address, which is not translated and comes out exactly once."""

    text: str
    """As it is written in the document."""
    kind: Kind = Kind.ALONE
    name: str = ""
    """What an opening code and its closing code have in common."""
    order: str = ""
    """Codes of one segment for which this is the same, and not empty, keep their order among themselves."""
    wide: bool = True
    """Whether it stands in the text as a word or sign does; a mark of no width, such as a comment, needs no spaces."""
    start: int | None = None
    """Where `text` begins in the document, if other units may lie inside it."""
    listed: tuple[str | Code, ...] = ()
    """Of an enumeration that is one code: the codes in it, and what stands between them."""

    @property
    def is_word(self) -> bool:
        """Whether it stands in the text as a word or a sign does, alone."""
        return self.kind is Kind.ALONE and self.wide


Part = str | Code
Parts = tuple[Part, ...]
"""Text, as the model reads it, and the codes in it."""


def partners(parts: Sequence[Part]) -> dict[int, int]:
    """For each opening code that is closed, and each closing one that was opened, the index of the other."""
    waiting: dict[str, list[int]] = {}
    found: dict[int, int] = {}
    for index, part in enumerate(parts):
        if not isinstance(part, Code):
            continue
        if part.kind is Kind.OPEN:
            waiting.setdefault(part.name, []).append(index)
        elif part.kind is Kind.CLOSE and waiting.get(part.name):
            other = waiting[part.name].pop()
            found |= {index: other, other: index}
    return found


def told_apart(text: str, codes: Sequence[Code]) -> Parts | None:
    """A text that was written with these codes, in parts; None unless each of them stands there once, and in this
    order if that matters."""
    if not all(code.text for code in codes):
        return None
    waiting: dict[str, list[Code]] = {}
    for code in codes:
        waiting.setdefault(code.text, []).append(code)
    parts: list[Part] = []
    cursor = 0
    for match in re.finditer("|".join(map(re.escape, sorted(waiting, key=len, reverse=True))) or r"(?!)", text):
        if not waiting[match.group()]:
            return None
        parts += [text[cursor : match.start()], waiting[match.group()].pop(0)]
        cursor = match.end()
    found = [part for part in parts if isinstance(part, Code)]
    is_free = all(code.kind is Kind.ALONE and not code.order for code in codes)
    if len(found) < len(codes) or not (is_free or found == list(codes)):
        return None
    return tuple(part for part in (*parts, text[cursor:]) if part != "")

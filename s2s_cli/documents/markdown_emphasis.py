"""Emphasis in Markdown, by the rules of CommonMark 0.31, section 6.2: which signs begin or end it, and how it is
written in a translation so that it is read as such."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TypeGuard

from s2s_cli.text.codes import Code, Kind, Part, partners

_SIGNS = re.compile(r"\*{1,3}|_{1,3}|~~")
_OTHER = str.maketrans("*_", "_*")
_ELEMENTS = {"*": ["em"], "**": ["strong"], "***": ["em", "strong"], "~~": ["del"]}


def flanks(sign: str, before: str, after: str) -> tuple[bool, bool]:
    """Whether a run of signs can begin emphasis, and whether it can end it. before, after: the characters beside it,
    or nothing at the ends of the text."""
    before, after = before or " ", after or " "
    left, right = _is_left(before, after), _is_left(after, before)
    if sign[0] != "_":
        return left, right
    return left and (not right or _is_sign(before)), right and (not left or _is_sign(after))


def settled(parts: Sequence[Part]) -> list[Part]:
    """The parts with the white space at the ends of emphasis outside it, since no sign begins emphasis before white
    space or ends it after some, and without emphasis around nothing, for which there are no signs."""
    found: list[Part] = []
    for part in _divided(parts):
        at = len(found)
        if _is_white(part):
            while at and _is_emphasis(found[at - 1], Kind.OPEN):
                at -= 1
        elif _is_emphasis(part, Kind.CLOSE):
            while at and _is_white(found[at - 1]):
                at -= 1
            before = found[at - 1] if at else ""
            if _is_emphasis(before, Kind.OPEN) and before.name == part.name:
                del found[at - 1]
                continue
        found.insert(at, part)
    return found


def with_emphasis(parts: Sequence[Part], texts: Sequence[str]) -> list[str]:
    """The texts of the parts with emphasis written so that it is read as such: with its own signs, with underscores
    instead of asterisks or the other way round, or else with tags, which may stand anywhere. texts: none is empty.

    All are tags at first, whose brackets count as punctuation just as signs do: so the order does not matter.
    """
    others = partners(parts)
    pairs = [
        (index, others[index]) for index, part in enumerate(parts) if index in others and _is_emphasis(part, Kind.OPEN)
    ]
    written = list(texts)
    for first, last in pairs:
        written[first], written[last] = _tags(texts[first])
    around: list[tuple[int, str]] = []  # the pairs of signs around this one: where they end, and their signs
    for first, last in pairs:
        around = [pair for pair in around if pair[0] > first]
        for sign in dict.fromkeys((texts[first], texts[first].translate(_OTHER))):
            if _is_read(sign, [_beside(written, index) for index in (first, last)], [outer for _, outer in around]):
                written[first] = written[last] = sign
                around.append((last, sign))
                break
    return written


def _is_read(sign: str, beside: Sequence[tuple[str, str]], around: Sequence[str]) -> bool:
    """Whether a pair of signs is read as one. beside: the characters before and after each of them. around: the signs
    of the pairs around it."""
    (can_open, may_close), (_, can_close) = (flanks(sign, before, after) for before, after in beside)
    if not (can_open and can_close) or any(sign[0] in characters for characters in beside):
        return False
    lengths = [len(outer) for outer in around if outer[0] == sign[0]]
    # A first sign that can end emphasis, too, ends a pair around it unless only the sum of their lengths is a multiple
    # of 3.
    return not (may_close and any((length + len(sign)) % 3 or length % 3 == 0 for length in lengths))


def _beside(texts: Sequence[str], index: int) -> tuple[str, str]:
    """The characters before and after one of the texts."""
    return "".join(texts[max(0, index - 1) : index])[-1:], "".join(texts[index + 1 : index + 2])[:1]


def _tags(sign: str) -> tuple[str, str]:
    names = _ELEMENTS[sign.replace("_", "*")]
    return "".join(f"<{name}>" for name in names), "".join(f"</{name}>" for name in reversed(names))


def _divided(parts: Sequence[Part]) -> Iterator[Part]:
    """The parts with the white space at the ends of a text as texts of their own."""
    for part in parts:
        if isinstance(part, Code):
            yield part
        else:
            start = len(part) - len(part.lstrip())
            end = max(start, len(part.rstrip()))
            yield from filter(None, (part[:start], part[start:end], part[end:]))


def _is_emphasis(part: Part, kind: Kind) -> TypeGuard[Code]:
    return isinstance(part, Code) and part.kind is kind and _SIGNS.fullmatch(part.text) is not None


def _is_white(part: Part) -> bool:
    return isinstance(part, str) and part.isspace()


def _is_left(before: str, after: str) -> bool:
    """Whether a run of signs between these characters is left-flanking."""
    return not after.isspace() and (not _is_sign(after) or before.isspace() or _is_sign(before))


def _is_sign(character: str) -> bool:
    """Whether it is punctuation or a symbol."""
    return unicodedata.category(character)[0] in "PS"

"""Inline codes: taken out before translation, and put back where the alignment of the words says.

`flatten` makes of a segment the text that the model reads. `Flat.restored` puts the codes into its translation: each
exactly once, and nested as they were. A pair of codes goes around the words that its own words are aligned with, a
single one beside those of its neighbour. Where the alignment says nothing, places are proportional.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TypeGuard

from s2s_cli.inference.nesting import Layout, Mark, Place, forest, in_order, ranges_of, without_codes
from s2s_cli.inference.positions import WITHOUT_SPACES, Guide
from s2s_cli.inference.translation import Alignment
from s2s_cli.text.codes import Code, Kind, Part, Parts, partners

MOST_DEPTH = 64  # of pairs inside pairs; a text that nests deeper is not translated
_WHITE = re.compile(r"\s+")
_SIGNS = re.compile(r"[\s.,:;!?–—-]+")
_BETWEEN = re.compile(r"[\s,;/|]*")  # the codes of an enumeration
_CLOSING = tuple(".,;:!?)]}…%»”")


@dataclass(frozen=True)
class Flat:
    """A segment as the model reads it: `text`, one line with single spaces. What stands before its first word and after
    its last one, `head` and `tail`, stays there."""

    parts: Parts
    text: str
    places: list[Place]
    head: Parts
    middle: Parts
    tail: Parts
    taken: frozenset[int] = frozenset()
    """Places whose codes stand in the translation already."""

    @property
    def is_translatable(self) -> bool:
        """Whether there are letters: numbers and signs are the same in every language."""
        return any(character.isalpha() for character in self.text)

    @property
    def is_too_deep(self) -> bool:
        """Whether pairs are nested more deeply than can be restored."""
        return forest(self.places, len(self.text))[1] > MOST_DEPTH

    @property
    def key(self) -> tuple[object, ...]:
        """What a model that knows marks reads of it: the text, and the places of the codes."""
        return (self.text, *((place.offset, place.code.kind) for place in self.places))

    def restored(
        self, text: str, alignment: Alignment, marks: Sequence[tuple[int, int]] = (), phrases: Sequence[str] = ()
    ) -> Parts | None:
        """The parts of the translation; they are the same if it is. None if the codes are nested too deeply. Arguments
        as of `body`."""
        text = " ".join(text.split())
        if text == self.text and not phrases:
            return self.parts
        return None if self.is_too_deep else (*self.head, *self.body(text, alignment, marks, phrases), *self.tail)

    def body(
        self, text: str, alignment: Alignment, marks: Sequence[tuple[int, int]] = (), phrases: Sequence[str] = ()
    ) -> Parts:
        """What stands between head and tail in the translation, if this is not nested too deeply.

        text: without white space around it. marks: places, and where the model has written their symbols in its text,
        from the left. A place that it has written twice counts where it is first; one that it has not written goes
        where the alignment says. phrases: what no code may stand in. It goes behind, or before if it opens a pair
        there.
        """
        roots, _ = forest(self.places, len(self.text))
        written: dict[int, Mark] = {}
        for rank, (place, offset) in enumerate(marks):
            written.setdefault(place, Mark(offset, rank))
        laid: list[str | int] = []
        Layout(self.places, Guide(self.text, text, alignment), written).lay(roots, 0, len(text), laid)
        untorn = without_codes(ranges_of(phrases, text), in_order(laid, self.places), self.places)
        laid = [item for item in untorn if item != "" and item not in self.taken]
        return tuple(self._parted(self._spaced(laid), phrases))

    def _parted(self, body: Sequence[Part], phrases: Sequence[str]) -> Iterator[Part]:
        """With a space between a phrase and a code that would make its word longer, such as an address."""
        if not phrases:
            yield from body
            return
        parts, end = (*self.head, *body, *self.tail), len(self.head) + len(body)
        for number in range(len(self.head), end + 1):
            if _lengthens(parts, number, tuple(phrases)):
                yield " "
            if number < end:
                yield parts[number]

    def _spaced(self, laid: Sequence[str | int]) -> list[Part]:
        """The parts, with the white space that single codes had around them."""
        parts: list[Part] = []
        wanted = swallows = False  # a space is to follow, or to be left out
        ends = ""  # what the text before ends with, if no single code follows it
        # what stands before is a single code that no word was to follow without a space
        lonely = _begins_with_single(self.head[::-1]) and not _is_spaced_word(self.text[:1])
        touches = lonely  # what stands before is no space
        for item, following, leads in zip(laid, [*laid[1:], ""], self._lead_to_single(laid), strict=False):
            if isinstance(item, int):
                place = self.places[item]
                single, closes = place.code.is_word, place.code.kind is Kind.CLOSE
                left = (place.left or self._is_apart(ends, place.offset)) and (single or leads)
                wanted = wanted or (lonely and isinstance(following, str) and _is_spaced_word(following[:1]))
                if touches and (left or wanted) and not closes:
                    parts.append(" ")
                    touches = wanted = lonely = False
                if place.joined and not single and parts and parts[-1] == " ":
                    parts.pop()
                parts.append(place.code)
                if single:
                    touches, wanted, swallows, ends = True, place.right, place.joined, ""
                    after = self.text[place.offset : place.offset + 1]
                    lonely = not (place.right or place.joined or _is_spaced_word(after))
            else:
                rest = item[1:] if swallows and item[0] == " " else item
                wanted = wanted or (lonely and _is_spaced_word(rest[:1]))
                if wanted and not (rest[:1].isspace() or rest.startswith(_CLOSING)):
                    parts.append(" ")
                parts += [rest] if rest else []
                touches, wanted, swallows, lonely = not item[-1].isspace(), False, False, False
                ends = item[-1]
        apart = _begins_with_single(self.tail) and self._is_apart(ends, len(self.text))
        return [*parts, " "] if apart else parts

    def _is_apart(self, ends: str, offset: int) -> bool:
        """Whether a word stands before a single code where in the source, before `offset`, a sign or nothing did; or a
        word or a sign where a script without spaces did. ends: the character before."""
        in_source = self.text[max(0, offset - 1) : offset]
        if ends in _CLOSING:
            return _is_unspaced(in_source)
        return _is_spaced_word(ends) and not _is_spaced_word(in_source)

    def _lead_to_single(self, laid: Sequence[str | int]) -> list[bool]:
        """For each item whether a single code follows it, with nothing between them but what opens pairs, and marks."""
        found, leads = [], False
        for item in reversed(laid):
            found.append(leads)
            code = self.places[item].code if isinstance(item, int) else None
            leads = code is not None and (code.is_word or (leads and code.kind is not Kind.CLOSE))
        return found[::-1]


def flatten(parts: Sequence[Part], *, marked: bool = False) -> Flat:
    """What the model reads of a segment, which has no codes that break it.

    marked: whether the model reads a symbol for each code, so that those before the first word and after the last one
    belong to the text.
    """
    head, middle, tail = _trimmed(_merged(parts), marked=marked)
    left, right = _spaces(middle), _spaces([*reversed(middle)], last=False)[::-1]
    text = ""
    places: list[Place] = []
    for index, part in enumerate(middle):
        if isinstance(part, str):
            words = _WHITE.sub(" ", part)
            if text.endswith(" ") and words.startswith(_CLOSING) and _ends_with_single(places, len(text)):
                text = text[:-1]  # "Hello %s, you" reads "Hello, you"
                _move_back(places, len(text))
            text += words.lstrip() if not text or text.endswith(" ") else words
            continue
        following = middle[index + 1] if index + 1 < len(middle) else ""
        joined = not (left[index] or right[index]) and _joins(text[-1:], following)
        if joined and part.kind is Kind.OPEN and index and _is_close(middle[index - 1]):  # cells, badges and the like
            text += " "
            places.append(Place(part, len(text), left[index], right[index], True))
        else:
            joined = joined and part.is_word and not any(map(_is_unspaced, text[-1] + written(following)[0]))
            places.append(Place(part, len(text), left[index], right[index], joined))
            text += " " if joined else ""
    text = text.rstrip()
    _move_back(places, len(text))
    return Flat(tuple(parts), text, places, tuple(head), tuple(middle), tuple(tail))


def _merged(parts: Sequence[Part]) -> list[Part]:
    """With an enumeration of codes as one code: `%s, %s` are two words to nobody, and leave commas behind."""
    merged: list[Part] = []
    position = 0
    while position < len(parts):
        part = parts[position]
        listed: list[Part] = []
        while _is_listed(part) and (following := _following(parts, position, part.order)):
            listed += [each if isinstance(each, Code) else single_spaced(each) for each in parts[position:following]]
            position = following
        last = parts[position]
        if listed and _is_listed(last):
            listed.append(last)
            part = replace(last, text="".join(map(written, listed)), listed=tuple(listed))
        merged.append(part)
        position += 1
    return merged


def _following(parts: Sequence[Part], position: int, order: str) -> int:
    """The position of the next code of an enumeration; 0 if it ends here."""
    for step, between in ((1, ""), (2, parts[position + 1] if position + 1 < len(parts) else "")):
        following = parts[position + step] if position + step < len(parts) else ""
        is_between = isinstance(between, str) and _BETWEEN.fullmatch(between)
        if is_between and _is_listed(following) and following.order == order:
            return position + step
    return 0


def written(part: Part) -> str:
    """The part as it stands in a text without markup."""
    return part if isinstance(part, str) else part.text


def single_spaced(part: Part) -> str:
    """The same with white space as one space each, except in a code."""
    return _WHITE.sub(" ", part) if isinstance(part, str) else part.text


def _is_listed(part: Part) -> TypeGuard[Code]:
    """Whether it is a code that may be a part of another one: a placeholder or the like, and no picture or field that
    units may lie inside."""
    return type(part) is Code and part.is_word and part.start is None


def _trimmed(parts: Sequence[Part], *, marked: bool) -> tuple[list[Part], list[Part], list[Part]]:
    """What stays before the text, the text with codes, and what stays after it. A pair around all of the text stays
    around it; one around its first or last words is a part of it. marked: placeholders belong to the text."""
    words = [index for index, part in enumerate(parts) if isinstance(part, str) and part.strip()]
    if not words:
        return list(parts), [], []
    first, last, other = words[0], words[-1], partners(parts)
    stays = [
        not first <= other.get(index, -1) <= last and not (marked and _is_listed(part))
        for index, part in enumerate(parts)
    ]
    begin = next(index for index in range(first + 1) if index == first or not stays[index])
    end = next(index for index in range(len(parts) - 1, last - 1, -1) if index == last or not stays[index])
    head, middle, tail = list(parts[:begin]), list(parts[begin : end + 1]), list(parts[end + 1 :])
    text = middle[0]
    if isinstance(text, str):
        codes = [part for part in head if isinstance(part, Code)]
        signs = _SIGNS.match(text) if codes and codes[-1].is_word else None  # "%s: not found"
        cut = signs.end() if signs else len(text) - len(text.lstrip())
        head, middle[0] = [*head, text[:cut]], text[cut:]
    text = middle[-1]
    if isinstance(text, str):
        middle[-1], tail = text.rstrip(), [text[len(text.rstrip()) :], *tail]
    return _filled(head), _filled(middle), _filled(tail)


def _lengthens(parts: Parts, at: int, phrases: tuple[str, ...]) -> bool:
    """Whether at this place a code begins with a letter where a phrase ends, or ends with one where a phrase begins."""
    if not 0 < at < len(parts) or not (written(parts[at - 1])[-1:].isalnum() and written(parts[at])[:1].isalnum()):
        return False
    texts_before = [*takewhile(_is_text, (parts[place] for place in range(at - 1, -1, -1)))]
    texts_after = takewhile(_is_text, (parts[place] for place in range(at, len(parts))))
    if isinstance(parts[at], Code):
        return "".join(map(written, reversed(texts_before))).endswith(phrases)
    return not texts_before and "".join(map(written, texts_after)).startswith(phrases)


def _is_text(part: Part) -> bool:
    return isinstance(part, str)


def _filled(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if part != ""]


def _spaces(middle: Sequence[Part], *, last: bool = True) -> list[bool]:
    """For each part whether white space stands before it; pairs and marks are looked through. last: which end of a text
    counts, since read backwards its first character does."""
    found, space = [], False
    for part in middle:
        found.append(space)
        if isinstance(part, str):
            space = (part[-1] if last else part[0]).isspace()
        elif part.is_word:
            space = False
    return found


def _is_close(part: Part) -> bool:
    return isinstance(part, Code) and part.kind is Kind.CLOSE


def _joins(before: str, following: Part) -> bool:
    """Whether two words would become one without what stands between them."""
    return bool(before.strip()) and isinstance(following, str) and following[:1].isalnum()


def _is_spaced_word(character: str) -> bool:
    """Whether it is of a word, in a script that has spaces between words."""
    return character.isalnum() and not _is_unspaced(character)


def _is_unspaced(character: str) -> bool:
    """Whether it is of a script without spaces, or a full-width sign, which brings its own."""
    return "\uff00" < character < "\uff66" or bool(WITHOUT_SPACES.match(character))


def _begins_with_single(parts: Sequence[Part]) -> bool:
    """Whether a placeholder or the like stands first, pairs and marks looked through."""
    return _is_listed(next((part for part in parts if isinstance(part, str) or part.is_word), ""))


def _ends_with_single(places: Sequence[Place], length: int) -> bool:
    """Whether a single code stands at the end of a text of this length."""
    for place in reversed(places):
        if place.offset < length or place.code.is_word:
            return place.offset == length
    return False


def _move_back(places: list[Place], length: int) -> None:
    """Move the codes that stand beyond the end of a text there."""
    for index in range(len(places) - 1, -1, -1):
        if places[index].offset <= length:
            return
        places[index] = places[index]._replace(offset=length)

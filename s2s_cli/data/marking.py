"""Marks in training: symbols that stand for protected spans on both sides of a pair, so that a model learns to carry
them.

Spans that both sides share, such as a placeholder, have marks in the prepared data. Besides, on a share of the pairs of
each epoch words that are translations of one another are replaced by a mark, or phrases put between two, as tags are
(as the modifier `Tags` of OpusTrainer does). Marks are numbered in the order of the source, from 1 in each pair.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from random import Random
from typing import Literal, NamedTuple

from s2s_cli.data.alignment import Aligner, Link, Sides, Span, phrase, some
from s2s_cli.text.codes import Code, Part
from s2s_cli.text.protected import Finder
from s2s_cli.text.tokenizer import TokenizerPair

LONGEST_PHRASE = 4  # words between two marks
_REPLACED = 0.5  # share of marked places that are single words replaced by a mark


# ------------------------------------------------------------------------------------------------------- prepared data


def shared_spans(source: str, target: str, finder: Finder, tokenizers: TokenizerPair) -> tuple[list[int], ...] | None:
    """Both sides of a pair as ids, with marks for the spans that stand on both; None if there are none."""
    sides = finder.parts(source), finder.parts(target)
    counts = [Counter(part.text for part in parts if isinstance(part, Code)) for parts in sides]
    common = counts[0] & counts[1]
    if not common:
        return None
    numbers, given = defaultdict[str, list[int]](list), 0
    for part in sides[0]:
        if isinstance(part, Code) and common[part.text] and given < len(tokenizers.source.marks):
            common[part.text] -= 1
            numbers[part.text].append(given)
            given += 1
    return tuple(
        tokenizer.encode_marked(list(_items(parts, tokenizer.marks, numbers)))
        for parts, tokenizer in zip(sides, (tokenizers.source, tokenizers.target), strict=True)
    )


def _items(parts: Sequence[Part], marks: Sequence[int], numbers: dict[str, list[int]]) -> Iterator[str | int]:
    """The parts with marks for those spans that have a number, of equal ones the first to the first."""
    left, text = {span: iter(each) for span, each in numbers.items()}, ""
    for part in parts:
        number = next(left.get(part.text, iter(())), None) if isinstance(part, Code) else None
        if number is None:
            text += part if isinstance(part, str) else part.text
        else:
            yield text
            yield marks[number]
            text = ""
    yield text


# ---------------------------------------------------------------------------------------------------------- each epoch


class Place(NamedTuple):
    """What is marked on both sides. replaced: whether a mark replaces it, or two stand around it."""

    source: Span
    target: Span
    replaced: bool


def with_marks(aligner: Aligner, source: Sequence[int], target: Sequence[int], random: Random) -> Sides | None:
    """A pair with marks; None if nothing in it is known to correspond, or if it has marks already."""
    marks = aligner.tokenizers.source.marks, aligner.tokenizers.target.marks
    if not set(marks[0]).isdisjoint(source):
        return None
    links = aligner.links(source, target)
    places = some(lambda found: _place(links, found, len(marks[0]), random), random) if links else []
    if not places:
        return None
    numbers: dict[tuple[int, bool], int] = {}

    def laid(ids: Sequence[int], side: Literal[0, 1]) -> list[int]:
        return [
            ids[item] if isinstance(item, int) else marks[side][numbers.setdefault(item, len(numbers))]
            for item in _laid(places, side, len(ids))
        ]

    return laid(source, 0), laid(target, 1)


def _place(links: list[Link], found: list[Place], marks: int, random: Random) -> Place | None:
    """A word or a phrase, on both sides apart from those found or one inside the other, while `marks` marks last."""
    first, replaced = random.randrange(len(links)), random.random() < _REPLACED
    link = links[first] if replaced else phrase(links, first, random.randint(1, LONGEST_PHRASE))
    room = marks - sum(2 - each.replaced for each in found) >= 2 - replaced
    if not (link and room):
        return None
    place = Place(*link, replaced)
    return place if all(_agrees(place, other) for other in found) else None


def _agrees(one: Place, other: Place) -> bool:
    """Whether the places are apart on both sides, or one of them is inside the other, which is not replaced."""
    found = {_relation(one.source, other.source), _relation(one.target, other.target)}
    return (
        found == {"apart"} or (found == {"inside"} and not other.replaced) or (found == {"around"} and not one.replaced)
    )


def _relation(one: Span, other: Span) -> str:
    if one.is_apart(other):
        return "apart"
    if one == other:
        return "same"
    if other.begin <= one.begin and one.end <= other.end:
        return "inside"
    return "around" if one.begin <= other.begin and other.end <= one.end else "crossing"


def _laid(places: Sequence[Place], side: Literal[0, 1], length: int) -> Iterator[int | tuple[int, bool]]:
    """A side as the places of its pieces, and marks: the number of a place, and whether its end is marked."""
    spans = [(place.source, place.target)[side] for place in places]
    opening, closing = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for number in sorted(range(len(spans)), key=lambda number: (-spans[number].end, places[number].replaced)):
        opening[spans[number].begin].append(number)  # the outer one first
    for number in sorted(range(len(spans)), key=lambda number: -spans[number].begin):
        closing[spans[number].end] += [] if places[number].replaced else [number]  # the inner one first
    hidden = {place for number, each in enumerate(spans) if places[number].replaced for place in range(*each)}
    for place in range(length + 1):
        yield from ((number, True) for number in closing[place])
        yield from ((number, False) for number in opening[place])
        if place < length and place not in hidden:
            yield place

"""Demands on lines with protected spans. What is demanded stands in the translation as it is: no span goes into a
phrase, and none before a prefix, but for those that the prefix itself has.

Characters that the model has read or written are counted without white space, which spans bring and take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import DataError, printable
from s2s_cli.inference.inline import Flat, flatten, single_spaced, written
from s2s_cli.inference.nesting import ranges_of
from s2s_cli.text.codes import Code, Part, Parts

if TYPE_CHECKING:
    from s2s_cli.inference.demands import Demand
    from s2s_cli.inference.translation import Alignment
    from s2s_cli.text.protected import Finder


class Piece(NamedTuple):
    """A part of a line. is_text: whether it is of the text that the model has read or written; no code is."""

    part: Part
    is_text: bool


@dataclass(frozen=True)
class Unbroken:
    """How the translation of a line is to begin, of which a model knows the text only."""

    prefix: Flat
    ends_open: bool
    """Whether the last word of the prefix may go on."""
    rest: Flat
    """The line without the codes of the prefix."""

    def masked_prefix(self) -> str:
        """What the translation of the text begins with."""
        text = self.prefix.text
        return text if self.ends_open or not text else text + " "

    def pieces(
        self, text: str, alignment: Alignment, marks: Sequence[tuple[int, int]], phrases: Sequence[str]
    ) -> list[Piece]:
        """The pieces of a translated line, which begins with the prefix as it is; spans that stood before its end, or
        in the word or phrase that goes on there, follow.

        text: what the model has written. phrases: all that were demanded. Others as of `Flat.body`.
        """
        pieces = pieces_of(self.rest, self.rest.body(text, alignment, marks, phrases))
        if not self.prefix.parts:
            return pieces
        begun = len(self.masked_prefix())
        end = max([begun, *(end for begin, end in ranges_of(phrases, text) if begin < begun)])
        while end and text[end - 1 : end].isalnum() and text[end : end + 1].isalnum():
            end += 1
        has_space, last = text[:end].endswith(" "), self.prefix.parts[-1]
        before, after = _cut(pieces, _count(text[:end]), late=has_space or (isinstance(last, Code) and end == begun))
        codes = [piece for piece in before if isinstance(piece.part, Code)]
        first = pieces_of(self.prefix, self.prefix.middle)
        if _lacks_space(self.prefix.parts) and text[begun : begun + 1].isalnum():
            first.append(Piece(" ", False))
            has_space = has_space or end == begun
        return [*first, Piece(text[begun:end], True), *_apart(codes, has_space, after)]


def unbroken(demand: Demand, flat: Flat, finder: Finder) -> Unbroken:
    """Of a clean demand, for a line with spans. Raises DataError for a constraint that has one of these, and for what a
    line without text cannot have."""
    if (demand.constraints or demand.prefix) and not flat.is_translatable:
        raise DataError("protected text alone has no translation that constraints or a prefix could be in")
    spans: dict[str, list[Code]] = {}
    for part in flat.parts:
        if isinstance(part, Code):
            spans.setdefault(part.text, []).append(part)
    for phrase in demand.constraints:
        if found := [part.text for part in finder.parts(phrase) if isinstance(part, Code) and part.text in spans]:
            told = f"the constraint {printable(repr(phrase), 60)} has {printable(found[0], 30)}, which is protected"
            raise DataError(told, hint="it comes by itself: name the words beside it, or protect less")
    parts: list[Part] = []
    for part in finder.parts(demand.prefix):
        own = spans.get(part.text) if isinstance(part, Code) else None
        parts.append(own.pop(0) if own else written(part))  # a tag of the line may lack its pair in the prefix
    ends_open = bool(parts) and isinstance(parts[-1], str) and not parts[-1].endswith(" ")
    return Unbroken(flatten(parts), ends_open, _without(flat, parts))


def pieces_of(flat: Flat, body: Iterable[Part]) -> list[Piece]:
    """A line in pieces. body: what stands between its head and its tail."""
    return [
        *(Piece(part, False) for part in flat.head),
        *(Piece(part, isinstance(part, str)) for part in body),
        *(Piece(part, False) for part in flat.tail),
    ]


def _lacks_space(prefix: Sequence[Part]) -> bool:
    """Whether a prefix ends with a code, and no space stands before the word that follows; tags are looked through."""
    last = next((part for part in reversed(prefix) if isinstance(part, str) or part.is_word), " ")
    return isinstance(prefix[-1], Code) and not written(last).endswith(" ")


def _is_word(piece: Piece) -> bool:
    return isinstance(piece.part, Code) and piece.part.is_word


def _apart(codes: Sequence[Piece], has_space: bool, after: Sequence[Piece]) -> list[Piece]:
    """Codes after a text, and what follows them, with spaces around those that stand as words do. has_space: whether
    the text ends with one."""
    apart: list[Piece] = []
    for piece in codes:
        if _is_word(piece) and not has_space:
            apart.append(Piece(" ", False))
        apart.append(piece)
        has_space = False
    following = next((written(piece.part)[:1] for piece in after if piece.is_text or _is_word(piece)), "")
    touches = bool(after) and (_is_word(codes[-1]) if codes else _is_word(after[0]))
    return [*apart, *([Piece(" ", False)] if touches and following.isalnum() else []), *after]


def _cut(pieces: Sequence[Piece], count: int, *, late: bool = False) -> tuple[list[Piece], list[Piece]]:
    """The pieces with the first `count` characters of text, and the others. late: what stands between these characters
    and the next one belongs to the first."""
    before: list[Piece] = []
    for number, piece in enumerate(pieces):
        if not late and not count:
            return before, list(pieces[number:])
        if piece.is_text and isinstance(piece.part, str):
            at, count = _place(piece.part, count, late=late)
            if at < len(piece.part):
                halves = [piece._replace(part=piece.part[:at]), piece._replace(part=piece.part[at:])]
                return [*before, *halves[: at > 0]], [halves[1], *pieces[number + 1 :]]
        before.append(piece)
    return before, []


def _place(text: str, count: int, *, late: bool) -> tuple[int, int]:
    """The place after so many characters that are no white space (late: before the next one), and how many lack."""
    for at, character in enumerate(text):
        if not count and (not late or not character.isspace()):
            return at, 0
        count -= not character.isspace()
    return len(text), count


def _without(flat: Flat, prefix: Sequence[Part]) -> Flat:
    """The line without the codes that the prefix has."""
    own = Counter(part.text for part in prefix if isinstance(part, Code))
    head, codes = _left(flat.head, own), [_less(place.code, own) for place in flat.places]
    places = [place._replace(code=code or place.code) for place, code in zip(flat.places, codes, strict=True)]
    taken = frozenset(number for number, code in enumerate(codes) if code is None)
    return replace(flat, head=head, places=places, tail=_left(flat.tail, own), taken=taken)


def _left(parts: Sequence[Part], own: Counter[str]) -> Parts:
    """The parts without these codes, with single spaces where they were."""
    left: list[Part] = []
    for part in parts:
        kept = part if isinstance(part, str) else _less(part, own)
        if isinstance(kept, str) and left and isinstance(left[-1], str):
            kept = single_spaced(written(left.pop()) + kept)
        left += [] if kept is None else [kept]
    return tuple(left)


def _less(code: Code, own: Counter[str]) -> Code | None:
    """What these codes, each of which is counted off when it is found, leave of one: in an enumeration, each goes with
    what stands before it there, or after the first one."""
    left: list[str | Code] = []
    listed = code.listed or (code,)
    for part in listed:
        if isinstance(part, Code) and own[part.text] > 0:
            own[part.text] -= 1
            if left and isinstance(left[-1], str):
                left.pop()
        elif left or isinstance(part, Code):
            left.append(part)
    if len(left) == len(listed):
        return code
    return replace(code, text="".join(map(written, left)), listed=tuple(left)) if left else None


def _count(text: str) -> int:
    return sum(not character.isspace() for character in text)

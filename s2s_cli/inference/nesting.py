"""Codes as a forest of pairs, and where each of its nodes goes in a translation."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import NamedTuple

from s2s_cli.inference.positions import Guide
from s2s_cli.text.codes import Code, Kind


class Place(NamedTuple):
    """A code and where it stands in a text."""

    code: Code
    offset: int
    left: bool  # white space stands before it
    right: bool  # white space stands after it
    joined: bool  # it stands between two words without a space, and one was added


@dataclass
class Node:
    """A single code, or a pair with all that is inside it; `first` and `last` are indices of places. A pair that begins
    before the segment, or ends after it, lacks one of them."""

    start: int  # in the text
    end: int
    first: int | None = None
    last: int | None = None
    paired: bool = False
    children: list[Node] = field(default_factory=list)


def forest(places: Sequence[Place], length: int) -> tuple[list[Node], int]:
    """The nodes of the upper level, and the depth below them. A code that crosses other pairs stands alone.

    length: of the text.
    """
    roots: list[Node] = []
    stack: list[Node] = []
    opened: dict[str, int] = {}
    depth = 0
    for index, (code, offset, *_) in enumerate(places):
        level = stack[-1].children if stack else roots
        if code.kind is Kind.OPEN:
            stack.append(Node(offset, length, first=index, paired=True))
            level.append(stack[-1])
            opened[code.name] = opened.get(code.name, 0) + 1
            depth = max(depth, len(stack))
        elif code.kind is Kind.CLOSE and opened.get(code.name):
            for node in _close(stack, index, places):
                opened[_name(node, places)] -= 1
        elif code.kind is Kind.CLOSE and not stack:  # its pair began before the segment
            roots = [Node(0, offset, last=index, paired=True, children=roots)]
            depth += 1
        else:
            level.append(Node(offset, offset, first=index))
    return roots, depth


def _close(stack: list[Node], index: int, places: Sequence[Place]) -> Iterable[Node]:
    """End the pair that this code closes. Pairs inside it that are open become single codes. Returns all these."""
    closed = []
    while _name(stack[-1], places) != places[index].code.name:
        node = stack.pop()
        stack[-1].children += node.children
        node.children, node.end, node.paired = [], node.start, False
        closed.append(node)
    node = stack.pop()
    node.end, node.last = places[index].offset, index
    return [*closed, node]


def _name(node: Node, places: Sequence[Place]) -> str:
    return "" if node.first is None else places[node.first].code.name


class Mark(NamedTuple):
    """Where a model itself has put a code in its translation."""

    offset: int
    rank: int  # among all marks, from the left


Marks = Mapping[int, Mark]
"""By the indices of places."""


@dataclass(frozen=True)
class Layout:
    """Lays the codes out in a translation. places: of the codes in the source. marks: what the model says of them;
    for the others the guide is asked."""

    places: Sequence[Place]
    guide: Guide
    marks: Marks

    def lay(self, nodes: Sequence[Node], start: int, end: int, laid: list[str | int]) -> None:
        """Append what stands in the translation from `start` to `end`: text, and indices of the codes in it.

        Siblings may change their order; they never overlap, and none leaves its parent.
        """
        cursor, target = start, self.guide.target
        for node, first, last in sorted(self._spans(nodes, start, end), key=self._order):  # of equals the earlier one
            first = min(max(first, cursor), end)
            last = min(max(last, first), end)
            if node.paired and node.first is not None and first < last:
                first = self._after_space(first)
            while node.last is not None and first < last and target[last - 1] == " ":
                last -= 1
            laid.append(target[cursor:first])
            if node.first is not None:
                laid.append(node.first)
            self.lay(node.children, first, last, laid)
            if node.last is not None:
                laid.append(node.last)
            cursor = last
        laid.append(target[cursor:end])

    def _spans(self, nodes: Sequence[Node], start: int, end: int) -> list[_Span]:
        leads = self._leads(nodes)
        return [_Span(node, *self._span(node, start, end, leads=each)) for node, each in zip(nodes, leads, strict=True)]

    def _leads(self, nodes: Sequence[Node]) -> list[bool]:
        """For each node without text whether it goes before the word that follows, from which nothing parts it, as
        white space does from the word before. Nodes that touch are one in this, or they would change their order."""
        groups: list[list[Node]] = []
        for node in nodes:
            if groups and self._touches(groups[-1][-1], node):
                groups[-1].append(node)
            else:
                groups.append([node])
        places = [(self._outer(group[0])[0], self._outer(group[-1])[-1], len(group)) for group in groups]
        return [first.left and not last.right for first, last, count in places for _ in range(count)]

    def _touches(self, node: Node, following: Node) -> bool:
        is_empty = node.start == node.end == following.start == following.end
        return is_empty and not self._outer(node)[-1].right

    def _outer(self, node: Node) -> list[Place]:
        """The first and the last place of a node, as far as it has them."""
        return [self.places[index] for index in (node.first, node.last) if index is not None]

    def _order(self, span: _Span) -> tuple[int, int]:
        node = span.node
        found = self._mark(node.first) or self._mark(node.last)
        return span.first, found.rank if found else -1

    def _span(self, node: Node, start: int, end: int, *, leads: bool) -> tuple[int, int]:
        """Where a node goes, within its parent. leads: as of `_leads`."""
        begin, finish = self._mark(node.first), self._mark(node.last)
        if not node.paired or node.start == node.end:
            found = begin or finish
            if found is None:
                at = self.guide.beside(node.start, leads=leads)
            else:
                at = self._after_space(found.offset) if leads else found.offset
            return at, at
        if begin and finish and self.guide.target[begin.offset : finish.offset].strip():
            first, last = begin.offset, finish.offset
        else:  # a pair around nothing stood around words
            first, last = self.guide.around(node.start, node.end)
        return start if node.first is None else first, end if node.last is None else last

    def _mark(self, index: int | None) -> Mark | None:
        return None if index is None else self.marks.get(index)

    def _after_space(self, at: int) -> int:
        """The place before the word that follows."""
        target = self.guide.target
        return at + 1 if target[at : at + 1] == " " else at


class _Span(NamedTuple):
    node: Node
    first: int
    last: int


def in_order(laid: Sequence[str | int], places: Sequence[Place]) -> list[str | int]:
    """With the codes that have to keep their order in that order, in the same places."""
    items = list(laid)
    groups: dict[str, list[int]] = {}
    for position, item in enumerate(items):
        if isinstance(item, int) and places[item].code.order:
            groups.setdefault(places[item].code.order, []).append(position)
    for positions in groups.values():
        codes = sorted(item for position in positions if isinstance(item := items[position], int))
        for position, code in zip(positions, codes, strict=True):
            items[position] = code
    return items


def ranges_of(phrases: Iterable[str], text: str) -> list[tuple[int, int]]:
    """Where phrases stand in a text, from the left; those that overlap are one.

    The text is read once, whatever the number of phrases: at each character it is asked for as many phrases as there
    are different lengths of those that begin with it.
    """
    known, lengths = set(phrases), dict[str, set[int]]()
    for each in known:
        lengths.setdefault(each[:1], set()).add(len(each))
    longest_first = {character: sorted(own, reverse=True) for character, own in lengths.items()}
    ranges: list[tuple[int, int]] = []
    for start, character in enumerate(text):
        tried = (text[start : start + length] for length in longest_first.get(character, ()))
        end = start + len(next((each for each in tried if each in known), ""))
        if ranges and start < ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(end, ranges[-1][1])
        elif start < end:
            ranges.append((start, end))
    return ranges


def without_codes(
    ranges: Sequence[tuple[int, int]], laid: Sequence[str | int], places: Sequence[Place]
) -> list[str | int]:
    """With no code strictly inside any of these ranges of the text, which do not overlap. The first ones that open
    pairs in it go before it, all others behind it, so that their order stays, and with it how they are nested."""
    if not ranges:
        return list(laid)
    text = "".join(item for item in laid if isinstance(item, str))
    ends = accumulate(len(item) if isinstance(item, str) else 0 for item in laid)
    # where codes stand in the text, and which
    codes = [(end, item) for end, item in zip(ends, laid, strict=True) if isinstance(item, int)]
    starts, last, opens = [start for start, _ in ranges], -1, True
    for number, (at, code) in enumerate(codes):
        within = bisect_left(starts, at) - 1
        if within >= 0 and at < ranges[within][1]:
            opens = (opens or within != last) and places[code].code.kind is Kind.OPEN
            codes[number] = (ranges[within][not opens], code)
            last = within
    cut = [0, *(at for at, _ in codes), len(text)]
    pieces = [text[begin:end] for begin, end in pairwise(cut)]
    return [pieces[0], *(item for (_, code), piece in zip(codes, pieces[1:], strict=True) for item in (code, piece))]

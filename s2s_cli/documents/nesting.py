"""Codes as a forest of pairs, and where each of its nodes goes in a translation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from s2s_cli.documents.document import Code, Kind, Part
from s2s_cli.documents.positions import Guide


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


def lay(
    nodes: Sequence[Node], places: Sequence[Place], start: int, end: int, guide: Guide, laid: list[str | int]
) -> None:
    """Append what stands in the translation from `start` to `end`: text, and indices of the codes in it.

    Siblings may change their order; they never overlap, and none leaves its parent.
    """
    spans = [(node, *_span(node, places, start, end, guide)) for node in nodes]
    cursor = start
    for node, first, last in sorted(spans, key=lambda span: span[1]):  # stable: of equals the earlier one
        first = min(max(first, cursor), end)
        last = min(max(last, first), end)
        laid.append(guide.target[cursor:first])
        if node.first is not None:
            laid.append(node.first)
        lay(node.children, places, first, last, guide, laid)
        if node.last is not None:
            laid.append(node.last)
        cursor = last
    laid.append(guide.target[cursor:end])


def _span(node: Node, places: Sequence[Place], start: int, end: int, guide: Guide) -> tuple[int, int]:
    """Where a node goes, within its parent."""
    if not node.paired or node.start == node.end:
        place = None if node.first is None else places[node.first]
        at = guide.beside(node.start, leads=place is not None and place.left and not place.right)
        return at, at
    first, last = guide.around(node.start, node.end)
    return start if node.first is None else first, end if node.last is None else last


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

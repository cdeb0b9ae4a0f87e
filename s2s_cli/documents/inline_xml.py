"""Inline codes of the bilingual XML formats, XLIFF and TMX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from s2s_cli.documents.xml import Element, XmlDocument, escaped, text_parts, tokens
from s2s_cli.text.codes import Code, Kind, Part, Parts
from s2s_cli.text.protected import with_codes


class InlineXml(XmlDocument):
    """XML with inline codes, of which tables tell what they are, by the names of elements without prefix."""

    bilingual = True
    dividing: ClassVar[re.Pattern[str]] = re.compile(r"\n\s*")
    """White space that breaks a text whose lines are kept."""
    around: ClassVar[tuple[str, ...]]
    """Elements around text that is translated."""
    opening: ClassVar[Mapping[str, tuple[str, ...]]]
    """Elements that open a pair, and those of their attributes that name it, of which the first one there counts."""
    closing: ClassVar[Mapping[str, tuple[str, ...]]]

    def inline(self, element: Element, *, keeps_lines: bool = False) -> Parts:
        """The content of an element. keeps_lines: whether newlines, or all of `dividing`, break the text, or are white
        space as any other."""
        groups: list[list[Part]] = []
        cursor = element.inner
        children = iter(element.children)
        for child in children:
            groups.append(self._between(cursor, child.start, keeps_lines=keeps_lines))
            if self._pair(child, self.opening) and self._is_fixed(child):
                cursor = self._end_of_fixed(child, children, element.inner_end)
                groups.append([Code(self.text[child.start : cursor])])
            else:
                groups.append(self._code(child, keeps_lines=keeps_lines))
                cursor = child.end
        groups.append(self._between(cursor, element.inner_end, keeps_lines=keeps_lines))
        return tuple(part for group in _with_partners(groups) for part in group)

    def written(self, parts: Parts) -> str:
        """A translation as the content of an element."""
        return "".join(part.text if isinstance(part, Code) else escaped(part) for part in parts)

    def space_before(self, element: Element) -> str:
        """The white space between an element and what stands before it."""
        before = self.text[element.parent.inner if element.parent else 0 : element.start]
        return before[len(before.rstrip()) :]

    def _between(self, start: int, end: int, *, keeps_lines: bool) -> list[Part]:
        """What stands between two child elements."""
        parts: list[Part] = []
        for match in tokens(self.text, start, end):
            raw = match.group()
            if raw.startswith(("<!--", "<?")):
                parts.append(Code(raw, wide=False))
                continue
            for part in text_parts(raw):
                is_divided = keeps_lines and isinstance(part, str)
                parts += with_codes(part, self.dividing, Kind.BREAK) if is_divided else [part]
        return parts

    def _code(self, element: Element, *, keeps_lines: bool) -> list[Part]:
        """An inline element, with its content if that is translated."""
        raw, name = self.text[element.start : element.end], element.local
        if name in self.around and element.inner_end < element.end and not self._is_fixed(element):
            # The sentences of a text that was segmented by others never move.
            is_sentence = self.attributes(element).get("mtype") == "seg"
            kinds = (Kind.BREAK, Kind.BREAK) if is_sentence else (Kind.OPEN, Kind.CLOSE)
            first = Code(self.tag(element), kinds[0], f"{name} {element.start}")
            last = Code(self.text[element.inner_end : element.end], kinds[1], first.name)
            return [first, *self.inline(element, keeps_lines=keeps_lines), last]
        for kind, table in ((Kind.OPEN, self.opening), (Kind.CLOSE, self.closing)):
            if pair := self._pair(element, table):
                return [Code(raw, kind, pair)]
        return [Code(raw)]

    def _is_fixed(self, element: Element) -> bool:
        """Whether it says that what it marks is not translated."""
        found = self.attributes(element)
        return found.get("translate") == "no" or found.get("mtype") == "protected"

    def _pair(self, element: Element, table: Mapping[str, tuple[str, ...]]) -> str:
        """The name of the pair of which an element is a half, by a table; "" if it is none."""
        found = self.attributes(element)
        return next((f"pair {found[each]}" for each in table.get(element.local, ()) if each in found), "")

    def _end_of_fixed(self, opening: Element, following: Iterator[Element], end: int) -> int:
        """Where the text ends that is not translated from an opening half on: behind the other half, or behind the
        element that holds that; at `end` if there is none. following: the elements after it, which are used up."""
        pair = self._pair(opening, self.opening)
        for sibling in following:
            if any(self._pair(each, self.closing) == pair for each in (sibling, *sibling.all(*self.closing))):
                return sibling.end
        return end


def _with_partners(groups: Sequence[list[Part]]) -> Iterator[list[Part]]:
    """The children of an element, where halves of a pair whose other half is not among them stand alone: a pair that
    reached into another element, or out of this one, could not move without tearing that apart."""
    halves: dict[int, Code] = {}
    whole: set[int] = set()
    waiting: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        if any(isinstance(part, Code) and part.kind is Kind.BREAK for part in group):
            waiting.clear()
        part = group[0] if len(group) == 1 else ""
        if not isinstance(part, Code) or part.kind not in (Kind.OPEN, Kind.CLOSE):
            continue
        halves[index] = part
        if part.kind is Kind.OPEN:
            waiting.setdefault(part.name, []).append(index)
        elif waiting.get(part.name):
            whole |= {index, waiting[part.name].pop()}
    for index, group in enumerate(groups):
        lonely = index in halves and index not in whole
        yield [replace(halves[index], kind=Kind.ALONE, order="tag")] if lonely else group

"""The text of a part of a DOCX: paragraphs of runs, `w:p` of `w:r`.

A run is text of one format. The format that most of a paragraph has is the paragraph's own; text of another one is a
pair of codes, so that emphasis goes with its words. A translated paragraph is written as new runs. What is known to be
safe to move (links, notes, pictures, fields) is a code; everything else divides texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from s2s_cli.documents.document import Edit, Unit
from s2s_cli.documents.xml import Element, XmlDocument, attribute_spans, escaped, has_text, text_parts, tokens
from s2s_cli.errors import printable
from s2s_cli.text.codes import Code, Kind, Part, Parts
from s2s_cli.text.languages import Languages

_WRAPPERS = {"hyperlink", "smartTag", "ins", "moveTo", "customXml", "dir", "bdo"}
_DIVIDING = {"tab", "br", "cr", "ptab"}
_STALE = {"pPr", "rPr", "proofErr", "lastRenderedPageBreak"}
"""What a paragraph or a run has besides text and codes: formats, which are written elsewhere, and notes of a word
processor on the old text, which it makes anew."""
_WIDE = {"oMath", "oMathPara", "fldSimple"}  # between runs, and as wide as a word; everything else marks a place there
_UNREAD = {"fldSimple", "moveFrom"}  # between runs; their text is a result, or was moved away
_OF_FIELDS = {"fldChar", "instrText", "delInstrText"}
_NARROW = {"commentReference", "annotationRef", "softHyphen"}  # in a run, and without width
_RAISED = re.compile(r"=[\"'](?:super|sub)script[\"']")
_UNSEEN = re.compile(r"<(?:\w+:)?(?:lang|noProof)\b[^>]*/>")
_EMPTY = re.compile(r"<(?:\w+:)?rPr\s*(?:/>|>\s*</(?:\w+:)?rPr\s*>)")


@dataclass(frozen=True)
class _RunCode(Code):
    """A code that stands inside a run, or the beginning or end of a stretch of text in another format.

    format: of the run: its `w:rPr`, as it is written; None for a code that stands between runs.
    """

    format: str | None = None


@dataclass(frozen=True)
class _Paragraph(Unit):
    """format: that most of its text has."""

    format: str = ""


class _Alternative(Unit):
    """What is said of a picture, in an attribute."""


class _Piece(NamedTuple):
    """What stands in a run, whose format it has, or between runs, where that is None."""

    element: Element
    format: str | None


@dataclass(frozen=True)
class _Text:
    """Text of one or several runs, as it is written in them."""

    raw: str
    format: str

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        return tuple(text_parts(self.raw))

    @property
    def is_number(self) -> bool:
        return not any(isinstance(part, Code) or any(map(str.isalpha, part)) for part in self.parts)

    @cached_property
    def look(self) -> str:
        return _look(self.format)


_Item = _Text | Code


class WordPart(XmlDocument):
    """One XML file of the archive."""

    def __init__(self, data: bytes, name: str, languages: Languages) -> None:
        self.data = data
        super().__init__(data, name, languages)

    def place(self, unit: Unit) -> str:
        return self.name

    def find_units(self) -> Iterator[Unit]:
        top = self.parsed()
        self._prefix = top.name.rpartition(":")[0]
        for picture in top.all("docPr"):
            for name, (start, end) in attribute_spans(self.tag(picture)).items():
                start, end = picture.start + start, picture.start + end
                if name in ("descr", "title") and start < end:
                    yield _Alternative(tuple(text_parts(self.text[start:end])), start, end)
        for paragraph in top.all("p"):
            items = list(self._with_numbers([*_joined(self._items(self._pieces(paragraph.children)))]))
            texts = [item for item in items if isinstance(item, _Text)]
            if paragraph.name == self._named("p") and any(map(_has_words, texts)):
                usual = _usual(items)
                begin = next((child.end for child in paragraph.children if child.local == "pPr"), paragraph.inner)
                yield _Paragraph(tuple(_formatted(items, usual)), begin, paragraph.inner_end, usual)

    def _with_numbers(self, items: Sequence[_Item]) -> Iterator[_Item]:
        """Raised and lowered numbers, of notes and powers, as marks: if they were read as text, they would be a part of
        the word before."""
        for item, following in zip(items, [*items[1:], None], strict=False):
            goes_on = isinstance(following, _Text) and following.raw[:1].isalnum()
            if isinstance(item, _Text) and item.is_number and _RAISED.search(item.format) and not goes_on:
                name = self._named("t")
                raw = f'<{name} xml:space="preserve">{item.raw}</{name}>'
                yield _RunCode(raw, order="mark", wide=False, format=item.format)
            else:
                yield item

    def _named(self, local: str) -> str:
        return f"{self._prefix}:{local}" if self._prefix else local

    def _items(self, pieces: Sequence[_Piece]) -> Iterator[_Item]:
        """Text and codes of a paragraph, or of a part of it."""
        fields = self._fields(pieces)
        position = 0
        while position < len(pieces):
            element, form = pieces[position]
            if position in fields:
                last = fields[position]
                yield from self._field(pieces[position : last + 1])
                position = last
            elif form is None:
                yield from self._between_runs(element)
            else:
                yield self._in_run(element, form)
            position += 1

    def _pieces(self, elements: Sequence[Element]) -> list[_Piece]:
        """The elements, and in the place of runs what is in these."""
        pieces: list[_Piece] = []
        for element in elements:
            if element.local == "r":
                found = element.child("rPr")
                form = self.text[found.start : found.end] if found else ""
                pieces += [_Piece(child, form) for child in element.children if child.local not in _STALE]
            elif element.local not in _STALE:
                pieces.append(_Piece(element, None))
        return pieces

    def _between_runs(self, element: Element) -> Iterator[_Item]:
        content = element.child("sdtContent") if element.local == "sdt" else None
        if element.local in _WRAPPERS and element.inner_end < element.end:
            yield from self._around(element, element)
        elif content and content.inner_end < content.end:
            yield from self._around(element, content)
        else:
            if element.local not in _UNREAD:
                self._tell_of_text(element)
            raw = self.text[element.start : element.end]
            yield _RunCode(raw, order="mark", wide=element.local in _WIDE, start=element.start)

    def _around(self, outer: Element, inner: Element) -> Iterator[_Item]:
        name = f"{outer.local} {outer.start}"
        yield _RunCode(self.text[outer.start : inner.inner], Kind.OPEN, name)
        yield from self._items(self._pieces(inner.children))
        yield _RunCode(self.text[inner.inner_end : outer.end], Kind.CLOSE, name)

    def _in_run(self, element: Element, form: str) -> _Item:
        raw = self.text[element.start : element.end]
        if element.local == "t":
            return _Text("".join(map(_as_text, tokens(self.text, element.inner, element.inner_end))), form)
        if element.local in _DIVIDING | _OF_FIELDS:  # of fields that go beyond the paragraph
            return _RunCode(raw, Kind.BREAK, format=form)
        if element.local in _NARROW:
            return _RunCode(raw, order="mark", wide=False, start=element.start, format=form)
        self._tell_of_text(element)
        return _RunCode(raw, start=element.start, format=form)

    def _tell_of_text(self, element: Element) -> None:
        """Note text in an element that is not translated, as ruby is, but for that of paragraphs of its own."""
        if self._holds_text(element):
            reason = f"the text in <{printable(element.name, 30)}> is not read"
            self.skipped.setdefault(reason, []).append(Unit((), element.start, element.end))

    def _holds_text(self, element: Element) -> bool:
        return any(
            has_text(self.content(child)) if child.name == self._named("t") else self._holds_text(child)
            for child in element.children
            if child.local != "p"
        )

    def _fields(self, pieces: Sequence[_Piece]) -> dict[int, int]:
        """Of each field that begins and ends among these pieces, the places of its first and its last one."""
        found: dict[int, int] = {}
        begins: list[int] = []
        for index, piece in enumerate(pieces):
            mark = self._mark(piece)
            if mark == "begin":
                begins.append(index)
            elif mark == "end" and begins:
                found[begins.pop()] = index
        return found

    def _mark(self, piece: _Piece) -> str:
        """Which mark of a field it is: `begin`, `separate`, `end`; "" if it is none."""
        is_mark = piece.format is not None and piece.element.local == "fldChar"
        return self.attributes(piece.element).get(self._named("fldCharType"), "") if is_mark else ""

    def _field(self, pieces: Sequence[_Piece]) -> Iterator[_Item]:
        """A field, whose result is computed, and so no text to translate, unless it is a link. It may share its first
        and its last run with other text, so what is written of it begins and ends inside a run."""
        start, end = pieces[0].element.start, pieces[-1].element.end
        marks = [self._mark(piece) for piece in pieces]
        codes = "".join(self.content(element) for element, _ in pieces if element.local == "instrText")
        if codes.split()[:1] == ["HYPERLINK"] and [*filter(None, marks)] == ["begin", "separate", "end"]:
            middle, name = marks.index("separate"), f"field {start}"
            opening = self.text[start : pieces[middle].element.end]
            yield _RunCode(opening, Kind.OPEN, name, format=pieces[0].format)
            yield from self._items(pieces[middle + 1 : -1])
            yield _RunCode(self.text[pieces[-1].element.start : end], Kind.CLOSE, name, format=pieces[-1].format)
        else:
            yield _RunCode(self.text[start:end], start=start, format=pieces[0].format)

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        if isinstance(unit, _Alternative):
            pieces = [raw(part) if isinstance(part, Code) else escaped(part) for part in parts]
            text = "".join(pieces).replace('"', "&quot;").replace("'", "&apos;")  # also those in codes
            return [Edit(unit.start, unit.end, text)]
        assert isinstance(unit, _Paragraph)
        writer = _Runs(self._prefix, unit.format)
        for part in parts:
            writer.add(part, raw)
        return [Edit(unit.start, unit.end, writer.finish())]


class _Runs:
    """Writes runs: one for each stretch of text of one format."""

    def __init__(self, prefix: str, form: str) -> None:
        self._prefix = f"{prefix}:" if prefix else ""
        self._formats = [form]
        self._pieces: list[str] = []
        self._text: list[str] = []

    def add(self, part: Part, raw: Callable[[Code], str]) -> None:
        """Text, or a code."""
        if isinstance(part, str):
            self._text.append(escaped(part))
        elif not isinstance(part, _RunCode):  # a placeholder inside the text
            self._text.append(part.text)
        else:
            self._close()
            if part.name.startswith("format"):
                if part.kind is Kind.OPEN:
                    self._formats.append(part.format or "")
                else:
                    self._formats.pop()
            elif part.format is None:
                self._pieces.append(raw(part))
            else:
                self._pieces.append(self._run(part.format, raw(part)))

    def finish(self) -> str:
        """All that was added."""
        self._close()
        return "".join(self._pieces)

    def _close(self) -> None:
        if self._text:
            text = f'<{self._prefix}t xml:space="preserve">{"".join(self._text)}</{self._prefix}t>'
            self._pieces.append(self._run(self._formats[-1], text))
        self._text = []

    def _run(self, form: str, content: str) -> str:
        return f"<{self._prefix}r>{form}{content}</{self._prefix}r>"


def _as_text(token: re.Match[str]) -> str:
    """What is text of a token inside an element of text, as it is written there."""
    raw = token.group()
    if raw.startswith("<![CDATA["):
        return escaped(raw[9:-3])
    return "" if raw.startswith("<") else raw


def _has_words(text: _Text) -> bool:
    return any(isinstance(part, str) and part.strip() for part in text.parts)


def _look(form: str) -> str:
    """A format without what is not seen: whether and in which language the spelling is checked; "" if nothing is
    left."""
    seen = _UNSEEN.sub("", form)
    return "" if _EMPTY.fullmatch(seen) else seen


def _usual(items: Sequence[_Item]) -> str:
    """The format of most of the text that looks as most of the text does. That of links does not count where there is
    other text, for the spaces around a link would get it too."""
    looks: Counter[tuple[bool, str]] = Counter()
    formats: Counter[tuple[bool, str]] = Counter()
    inside = 0  # links and the like
    for item in items:
        if isinstance(item, _Text):
            outside = not inside and _has_words(item)
            size = sum(len(part) for part in item.parts if isinstance(part, str))
            looks[outside, item.look] += size
            formats[outside, item.format] += size
        else:
            inside += {Kind.OPEN: 1, Kind.CLOSE: -1}.get(item.kind, 0)
    return max(formats, key=lambda key: (key[0], looks[key[0], _look(key[1])], formats[key]))[1]


def _joined(items: Iterable[_Item]) -> Iterator[_Item]:
    """The items, with texts that follow one another in one format as one text: word processors cut a text into runs
    anywhere, and so a placeholder or an address."""
    for look, group in groupby(items, key=lambda item: item.look if isinstance(item, _Text) else None):
        if look is None:
            yield from group
        else:
            texts = [item for item in group if isinstance(item, _Text)]
            yield replace(texts[0], raw="".join(text.raw for text in texts))


def _formatted(items: Sequence[_Item], usual: str) -> Iterator[Part]:
    """The parts of a paragraph, with pairs of codes around text in another format than the usual one."""
    usual_look = _look(usual)
    opened: _RunCode | None = None
    for index, item in enumerate(items):
        if isinstance(item, _Text):
            is_usual = item.look == usual_look
            if opened and (is_usual or _look(opened.format or "") != item.look):
                yield replace(opened, kind=Kind.CLOSE)
                opened = None
            if not opened and not is_usual:
                opened = _RunCode("", Kind.OPEN, f"format {index}", format=item.format)
                yield opened
            yield from item.parts
        else:
            if opened and item.kind is not Kind.ALONE:
                yield replace(opened, kind=Kind.CLOSE)
                opened = None
            yield item
    if opened:
        yield replace(opened, kind=Kind.CLOSE)

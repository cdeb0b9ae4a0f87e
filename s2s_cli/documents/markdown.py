"""Markdown, as CommonMark with tables. Blocks are found by markdown-it-py, whose rules for lists, quotes and code are
those of the standard; it tells the lines of a block, in which its text is then looked for. The marks inside a text are
found by `markdown_marks`, since the library does not tell their places."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.documents.document import Edit, TextDocument, Unit
from s2s_cli.documents.html import Attribute, HtmlReader, text_parts, written
from s2s_cli.documents.markdown_emphasis import settled, with_emphasis
from s2s_cli.documents.markdown_marks import Mark, label_of, marks
from s2s_cli.errors import UsageError
from s2s_cli.text.codes import Code, Kind, Part, Parts
from s2s_cli.text.protected import with_placeholders

if TYPE_CHECKING:
    from markdown_it.token import Token

_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
_FRONT = re.compile(
    r"\ufeff?(?:---[ \t]*\r?\n(?:.*\n)*?(?:---|\.\.\.)|\+\+\+[ \t]*\r?\n(?:.*\n)*?\+\+\+)[ \t]*(?:\r?\n|\Z)"
)
_TITLE = re.compile(r"\s(?P<quote>[\"'])(?P<title>[^\"'\\|\n]*)(?P=quote)\s*\)\Z")
_HASHES = re.compile(r"[^#]*#+[ \t]*")
_SPECIAL = re.compile(r"[\\`*\[\]<]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w{1,31};)")  # an underscore in a word means nothing
_BLOCK = re.compile(
    r"#{1,6}(?=\s|\Z)|>|[-+*](?=\s|\Z)|={3,}|-{3,}|[=-]+(?=[ \t]*(?:[\r\n]|\Z))|~~~|\|"
    r"|(?P<number>\d{1,9})[.)](?=\s|\Z)"
)
_CLOSING_HASHES = re.compile(r"(?<!\S)(?=#+\Z)")
_LINE_END = re.compile(r"[\r\n]")


class _Line(NamedTuple):
    """A line of the text of a block, and where it stands in the file."""

    text: str
    start: int


class _Lines:
    """The text of a block, and where it stands in the file: its lines do not follow one another there."""

    def __init__(self, lines: Sequence[_Line]) -> None:
        self.text = "\n".join(line.text for line in lines)
        self._places = [line.start for line in lines]
        self._starts = [0, *accumulate(len(line.text) + 1 for line in lines)][:-1]

    def place(self, position: int) -> int:
        """The place in the file of a position in the text."""
        line = bisect_right(self._starts, position) - 1
        return self._places[line] + position - self._starts[line]


@dataclass(frozen=True)
class _Text(Unit):
    """plain: the special characters that stand for themselves in the source without a backslash, and so may do it in
    the translation. begins: where its lines begin, as far as they could be taken for the beginning of a block."""

    plain: frozenset[str] = frozenset()
    begins: tuple[int, ...] = ()
    in_table: bool = False
    in_heading: bool = False
    """Of those with hash signs before them, and maybe behind them."""


class _Title(Attribute):
    """The title of a link, in whose source is neither a backslash nor a sign that divides cells."""


class Markdown(TextDocument):
    """Paragraphs, headings, items and cells are translated, as texts of one line; code and front matter stay."""

    def find_units(self) -> Iterator[Unit]:
        lines = [_Line(match[1], match.start()) for match in _LINE.finditer(self.text)]
        front = _FRONT.match(self.text)
        body = (
            "\n" * front.group().count("\n") + self.text[front.end() :] if front else self.text.removeprefix("\ufeff")
        )
        tokens, labels = _blocks(body)
        cells: dict[int, int] = {}  # where the last cell of a row ends
        for before, token in zip([None, *tokens], tokens, strict=False):
            if token.type == "html_block" and not token.level and token.map:
                first, last = (lines[number].start for number in (token.map[0], min(token.map[1], len(lines) - 1)))
                yield from HtmlReader(self.text).units(first, last)
            elif token.type == "inline" and before and token.map and token.content.strip():
                found = _located(token, before, lines, cells)
                if found:
                    row = lines[token.map[0]].start if before.type in ("td_open", "th_open") else None
                    yield from self._units(_Lines(found), labels, row=row, in_heading=_is_hashed(before))

    def _units(self, lines: _Lines, labels: set[str], *, row: int | None, in_heading: bool) -> Iterator[Unit]:
        """The unit of a block with these lines, and before it those of its images. row: of a cell, where its row
        begins."""
        in_table, start = row is not None, lines.place(0)
        begins = [start] if row is None or self.text.find("|", row, start) < 0 else []
        parts: list[Part] = []
        found = marks(lines.text, labels)
        for is_text, group in groupby(found, key=lambda mark: isinstance(mark.part, str)):
            if is_text:
                parts += _text_parts(list(group))
                continue
            for mark in group:
                code, inner = self._code(mark, lines, in_table=in_table)
                yield from inner
                parts.append(code)
                if _ends_line(code):
                    begins.append(lines.place(mark.start + len(mark.raw)))
        plain = _plain([mark.raw for mark in found if mark.part == mark.raw and mark.raw[0] != "\\"])
        plain -= {str(mark.part) for mark in found if mark.raw == f"\\{mark.part}"}
        end = lines.place(len(lines.text) - 1) + 1
        yield _Text(tuple(parts), start, end, plain, tuple(begins), in_table, in_heading)

    def _code(self, mark: Mark, lines: _Lines, *, in_table: bool) -> tuple[Code, list[Unit]]:
        """The code of a mark that is no text, and the units inside it."""
        assert isinstance(mark.part, Code)
        start = lines.place(mark.start)
        if mark.part.kind is Kind.BREAK and "\n" in mark.raw:
            # with what begins the next line of a list or a quote
            return Code(self.text[start : lines.place(mark.start + len(mark.raw))], Kind.BREAK), []
        inner = list(self._read(mark, start, in_table=in_table)) if mark.part.text == mark.raw else []
        return replace(mark.part, start=start) if inner else mark.part, inner

    def _read(self, mark: Mark, start: int, *, in_table: bool) -> Iterator[Unit]:
        """What people read in a code of one line: the text of an image, a title, attributes of a tag."""
        if mark.inner:
            first, last = (start + position - mark.start for position in mark.inner)
            alternative = tuple(with_placeholders(self.text[first:last]))
            yield _Text(alternative, first, last, _plain(alternative), in_table=in_table)
        if mark.raw.startswith("<") and not in_table:
            yield from HtmlReader(self.text).units(start, start + len(mark.raw))
        elif mark.raw.startswith(("![", "](")) and (found := _TITLE.search(mark.raw)):
            first, last = (start + position for position in found.span("title"))
            yield _Title(tuple(text_parts(found["title"], found["quote"])), first, last)

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        if not isinstance(unit, _Text):
            text = written(unit, parts, raw)
            text = re.sub(r"[\\|]", r"\\\g<0>", text) if isinstance(unit, _Title) else text
            return [Edit(unit.start, unit.end, text)]
        placed = settled(parts)
        pieces = [raw(part) if isinstance(part, Code) else _escaped(part, unit) for part in placed]
        lines: list[list[str]] = [[]]
        for part, piece in zip(placed, with_emphasis(placed, pieces), strict=True):
            lines[-1].append(piece)
            if _ends_line(part):
                lines.append([])
        texts = ["".join(line) for line in lines]
        for number, begin in enumerate(unit.begins):
            texts[number] = self._guarded(texts[number], begin)
        text = "".join(texts)
        return [Edit(unit.start, unit.end, _CLOSING_HASHES.sub(r"\\", text) if unit.in_heading else text)]

    def _guarded(self, line: str, begin: int) -> str:
        """A line that does not begin a block, unless it begins as the line of the source does. begin: of that one."""
        found, in_source = _BLOCK.match(line), _BLOCK.match(self.text, begin)
        if not found or (in_source and in_source.group() == found.group()):
            return line
        at = found.end("number") if found["number"] else 0
        return f"{line[:at]}\\{line[at:]}"


def _blocks(text: str) -> tuple[list[Token], set[str]]:
    """The blocks of a text, and the labels that it defines for links."""
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        raise UsageError("Markdown needs markdown-it-py", hint="pip install 's2s-cli[documents]'") from None
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    found: dict[str, dict[str, object]] = {}
    tokens = parser.parse(text, found)
    return tokens, {label_of(label) for label in found.get("references", ())}


def _located(token: Token, before: Token, lines: Sequence[_Line], cells: dict[int, int]) -> list[_Line] | None:
    """The lines of a block's text where they stand in the file; None where they do not stand there as the parser read
    them."""
    assert token.map is not None
    first = token.map[0]
    content = token.content.split("\n")
    if before.type in ("td_open", "th_open"):
        text = token.content.strip().replace("|", "\\|")
        at = lines[first].text.find(text, cells.get(first, 0))
        cells[first] = at + len(text)
        return None if at < 0 else [_Line(text, lines[first].start + at)]
    if _is_hashed(before):
        found = _HASHES.match(lines[first].text)
        at = lines[first].text.find(token.content, found.end() if found else 0)
        return None if at < 0 else [_Line(token.content, lines[first].start + at)]
    located = []
    for number, text in enumerate(content):
        text = text.lstrip() if number < len(content) - 1 else text.strip()
        line = lines[first + number]
        whole = line.text if number < len(content) - 1 else line.text.rstrip()
        if not whole.endswith(text):
            return None
        located.append(_Line(text, line.start + len(whole) - len(text)))
    return located


def _is_hashed(token: Token) -> bool:
    return token.type == "heading_open" and token.markup.startswith("#")


def _ends_line(part: Part) -> bool:
    return isinstance(part, Code) and part.kind is Kind.BREAK and _LINE_END.search(part.text) is not None


def _text_parts(found: Sequence[Mark]) -> Iterator[Part]:
    """The parts of marks that are text. Several of them may make one placeholder or address: what is between the
    underscores of a name, and `\\_`."""
    text, raw = "", ""
    places: list[int] = []  # in the raw text, of each character
    for mark in found:
        places += [len(raw) + (position if mark.part == mark.raw else 0) for position in range(len(str(mark.part)))]
        text += str(mark.part)
        raw += mark.raw
    places.append(len(raw))
    position = 0
    for part in with_placeholders(text.replace("\n", " "), tags=False):
        start, position = position, position + len(part.text if isinstance(part, Code) else part)
        if isinstance(part, Code):
            part = replace(part, text=raw[places[start] : places[position]].replace("\n", " "))
        yield part


def _plain(parts: Sequence[Part]) -> frozenset[str]:
    return frozenset(sign for part in parts if isinstance(part, str) for sign in _SPECIAL.findall(part))


def _escaped(text: str, unit: _Text) -> str:
    text = _SPECIAL.sub(lambda match: match.group() if match.group() in unit.plain else f"\\{match.group()}", text)
    return text.replace("|", "\\|") if unit.in_table else text

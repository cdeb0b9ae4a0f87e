"""PO files of GNU gettext. Of the libraries, polib was weighed: it writes a file anew from what it has parsed, wrapped
its own way, while here lines that are not translated must stay as they were; and a PO file is easily read by lines."""

from __future__ import annotations

import gettext
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from s2s_cli.documents.document import Code, Edit, Kind, Part, Parts, TextDocument, Unit
from s2s_cli.documents.placeholders import ANYWHERE, BRACES, PERCENT, divided_at, with_placeholders
from s2s_cli.errors import DataError, printable

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_STRING = re.compile(r'\s*(?P<word>\w+(?:\[\d{1,3}\])?)?\s*"(?P<text>(?:[^"\\]|\\.)*+)"\s*')
_CHARSET = re.compile(rb"charset=([\w.:-]+)")
_TEMPLATE = re.compile(r"(?<=charset=)CHARSET\b")
_PLURALS = re.compile(r"nplurals\s*=\s*(\d{1,2})\s*;\s*plural\s*=\s*([^;\n]{1,500})")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_UNESCAPED = str.maketrans(
    {chr(code): f"\\{code:03o}" for code in range(32)}
    | {sign: f"\\{letter}" for letter, sign in _ESCAPED.items()}
    | {'"': '\\"', "\\": "\\\\"}
)
_CONTROL = re.compile(r"[\x00-\x1f]+")
_WIDTH = 77  # characters of a line between its quotes, as gettext's tools wrap them
_COUNTS = range(1000)

_PERCENT = {"c", "objc", "python", "php", "perl", "sh", "awk", "lua", "tcl", "javascript", "gfc-internal"}
_BRACES = {"python-brace", "perl-brace", "csharp", "java", "java-printf", "qt", "qt-plural", "kde", "kde-kuit", "boost"}
"""Formats of programs whose placeholders are known here; texts of others are not translated."""


class _String(NamedTuple):
    """A string over one or several lines, and where it stands, its quotes included."""

    text: str
    start: int
    end: int
    lines: int


@dataclass
class _Entry:
    """An entry: `msgid`, `msgid_plural`, `msgstr` or `msgstr[n]`, `msgctxt`, and its flags."""

    flags: set[str] = field(default_factory=set)
    strings: dict[str, _String] = field(default_factory=dict)


@dataclass(frozen=True)
class _Message(Unit):
    """`wrapped`: whether the source is, so that its translation is too. `doubled`: characters that stand for themselves
    only if they are doubled."""

    wrapped: bool
    doubled: str


class Po(TextDocument):
    """Messages whose `msgstr` is empty are translated, each plural form by itself. Marks as fuzzy stay as they are."""

    bilingual = True

    def declared_encoding(self, data: bytes) -> str | None:
        found = _CHARSET.search(data)
        name = found.group(1).decode() if found else "UTF-8"
        return "UTF-8" if name == "CHARSET" else name  # as it stands in a template

    def find_units(self) -> Iterator[Unit]:
        self._end_of_line = "\r\n" if "\r\n" in self.text else "\n"
        entries = list(self._entries())
        header = next((each for each in entries if self._is_header(each)), None)
        plurals = _Plurals(header.strings["msgstr"].text if header and "msgstr" in header.strings else "")
        for entry in entries:
            if not self._is_header(entry):
                yield from self._messages(entry, plurals)

    def _is_header(self, entry: _Entry) -> bool:
        return "msgctxt" not in entry.strings and not entry.strings["msgid"].text

    def _entries(self) -> Iterator[_Entry]:
        """All entries that are not obsolete. Raises DataError at the first line that is none of a PO file."""
        entry, word, position = _Entry(), "", 0
        for match in _LINE.finditer(self.text):
            line, position = match.group().lstrip("\ufeff"), match.end()
            start = position - len(line)
            if line.lstrip().startswith("#"):
                if "msgid" in entry.strings and word.startswith("msgstr"):
                    yield self._checked(entry, start)
                    entry, word = _Entry(), ""
                if line.startswith("#~") and not entry.strings:  # its flags were those of an obsolete entry
                    entry.flags.clear()
                if line.startswith("#,"):
                    entry.flags |= {flag.strip() for flag in line[2:].split(",")}
            elif line.strip() and not line.startswith("domain"):
                found = _STRING.fullmatch(line)
                begins = found["word"] if found else None
                if found is None or not (begins or word):
                    raise self._error("this is no line of a PO file", start)
                if begins in ("msgctxt", "msgid") and any(each.startswith("msgstr") for each in entry.strings):
                    yield self._checked(entry, start)
                    entry = _Entry()
                word = self._add(entry, begins or word, found, start, is_new=bool(begins))
        if entry.strings:
            yield self._checked(entry, position)

    def _add(self, entry: _Entry, word: str, found: re.Match[str], start: int, *, is_new: bool) -> str:
        """Add a line to its string; return the word that begins the string."""
        known = re.fullmatch(r"msgctxt|msgid|msgid_plural|msgstr(\[\d+\])?", word)
        if not known or (is_new and word in entry.strings):
            raise self._error(f"`{printable(word, 30)}` is not expected here", start)
        begin, end = start + found.start("text") - 1, start + found.end("text") + 1
        before = entry.strings.get(word, _String("", begin, end, 0))
        text = before.text + _ESCAPE.sub(_unescaped, found["text"])
        entry.strings[word] = _String(text, before.start, end, before.lines + 1)
        return word

    def _checked(self, entry: _Entry, at: int) -> _Entry:
        words = list(entry.strings)
        if "msgid" not in words or not any(word.startswith("msgstr") for word in words):
            raise self._error("the entry before this line has no msgid or no msgstr", at)
        if ("msgid_plural" in words) != ("msgstr" not in words):
            raise self._error("the entry before this line has a msgstr that does not fit its msgid_plural", at)
        return entry

    def _error(self, what: str, at: int) -> DataError:
        place = f"{self.name}:{self.line_of(min(at, max(0, len(self.text) - 1)))}"
        return DataError(what, where=place, hint="`msgfmt -c` checks a file")

    def _messages(self, entry: _Entry, plurals: _Plurals) -> Iterator[Unit]:
        formats = {flag[: -len("-format")] for flag in entry.flags if flag.endswith("-format")}
        formats = {name.removeprefix("possible-") for name in formats if not name.startswith(("no-", "impossible-"))}
        if not formats <= _PERCENT | _BRACES:
            return
        doubled = "%" if formats & _PERCENT else "{}" if "python-brace" in formats else ""
        pattern = {"%": PERCENT, "{}": BRACES, "": ANYWHERE}[doubled]
        single, plural = entry.strings["msgid"], entry.strings.get("msgid_plural")
        for word, target in entry.strings.items():
            if not word.startswith("msgstr") or target.text:
                continue
            parts = _parts(single.text, pattern)
            source = single
            if plural:
                parts_of_plural = _parts(plural.text, pattern)
                fits = plurals.suits(int(word[7:-1]), _codes(parts), _codes(parts_of_plural))
                source, parts = (single, parts) if fits else (plural, parts_of_plural)
            if source.text.strip():
                yield _Message(parts, target.start, target.end, source.lines > 1, doubled)

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        assert isinstance(unit, _Message)
        text = "".join(raw(part) if isinstance(part, Code) else _doubled(part, unit.doubled) for part in parts)
        return [Edit(unit.start, unit.end, _quoted(text, self._end_of_line, wrapped=unit.wrapped))]

    def closing_edits(self) -> Iterable[Edit]:
        """A template does not name its encoding, and translations need one."""
        found = _TEMPLATE.search(self.text)
        return [Edit(*found.span(), self.encoding.upper())] if found else []


class _Plurals:
    """Which plural form is of which numbers, by the header. Without one, the first is of 1 alone."""

    def __init__(self, header: str) -> None:
        self._forms: list[int | None] | None = None
        if found := _PLURALS.search(header):
            try:
                form = gettext.c2py(found.group(2))
                self._forms = [form(count) for count in _COUNTS]
            except (ValueError, ArithmeticError, RecursionError):  # a template, or nonsense
                pass

    def suits(self, form: int, codes: Counter[str], codes_of_plural: Counter[str]) -> bool:
        """Whether the singular is the source of a form, by the placeholders that both have. One that is for 1 alone
        need not tell the number; one that is for 1 and others has to."""
        if not (self._forms[1] == form if self._forms else form == 0):
            return False
        alone = not self._forms or self._forms.count(form) == 1
        return codes <= codes_of_plural if alone else codes == codes_of_plural


def _parts(text: str, pattern: re.Pattern[str]) -> Parts:
    """The text with its placeholders; control characters, such as ends of lines, break it."""
    parts: list[Part] = []
    for part in with_placeholders(text, pattern=pattern):
        parts += [part] if isinstance(part, Code) else divided_at(part, _CONTROL)
    return tuple(parts)


def _codes(parts: Parts) -> Counter[str]:
    return Counter(part.text for part in parts if isinstance(part, Code) and part.kind is not Kind.BREAK)


def _doubled(text: str, signs: str) -> str:
    return text.translate({ord(sign): 2 * sign for sign in signs})


def _unescaped(match: re.Match[str]) -> str:
    octal, hexadecimal, letter = match.groups()
    if letter:
        return _ESCAPED.get(letter, letter)
    return chr(int(octal, 8) if octal else int(hexadecimal, 16))


def _quoted(text: str, end_of_line: str, *, wrapped: bool) -> str:
    """The text as a string of a PO file: in one line, or wrapped as gettext's tools do it."""
    if not wrapped:
        return f'"{text.translate(_UNESCAPED)}"'
    lines = [line.translate(_UNESCAPED) for line in re.findall(r"[^\n]*\n|[^\n]+", text)]
    pieces = [piece for line in lines for piece in _wrapped(line)]
    return end_of_line.join(f'"{piece}"' for piece in (pieces if len(pieces) == 1 else ["", *pieces]))


def _wrapped(line: str) -> Iterator[str]:
    """Pieces of a line, each of which ends with a space or is the last one."""
    piece = ""
    for word in re.findall(r"[^ ]* +|[^ ]+", line):
        if piece and len(piece) + len(word.rstrip()) > _WIDTH:
            yield piece
            piece = ""
        piece += word
    yield piece

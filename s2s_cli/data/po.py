"""PO files of GNU gettext, by lines: their entries, and the pairs that these are.

Of the libraries, polib was weighed: it writes a file anew from what it has parsed, wrapped its own way, while documents
(`s2s_cli.documents.po`) need to know where each string stands; and a PO file is easily read by lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from s2s_cli.compression import reading
from s2s_cli.errors import DataError, printable
from s2s_cli.text.encoding import decoded
from s2s_cli.text.languages import Languages, is_same_language

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_STRING = re.compile(r'\s*+(?P<word>\w+(?:\[\d{1,3}\])?)?\s*+"(?P<text>(?:[^"\\]|\\.)*+)"\s*')
_CHARSET = re.compile(rb"charset=([\w.:-]+)")
_LANGUAGE = re.compile(r"^Language:[ \t]*([\w.@-]+)", re.MULTILINE)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|(.))", re.DOTALL)
ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
"""What a letter after a backslash stands for."""


class PoString(NamedTuple):
    """A string over one or several lines, and where it stands, its quotes included."""

    text: str
    start: int
    end: int
    lines: int


@dataclass
class Entry:
    """An entry: `msgid`, `msgid_plural`, `msgstr` or `msgstr[n]`, `msgctxt`, and its flags. flagged: where the first of
    these begins. begins: where its strings begin, and before them what they were (`#| msgid`)."""

    flags: set[str] = field(default_factory=set)
    flagged: int | None = None
    begins: int | None = None
    strings: dict[str, PoString] = field(default_factory=dict)

    @property
    def is_header(self) -> bool:
        return "msgctxt" not in self.strings and not self.strings["msgid"].text

    def pairs(self) -> Iterator[tuple[str, str]]:
        """The source and its translation. Of plural forms, the singular goes with the first of several, and the plural
        with the last."""
        strings = {word: string.text for word, string in self.strings.items()}
        if "msgstr" in strings:
            yield strings["msgid"], strings["msgstr"]
            return
        forms = [text for word, text in sorted(strings.items()) if word.startswith("msgstr[")]
        if len(forms) > 1:
            yield strings["msgid"], forms[0]
        yield strings["msgid_plural"], forms[-1]


def read_po(path: Path, languages: Languages) -> Iterator[tuple[str, str]]:
    """The pairs of a file, plain or compressed, without those that are fuzzy, obsolete, or not translated.

    What is translated is the source language, or if the header names that as its `Language`, the target language.
    Raises DataError with file:line for a file that is not sound, and if it is in another language or has no such pair.
    """
    with reading(path) as file:
        data = file.read()
    text, _ = decoded(data, declared_encoding(data), str(path))
    is_reversed, any_pair = False, False
    for entry in entries(text, str(path)):
        if entry.is_header:
            is_reversed = _is_reversed(entry, languages, path)
        elif "fuzzy" not in entry.flags:
            for source, target in entry.pairs():
                if source.strip() and target.strip():
                    any_pair = True
                    yield (target, source) if is_reversed else (source, target)
    if not any_pair:
        raise DataError("nothing in it is translated, fuzzy entries apart", where=path)


def _is_reversed(header: Entry, languages: Languages, path: Path) -> bool:
    language = language_of(header.strings["msgstr"].text if "msgstr" in header.strings else "")
    if not language or is_same_language(language, languages.target):
        return False
    if is_same_language(language, languages.source):
        return True
    what = f"its language is {language}, which is neither {languages.source} nor {languages.target}"
    raise DataError(what, where=path)


def language_of(header: str) -> str:
    """The code of the language that a header says the translations are in; "" if it says nothing of it."""
    found = _LANGUAGE.search(header)
    return found[1] if found else ""


def declared_encoding(data: bytes) -> str:
    """The encoding that the header names."""
    found = _CHARSET.search(data)
    name = found.group(1).decode() if found else "UTF-8"
    return "UTF-8" if name == "CHARSET" else name  # as it stands in a template


def entries(text: str, name: str) -> Iterator[Entry]:
    """All entries that are not obsolete. Raises DataError at the first line that is none of a PO file."""
    entry, word, position = Entry(), "", 0
    reader = _Reader(text, name)
    for match in _LINE.finditer(text):
        line, position = match.group().lstrip("\ufeff"), match.end()
        start = position - len(line)
        if line.lstrip().startswith("#"):
            if "msgid" in entry.strings and word.startswith("msgstr"):
                yield reader.checked(entry, start)
                entry, word = Entry(), ""
            if line.startswith("#~") and not entry.strings:  # its flags were those of an obsolete entry
                entry.flags, entry.flagged, entry.begins = set(), None, None
            if line.startswith("#|"):
                entry.begins = start if entry.begins is None else entry.begins
            if line.startswith("#,"):
                entry.flags |= {flag.strip() for flag in line[2:].split(",")}
                entry.flagged = entry.flagged or start + len("#,")
        elif line.strip() and not line.startswith("domain"):
            found = _STRING.fullmatch(line)
            begins = found["word"] if found else None
            if found is None or not (begins or word):
                raise reader.error("this is no line of a PO file", start)
            if begins in ("msgctxt", "msgid") and any(each.startswith("msgstr") for each in entry.strings):
                yield reader.checked(entry, start)
                entry = Entry()
            entry.begins = start if entry.begins is None else entry.begins
            word = reader.add(entry, begins or word, found, start, is_new=bool(begins))
    if entry.strings:
        yield reader.checked(entry, position)


class _Reader(NamedTuple):
    """The text that is read, and the name of its file."""

    text: str
    name: str

    def add(self, entry: Entry, word: str, found: re.Match[str], start: int, *, is_new: bool) -> str:
        """Add a line to its string; return the word that begins the string."""
        known = re.fullmatch(r"msgctxt|msgid|msgid_plural|msgstr(\[\d+\])?", word)
        if not known or (is_new and word in entry.strings):
            raise self.error(f"`{printable(word, 30)}` is not expected here", start)
        begin, end = start + found.start("text") - 1, start + found.end("text") + 1
        before = entry.strings.get(word, PoString("", begin, end, 0))
        text = before.text + _ESCAPE.sub(_unescaped, found["text"])
        entry.strings[word] = PoString(text, before.start, end, before.lines + 1)
        return word

    def checked(self, entry: Entry, at: int) -> Entry:
        words = list(entry.strings)
        if "msgid" not in words or not any(word.startswith("msgstr") for word in words):
            raise self.error("the entry before this line has no msgid or no msgstr", at)
        if ("msgid_plural" in words) != ("msgstr" not in words):
            raise self.error("the entry before this line has a msgstr that does not fit its msgid_plural", at)
        return entry

    def error(self, what: str, at: int) -> DataError:
        line = self.text.count("\n", 0, min(at, max(0, len(self.text) - 1))) + 1
        return DataError(what, where=f"{self.name}:{line}", hint="`msgfmt -c` checks a file")


def _unescaped(match: re.Match[str]) -> str:
    octal, hexadecimal, letter = match.groups()
    if letter:
        return ESCAPED.get(letter, letter)
    return chr(int(octal, 8) if octal else int(hexadecimal, 16))

"""Glossaries: agreed translations of terms, and where terms stand in a text.

A file has a term and its translation in each line, `source<TAB>target`; a term with several translations has several
lines. Lines that begin with `#`, and blank ones, say nothing.

A term is found as whole words: it is compared word by word, as `s2s_cli.text.words` divides a text, so that white space
counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from s2s_cli.errors import DataError, MachineError
from s2s_cli.text.hygiene import BYTE_ORDER_MARK, clean_line
from s2s_cli.text.words import words_of


class Occurrence(NamedTuple):
    """Where a phrase stands in a text: text[start:end]."""

    start: int
    end: int
    phrase: str
    """As in the list of phrases, whatever its case in the text."""


class Phrases:
    """Phrases that are looked for in texts.

    >>> [found.phrase for found in Phrases(["hard disk", "disk"]).find("A hard disk is a disk, no diskette.")]
    ['hard disk', 'disk']
    """

    def __init__(self, phrases: Iterable[str], *, ignore_case: bool = False) -> None:
        """ignore_case: find them whatever their case. Of phrases that are then equal, the first is found."""
        self._ignore_case = ignore_case
        self._phrases: dict[tuple[str, ...], str] = {}
        self._most: dict[str, int] = {}  # words of the longest phrase that begins with a word
        for phrase in phrases:
            key = tuple(word.text for word in words_of(phrase, ignore_case=ignore_case))
            if key:
                self._phrases.setdefault(key, phrase)
                self._most[key[0]] = max(len(key), self._most.get(key[0], 0))

    def find(self, text: str) -> list[Occurrence]:
        """The occurrences in a text from the left, the longest phrase first, without overlap."""
        words = words_of(text, ignore_case=self._ignore_case)
        found, place = [], 0
        while place < len(words):
            for length in range(min(self._most.get(words[place].text, 0), len(words) - place), 0, -1):
                phrase = self._phrases.get(tuple(word.text for word in words[place : place + length]))
                if phrase is not None:
                    found.append(Occurrence(words[place].start, words[place + length - 1].end, phrase))
                    place += length
                    break
            else:
                place += 1
        return found


class Glossary:
    """Terms of the source language with their translations."""

    def __init__(self, terms: Mapping[str, Sequence[str]], *, ignore_case: bool = False) -> None:
        """terms: each with one or more translations, the preferred one first."""
        self.terms = terms
        self.ignore_case = ignore_case
        self._sources = Phrases(terms, ignore_case=ignore_case)

    @classmethod
    def read(cls, path: Path, *, ignore_case: bool = False) -> Glossary:
        """Raises DataError with file:line for a line without two cells or that is not UTF-8, or if there is no term;
        MachineError for a file that cannot be read."""
        terms: dict[str, list[str]] = {}
        for where, line in _lines(path):
            if not line.strip() or line.startswith("#"):
                continue
            cells = [clean_line(cell) for cell in line.split("\t")]
            if len(cells) < 2 or not cells[0] or not cells[1]:
                hint = "write SOURCE<TAB>TARGET in each line, and # before a comment"
                raise DataError("a term and its translation are needed", where=where, hint=hint)
            variants = terms.setdefault(cells[0], [])
            if cells[1] not in variants:
                variants.append(cells[1])
        if not terms:
            raise DataError("the glossary has no term", where=path)
        return cls(terms, ignore_case=ignore_case)

    def find(self, text: str) -> list[Occurrence]:
        """The terms in a text, as `Phrases.find`; `terms[occurrence.phrase]` are the translations."""
        return self._sources.find(text)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a file, each with its place."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MachineError(f"cannot be read: {error.strerror or error}", where=path) from error
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            byte = f"byte 0x{line[error.start]:02x} is not UTF-8"
            raise DataError(byte, where=f"{path}:{number}", hint="convert the file with `iconv`") from error
        yield f"{path}:{number}", text if number > 1 else text.removeprefix(BYTE_ORDER_MARK)

"""Translators that need no model: what they write can be foretold."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from string import ascii_lowercase
from types import SimpleNamespace

from s2s_cli.documents.document import Document
from s2s_cli.documents.formats import FORMATS, read_document
from s2s_cli.documents.translation import Segments, translate_document
from s2s_cli.inference.translation import Candidate, Translation
from s2s_cli.text.languages import Languages

_CAPITALS = str.maketrans(ascii_lowercase, ascii_lowercase.upper())
LANGUAGES = Languages("en", "de")


def same(text: str) -> str:
    """The identity."""
    return text


def shouted(text: str) -> str:
    """In capitals, as far as ASCII has them."""
    return text.translate(_CAPITALS)


def backwards(text: str) -> str:
    """The words in the reverse order."""
    return " ".join(reversed(text.split()))


class FakeTranslator:
    """Translates a text by a function, word for word. `seen`: all texts that it was given, in calls. doubtful: texts
    whose translations have a confidence of 0.25, where that of others is 0.75."""

    division = SimpleNamespace(source=LANGUAGES.source, target=LANGUAGES.target)

    def __init__(
        self,
        write: Callable[[str], str] = shouted,
        memory: dict[str, str] | None = None,
        doubtful: Container[str] = (),
    ) -> None:
        self.write, known, self.doubtful = write, memory or {}, doubtful
        self.reader = SimpleNamespace(carries=False, remembered=lambda text: known.get(text.strip()))
        self.seen: list[list[str]] = []

    def translate(self, lines: Sequence[str], options=None, *, batch_tokens=None, first=0) -> list[Translation]:
        self.seen.append(list(lines))
        return [Translation(line, [self._candidate(line)]) for line in lines]

    def _candidate(self, line: str) -> Candidate:
        confidence = 0.25 if line in self.doubtful else 0.75
        return Candidate(self.write(line), 0.0, [], self.alignment(line), confidence=confidence)

    def alignment(self, line: str) -> list[tuple[int, int]]:
        words = len(line.split())
        return [(words - 1 - word if self.write is backwards else word, word) for word in range(words)]


class Named:
    """Bytes with a name, as a file has one."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name = data, name

    def read(self, size: int) -> bytes:
        return self.data[:size]


def document(form: str, data: bytes, languages: Languages = LANGUAGES) -> Document:
    return read_document(form, Named(data, f"x{FORMATS[form].suffixes[0]}"), languages)  # type: ignore[arg-type]


def segments_of(found: Document, *, marked: bool = False) -> Segments:
    """For a model that reads marks, or not, and remembers nothing."""
    return Segments(found, SimpleNamespace(carries=marked, remembered=lambda _: None))  # type: ignore[arg-type]


def translated(form: str, data: bytes, write: Callable[[str], str] = shouted) -> bytes:
    return translate_document(FakeTranslator(write), document(form, data), None)  # type: ignore[arg-type]

"""Parts of files of lines: ranges of bytes that begin and end where lines do, found without reading the rest."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from s2s_cli.errors import faults_of_reading

CHUNK = 1 << 16  # bytes of one read


class Part(NamedTuple):
    """A part of a file."""

    number: int
    """Counted from 1."""
    of: int
    """The number of all parts."""

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


WHOLE = Part(1, 1)


class Span(NamedTuple):
    """The bytes of a part: from `begin` to before `end`, both of which are beginnings of lines, or ends of the file."""

    begin: int
    end: int


def span_of(path: Path, part: Part) -> Span:
    """The bytes of a part of a file. A line belongs to the part in which its first byte lies.

    The spans of all parts follow one another from the beginning of the file to its end; with more parts than lines,
    some are empty. Raises MachineError if the file cannot be read.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        begin, end = (size * edge // part.of for edge in (part.number - 1, part.number))
        return Span(_line_from(file, begin, size), _line_from(file, end, size))


def _line_from(file: IO[bytes], edge: int, size: int) -> int:
    """Where the first line begins that does not begin before `edge`."""
    if edge in (0, size):
        return edge
    file.seek(edge - 1)
    place = edge - 1
    while chunk := file.read(CHUNK):
        if (found := chunk.find(b"\n")) >= 0:
            return place + found + 1
        place += len(chunk)
    return size


def lines_before(path: Path, span: Span) -> int:
    """Lines that end before a span. All that lies before it is read."""
    return sum(chunk.count(b"\n") for chunk in _chunks(path, Span(0, span.begin)))


def digest_of(path: Path, span: Span) -> str:
    """The SHA-256 of a span."""
    digest = hashlib.sha256()
    for chunk in _chunks(path, span):
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(path: Path, span: Span) -> Iterator[bytes]:
    with opened(path, span) as file:
        while chunk := file.read(1 << 20):
            yield chunk


class _SpanFile(io.RawIOBase):
    """A file that consists of a span of another one."""

    def __init__(self, path: Path, span: Span) -> None:
        self.name = str(path)
        self._file, self._left = _opened(path), span.end - span.begin
        self._file.seek(span.begin)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._file.close()
        super().close()


def opened(path: Path, span: Span) -> IO[bytes]:
    """A span as a file of its own. Raises MachineError if there is none."""
    return _SpanFile(path, span)  # type: ignore[return-value]  # it is one


def _opened(path: Path) -> IO[bytes]:
    with faults_of_reading(path):
        return path.open("rb", buffering=0)

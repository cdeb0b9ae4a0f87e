"""Lines of bytes from a file, a pipe or a terminal, without waiting longer than there is something to translate."""

from __future__ import annotations

import select
from collections import deque
from typing import IO

from s2s_cli.errors import MachineError

CHUNK = 65_536  # bytes of one read; also what a Linux pipe holds
LINE_BYTES = 1 << 20  # so much of a line is translated
KEPT_BYTES = LINE_BYTES + 4  # a character more, to see that a line was longer
WINDOW_BYTES = 1 << 20  # read for one window at most
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineSplitter:
    """Cuts chunks of bytes into lines: at LF alone, with CRLF and a byte-order mark at the start removed.

    Of a line longer than `KEPT_BYTES` only the beginning is kept, up to a whole UTF-8 character: input without any
    newline takes no more memory than that. How the input is cut into chunks changes nothing.
    """

    def __init__(self) -> None:
        self._open = bytearray()  # the line that has not ended yet
        self._first = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk."""
        head, *others = chunk.split(b"\n")
        self._extend(head)
        lines = []
        for other in others:
            lines.append(self._close())
            self._extend(other)
        return lines

    def finish(self) -> list[bytes]:
        """The last line, if it did not end with a newline."""
        nothing = not self._open or (self._first and self._open == BYTE_ORDER_MARK)
        return [] if nothing else [self._close()]

    def _extend(self, piece: bytes) -> None:
        room = KEPT_BYTES + 1 - len(self._open)  # one more, to see whether half a character is at the end
        self._open += piece[:room]

    def _close(self) -> bytes:
        line = _whole_characters(bytes(self._open)).removesuffix(b"\r")
        self._open.clear()
        if self._first:
            self._first = False
            line = line.removeprefix(BYTE_ORDER_MARK)
        return line


def _whole_characters(line: bytes) -> bytes:
    """The line, or the beginning of one that is too long, without half a character at its end."""
    if len(line) <= KEPT_BYTES:
        return line
    end = KEPT_BYTES
    while end > KEPT_BYTES - 3 and line[end] & 0xC0 == 0x80:  # a continuation byte: the character began before it
        end -= 1
    return line[:end]


class LineReader:
    """Hands out windows of lines: as many as the source has ready, without waiting for more.

    source: any binary file, of which nothing has been read yet. It is read without Python's buffer, since what lies in
    a buffer cannot be polled. A source that is no file of the system (`BytesIO`) counts as always ready.
    """

    def __init__(self, source: IO[bytes]) -> None:
        name = getattr(source, "name", None)
        self.name = name if isinstance(name, str) else "<stdin>"
        self._source = getattr(source, "raw", source)
        self._descriptor = descriptor_of(source)
        self._splitter = LineSplitter()
        self._lines: deque[bytes] = deque()
        self._ended = False

    def window(self, most: int) -> list[bytes]:
        """The next lines, at least one and at most `most`; none at the end of the input.

        Waits for the first line only. Raises MachineError if the source cannot be read.
        """
        taken = 0
        while len(self._lines) < most and not self._ended:
            if self._lines and (taken >= WINDOW_BYTES or not self._is_ready()):
                break
            taken += self._read()
        return [self._lines.popleft() for _ in range(min(most, len(self._lines)))]

    def _is_ready(self) -> bool:
        """Whether a read would return at once, be it with data or with the end of the input."""
        if self._descriptor is None:
            return True
        try:
            return bool(select.select([self._descriptor], [], [], 0)[0])
        except (OSError, ValueError):  # a system that cannot poll this kind of file: never risk to wait
            return False

    def _read(self) -> int:
        """Take in one chunk; its size."""
        try:
            chunk = self._source.read(CHUNK)
        except OSError as error:
            raise MachineError(f"cannot be read: {error.strerror or error}", where=self.name) from error
        if chunk is None:  # a descriptor that another program has set to non-blocking, and nothing there
            select.select([self._source], [], [])
            return 0
        self._lines += self._splitter.feed(chunk) if chunk else self._splitter.finish()
        self._ended = not chunk
        return len(chunk)


class LineWriter:
    """Writes bytes through at once.

    Python's buffer is passed by: what stayed in it after a failed write would fail once more at the exit of the
    process, with a traceback that nobody can catch.
    """

    def __init__(self, sink: IO[bytes]) -> None:
        sink.flush()
        self._sink = getattr(sink, "raw", sink)

    def write(self, data: bytes) -> None:
        """Write all of it. Raises BrokenPipeError where the reader has gone, MachineError for other faults."""
        rest = memoryview(data)
        while rest:
            try:
                written = self._sink.write(rest)
            except BrokenPipeError:
                raise
            except OSError as error:
                raise MachineError(f"the output cannot be written: {error.strerror or error}") from error
            if written is None:  # a non-blocking descriptor whose pipe is full
                select.select([], [self._sink], [])
            else:
                rest = rest[written:]


def descriptor_of(file: IO[bytes]) -> int | None:
    """The system's descriptor of the file, or None if it has none."""
    try:
        return file.fileno()
    except (AttributeError, OSError):  # io.UnsupportedOperation is an OSError
        return None

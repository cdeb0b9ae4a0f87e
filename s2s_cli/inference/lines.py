"""Lines of bytes from a file, a pipe or a terminal, handed out as soon as they are available."""

from __future__ import annotations

import select
from collections import deque
from typing import IO

from s2s_cli.errors import MachineError, faults_of_reading

CHUNK = 65_536  # bytes of one read; also what a Linux pipe holds
LINE_BYTES = 1 << 20  # most that is translated of one line
KEPT_BYTES = LINE_BYTES + 4  # one character more, to detect longer lines
WINDOW_BYTES = 1 << 20  # read for one window at most
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineSplitter:
    """Cuts chunks of bytes into lines: at LF alone, with CRLF and a byte-order mark at the start removed.

    Of a line longer than `KEPT_BYTES` only the beginning is kept, up to a whole UTF-8 character: input without any
    newline takes no more memory than that. The result does not depend on the boundaries of chunks.

    begins: whether the chunks begin where a file does, so that there may be a byte-order mark.
    """

    def __init__(self, *, begins: bool = True) -> None:
        self._open = bytearray()  # the line that has not ended yet
        self._first = begins

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
        room = KEPT_BYTES + 1 - len(self._open)  # one more, to detect an incomplete character at the end
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

    source: any binary file from which nothing has been read yet. It is read without Python's buffer, whose content
    could not be polled. A source without a file descriptor (`BytesIO`) counts as always ready. begins: as of
    `LineSplitter`.
    """

    def __init__(self, source: IO[bytes], *, begins: bool = True) -> None:
        name = getattr(source, "name", None)
        self.name = name if isinstance(name, str) else "<stdin>"
        self._source = getattr(source, "raw", source)
        self._descriptor = descriptor_of(source)
        self._splitter = LineSplitter(begins=begins)
        self._lines: deque[bytes] = deque()
        self._ended = False

    def window(self, most: int) -> list[bytes]:
        """The next lines, at least one and at most `most`; none at the end of the input.

        Waits only for the first line. Raises MachineError if the source cannot be read.
        """
        taken = 0
        while len(self._lines) < most and not self._ended:
            if self._lines and (taken >= WINDOW_BYTES or not self._is_ready()):
                break
            taken += self._read()
        return [self._lines.popleft() for _ in range(min(most, len(self._lines)))]

    def _is_ready(self) -> bool:
        """Whether a read would return at once, with data or at the end of the input."""
        if self._descriptor is None:
            return True
        try:
            return bool(select.select([self._descriptor], [], [], 0)[0])
        except (OSError, ValueError):  # this kind of file cannot be polled: assume that a read would wait
            return False

    def _read(self) -> int:
        """Read one chunk; return its size."""
        with faults_of_reading(self.name):
            chunk = self._source.read(CHUNK)
        if chunk is None:  # another program has set the descriptor to non-blocking, and no data is available
            select.select([self._source], [], [])
            return 0
        self._lines += self._splitter.feed(chunk) if chunk else self._splitter.finish()
        self._ended = not chunk
        return len(chunk)


class LineWriter:
    """Writes bytes without buffering.

    Python's buffer is bypassed: its content after a failed write would be written again when the process exits, and
    fail with a traceback that cannot be caught.
    """

    def __init__(self, sink: IO[bytes]) -> None:
        sink.flush()
        self._sink = getattr(sink, "raw", sink)

    def write(self, data: bytes) -> None:
        """Write all data. Raises BrokenPipeError if the reader has closed the pipe, MachineError for other faults."""
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

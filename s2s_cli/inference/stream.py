"""Translation of a stream: bytes in, bytes out, one line (or n-best list) for each line, in order."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from s2s_cli import console
from s2s_cli.errors import DataError, UsageError, UserError
from s2s_cli.inference.lines import LINE_BYTES, LineReader, LineWriter, descriptor_of
from s2s_cli.inference.output import OutputOptions, render
from s2s_cli.inference.request import Request
from s2s_cli.inference.translation import OF_OUTPUT, LinesLost

if TYPE_CHECKING:
    from tqdm import tqdm

    from s2s_cli.inference.attention_view.view import AttentionView
    from s2s_cli.inference.translator import Translator
    from s2s_cli.search.options import SearchOptions

FIRST_WINDOW, LARGEST_WINDOW, GROWTH = 256, 4096, 4  # lines


def translate_stream(
    translator: Translator,
    source: IO[bytes],
    sink: IO[bytes],
    search: SearchOptions,
    output: OutputOptions,
    view: AttentionView | None = None,
    *,
    first: int = 0,
    begins: bool = True,
    before: int = 0,
) -> int:
    """Translate `source` into `sink` until its end; return the number of lines.

    Lines end with LF; other line-breaking characters remain inside a line. Lines are translated in windows, each of
    which is written as soon as it is done. A window has the lines that can be read without waiting, so that a line from
    an interactive source is answered at once, and grows where many lines are available. Memory does not grow with the
    input.

    Nothing is buffered: after any exception, KeyboardInterrupt included, all finished windows have been written.
    `output.n_best` replaces `search.n_best`. `view` draws each window after it was written. Of a part of a file,
    `first` is the number of its first line, and `begins` whether the file begins with it. `before` is the number of
    lines of other files that went into `sink` before: messages leave them out.

    Raises
        DataError: invalid UTF-8, where `output.strict` asks for it, or a line that is no request, where
            `output.requests` does; the lines before it have been written.
        UsageError: a request that this search cannot honour; the same.
        BrokenPipeError: the reader of `sink` has closed it.
        MachineError: `source` cannot be read, or `sink` cannot be written.
    """
    reader = LineReader(source, begins=begins)
    with _progress(source, sink) as bar:
        windows = _windows(reader, bar)
        return translate_windows(translator, windows, sink, search, output, view, reader.name, first, before)


def translate_windows(
    translator: Translator,
    windows: Iterable[list[bytes]],
    sink: IO[bytes],
    search: SearchOptions,
    output: OutputOptions,
    view: AttentionView | None = None,
    name: str = "<stdin>",
    first: int = 0,
    before: int = 0,
) -> int:
    """As `translate_stream`, of lines that somebody else has divided, without their ends. name: of where they are from,
    in messages."""
    writer = LineWriter(sink)
    search = replace(search, n_best=output.n_best)
    stream = _Stream(translator, search, output, view, name, before, lines=first)
    try:
        for window in windows:
            stream.translate(window, writer)
    finally:
        stream.report()
    return stream.lines - first


@dataclass
class _Tally:
    """How many lines have a fault, and which was the first (counted from 1)."""

    count: int = 0
    first: int = 0

    def add(self, number: int) -> None:
        self.first = self.first or number
        self.count += 1

    def warn(self, name: str, fault: str) -> None:
        if self.count:
            more = f" (the first of {self.count} such lines)" if self.count > 1 else ""
            console.warn(f"{name}:{self.first}: {fault}{more}")


@dataclass
class _Stream:
    """The state of a stream: how many lines were written, and what was wrong with some of them."""

    translator: Translator
    search: SearchOptions
    output: OutputOptions
    view: AttentionView | None
    name: str
    before: int
    lines: int
    invalid: _Tally = field(default_factory=_Tally)
    truncated: _Tally = field(default_factory=_Tally)

    def translate(self, window: list[bytes], writer: LineWriter) -> None:
        """Translate and write one window, up to its first line that is not to be translated; then raise its fault."""
        lines, fault = self._read(window)
        first = self.before + self.lines
        try:
            translations = self.translator.translate(
                lines,
                self.search,
                batch_tokens=self.output.batch_tokens,
                keep_attention=self.view is not None,
                first=first,
            )
        except LinesLost as lost:
            raise LinesLost([number - self.before for number in lost.numbers], self.name) from None
        text = "".join(render(line, each, self.output) for line, each in enumerate(translations, start=first))
        writer.write(text.encode("utf-8", errors="replace"))
        for number, translation in enumerate(translations, start=self.lines + 1):
            if translation.truncated:
                self.truncated.add(number)
        self.lines += len(translations)
        if self.view is not None:
            self.view.show(translations)
        if fault is not None:
            raise fault

    def report(self) -> None:
        """One warning for each kind of fault, with the count."""
        self.invalid.warn(self.name, "invalid UTF-8, replaced by U+FFFD")
        self.truncated.warn(self.name, "a line that is too long, of which only the beginning was translated")

    def _read(self, window: list[bytes]) -> tuple[list[str | Request], UserError | None]:
        """The lines up to the first one that is not valid UTF-8 (where that is asked for), no request (the same), or
        that cannot be met; and what is wrong with that."""
        lines: list[str | Request] = []
        for number, line in enumerate(window, start=self.lines + 1):
            try:
                if self.output.requests and len(line) > LINE_BYTES:  # the reader may have cut it
                    raise DataError(f"longer than {LINE_BYTES >> 20} MiB", hint="divide it")
                text = self._decoded(line, number)
                lines.append(self._request(text) if self.output.requests else text)
            except (DataError, UsageError) as error:
                return lines, type(error)(error.what, where=f"{self.name}:{number}", hint=error.hint)
        return lines, None

    def _decoded(self, line: bytes, number: int) -> str:
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            if self.output.strict:
                raise _invalid_line(error) from None
            self.invalid.add(number)
            return line.decode("utf-8", errors="replace")

    def _request(self, text: str) -> Request:
        request = Request.from_json(text, OF_OUTPUT if self.output.format == "json" else ())
        self.translator.check(request, self.search)
        return request


def _windows(reader: LineReader, bar: tqdm | None) -> Iterator[list[bytes]]:
    """Windows of lines: a small one first, for an early result, then larger ones, which are faster.

    The bar moves when the next one is asked for.
    """
    most = FIRST_WINDOW
    while window := reader.window(most):
        yield window
        if bar is not None:
            bar.update(sum(len(line) + 1 for line in window))
        if len(window) == most:
            most = min(GROWTH * most, LARGEST_WINDOW)


def _invalid_line(error: UnicodeDecodeError) -> DataError:
    byte = error.object[error.start]
    return DataError(
        f"invalid UTF-8: byte 0x{byte:02x} at column {error.start + 1}",
        hint="convert the input with `iconv`, or leave --strict out to have U+FFFD in its place",
    )


def _progress(source: IO[bytes], sink: IO[bytes]) -> AbstractContextManager[Any]:
    """A progress bar over the bytes of a regular file, unless translations are written to the terminal."""
    descriptor = descriptor_of(source)
    if descriptor is None or sink.isatty():
        return nullcontext()
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return nullcontext()
    return console.progress("translating", total=status.st_size, unit="B")

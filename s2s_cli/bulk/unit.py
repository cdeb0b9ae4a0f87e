"""The unit of work: a file, or a part of one, is translated into a file of its own, which is there as a whole or not at
all, and whoever comes again finds that it is done.

Beside the file `NAME` lies its record `.NAME.record`: what it was made of and how, and its own size and hash. The
record is written first, so that no translation stands without one. Nothing that was made of something else, or by
other means, is ever replaced: that is an error.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from s2s_cli import __version__, atomic, compression, console
from s2s_cli.bulk import rows
from s2s_cli.bulk.cutting import WHOLE, Part, Span, digest_of, lines_before, opened, span_of
from s2s_cli.errors import CheckpointError, DataError, UsageError, faults_of_reading
from s2s_cli.forms import at_least
from s2s_cli.inference.aids import NO_AIDS, Aids
from s2s_cli.inference.lines import LineReader
from s2s_cli.inference.output import OutputOptions
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translator import Translator
from s2s_cli.sealed import MANIFEST, Document, FileEntry, parse_json, to_json
from s2s_cli.search.options import SearchOptions

_ELSEWHERE = "remove it, or write elsewhere"


@dataclass(frozen=True)
class Machine:
    """What decodes, with the names and values of `Translator.load`."""

    device: str = "auto"
    precision: str = "auto"
    engine: str = "auto"
    shortlist: bool = False


@dataclass(frozen=True)
class Task:
    """How files are translated: all that their translations depend on but the files."""

    models: tuple[Path, ...]
    search: SearchOptions
    output: OutputOptions
    machine: Machine = Machine()
    column: str | None = None
    """Of the text, in files of rows; None for files of lines."""
    aids: Aids = NO_AIDS
    checksums: tuple[str, ...] = ()
    """Of the models."""

    def sealed(self) -> Task:
        """The same by the models, glossaries and memories that are there now, for all that is done by it: other ones in
        their places are refused. Raises CheckpointError and MachineError."""
        models = tuple(path.resolve() for path in self.models)
        return replace(self, models=models, aids=self.aids.sealed(), checksums=tuple(map(_checksum, models)))

    def load(self, *, threads: int | None = None, workers: int = 1) -> Translator:
        """Raises DataError if a model was changed; others as `Translator.load` and `Aids.given_to`."""
        translator = Translator.load(self.models, **vars(self.machine), threads=threads, workers=workers)
        if tuple(map(_checksum, self.models)) != self.checksums:
            raise DataError("a model was changed since the work began", hint="the same model for all parts")
        self.output.check(translator)
        translator.reader = self.aids.given_to(translator.reader, self.search)
        return translator

    @property
    def is_numbered(self) -> bool:
        """Whether what is written for a line depends on its number."""
        return self.output.format == "json" or self.output.n_best > 1 or self.search.sampling is not None

    def facts(self) -> dict[str, Any]:
        """What two tasks have in common that write the same, if they are sealed. The size of batches changes
        nothing."""
        output = asdict(self.output)
        del output["batch_tokens"]
        return {
            "version": __version__,
            "models": [*self.checksums],
            "search": asdict(self.search),
            "output": output,
            "machine": asdict(self.machine),
            "column": self.column,
            **({"aids": self.aids.facts()} if self.aids != NO_AIDS else {}),
        }


def _checksum(model: Path) -> str:
    """Of the manifest of a model, in which the hashes of all its files stand."""
    try:
        return hashlib.sha256((model / MANIFEST).read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", where=model / MANIFEST) from error


class MadeOf(Document):
    """Bytes of a file."""

    size: Annotated[int, at_least(0)]
    """Of all the file."""
    begin: Annotated[int, at_least(0)]
    end: Annotated[int, at_least(0)]
    sha256: str
    """Of the bytes from `begin` to `end`."""


class Record(Document):
    """What a translated file was made of, how, and what it is."""

    format: Literal[1] = 1
    made_of: MadeOf
    by: dict[str, Any]
    """As `Task.facts` gives it."""
    output: FileEntry


def record_path(target: Path) -> Path:
    """Where the record of a file lies."""
    return target.with_name(f".{target.name}.record")


def read_record(target: Path) -> Record | None:
    """The record of a file, if there is one that can be read."""
    try:
        return parse_json(record_path(target).read_bytes(), Record, record_path(target))
    except (OSError, CheckpointError):
        return None


# ----------------------------------------------------------------------------------------------------- the translation


def translate_file(
    source: Path, target: Path, task: Task, translator: Callable[[], Translator], part: Part = WHOLE
) -> bool:
    """Translate a file, or a part of its lines, into the file `target`; False if that was done before.

    The translations of all parts, one after the other, are that of the whole file, and that is what
    `translate_stream` writes. Files are compressed as their suffixes say; a compressed source has no parts. translator:
    called where there is something to do.

    Raises UsageError if `target` exists and is something else, DataError and MachineError as `translate_stream`, and if
    `source` changes meanwhile.
    """
    if compression.suffix_of(source) and part != WHOLE:
        hint = "give several files, which are then dealt out as wholes, or decompress it"
        raise UsageError("a compressed file cannot be cut by bytes", where=source, hint=hint)
    before = _state(source)
    span, digest = measured(source, part)
    made_of = MadeOf(size=before[0], begin=span.begin, end=span.end, sha256=digest)
    if is_done(target, made_of, task.facts()):
        return False
    with new_file(target, made_of, task.facts()) as sink:
        if source.suffix == rows.PARQUET:
            column = task.column or "text"
            rows.translate_rows(source, span, sink, column, rows.translating(translator(), task, str(source)))
        else:
            with compression.writing(sink, compression.suffix_of(target)) as file:
                _translate_lines(source, span, file, task, translator(), part)
        if _state(source) != before:
            hint = "run the command again"
            raise DataError("this file was changed while it was translated", where=source, hint=hint)
    return True


def measured(source: Path, part: Part = WHOLE) -> tuple[Span, str]:
    """The span of a part of a file, in bytes, or in rows of Parquet, and its hash."""
    if source.suffix == rows.PARQUET:
        span = rows.rows_of(source, part)
        return span, rows.digest_of_rows(source, span)
    span = span_of(source, part)
    return span, digest_of(source, span)


def _translate_lines(source: Path, span: Span, sink: IO[bytes], task: Task, translator: Translator, part: Part) -> None:
    first = lines_before(source, span) if task.is_numbered else 0
    name = str(source) if first or part == WHOLE else f"{source}, part {part}"
    bar = console.progress(source.name, total=span.end - span.begin, unit="B")
    with _content(source, span) as lines, bar:
        reader: Any = _Counted(lines, name, bar.update)
        if task.column is None:
            begins = span.begin == 0
            translate_stream(translator, reader, sink, task.search, task.output, first=first, begins=begins)
        else:
            translate = rows.translating(translator, task, name)
            rows.translate_json_lines(_lines(reader), sink, task.column, translate, name, first)


def _lines(reader: IO[bytes]) -> Iterator[bytes]:
    source = LineReader(reader)
    while window := source.window(rows.WINDOW):
        yield from window


def is_done(target: Path, made_of: MadeOf, by: dict[str, Any]) -> bool:
    """Whether a file exists as it would be written. Raises UsageError if it is something else."""
    if not os.path.lexists(target):
        return False
    found = read_record(target)
    if not target.is_file() or found is None:
        raise UsageError("this exists, and has no record of what it was made of", where=target, hint=_ELSEWHERE)
    if found.made_of != made_of:
        raise UsageError("this was made of another input", where=target, hint=_ELSEWHERE)
    if differing := [name for name in {**by, **found.by} if found.by.get(name) != by.get(name)]:
        what = " and ".join(_NAMED.get(name, name) for name in differing)
        raise UsageError(f"this was made with {what}", where=target, hint=_ELSEWHERE)
    size = target.stat().st_size
    if size != found.output.size or digest_of(target, Span(0, size)) != found.output.sha256:
        console.warn(f"{target}: is damaged, and made again: it is not what its record says")
        return False
    return True


_NAMED = {
    "version": "another version of s2s",
    "models": "another model",
    "search": "another search",
    "output": "other options of output",
    "column": "another column of text",
    "aids": "another --protect, --glossary or --memory",
    "machine": "another --engine, --device, --precision or --shortlist",
}


@contextmanager
def new_file(target: Path, made_of: MadeOf, by: dict[str, Any]) -> Iterator[IO[bytes]]:
    """Yield a file to write; when the block ends, it becomes `target`, with its record. Errors as `atomic.new_file`."""
    with atomic.new_file(target) as file:
        sink = _Hashed(file)
        yield sink  # type: ignore[misc]  # it is one
        output = FileEntry(size=sink.size, sha256=sink.digest.hexdigest())
        atomic.replace_file(record_path(target), to_json(Record(made_of=made_of, by=by, output=output)))


def sweep(targets: Iterable[Path]) -> None:
    """Remove what dead writers of these files have left. Each time the whole folder is listed, so this is for all files
    at once."""
    names: dict[Path, set[str]] = {}
    for target in targets:
        names.setdefault(target.parent, set()).update((target.name, record_path(target).name))
    for folder, of in names.items():
        atomic.sweep(folder, of)


def _state(source: Path) -> tuple[int, int]:
    """The size of a file, and when it was written to."""
    with faults_of_reading(source):
        status = os.stat(source)
    return status.st_size, status.st_mtime_ns


@contextmanager
def _content(source: Path, span: Span) -> Iterator[IO[bytes]]:
    if compression.suffix_of(source):
        with compression.reading(source) as file:
            yield file
    else:
        with opened(source, span) as file:
            yield file


class _Counted(io.RawIOBase):
    """A file of which each read is told."""

    def __init__(self, file: IO[bytes], name: str, tell: Callable[[int], object]) -> None:
        self._file, self.name, self._tell = file, name, tell

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._tell(len(chunk))
        return chunk


class _Hashed(io.RawIOBase):
    """A file that knows the size and the hash of all that was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.size, self.digest = file, 0, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        written = self._file.write(data)
        self.size += written
        self.digest.update(memoryview(data)[:written])
        return written

"""Rows with a column of text, in Parquet or as JSON objects, one a line: they get a column more, its translation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from s2s_cli import console
from s2s_cli.bulk.cutting import Part, Span
from s2s_cli.data.records import faults_of_parquet
from s2s_cli.errors import DataError
from s2s_cli.forms import is_unicode
from s2s_cli.inference.lines import BYTE_ORDER_MARK, LINE_BYTES
from s2s_cli.inference.request import json_object
from s2s_cli.inference.translation import LinesLost, json_line
from s2s_cli.inference.translator import Translator
from s2s_cli.processes import in_chunks

if TYPE_CHECKING:
    from s2s_cli.bulk.unit import Task

PARQUET = ".parquet"
ADDED = "translation"
"""Name of the column of translations."""
WINDOW = 4096
"""Rows that are translated at a time."""

Translate = Callable[[Sequence[str], int], list[str]]
"""Translates texts. The number is that of the first one, counted from 0."""


def translating(translator: Translator, task: Task, name: str) -> Translate:
    """What translates as the task says. name: of where the texts are from, in messages."""
    search = replace(task.search, n_best=1)

    def translate(texts: Sequence[str], first: int) -> list[str]:
        try:
            found = translator.translate(texts, search, batch_tokens=task.output.batch_tokens, first=first)
        except LinesLost as lost:
            raise LinesLost(lost.numbers, name) from None
        for number, translation in enumerate(found, first + 1):
            if translation.truncated:
                console.warn(f"{name}:{number}: a text that is too long, of which only the beginning was translated")
        return [translation.text for translation in found]

    return translate


# ---------------------------------------------------------------------------------------------------------- JSON lines


def translate_json_lines(
    lines: Iterable[bytes], sink: IO[bytes], column: str, translate: Translate, name: str, first: int
) -> None:
    """Write each object with its translation. name: of where they are from. Raises DataError for other lines."""
    number = first
    for window in in_chunks(lines, WINDOW):
        rows = [_row(line, column, f"{name}:{place}") for place, line in enumerate(window, number + 1)]
        for row, translation in zip(rows, translate([row[column] or "" for row in rows], number), strict=True):
            row[ADDED] = translation
        sink.write("".join(f"{json_line(row)}\n" for row in rows).encode())
        number += len(rows)


def _row(line: bytes, column: str, where: str) -> dict[str, Any]:
    if len(line) > LINE_BYTES:
        raise DataError(f"is longer than {LINE_BYTES >> 20} MiB", where=where, hint="give it as .parquet, or divide it")
    try:
        row = json_object(line.removeprefix(BYTE_ORDER_MARK))
    except DataError as error:
        raise DataError(error.what, where=where) from None
    if not isinstance(row.get(column, 0), str | None):  # null is an empty text, as in Parquet
        raise DataError(f"has no text `{column}`", where=where, hint="name the field of the text with --column")
    if not is_unicode(row[column] or ""):
        raise DataError(f"has a lone surrogate in `{column}`, which is no text", where=where)
    if ADDED in row:
        raise DataError(f"has a `{ADDED}` already", where=where)
    return row


# -------------------------------------------------------------------------------------------------------------- Parquet


def rows_of(path: Path, part: Part) -> Span:
    """The rows of a part of a Parquet file."""
    with _opened(path) as file:
        rows = file.metadata.num_rows
    return Span(rows * (part.number - 1) // part.of, rows * part.number // part.of)


def digest_of_rows(path: Path, span: Span) -> str:
    """A SHA-256 of rows."""
    digest = hashlib.sha256()
    with faults_of_parquet(path):
        import pyarrow

        for table in _tables(path, span):
            rows = pyarrow.BufferOutputStream()
            with pyarrow.ipc.new_stream(rows, table.schema) as stream:
                stream.write_table(table)
            digest.update(rows.getvalue())
    return digest.hexdigest()


def translate_rows(path: Path, span: Span, sink: IO[bytes], column: str, translate: Translate) -> None:
    """Write rows with their translations. Raises DataError for a column that is not there, or is no text."""
    with _opened(path) as file:
        schema, number = file.schema_arrow, span.begin
        names = schema.names
    import pyarrow as arrow
    from pyarrow import parquet

    if column not in names or not _is_text(arrow, schema.field(column).type):
        hint = f"name one with --column: {', '.join(names)}"
        raise DataError(f"has no column of text `{column}`", where=path, hint=hint)
    if ADDED in names:
        raise DataError(f"has a column `{ADDED}` already", where=path)
    with parquet.ParquetWriter(sink, schema.append(arrow.field(ADDED, arrow.string()))) as writer:
        for table in _tables(path, span):
            with faults_of_parquet(path):
                texts = [text or "" for text in table.column(column).to_pylist()]
            found = translate(texts, number)
            writer.write_table(table.append_column(ADDED, arrow.array(found, arrow.string())))
            number += len(texts)


def join_rows(parts: Sequence[Path], sink: IO[bytes]) -> None:
    """Write the rows of all parts."""
    with _opened(parts[0]) as file:
        schema = file.schema_arrow
    from pyarrow import parquet

    with parquet.ParquetWriter(sink, schema) as writer:
        for path in parts:
            for table in _tables(path, rows_of(path, Part(1, 1))):
                writer.write_table(table)


def _tables(path: Path, span: Span) -> Iterator[Any]:
    """Rows, at most `WINDOW` at a time."""
    with _opened(path) as file:
        begin = 0
        for group in range(file.metadata.num_row_groups):
            end = begin + file.metadata.row_group(group).num_rows
            if begin < span.end and end > span.begin:
                table = file.read_row_group(group)
                first, last = max(span.begin - begin, 0), min(span.end, end) - begin
                for place in range(first, last, WINDOW):
                    yield table.slice(place, min(WINDOW, last - place))
            begin = end


def _is_text(arrow: Any, kind: Any) -> bool:
    kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file; faults at reading it are raised as `faults_of_parquet` does."""
    with faults_of_parquet(path) as parquet, parquet.ParquetFile(path) as file:
        yield file

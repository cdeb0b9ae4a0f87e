"""Pairs of records with named fields: JSON lines and Parquet.

A field may lie in another: `translation.de` is the field `de` of the field `translation`, as in the data sets of
Hugging Face, unless there is a field of this very name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from s2s_cli.errors import DataError, MachineError, UsageError, printable
from s2s_cli.forms import is_unicode
from s2s_cli.text.files import read_lines

Fields = tuple[str, str]
"""Names of the source and of the target."""
BATCH = 1024  # records of Parquet that are decoded at once


def read_jsonl(path: Path, fields: Fields) -> Iterator[tuple[str, str]]:
    """The pairs of a file with one JSON object a line, plain or compressed. Raises DataError with file:line."""
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError("not a JSON object", where=where, hint="each line must be one") from error
        yield _text(record, fields[0], where), _text(record, fields[1], where)


def read_parquet(path: Path, fields: Fields) -> Iterator[tuple[str, str]]:
    """The pairs of a Parquet file, of which only these columns are read, some rows at a time. Raises DataError with the
    row, and UsageError without pyarrow."""
    row = 0
    with faults_of_parquet(path) as parquet, parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        columns = [field if field in names else field.partition(".")[0] for field in fields]
        for field, column in zip(fields, columns, strict=True):
            if column not in names:
                raise _missing(field, names, path)
        for batch in file.iter_batches(BATCH, columns=columns):
            for record in batch.to_pylist():
                row += 1
                where = f"{path}, row {row}"
                yield _text(record, fields[0], where), _text(record, fields[1], where)


@contextmanager
def faults_of_parquet(path: Path) -> Iterator[Any]:
    """pyarrow's module for Parquet, whose faults at this file are raised as DataError or MachineError. Raises
    UsageError where it is not installed."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UsageError("Parquet needs pyarrow", where=path, hint="pip install 's2s-cli[parquet]'") from error
    try:
        yield parquet
    except (ArrowException, ValueError) as error:  # a damaged name of a column is a UnicodeDecodeError
        raise DataError(f"not sound Parquet: {printable(error)}", where=path) from error
    except OSError as error:
        # Arrow says of most damages that they are faults of reading.
        kind = MachineError if error.errno else DataError
        raise kind(f"cannot be read: {printable(error.strerror or error)}", where=path) from error


def _missing(field: str, there: Iterable[str], where: object) -> DataError:
    have = ", ".join(printable(name, 30) for name in there) or "no fields"
    return DataError(f"it has no field `{field}`", where=where, hint=f"there: {have}; set `fields`")


def _text(record: Any, field: str, where: str) -> str:
    found = record
    for name in [field] if isinstance(record, dict) and field in record else field.split("."):
        if not isinstance(found, dict) or name not in found:
            raise _missing(field, found if isinstance(found, dict) else (), where)
        found = found[name]
    if not isinstance(found, str):
        raise DataError(f"the field `{field}` is not text", where=where, hint="leave such records out of the file")
    if not is_unicode(found):
        raise DataError(f"the field `{field}` has a lone surrogate", where=where)
    return found

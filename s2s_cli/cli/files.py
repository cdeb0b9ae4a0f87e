"""The files of `s2s translate`: whether they are documents or lines, and where translations go."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, BinaryIO

from s2s_cli import compression
from s2s_cli.documents.formats import FORMATS, format_of
from s2s_cli.errors import UsageError

_OF_LINES = ("as_json", "alignments", "attention", "strict")


def document_format(values: Mapping[str, Any]) -> str | None:
    """The format of the document that is to be translated as a whole; None for lines.

    values: of the parameters of the command. It is that of --format, else that of the input's suffix; without an input,
    that of the output's. Plain text is lines, unless it is to become a file as it was: with its ends of lines.
    """
    if values["form"]:
        return str(values["form"])
    if is_bulk(values):
        found = {format_of(source.name) for source in values["inputs"] or []} - {None, "text"}
        return next(iter(sorted(found)), None)  # type: ignore[type-var]
    inputs, output = values["inputs"] or [], values["output"]
    names = [source.name for source in inputs] or ([output] if output else [])
    found = {format_of(name) for name in names} - {None}
    if found == {"text"}:
        as_lines = values["n_best"] > 1 or any(values[name] for name in _OF_LINES)
        is_file = values["in_place"] or (output and str(output) != "-")
        return "text" if is_file and not as_lines and len(names) == 1 else None
    return next(iter(sorted(found - {"text"})), None)  # type: ignore[type-var]


def is_bulk(values: Mapping[str, Any]) -> bool:
    """Whether inputs become files that are skipped where they are done: parts, or files in a folder."""
    return bool(values["shard"] or values["join"] or values["ray"]) or os.path.isdir(values["output"] or "")


def has_rows(values: Mapping[str, Any]) -> bool:
    """Whether inputs are rows with a column of text."""
    suffixes = {Path(source.name).suffix for source in values["inputs"] or []}
    return ".parquet" in suffixes or (".jsonl" in suffixes and values["column"] is not None)


def target_of(values: Mapping[str, Any], form: str | None) -> Path | None:
    """The file that is to be written, None for stdout. Raises UsageError for what cannot be meant."""
    inputs, output = values["inputs"] or [], values["output"]
    if form and form not in FORMATS:
        raise UsageError(f"unknown format `{form}`", where="--format", hint=f"one of {', '.join(FORMATS)}")
    if form and len(inputs) > 1:
        raise UsageError(f"one document at a time, not {len(inputs)}", where="INPUT", hint="call s2s for each of them")
    if values["in_place"]:
        if output:
            raise UsageError("--in-place writes to the input, and -o elsewhere", where="-o", hint="leave one out")
        if not form or not inputs or not os.path.isfile(inputs[0].name):
            raise UsageError("this needs a document in a file as INPUT", where="--in-place", hint="use -o FILE")
        return Path(inputs[0].name)
    if output is None or str(output) == "-":
        if form == "docx" and sys.stdout.isatty():
            raise UsageError("a document of this format is not for a terminal", where="--format", hint="add -o FILE")
        return None
    for source in inputs:
        if os.path.exists(source.name) and os.path.exists(output) and os.path.samefile(source.name, output):
            raise UsageError(f"{output} is the input", where="-o", hint="--in-place replaces a document")
    if not values["form"] and form and inputs and (other := format_of(output)) not in (None, form):
        raise UsageError(f"{form} is not converted to {other}", where="-o", hint="name a file of the same format")
    return Path(output)


def content_of(source: BinaryIO) -> AbstractContextManager[IO[bytes]]:
    """What an input holds, decompressed if its suffix says so."""
    name = str(getattr(source, "name", ""))  # a number for stdin, which is no path
    return compression.reading(Path(name)) if compression.suffix_of(name) else nullcontext(source)


@contextmanager
def sink_of(target: Path | None) -> Iterator[IO[bytes]]:
    """stdout, or the file, which appears or is replaced as a whole when the block ends, compressed as its suffix
    says."""
    if target is None:
        yield sys.stdout.buffer
    else:
        from s2s_cli import atomic

        with atomic.new_file(target) as file, compression.writing(file, compression.suffix_of(target)) as content:
            yield content

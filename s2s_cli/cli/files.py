"""The files of `s2s translate`: whether they are documents or lines, and where translations go."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple

from s2s_cli import compression
from s2s_cli.documents.formats import FORMATS, format_of
from s2s_cli.errors import UsageError

STDIN = Path("-")
"""Stands for stdin among the inputs, and for stdout as the output."""
_NO_LINES = (b"PK\x03\x04", b"%PDF", b"PAR1", b"\xd0\xcf\x11\xe0")
"""How archives, such as the documents of office programs, PDF, Parquet and old Word documents begin."""
_OF_LINES = ("as_json", "alignments", "attention", "json_input")


class Job(NamedTuple):
    """What becomes one file, or stdout where `target` is None: a document of a format, or lines (form: None)."""

    sources: list[Path]
    form: str | None
    target: Path | None


def inputs_of(values: Mapping[str, Any]) -> list[Path]:
    """The inputs that were named."""
    return [Path(name) for name in values["inputs"] or ()]


def document_format(values: Mapping[str, Any]) -> str | None:
    """The format of the document that is to be translated as a whole, or of one of several; None for lines.

    values: of the parameters of the command. It is that of --format, else that of the input's suffix; without an input,
    that of the output's. Plain text is lines, unless it is to become a file as it was: with its ends of lines.
    """
    if values["form"]:
        return str(values["form"])
    bulk, output = is_bulk(values), values["output"]
    names = inputs_of(values) or ([output] if output and not bulk else [])
    found = {form for name in names if (form := format_of(name))}
    if found == {"text"} and not bulk:
        as_lines = values["n_best"] > 1 or any(values[name] for name in _OF_LINES)
        is_file = values["in_place"] or (output and str(output) != "-")
        return "text" if is_file and not as_lines and (len(names) == 1 or values["in_place"]) else None
    return min(found - {"text"}, default=None)


def is_bulk(values: Mapping[str, Any]) -> bool:
    """Whether inputs become files that are skipped where they are done: parts, or files of lines and rows in a
    folder."""
    if values["shard"] or values["join"] or values["ray"]:
        return True
    inputs = inputs_of(values)
    are_documents = bool(values["form"]) or (bool(inputs) and all(map(_is_document, inputs)))
    return is_folder(values) and (not are_documents or inputs == [STDIN])


def _is_document(name: Path) -> bool:
    """By its suffix. Text may be lines as well."""
    return format_of(name) not in (None, "text")


def is_folder(values: Mapping[str, Any]) -> bool:
    """Whether the output is a folder, or is to be one."""
    output = str(values["output"] or "")
    return os.path.isdir(output) or output.endswith(os.sep)


def has_rows(values: Mapping[str, Any]) -> bool:
    """Whether inputs are rows with a column of text."""
    suffixes = set(map(suffix_of_rows, inputs_of(values)))
    return ".parquet" in suffixes or (".jsonl" in suffixes and values["column"] is not None)


def suffix_of_rows(path: Path) -> str:
    """What a file holds, by its name; `.jsonl` of `rows.jsonl.gz`."""
    inner = compression.content_suffix(path)
    return inner if inner != ".parquet" else path.suffix  # which is not compressed as a whole


def jobs_of(values: Mapping[str, Any]) -> list[Job]:
    """One for all lines, or one for each document. Raises UsageError for what cannot be meant."""
    inputs, form = inputs_of(values), document_format(values)
    if not form or len(inputs) < 2:
        return [Job(inputs or [STDIN], form, _target_of(values, form))]
    is_format = format_of if values["in_place"] else _is_document  # of text, too
    if lines := [name for name in inputs if not (values["form"] or is_format(name))]:
        raise UsageError(f"{lines[0]} is no document, and others are", where="INPUT", hint="call s2s for each kind")
    if not (values["in_place"] or is_folder(values)):
        what = f"{len(inputs)} documents do not become one"
        raise UsageError(what, where="INPUT", hint="add -o DIR/, or call s2s for each of them")
    jobs = [job for name in inputs for job in jobs_of({**values, "inputs": [name]})]
    refuse_one_for_two([job.target for job in jobs], where="INPUT")
    return jobs


def refuse_one_for_two(targets: Iterable[Path | None], where: str) -> None:
    """Raise UsageError for a file that would be written twice."""
    if twice := [target for target, count in Counter(targets).items() if count > 1]:
        raise UsageError(f"two inputs would both become {twice[0]}", where=where, hint="give them different names")


def _target_of(values: Mapping[str, Any], form: str | None) -> Path | None:
    """The file that is to be written, None for stdout."""
    inputs, output = inputs_of(values), Path(values["output"] or STDIN)
    if form and form not in FORMATS:
        raise UsageError(f"unknown format `{form}`", where="--format", hint=f"one of {', '.join(FORMATS)}")
    if not form and not (is_bulk(values) and has_rows(values)):
        _refuse_archives(inputs)
    if values["in_place"]:
        if values["output"]:
            raise UsageError("--in-place writes to the input, and -o elsewhere", where="-o", hint="leave one out")
        if not form or not inputs or not inputs[0].is_file():
            raise UsageError("this needs a document in a file as INPUT", where="--in-place", hint="use -o FILE")
        return inputs[0]
    if output == STDIN:
        if form == "docx" and sys.stdout.isatty():
            raise UsageError("a document of this format is not for a terminal", where="--format", hint="add -o FILE")
        return None
    if form and is_folder(values) and not is_bulk(values):
        output /= inputs[0].name
    if any(_is_read_from(source, output) for source in inputs or [STDIN]):
        raise UsageError(f"{output} is the input", where="-o", hint="--in-place replaces a document")
    if values["attention"] and os.path.realpath(values["attention"]) == os.path.realpath(output):
        raise UsageError(f"{output} is where translations go", where="--attention", hint="name another file than -o")
    if not values["form"] and form and inputs and (other := format_of(output)) not in (None, form):
        raise UsageError(f"{form} is not converted to {other}", where="-o", hint="name a file of the same format")
    return output


def _is_read_from(source: Path, output: Path) -> bool:
    """Whether an input is the file that is to be written. stdin may also be a terminal or a null device, which can be
    read and written at once."""
    if source != STDIN:
        return source.exists() and output.exists() and source.samefile(output)
    try:
        status = os.fstat(sys.stdin.fileno())
    except OSError:  # a stream of Python's own has no descriptor
        return False
    return stat.S_ISREG(status.st_mode) and output.exists() and os.path.samestat(status, output.stat())


def _refuse_archives(inputs: Iterable[Path]) -> None:
    """Raise UsageError for a file that is no text at all, of which every line would be translated all the same."""
    for source in filter(os.path.isfile, inputs):
        with compression.reading(source) as file:
            if file.read(4) in _NO_LINES:
                hint = f"documents are {', '.join(FORMATS)}; the format is that of the suffix, or --format"
                if suffix_of_rows(source) == ".parquet":
                    hint = "add -o DIR/, which takes files of rows"
                raise UsageError("this holds no lines of text", where=source, hint=hint)


def content_of(source: Path) -> AbstractContextManager[IO[bytes]]:
    """What an input holds, decompressed if its suffix says so."""
    return nullcontext(sys.stdin.buffer) if source == STDIN else compression.reading(source)


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

"""The parts of a translation: how their files are called, and how they are put together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from s2s_cli import compression
from s2s_cli.bulk import rows
from s2s_cli.bulk.cutting import Part, Span, opened
from s2s_cli.bulk.unit import MadeOf, Record, is_done, measured, new_file, read_record
from s2s_cli.errors import DataError, UsageError
from s2s_cli.sealed import FileEntry

_CHUNK = 1 << 20  # bytes


def part_path(target: Path, part: Part) -> Path:
    """Where a part of `target` lies: `out.txt.gz` is made of `out.txt.03-of-64.gz`. Names are sorted as the parts
    are, so that `cat out.txt.*-of-64.gz` joins them too."""
    suffix = compression.suffix_of(target)
    stem = target.name.removesuffix(suffix)
    return target.with_name(f"{stem}.{part.number:0{len(str(part.of))}}-of-{part.of}{suffix}")


def join(source: Path, target: Path, parts_of: Path | None = None) -> bool:
    """Put the parts of a translation together in `target`; False if that was done before. The parts are left.

    source: what was translated. parts_of: the path that the parts have their names of, by default `target`. Raises
    UsageError if there are parts of two divisions, DataError if a part is missing or damaged, or was made of something
    else than the rest, or than what `source` has in its place.
    """
    parts = _parts(parts_of or target)
    records = [_record(path, source) for path in parts]
    first = records[0]
    for path, record in zip(parts, records, strict=True):
        if record.by != first.by:
            raise DataError("was made in another way than the first part", where=path, hint="translate all parts alike")
    made_of = _made_of(source, parts, records)
    if is_done(target, made_of, first.by):
        return False
    with new_file(target, made_of, first.by) as sink:
        for path, record in zip(parts, records, strict=True):
            for chunk in _verified(path, record.output):
                if target.suffix != rows.PARQUET:
                    sink.write(chunk)
        if target.suffix == rows.PARQUET:
            rows.join_rows(parts, sink)
    return True


def divisions_of(target: Path) -> set[int]:
    """Into how many parts `target` was divided, by the names of those that there are."""
    suffix = compression.suffix_of(target)
    pattern = re.compile(re.escape(target.name.removesuffix(suffix)) + r"\.(\d+)-of-([1-9]\d*)" + re.escape(suffix))
    return {int(match[2]) for path in target.parent.glob("*") if (match := pattern.fullmatch(path.name))}


def _parts(target: Path) -> list[Path]:
    """The files of all parts of `target`, in order."""
    counts = sorted(divisions_of(target))
    if not counts:
        hint = f"translate them first, with --shard 1/N and the same -o {target}"
        raise DataError("there are no shards of this file", where=target, hint=hint)
    if len(counts) > 1:
        divisions = " and of ".join(map(str, counts))
        raise UsageError(f"there are shards of {divisions}", where=target, hint="remove those that are not meant")
    (count,) = counts
    parts = [part_path(target, Part(number, count)) for number in range(1, count + 1)]
    if missing := [number for number, path in enumerate(parts, 1) if not path.exists()]:
        listed = ", ".join(map(str, missing[:10])) + (" ..." if len(missing) > 10 else "")
        hint = f"s2s translate --shard {missing[0]}/{count} ..."
        raise DataError(f"{len(missing)} of {count} shards are missing: {listed}", where=target, hint=hint)
    return parts


def _record(path: Path, source: Path) -> Record:
    record = read_record(path)
    if record is None:
        raise DataError("has no record of what it was made of", where=path, hint="remove it, and translate it again")
    if record.made_of.size != source.stat().st_size:
        raise _other_input(path, source)
    return record


def _other_input(path: Path, source: Path) -> DataError:
    return DataError(f"was not made of what {source} is now", where=path, hint="remove it, and translate it again")


def _made_of(source: Path, parts: Sequence[Path], records: Sequence[Record]) -> MadeOf:
    """All of the source, after its parts were compared with those of which the records tell."""
    for number, (path, record) in enumerate(zip(parts, records, strict=True), 1):
        span, digest = measured(source, Part(number, len(parts)))
        if (span.begin, span.end, digest) != (record.made_of.begin, record.made_of.end, record.made_of.sha256):
            raise _other_input(path, source)
    whole, digest = measured(source)
    return MadeOf(size=source.stat().st_size, begin=whole.begin, end=whole.end, sha256=digest)


def _verified(path: Path, expected: FileEntry) -> Iterator[bytes]:
    """The content of a file. Raises DataError at its end if it is not as expected."""
    digest = hashlib.sha256()
    with opened(path, Span(0, path.stat().st_size)) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            yield chunk
    if digest.hexdigest() != expected.sha256:
        raise DataError(
            "is damaged: its SHA-256 differs from its record", where=path, hint="remove it, and do it again"
        )

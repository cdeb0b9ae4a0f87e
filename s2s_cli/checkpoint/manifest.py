"""Directories sealed by a `manifest.json`, which has the size and the SHA-256 of every other file and is written last.

Reading trusts nothing: names must be plain, files must be regular files of the listed size, and bytes are handed out
only after their hash was compared. Files whose name starts with a dot are left alone and never read: operating
systems and version control put theirs everywhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from s2s_cli import atomic
from s2s_cli.checkpoint.documents import Document, parse_json, to_json
from s2s_cli.errors import CheckpointError

MANIFEST = "manifest.json"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LARGEST_MANIFEST = 2**20  # bytes


class FileEntry(Document):
    size: Annotated[int, Field(ge=0)]
    """Bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(Document):
    format: Literal[1] = 1
    files: dict[str, FileEntry]


class ManifestWriter:
    """Writes the files of one directory and remembers their hashes; `seal` ends it with the manifest."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._written: dict[str, atomic.Written] = {}

    def write(self, name: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Write one file. Raises `OSError`."""
        self._written[name] = atomic.write_file(self.directory / name, chunks)

    def seal(self) -> None:
        """Write the manifest of all files of the directory, also of those that somebody else put there."""
        entries = {}
        for path in sorted(self.directory.iterdir()):
            written = self._written.get(path.name) or _measure(path)
            entries[path.name] = FileEntry(size=written.size, sha256=written.sha256)
        atomic.write_file(self.directory / MANIFEST, [to_json(Manifest(files=entries))])


@dataclass(frozen=True)
class SealedDirectory:
    """A directory whose files agree with its manifest in name, kind and size; `read` also compares the hash."""

    path: Path
    files: dict[str, FileEntry]

    @classmethod
    def open(cls, path: Path) -> SealedDirectory:
        """Raises `CheckpointError`, which names the file and the fault."""
        try:
            names = set(os.listdir(path))
        except OSError as error:
            raise CheckpointError(f"cannot be read: {error.strerror}", where=path) from error
        if MANIFEST not in names:
            raise CheckpointError(f"has no {MANIFEST}, so it is not whole", where=path)
        data = _read_regular(path / MANIFEST, limit=_LARGEST_MANIFEST)
        files = parse_json(data, Manifest, path / MANIFEST).files
        for name in files:
            if not _PLAIN_NAME.fullmatch(name) or name == MANIFEST:
                raise CheckpointError(f"lists {name[:200]!a}, which is not a plain file name", where=path / MANIFEST)
        if unlisted := sorted(name for name in names - files.keys() - {MANIFEST} if not name.startswith(".")):
            raise CheckpointError(f"{unlisted[0]!a} is not listed in {MANIFEST}", where=path)
        for name, entry in files.items():
            _check_size(path / name, entry.size)
        return cls(path, files)

    def read(self, name: str) -> bytes:
        """The verified content of one listed file. Raises `CheckpointError`."""
        where = self.path / name
        if name not in self.files:
            raise CheckpointError(f"is missing from {MANIFEST}", where=where)
        entry = self.files[name]
        data = _read_regular(where, limit=entry.size)
        if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise CheckpointError(f"is damaged: its SHA-256 differs from {MANIFEST}", where=where)
        return data


def _measure(path: Path) -> atomic.Written:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return atomic.Written(file.tell(), digest.hexdigest())


def _check_size(path: Path, size: int) -> None:
    try:
        found = os.lstat(path)
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}", where=path) from error
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError("is not a regular file", where=path)
    if found.st_size != size:
        raise CheckpointError(f"is damaged: it has {found.st_size:,} bytes instead of {size:,}", where=path)


def _read_regular(path: Path, limit: int) -> bytes:
    """All bytes of a regular file of at most `limit` bytes; no link is followed and no pipe waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointError("is not a regular file", where=path)
            _check_fits(path, status.st_size, limit)
            return file.readall()
    except OSError as error:
        fault = "is not a regular file" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise CheckpointError(fault, where=path) from error
    except MemoryError as error:
        raise CheckpointError("does not fit into memory", where=path) from error


def _check_fits(path: Path, size: int, limit: int) -> None:
    """A sparse file costs its author nothing, so its size says nothing about what may be allocated for it."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > limit:
        raise CheckpointError(f"has {size:,} bytes, more than the {limit:,} expected", where=path)
    if size > memory:
        raise CheckpointError(f"has {size:,} bytes, more than the memory of this machine", where=path)

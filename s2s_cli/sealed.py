"""Directories sealed by a `manifest.json`, which has the size and the SHA-256 of every other file and is written last.

Prepared data, tokenizers, checkpoints and models all lie on disk in this form. Reading trusts nothing: names must be
plain, files must be regular files of the listed size, and bytes are handed out only after their hash was compared.
Files whose name starts with a dot are ignored: operating systems and version control create them in any directory. (But
a directory with a repository is not replaced by a new one, see `foreign_file`.)

`open` checks names, kinds and sizes alone, which takes the same time for any size; `read` hashes what it hands out. A
file that is to be mapped into memory is never read whole, so a command that uses all of it (`s2s prep`, `s2s train`)
calls `verify` once before; SHA-256 takes about a second for each GB. Time stamps are not trusted: bit rot does not
change them, and copying does.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, Literal, TypeVar

from s2s_cli import atomic
from s2s_cli.errors import CheckpointError, MachineError, printable
from s2s_cli.forms import Form, FormError, at_least, matching

MANIFEST = "manifest.json"
_LARGEST_DOCUMENT = 16 * 2**20  # bytes
_HIDDEN = re.compile(r"\.")
_LEFT_BY_SYSTEMS = re.compile(r"\.(DS_Store|directory|localized|_.*|nfs.*|fuse_hidden.*)$")
"""Hidden files that file managers and network file systems leave in any folder."""
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO)
"""What the system says of names that are not there, or are of something else than was written."""

AnyDocument = TypeVar("AnyDocument", bound="Document")
AnyManifest = TypeVar("AnyManifest", bound="Manifest")


# ------------------------------------------------------------------------------------------------------ JSON documents


class Document(Form):
    """A JSON object with known keys only."""


def to_json(document: Document) -> bytes:
    """The document as UTF-8 JSON, ready to be written. Floats keep every bit; infinities and NaN are allowed."""
    data = (json.dumps(document.values(), ensure_ascii=False, indent=2) + "\n").encode()
    if len(data) > _LARGEST_DOCUMENT:
        raise ValueError(f"{type(document).__name__} takes {len(data):,} bytes and could not be read again")
    return data


def parse_json(data: bytes, form: type[AnyDocument], where: object) -> AnyDocument:
    """Read a document; numbers written as text are refused. Raises `CheckpointError` with `where` and the fault."""
    if len(data) > _LARGEST_DOCUMENT:
        raise CheckpointError(f"has {len(data):,} bytes; at most {_LARGEST_DOCUMENT:,} are allowed", where=where)
    try:
        return form.read(json.loads(data.decode()))
    except FormError as error:
        first, *others = error.faults
        more = f" (and {len(others)} more)" if others else ""
        raise CheckpointError(printable(first) + more, where=where) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"is not JSON: {printable(error)}", where=where) from error


# --------------------------------------------------------------------------------------------------------- the manifest


class FileEntry(Document):
    renamed: ClassVar[Mapping[str, str]] = {"bytes": "size"}

    size: Annotated[int, at_least(0)]
    """Bytes."""
    sha256: Annotated[str, matching(r"[0-9a-f]{64}", "is no SHA-256")]


class Manifest(Document):
    """The content of `manifest.json`. A subclass may add fields."""

    levels: ClassVar[int] = 1
    """1: all files lie in the directory itself; 2: some lie in its folders, and are listed as `folder/name`."""
    plain_name: ClassVar[str] = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
    """A regular expression that the name of each file and folder must match."""

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

    def seal(self, form: type[AnyManifest], **facts: Any) -> AnyManifest:
        """Write the manifest of all files of the directory, including those that `write` did not write.

        facts: the other fields of `form`. Raises `OSError`.
        """
        entries = {}
        for name in sorted(set(_names(self.directory, form.levels)) - {MANIFEST}):
            path = self.directory / name
            written = self._written.get(name) or atomic.Written(path.stat().st_size, file_sha256(path))
            entries[name] = FileEntry(size=written.size, sha256=written.sha256)
        manifest = form(files=entries, **facts)
        atomic.write_file(self.directory / MANIFEST, [to_json(manifest)])
        return manifest


@dataclass(frozen=True)
class SealedDirectory:
    """A directory whose files agree with its manifest in name, kind and size; `read` and `verify` compare the hash."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path, form: type[Manifest] = Manifest) -> SealedDirectory:
        """Raises `CheckpointError`, which names the file and the fault; `MachineError` for what cannot be read."""
        found, names = cls._opened(path, form)
        if unlisted := sorted(names - found.files.keys() - {MANIFEST}):
            raise CheckpointError(f"{printable(ascii(unlisted[0]))} is not listed in {MANIFEST}", where=path)
        for name, entry in found.files.items():
            _check_size(path / name, entry.size)
        return found

    @classmethod
    def by_manifest(cls, path: Path, form: type[Manifest] = Manifest) -> SealedDirectory:
        """By its manifest alone: other files may be missing or damaged, which `read` and `verify` notice. Errors as of
        `open`."""
        return cls._opened(path, form)[0]

    @classmethod
    def _opened(cls, path: Path, form: type[Manifest]) -> tuple[SealedDirectory, set[str]]:
        """The directory by its manifest, and the names of all that lies there."""
        with _faults_of(path):
            names = set(_names(path, form.levels))
        if MANIFEST not in names:
            raise CheckpointError(f"has no {MANIFEST}, so it is incomplete", where=path)
        with _regular(path / MANIFEST, limit=_LARGEST_DOCUMENT) as file:
            manifest = parse_json(file.read(), form, path / MANIFEST)
        for name in manifest.files:
            if not _is_plain(name, form):
                fault = f"lists {printable(ascii(name))}, which is not a plain file name"
                raise CheckpointError(fault, where=path / MANIFEST)
        return cls(path, manifest), names

    @property
    def files(self) -> Mapping[str, FileEntry]:
        return self.manifest.files

    def read(self, name: str) -> bytes:
        """The verified content of one listed file. Errors as of `open`."""
        with self._listed(name) as file:
            data = file.read()
        self._compare(name, len(data), hashlib.sha256(data).hexdigest())
        return data

    def parse(self, name: str, form: type[AnyDocument]) -> AnyDocument:
        """The verified JSON document in one listed file. Errors as of `open`."""
        return parse_json(self.read(name), form, self.path / name)

    def verify(self, name: str) -> None:
        """Hash one listed file where it lies, in constant memory. Errors as of `open`."""
        with self._listed(name) as file:
            digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # typeshed wants more than it needs
            size = file.tell()
        self._compare(name, size, digest.hexdigest())

    def verify_all(self) -> None:
        """The same of every listed file: the first damaged one is named."""
        for name in self.files:
            self.verify(name)

    def map(self, name: str) -> mmap.mmap:
        """The verified content of one listed file, mapped into memory: processes share it. Errors as of `open`."""
        with self._listed(name) as file:
            digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # as above
            self._compare(name, file.tell(), digest.hexdigest())
            if not self.files[name].size:
                raise CheckpointError("is empty, and cannot be mapped", where=self.path / name)
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    @contextmanager
    def _listed(self, name: str) -> Iterator[IO[bytes]]:
        if name not in self.files:
            raise CheckpointError(f"is missing from {MANIFEST}", where=self.path / name)
        with _regular(self.path / name, limit=self.files[name].size) as file:
            yield file

    def _compare(self, name: str, size: int, sha256: str) -> None:
        if (size, sha256) != (self.files[name].size, self.files[name].sha256):
            raise CheckpointError(f"is damaged: its SHA-256 differs from {MANIFEST}", where=self.path / name)


def _is_plain(name: str, form: type[Manifest]) -> bool:
    parts = name.split("/")
    return len(parts) <= form.levels and name != MANIFEST and all(re.fullmatch(form.plain_name, part) for part in parts)


def _names(directory: Path, levels: int, passed_over: re.Pattern[str] = _HIDDEN) -> Iterator[str]:
    """Names of everything in a directory that is not passed over; folders are entered as far as `levels` allows."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if passed_over.match(entry.name):
                continue
            if levels > 1 and entry.is_dir(follow_symlinks=False):
                yield from (f"{entry.name}/{name}" for name in _names(directory / entry.name, levels - 1, passed_over))
            else:
                yield entry.name


def foreign_file(directory: Path, levels: int) -> str | None:
    """A file that would be lost if this directory were replaced as a sealed one: one that its manifest does not list,
    or any if it has none, but for what systems leave in any folder. A manifest that is damaged may have listed them
    all.

    levels: as of `Manifest`. Raises `MachineError` if the directory cannot be read.
    """
    with _faults_of(directory):
        names = sorted(_names(directory, levels, _LEFT_BY_SYSTEMS))
        content = (directory / MANIFEST).read_bytes() if MANIFEST in names else b"null"
    try:
        manifest = json.loads(content)
    except ValueError:
        return None
    files = manifest.get("files") if isinstance(manifest, dict) else None
    listed = {*files, MANIFEST} if isinstance(files, dict) else set()
    return next((name for name in names if name not in listed), None)


def file_sha256(path: Path) -> str:
    """In hexadecimal. Raises OSError if the file cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_size(path: Path, size: int) -> None:
    with _faults_of(path):
        found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise CheckpointError("is not a regular file", where=path)
    if found.st_size != size:
        raise CheckpointError(f"is damaged: it has {found.st_size:,} bytes instead of {size:,}", where=path)


@contextmanager
def _regular(path: Path, limit: int) -> Iterator[IO[bytes]]:
    """A regular file of at most `limit` bytes; no link is followed and no pipe waited for."""
    with _faults_of(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointError("is not a regular file", where=path)
            _check_fits(path, status.st_size, limit)
            yield file


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """What is not there is a fault of the directory, for which a sound one may be found. That something cannot be read
    now says nothing of it."""
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_THERE:
            fault = "is not a regular file" if path.is_symlink() else f"cannot be read: {error.strerror}"
            raise CheckpointError(fault, where=path) from error
        raise MachineError(f"cannot be read: {error.strerror or error}", where=path) from error
    except MemoryError as error:
        raise MachineError("does not fit into memory", where=path) from error


def _check_fits(path: Path, size: int, limit: int) -> None:
    """A sparse file may claim any size at no cost, so sizes are checked before memory is allocated."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > limit:
        raise CheckpointError(f"has {size:,} bytes, more than the {limit:,} expected", where=path)
    if size > memory:
        raise CheckpointError(f"has {size:,} bytes, more than the memory of this machine", where=path)

"""Directories and files that appear on disk whole or not at all, even after a crash or on a full disk.

New content is written under a temporary sibling, flushed to the disk, and then renamed in one atomic step. A writer
holds a `flock` on its temporary, so that `sweep` can distinguish what a dead process left from what a living one is
still writing, even across reused process ids and containers.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from s2s_cli.errors import MachineError

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.tmp")
_PREVIOUS = re.compile(r"\.(?P<name>.+)\.previous")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)
RETRY_TIME = 2.0  # seconds
_LONGEST_NAME = 230  # bytes: the name of a temporary has 22 more, and file systems take 255
_BEGINNING = 40  # characters, of at most 4 bytes
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # <fcntl.h> and <linux/fs.h>


class Written(NamedTuple):
    """What went into a file."""

    size: int  # bytes
    sha256: str  # hexadecimal


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """Yield a directory to fill; when the block ends, it becomes `target` and replaces an older one.

    If anything fails, the temporary is removed and an older `target` is left as it was. An `OSError`, also one raised
    in the block, becomes a `MachineError`.
    """
    with _reported(target):
        target = target.resolve()
        _make_directories(target.parent)
        temporary, lock = _claim(target, os.mkdir)
        with unshared(lock):
            try:
                yield temporary
                _flush_tree(temporary)
                _publish(temporary, target)
                _flush(target.parent)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)  # the unfinished directory, or the replaced one


def replace_file(target: Path, data: bytes) -> None:
    """Make `data` the content of the file `target`, atomically. Raises `MachineError`; the old content is then kept."""
    with _reported(target), _replacing(target) as temporary:
        write_file(temporary, [data])


def append(target: Path, data: bytes) -> None:
    """Add `data` to the end of a file, which is made if it is missing. Raises `MachineError`; a part of the data is
    then taken back, unless the process dies in between."""
    with _reported(target), open(target, "ab", buffering=0) as file:
        size, rest = file.seek(0, os.SEEK_END), memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(size)
            raise


def flush(path: Path) -> None:
    """Have the content of a file, and its name, on the disk. Raises `MachineError`."""
    with _reported(path):
        _flush(path)
        _flush(path.parent)


@contextmanager
def new_file(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write; when the block ends, it becomes `target` and replaces an older one, with its permissions.
    What is written to it is written as a whole, or an error: the system may take less of it, as when a disk gets full.

    If anything fails, the old content is kept. An `OSError`, also one raised in the block, becomes a `MachineError`.
    A link is followed. What is no regular file, such as `/dev/stderr` or a named pipe, is written directly.
    """
    with _reported(target):
        target = target.resolve()
        if target.exists() and not target.is_file():
            with open(target, "wb", buffering=0) as file:
                yield file
            return
        with _replacing(target) as temporary, open(temporary, "wb") as file:
            if target.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            yield file


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary file, which takes the place of `target` when the block ends, if nothing fails."""
    _make_directories(target.parent)
    temporary, lock = _claim(target, _make_file)
    with unshared(lock):
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, target)
            _flush(target.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_file(path: Path, chunks: Iterable[bytes | memoryview]) -> Written:
    """Write chunks of plain bytes in order, hashing them on the way. Raises `OSError`; does not flush to the disk."""
    size, digest = 0, hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
    try:
        for chunk in chunks:
            rest = memoryview(chunk)
            digest.update(rest)
            size += len(rest)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
    return Written(size, digest.hexdigest())


def remove_directory(path: Path) -> None:
    """Remove a directory so that no reader ever finds a part of it under its name. Raises `MachineError`."""
    with _reported(path):
        doomed = _temporary_name(path)
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)  # what cannot be removed is left to the next sweep


def sweep(parent: Path, of: Collection[str] | None = None) -> None:
    """Remove the temporaries of dead writers from `parent`, and complete or undo an interrupted replacement.

    of: only of the files and directories of these names, where many writers share `parent`.
    """
    names = None if of is None else {*of, *map(_short, of)}
    with suppress(FileNotFoundError):
        for name in os.listdir(parent):
            match = _PREVIOUS.fullmatch(name) or _TEMPORARY.fullmatch(name)
            if match is None or (names is not None and match["name"] not in names):
                continue
            with suppress(OSError):  # another process is sweeping, or the file is not ours to remove
                if match.re is _PREVIOUS:
                    _settle(parent / name, parent / match["name"])
                else:
                    _remove_abandoned(parent / name)


def previous_of(target: Path) -> Path:
    """Where the old `target` lies while it is replaced, on a file system that cannot exchange two names."""
    target = target.resolve()
    return target.with_name(f".{target.name}.previous")


def take(descriptor: int) -> None:
    """Lock a file for this process. Raises `BlockingIOError` if another living process has the lock.

    A worker forked just before its parent is killed holds the parent's locks until it runs for the first time. So a
    lock that is taken is tried again for `RETRY_TIME`.
    """
    deadline = time.monotonic() + RETRY_TIME
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def unshared(lock: int) -> Iterator[None]:
    """Close a descriptor with a `flock` at the end of the block; a child forked inside the block closes it at once.

    Such a lock lasts as long as any copy of its descriptor, so a worker must not keep it longer than its parent. A
    child that leaves the block does not release the lock of its parent.
    """
    _held.append(lock)
    try:
        yield
    finally:
        if lock in _held:
            _held.remove(lock)
            os.close(lock)


_held: list[int] = []
"""The descriptors of all such blocks that are open."""


def _close_held() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_held)  # once, for it cannot be taken back


# ---------------------------------------------------------------------------------------------------- names and locks


def _temporary_name(target: Path) -> Path:
    return target.with_name(f".{_short(target.name)}.{os.urandom(8).hex()}.tmp")


def _short(name: str) -> str:
    """The name, or its beginning and a hash of it, if with more it could be too long for a file system."""
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    return f"{name[:_BEGINNING]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"


def _make_file(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _claim(target: Path, make: Callable[[Path], None]) -> tuple[Path, int]:
    """Make a temporary sibling and lock it; the lock lasts until the descriptor is closed or the process dies."""
    while True:
        temporary = _temporary_name(target)
        make(temporary)
        try:
            descriptor = os.open(temporary, os.O_RDONLY)
        except FileNotFoundError:
            continue  # a sweep has removed it
        with suppress(OSError):  # a file system without locks: sweeping does not work there either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if is_at(temporary, descriptor):
            return temporary, descriptor
        os.close(descriptor)


def is_at(path: Path, descriptor: int) -> bool:
    """Whether `path` still names this open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_abandoned(temporary: Path) -> None:
    descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        take(descriptor)  # BlockingIOError: its writer is alive
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink()
    finally:
        os.close(descriptor)


def _settle(previous: Path, target: Path) -> None:
    if target.exists():
        shutil.rmtree(previous)
    else:
        os.rename(previous, target)


# ------------------------------------------------------------------------------------------------ flush and publish


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (error.errno == errno.EINVAL and path.is_dir()):  # some network file systems cannot flush directories
            raise
    finally:
        os.close(descriptor)


def _flush_tree(path: Path) -> None:
    """Flush a file, or all that lies in a directory and then the directory."""
    if path.is_dir():
        for name in sorted(os.listdir(path)):
            _flush_tree(path / name)
    _flush(path)


def _make_directories(path: Path) -> None:
    if not path.is_dir():
        _make_directories(path.parent)
        try:
            path.mkdir(exist_ok=True)
        except FileExistsError:  # as something else: the system would only say that it is there
            raise NotADirectoryError(errno.ENOTDIR, f"{path} is no folder") from None
        _flush(path.parent)


def _publish(temporary: Path, target: Path) -> None:
    """Give `temporary` the name `target`. Where `target` exists, a reader finds the old or the new one, never none."""
    if not target.exists():
        os.rename(temporary, target)
    elif not _exchange(temporary, target):
        previous = previous_of(target)
        shutil.rmtree(previous, ignore_errors=True)
        os.rename(target, previous)  # for a moment, readers must look here
        try:
            os.rename(temporary, target)
        except OSError:
            os.rename(previous, target)
            raise
        shutil.rmtree(previous, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one atomic step (Linux's `renameat2`). False where the system or the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(other))


@contextmanager
def _reported(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "free some space; what was saved before is untouched" if error.errno in _NO_SPACE else None
        raise MachineError(f"cannot be written: {error.strerror or error}", where=target, hint=hint) from error

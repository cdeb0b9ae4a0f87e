"""Files that are compressed by their suffix: `.gz`, `.xz`, `.zst`, or not at all.

The same content always gives the same bytes, and files of one kind that are put one after the other hold their contents
one after the other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from s2s_cli.errors import DataError, MachineError

SUFFIXES = (".gz", ".xz", ".zst")
CHUNK = 1 << 16  # bytes that are read at once

_DAMAGE = ("EOFError", "BadGzipFile", "error", "LZMAError", "ZstdError")
"""Classes of errors that the libraries raise for a damaged archive; `error` is that of zlib."""


def suffix_of(path: Path | str) -> str:
    """By what a file is compressed: one of `SUFFIXES`, or "" for a plain one."""
    suffix = Path(path).suffix.lower()
    return suffix if suffix in SUFFIXES else ""


def content_suffix(path: Path | str) -> str:
    """The suffix before that of the compression, if there is one: `.po` of `manual.po` and of `manual.po.gz`."""
    path = Path(path)
    return path.with_suffix("").suffix if suffix_of(path) else path.suffix


@contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file.

    Opening and reading it raise DataError if the archive is damaged, MachineError if the file cannot be read.
    """
    with _faults_of(path):
        file = path.open("rb", buffering=0) if not (suffix := suffix_of(path)) else _open(path, suffix, "rb")
    with file, io.BufferedReader(_Content(file, path), CHUNK) as content:
        yield content


class _Content(io.RawIOBase):
    """What is read of a file, with errors that name it. Those of whoever reads are none of its own."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path, self.name = file, path, str(path)

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._file.fileno()

    def readinto(self, buffer: Any) -> int | None:
        with _faults_of(self._path):
            return self._file.readinto(buffer)


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if suffix_of(path) and type(error).__name__ in _DAMAGE:
            raise DataError(f"damaged archive: {error}", where=path) from error
        if isinstance(error, OSError):
            raise MachineError(f"cannot be read: {error.strerror or error}", where=path) from error
        raise


@contextmanager
def writing(file: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    """What compresses into an open file all that is written to it. suffix: as `suffix_of` gives it."""
    if not suffix:
        yield file
        return
    with _open(file, suffix, "wb") as compressed:
        yield compressed


def _open(file: Path | IO[bytes], suffix: str, mode: str) -> Any:
    return _OPENERS[suffix](file, mode)


def _gzip(file: Any, mode: str) -> Any:
    import gzip

    if mode == "rb":
        return gzip.open(file, mode)
    return gzip.GzipFile(filename="", mode=mode, fileobj=file, compresslevel=6, mtime=0)  # neither name nor time


def _xz(file: Any, mode: str) -> Any:
    import lzma

    return _XzStreams(open(file, "rb")) if mode == "rb" else lzma.open(file, mode)


class _XzStreams(io.RawIOBase):
    """The content of all streams of an `.xz` file. Python's own reader takes a stream whose beginning is damaged, or
    before which there is padding, for the end of the file."""

    def __init__(self, file: IO[bytes]) -> None:
        import lzma

        self._file, self._begin = file, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ)
        self._stream = self._begin()

    def close(self) -> None:
        self._file.close()
        super().close()

    def fileno(self) -> int:
        return self._file.fileno()

    def readinto(self, buffer: Any) -> int:
        while True:
            data = b""
            if self._stream.eof:
                if not (data := self._after_padding()):
                    return 0
                self._stream = self._begin()
            elif self._stream.needs_input and not (data := self._file.read(CHUNK)):
                raise EOFError("it ends within a stream")
            if content := self._stream.decompress(data, len(buffer)):
                buffer[: len(content)] = content
                return len(content)

    def _after_padding(self) -> bytes:
        """What follows the zeros after a stream."""
        data = self._stream.unused_data
        while not (data := data.lstrip(b"\0")) and (data := self._file.read(CHUNK)):
            pass
        return data


def _zstd(file: Any, mode: str) -> Any:
    return _zstd_module().open(file, mode)


def _zstd_module() -> Any:
    from importlib import import_module

    for name in ("compression.zstd", "backports.zstd"):  # part of Python from 3.14 on
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    raise MachineError("files of the suffix .zst need a library", hint="pip install 's2s-cli[zstd]'")


_OPENERS: dict[str, Callable[[Any, str], Any]] = {".gz": _gzip, ".xz": _xz, ".zst": _zstd}

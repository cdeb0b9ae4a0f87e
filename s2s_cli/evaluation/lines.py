"""Reading hypotheses and references just as the `sacrebleu` command does: only LF ends a line, white space at the end
of a line is dropped, nothing else is changed."""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, cast

from s2s_cli.errors import DataError, MachineError

_OPENERS = {".gz": gzip.GzipFile, ".xz": lzma.LZMAFile}
_DAMAGE = (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error)


def read_lines(path: Path) -> list[str]:
    """All lines of a UTF-8 file, plain, `.gz` or `.xz`.

    Raises `MachineError` for a file that cannot be read, `DataError` for a damaged archive and for other encodings.
    """
    try:
        with _open(path) as stream:
            return decode_lines(stream, str(path))
    except _DAMAGE as error:
        raise DataError(f"damaged archive: {error}", where=path) from error
    except OSError as error:
        raise MachineError(f"cannot be read: {error.strerror or error}", where=path) from error


def _open(path: Path) -> IO[bytes]:
    opener = _OPENERS.get(path.suffix)
    return path.open("rb") if opener is None else cast(IO[bytes], opener(path, "rb"))


def decode_lines(lines: Iterable[bytes], name: str) -> list[str]:
    """The lines of a byte stream (`sys.stdin.buffer`). Raises `DataError` with `name:line` where they are not UTF-8."""
    return [_decode(line, name, number) for number, line in enumerate(lines, 1)]


def _decode(line: bytes, name: str, number: int) -> str:
    try:
        return line.decode("utf-8").rstrip()
    except UnicodeDecodeError as error:
        raise DataError(f"byte 0x{line[error.start]:02x} is not UTF-8", where=f"{name}:{number}") from error

"""Files of text, plain or compressed, as streams. A line ends at LF (or CR LF) and nowhere else."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from s2s_cli.errors import DataError, MachineError
from s2s_cli.text.hygiene import BYTE_ORDER_MARK

_OPENERS: dict[str, Callable[[Path, Literal["rb"]], Any]] = {".gz": gzip.open, ".xz": lzma.open}


def read_lines(path: Path) -> Iterator[str]:
    """Lines of a plain, `.gz` or `.xz` file without their ends, and without a byte-order mark.

    Raises DataError if a line is not UTF-8 or the archive is damaged, MachineError if the file cannot be read.
    """
    with open_corpus(path) as file:
        for number, line in enumerate(decoded(file, path)):
            text = line if number else line.removeprefix(BYTE_ORDER_MARK)
            yield text.removesuffix("\n").removesuffix("\r")


@contextmanager
def open_corpus(path: Path) -> Iterator[IO[bytes]]:
    """The content of a plain, `.gz` or `.xz` file.

    While inside, raises DataError if the archive is damaged, MachineError if the file cannot be read.
    """
    try:
        opener = _OPENERS.get(path.suffix)
        with path.open("rb") if opener is None else io.BufferedReader(opener(path, "rb"), 1 << 16) as file:
            yield file
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"damaged archive: {error}", where=path) from error
    except OSError as error:
        raise MachineError(f"cannot be read: {error.strerror or error}", where=path) from error


def decoded(lines: Iterable[bytes], name: object) -> Iterator[str]:
    """Lines as text, with their ends. Raises DataError with `name:line` where they are not UTF-8."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            hint = "convert the file, for example with `iconv -f ISO-8859-1 -t UTF-8`"
            byte = f"byte 0x{line[error.start]:02x} is not UTF-8"
            raise DataError(byte, where=f"{name}:{number}", hint=hint) from error

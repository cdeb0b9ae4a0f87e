"""Files of text, plain or compressed, as streams. A line ends at LF (or CR LF) and nowhere else."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path

from s2s_cli.compression import reading
from s2s_cli.errors import DataError
from s2s_cli.text.hygiene import BYTE_ORDER_MARK


def read_lines(path: Path) -> Iterator[str]:
    """Lines of a file, plain or compressed, without their ends, and without a byte-order mark.

    Raises DataError if a line is not UTF-8 or the archive is damaged, MachineError if the file cannot be read.
    """
    with reading(path) as file:
        for number, line in enumerate(decoded_lines(file, path)):
            text = line if number else line.removeprefix(BYTE_ORDER_MARK)
            yield text.removesuffix("\n").removesuffix("\r")


def decoded_lines(lines: Iterable[bytes], name: object) -> Iterator[str]:
    """Lines as text, with their ends. Raises DataError with `name:line` where they are not UTF-8."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            other = "UTF-16" if number == 1 and line[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "ISO-8859-1"
            hint = f"convert the file, for example with `iconv -f {other} -t UTF-8`"
            byte = f"byte 0x{line[error.start]:02x} is not UTF-8"
            raise DataError(byte, where=f"{name}:{number}", hint=hint) from error

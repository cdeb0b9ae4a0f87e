"""Reading hypotheses and references just as the `sacrebleu` command does: only LF ends a line, white space at the end
of a line is dropped, nothing else is changed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from s2s_cli.data.corpora import decoded, open_corpus


def read_lines(path: Path) -> list[str]:
    """All lines of a UTF-8 file, plain, `.gz` or `.xz`.

    Raises `MachineError` for a file that cannot be read, `DataError` for a damaged archive and for other encodings.
    """
    with open_corpus(path) as stream:
        return decode_lines(stream, str(path))


def decode_lines(lines: Iterable[bytes], name: str) -> list[str]:
    """The lines of a byte stream (`sys.stdin.buffer`). Raises `DataError` with `name:line` where they are not UTF-8."""
    return [line.rstrip() for line in decoded(lines, name)]

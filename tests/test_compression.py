"""Files that are compressed by their suffix: whose fault an error is."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from s2s_cli import compression
from s2s_cli.errors import DataError, MachineError
from s2s_cli.inference.lines import LineReader


@pytest.mark.parametrize(
    "data", [b"no archive\n", gzip.compress(b"text\n" * 1000)[:-9]], ids=["no archive", "cut short"]
)
def test_a_damaged_archive_is_one_for_every_reader(tmp_path: Path, data: bytes):
    path = tmp_path / "a.gz"
    path.write_bytes(data)
    for read in (io.BufferedReader.read, list, lambda file: LineReader(file).window(9999)):
        with pytest.raises(DataError, match=r"a\.gz: damaged archive"), compression.reading(path) as file:
            read(file)


@pytest.mark.parametrize("name", ["a.gz", "a.txt"])
def test_an_error_of_whoever_reads_is_not_one_of_the_file(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(gzip.compress(b"text\n") if name == "a.gz" else b"text\n")
    for error in (BrokenPipeError(), EOFError()):
        with pytest.raises(type(error)), compression.reading(tmp_path / name) as file:
            assert file.readline() == b"text\n"
            raise error
    with pytest.raises(MachineError, match="cannot be read"), compression.reading(tmp_path) as file:
        file.read()

"""Files that are compressed by their suffix: whose fault an error is."""

from __future__ import annotations

import gzip
import io
import lzma
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


def read(path: Path, data: bytes) -> list[bytes]:
    path.write_bytes(data)
    with compression.reading(path) as file:
        return list(file)


def test_xz_is_read_over_all_streams_and_the_padding_between_them(tmp_path: Path):
    path, lines = tmp_path / "a.xz", [b"%d\n" % number for number in range(30_000)]
    streams = [lzma.compress(b"".join(part)) for part in (lines[:1], lines[1:20_000], [], lines[20_000:])]
    for padding in (b"", b"\0" * 4, b"\0" * 20_000):
        assert read(path, padding.join([*streams, b""])) == lines


def test_damage_to_any_stream_of_xz_is_told(tmp_path: Path):
    path, first, second = tmp_path / "a.xz", lzma.compress(b"one\n"), lzma.compress(b"two\n" * 9)
    assert read(path, first + second) == [b"one\n", *[b"two\n"] * 9]
    damaged = [second[:place] + bytes([byte ^ 16]) + second[place + 1 :] for place, byte in enumerate(second)]
    for other in [*damaged, *(second[:end] for end in range(1, len(second))), b"text"]:
        with pytest.raises(DataError, match=r"a\.xz: damaged archive"):
            read(path, first + other)

from __future__ import annotations

import gzip
import io
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.utils import smart_open

from s2s_cli.errors import DataError, MachineError
from s2s_cli.evaluation.metrics import read_lines, read_stdin

TEXT = st.text(st.sampled_from("a é中\t \r\n\v\f\x00\x1c\x85\u2028\ufeff"))


@given(text=TEXT)
def test_lines_are_those_of_sacrebleu_but_for_a_byte_order_mark(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / "file.txt"
    path.write_bytes(text.encode())
    with smart_open(str(path)) as stream:
        expected = [line.rstrip() for line in stream]
    assert read_lines(path) == [line.removeprefix("\ufeff") for line in expected[:1]] + expected[1:]


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress), ("", bytes)])
def test_compressed_files(tmp_path, suffix, compress):
    path = tmp_path / f"lines.txt{suffix}"
    path.write_bytes(compress("erste\u2028Zeile\n\nдва".encode()))
    assert read_lines(path) == ["erste\u2028Zeile", "", "два"]


def test_stdin_is_read_as_a_file_is(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("eine\u2028Zeile \r\n\nдва".encode())))
    assert read_stdin() == ["eine\u2028Zeile", "", "два"]


@pytest.mark.parametrize(("text", "lines"), [("\ufeffa\n\ufeffb\n", ["a", "\ufeffb"]), ("\ufeff\n", [""]), ("", [])])
def test_a_byte_order_mark_at_the_beginning_is_dropped(tmp_path, monkeypatch, text, lines):
    (tmp_path / "marked").write_bytes(text.encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert read_lines(tmp_path / "marked") == read_stdin() == lines


def test_invalid_utf8_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"fine\nbad \xff\n")))
    with pytest.raises(DataError, match=r"^<stdin>:2: byte 0xff is not UTF-8"):
        read_stdin()
    path = tmp_path / "bad.txt"
    path.write_bytes(b"\n\n\xc3")
    with pytest.raises(DataError, match=r"bad\.txt:3"):
        read_lines(path)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(MachineError, match=r"missing\.txt: cannot be read: No such file"):
        read_lines(tmp_path / "missing.txt")
    for name, content in [("a.gz", b"no gzip"), ("b.xz", b"no xz"), ("c.gz", gzip.compress(b"x" * 99)[:-9])]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="damaged archive"):
            read_lines(tmp_path / name)

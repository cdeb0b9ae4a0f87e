from __future__ import annotations

import fcntl
import io
import os
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.errors import MachineError
from s2s_cli.inference import lines
from s2s_cli.inference.lines import LineReader, LineSplitter, LineWriter

INPUT = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"\xef\xbb\xbf", b"\0", b"\xff", "é".encode()])).map(
    b"".join
)


def split(chunks: list[bytes]) -> list[bytes]:
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.finish()


@contextmanager
def pipe() -> Iterator[tuple[IO[bytes], int]]:
    """A pipe: the end to read, and the descriptor to write to."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file:
        yield file, writing


@given(INPUT)
def test_lines_are_those_between_line_feeds(data: bytes) -> None:
    expected = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert split([data]) == [line.removesuffix(b"\r") for line in expected]


@given(INPUT, st.data())
def test_chunks_make_no_difference(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    chunks = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert split(chunks) == split([data])


@pytest.mark.parametrize("character", ["a", "é", "中", "😀"])
@pytest.mark.parametrize("offset", range(4))
def test_of_an_endless_line_the_beginning_is_kept_in_whole_characters(
    character: str, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "KEPT_BYTES", 1000)
    first, second = split([b"x" * offset + character.encode() * 3000, b"\nnext\n"])
    text = first.decode("utf-8")  # strict: no half character
    assert text == "x" * offset + character * ((1000 - offset) // len(character.encode()))
    assert second == b"next"


def test_windows_have_at_most_so_many_lines() -> None:
    reader = LineReader(io.BytesIO(b"1\n2\n3\n4\n5"))
    assert [reader.window(2) for _ in range(4)] == [[b"1", b"2"], [b"3", b"4"], [b"5"], []]


def test_what_a_pipe_has_is_handed_out_at_once() -> None:
    with pipe() as (source, writing):
        reader = LineReader(source)
        os.write(writing, b"one\ntwo\nthr")
        assert reader.window(100) == [b"one", b"two"]
        os.write(writing, b"ee\n")
        assert reader.window(100) == [b"three"]
        os.close(writing)
        assert reader.window(100) == []


def waiting_bytes(pipe: IO[bytes]) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_windows_are_full_where_input_is_plentiful() -> None:
    with pipe() as (source, writing):
        producer = threading.Thread(target=lambda: (os.write(writing, b"x\n" * 200_000), os.close(writing)))
        producer.start()
        reader = LineReader(source)
        while waiting_bytes(source) < 4096:  # the pipe fills
            time.sleep(0.01)
        assert len(reader.window(2048)) == 2048
        while reader.window(100_000):
            pass
        producer.join()


def test_an_endless_line_does_not_hold_back_the_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        first = True

        def read(self, size: int = -1) -> bytes:
            chunk = b"hello\nxxx" if self.first else b"x" * size
            self.first = False
            return chunk

    monkeypatch.setattr(lines, "WINDOW_BYTES", 300_000)
    assert LineReader(Endless()).window(10) == [b"hello"]  # type: ignore[arg-type]


def test_a_non_blocking_pipe_is_waited_for() -> None:
    with pipe() as (source, writing):
        os.set_blocking(source.fileno(), False)
        reader = LineReader(source)
        timer = threading.Timer(0.1, lambda: (os.write(writing, b"late\n"), os.close(writing)))
        timer.start()
        assert reader.window(5) == [b"late"]
        assert reader.window(5) == []


def test_dev_null_is_empty() -> None:
    with open(os.devnull, "rb") as source:
        assert LineReader(source).window(5) == []


def test_a_terminal_hands_out_each_line() -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "rb") as source:
        reader = LineReader(source)
        os.write(master, b"typed\n")
        assert reader.window(50) == [b"typed"]
        os.write(master, b"\x04")  # Ctrl-D
        assert reader.window(50) == []
    os.close(master)


def test_a_source_that_cannot_be_read_is_an_error_of_one_line(tmp_path: os.PathLike[str]) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with (
        os.fdopen(os.dup(os.open(os.devnull, os.O_RDONLY)), "rb") as source,
        pytest.raises(MachineError, match="directory"),
    ):
        os.dup2(descriptor, source.fileno())
        LineReader(source).window(1)
    os.close(descriptor)


def test_partial_writes_are_completed() -> None:
    class Slow(io.RawIOBase):
        written = b""

        def write(self, data: memoryview) -> int:  # type: ignore[override]
            self.written += bytes(data[:3])
            return min(3, len(data))

    sink = Slow()
    LineWriter(sink).write(b"0123456789")  # type: ignore[arg-type]
    assert sink.written == b"0123456789"


def test_a_full_non_blocking_pipe_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    data, received = b"x" * 300_000, bytearray()

    def consume() -> None:
        time.sleep(0.05)
        while chunk := os.read(reading, 65_536):
            received.extend(chunk)

    consumer = threading.Thread(target=consume)
    consumer.start()
    with os.fdopen(writing, "wb") as sink:
        LineWriter(sink).write(data)
    consumer.join()
    os.close(reading)
    assert received == data

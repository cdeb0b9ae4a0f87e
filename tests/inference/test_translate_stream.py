"""The streaming loop, over a model that copies its input with the case of letters swapped."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from copy_model import GREEDY, copy_translator
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.errors import DataError, ExitCode, MachineError, UsageError
from s2s_cli.inference import dividing, stream
from s2s_cli.inference import lines as line_reader
from s2s_cli.inference.confidence import Evidence
from s2s_cli.inference.output import render
from s2s_cli.inference.stream import FIRST_WINDOW, OutputOptions, translate_stream
from s2s_cli.inference.translation import Candidate, Translation
from s2s_cli.search.options import SearchOptions

BEAM = SearchOptions(beam=4)
LINE_PARTS = [
    b"\n",
    b"\r\n",
    b"ab",
    b"cd ef",
    b" ",
    b"\xef\xbb\xbf",
    b"\0",
    b"\xff",
    "\u2028\x85é中".encode(),
    b"\x0b\x0c",
]
MIXED = st.lists(st.sampled_from(LINE_PARTS), max_size=30).map(b"".join)


class Chunked(io.RawIOBase):
    """A source that hands out its bytes in given portions."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = [chunk for chunk in chunks if chunk]

    def read(self, size: int = -1) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""


def translate(data: bytes | IO[bytes], output: OutputOptions | None = None, search: SearchOptions = GREEDY) -> bytes:
    sink = io.BytesIO()
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    translate_stream(copy_translator(), source, sink, search, output or OutputOptions())
    return sink.getvalue()


def line_count(data: bytes) -> int:
    data = data.removeprefix(b"\xef\xbb\xbf")
    return data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


def test_empty_input_gives_no_output() -> None:
    assert translate(b"") == b""


def test_blank_lines_stay_blank_at_their_place() -> None:
    assert translate(b"\none\n \t\n\ntwo\n\n") == b"\nONE\n\n\nTWO\n\n"


def test_a_last_line_without_newline_gets_one() -> None:
    assert translate(b"one\ntwo") == b"ONE\nTWO\n"


def test_crlf_becomes_lf() -> None:
    assert translate(b"one\r\n\r\ntwo\r\n") == b"ONE\n\nTWO\n"
    (record,) = map(json.loads, translate(b"one\r\n", OutputOptions(format="json")).splitlines())
    assert record["source"] == "one"


def test_a_byte_order_mark_at_the_start_is_removed() -> None:
    assert translate(b"\xef\xbb\xbfone\n") == b"ONE\n"
    assert translate(b"\xef\xbb\xbf") == b""
    (record,) = map(json.loads, translate(b"\xef\xbb\xbfone", OutputOptions(format="json")).splitlines())
    assert record["source"] == "one"


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\x1e", "\r", "\0"])
def test_only_line_feeds_end_lines(character: str) -> None:
    data = f"a{character}b\nc\n".encode()
    assert len(translate(data).splitlines()) == 2
    assert translate(data).endswith(b"\nC\n")
    records = [json.loads(line) for line in translate(data, OutputOptions(format="json")).splitlines()]
    assert [record["source"] for record in records] == [f"a{character}b", "c"]


def test_invalid_utf8_is_replaced_with_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    data = b"ok\n" * 99 + b"a\xffb\n" + b"\xc3\n" * 100 + "caf\u00e9 \ufffd\n".encode()
    output = [json.loads(line) for line in translate(data, OutputOptions(format="json")).splitlines()]
    assert output[99]["source"] == "a\ufffdb"
    (warning,) = capsys.readouterr().err.splitlines()
    assert "<stdin>:100:" in warning and "101" in warning and "UTF-8" in warning


@pytest.mark.parametrize("bad", [1, 64, 65, 200])
def test_strict_stops_at_invalid_utf8_and_names_the_line(bad: int) -> None:
    sink = io.BytesIO()
    source = io.BytesIO(b"ok\n" * (bad - 1) + b"a\xffb\n" + b"ok\n" * 10)
    with pytest.raises(DataError, match="0xff at column 2") as raised:
        translate_stream(copy_translator(), source, sink, GREEDY, OutputOptions(strict=True))
    assert raised.value.where == f"<stdin>:{bad}"
    assert raised.value.exit_code == ExitCode.DATA
    assert sink.getvalue() == b"OK\n" * (bad - 1)  # what came before it is out


def test_a_line_of_10_mb_is_one_line_out_with_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dividing, "LINE_BYTES", 1000)
    output = translate(b"before\n" + b"x" * 10_000_000 + b"\nafter\n")
    assert output.split(b"\n") == [b"BEFORE", b"X" * 1000, b"AFTER", b""]
    (warning,) = capsys.readouterr().err.splitlines()
    assert "<stdin>:2:" in warning and "too long" in warning


def test_a_line_that_the_reader_cuts_is_flagged() -> None:
    """What the reader keeps of a line is more than what is translated, whatever the width of its characters."""
    assert line_reader.KEPT_BYTES - 3 > line_reader.LINE_BYTES >= dividing.LINE_BYTES
    for character in ("é", "中", "😀"):
        data = character.encode() * (line_reader.LINE_BYTES // 2)
        (line,) = line_reader.LineSplitter().feed(b"x" + data + b"\n")
        _, truncated = dividing._text(line.decode(), 1)
        assert truncated == (1 + len(data) > line_reader.LINE_BYTES)


@given(st.one_of(st.binary(max_size=400), MIXED))
@settings(max_examples=200)
def test_as_many_lines_out_as_in_for_any_bytes(data: bytes) -> None:
    assert translate(data).count(b"\n") == line_count(data)


@pytest.mark.slow
def test_as_many_lines_out_as_in_for_a_million_random_lines(tmp_path: Path) -> None:
    """Random bytes of which every eighth ends a line."""
    path, count = tmp_path / "noise", 0
    with path.open("wb") as file:
        while count < 1_000_000:
            noise = os.urandom(1 << 16).translate(bytes(10 if byte % 8 == 0 else byte for byte in range(256)))
            count += noise.count(b"\n")
            file.write(noise)
        file.write(b"\n")
    with path.open("rb") as source, (tmp_path / "out").open("wb") as sink:
        assert translate_stream(copy_translator(max_pieces=4), source, sink, GREEDY, OutputOptions()) == count + 1
    assert (tmp_path / "out").read_bytes().count(b"\n") == count + 1


@given(MIXED, st.data())
@settings(max_examples=60)
def test_any_chunking_gives_the_same_output(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    chunks = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    output = OutputOptions(format="json")
    assert translate(Chunked(chunks), output) == translate(data, output)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_tokens", [1, 64, 4000])
def test_order_is_kept_over_windows_and_batches(batch_tokens: int) -> None:
    lines = [f"{'x' * (i * 7 % 23)} {i}" for i in range(400)]
    output = translate("\n".join(lines).encode(), OutputOptions(batch_tokens=batch_tokens))
    assert output.decode().split("\n")[:-1] == [line.swapcase().strip() for line in lines]


def test_windows_grow_while_input_is_plentiful(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    translator = copy_translator()
    monkeypatch.setattr(translator, "translate", lambda lines, *_, **__: sizes.append(len(lines)) or [])
    translate_stream(translator, io.BytesIO(b"\n" * 10_000), io.BytesIO(), GREEDY, OutputOptions())
    assert sizes[0] == stream.FIRST_WINDOW
    assert sizes[:-1] == sorted(sizes[:-1])
    assert max(sizes) == stream.LARGEST_WINDOW
    assert sum(sizes) == 10_000


def test_a_line_is_answered_while_the_pipe_stays_open() -> None:
    (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
    with os.fdopen(in_read, "rb") as source, os.fdopen(out_write, "wb") as sink, os.fdopen(out_read, "rb") as answers:
        arguments = (copy_translator(), source, sink, GREEDY, OutputOptions())
        worker = threading.Thread(target=translate_stream, args=arguments)
        worker.start()
        for line in (b"one\n", b"two\n", b"\n", b"three\n"):
            os.write(in_write, line)
            assert answers.readline() == line.upper()
        os.close(in_write)
        worker.join(timeout=600)
        assert not worker.is_alive()


def test_alignments_follow_the_translation() -> None:
    assert translate(b"a b\n\nc\n", OutputOptions(alignments=True)) == b"A B ||| 0-0 1-1\n ||| \nC ||| 0-0\n"


def test_n_best_lists_name_the_line_and_the_score() -> None:
    output = translate(b"ab\n\ncd\n", OutputOptions(n_best=3), BEAM).decode()
    rows = [line.split(" ||| ") for line in output.split("\n")[:-1]]
    assert [row[0] for row in rows] == ["0", "0", "0", "1", "2", "2", "2"]
    assert rows[0][1] == "AB" and rows[4][1] == "CD" and rows[3][1:] == ["", "0.0000"]
    assert float(rows[0][2]) > float(rows[1][2]) >= float(rows[2][2])


def test_n_best_lists_with_alignments() -> None:
    output = translate(b"a b\n", OutputOptions(n_best=2, alignments=True), BEAM).decode()
    first = output.split("\n")[0].split(" ||| ")
    assert first[:2] == ["0", "A B"] and first[3] == "0-0 1-1"


def test_json_counts_lines_over_all_windows() -> None:
    output = translate(b"a\n" * 300, OutputOptions(format="json"))
    assert [json.loads(line)["line"] for line in output.splitlines()] == list(range(300))


def test_json_flags_a_translation_without_end() -> None:
    sink = io.BytesIO()
    translate_stream(copy_translator(ends=False), io.BytesIO(b"a\n"), sink, GREEDY, OutputOptions(format="json"))
    assert json.loads(sink.getvalue())["finished"] is False


@pytest.mark.parametrize(
    "make",
    [
        lambda: OutputOptions(format="xml"),
        lambda: OutputOptions(n_best=0),
        lambda: OutputOptions(batch_tokens=0),
        lambda: translate(b"", OutputOptions(n_best=3), GREEDY),
    ],
)
def test_wrong_options_are_usage_errors(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        make()


def test_a_full_disk_is_an_error_of_one_line() -> None:
    with open("/dev/full", "wb") as sink, pytest.raises(MachineError, match="No space left"):
        translate_stream(copy_translator(), io.BytesIO(b"a\n"), sink, GREEDY, OutputOptions())
    # Closing the file wrote nothing more: nothing was left in its buffer.


def test_finished_windows_are_out_at_an_interrupt() -> None:
    def source() -> Iterator[bytes]:
        yield b"a\n" * FIRST_WINDOW
        yield b"b\n"
        raise KeyboardInterrupt

    class Interrupted(io.RawIOBase):
        chunks = source()

        def read(self, size: int = -1) -> bytes:
            return next(self.chunks)

    sink = io.BytesIO()
    with pytest.raises(KeyboardInterrupt):
        translate_stream(copy_translator(), Interrupted(), sink, GREEDY, OutputOptions())  # type: ignore[arg-type]
    assert sink.getvalue() == b"A\n" * FIRST_WINDOW


def test_progress_counts_the_bytes_of_a_regular_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    path = tmp_path / "input"
    path.write_bytes(b"one\n" * 1000)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with path.open("rb") as source:
        translate(source)
    assert "translating" in terminal.getvalue() and "4.00k" in terminal.getvalue()
    monkeypatch.setattr("sys.stderr", pipe_terminal := Terminal())
    translate(b"one\n")  # no regular file
    assert pipe_terminal.getvalue() == ""


@pytest.mark.slow
def test_memory_is_flat(tmp_path: Path) -> None:
    """The second half of 200,000 lines needs no more memory than the first."""

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    path, sizes = tmp_path / "input", []

    class Watched(io.BytesIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            sizes.append((resident(), bytes(data).count(b"\n")))
            return len(data)

    path.write_bytes(b"".join(b"line %d\n" % i for i in range(200_000)))
    translator = copy_translator()
    translator.model.batches = Forgetful()  # type: ignore[attr-defined]
    with path.open("rb") as source:
        translate_stream(translator, source, Watched(), GREEDY, OutputOptions())
    half = len(sizes) // 2
    assert sum(lines for _, lines in sizes) == 200_000
    assert max(size for size, _ in sizes[half:]) < max(size for size, _ in sizes[:half]) + 20_000_000


class Forgetful(list[object]):
    """A list that keeps nothing."""

    def append(self, item: object) -> None:
        pass


@pytest.mark.parametrize("n_best", [1, 2])
def test_alignments_of_a_model_without_attention_are_refused(n_best: int) -> None:
    candidate = Candidate(text="B", score=-1.0, tokens=["B"])
    translation = Translation("b", [candidate] * n_best, ["b"])
    with pytest.raises(UsageError, match="no attention"):
        render(0, translation, OutputOptions(alignments=True, n_best=n_best))
    assert render(0, Translation(""), OutputOptions(alignments=True)) == " ||| \n"  # a blank line


@pytest.mark.parametrize("n_best", [1, 2])
def test_a_translation_without_words_has_an_empty_alignment(n_best: int) -> None:
    candidate = Candidate("%s", -1.0, ["⟦1⟧"], evidence=Evidence(attention_S=np.ones(2, np.float32)))
    translation = Translation("%s", [candidate] * n_best, ["⟦1⟧"])
    assert render(0, translation, OutputOptions(alignments=True, n_best=n_best)).endswith(" ||| \n")

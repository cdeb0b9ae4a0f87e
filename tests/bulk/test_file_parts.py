"""Parts of a file: cut at ends of lines, translated one by one, and put together as the whole would be."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import task_of, translator

from s2s_cli import compression
from s2s_cli.bulk import cutting
from s2s_cli.bulk.cutting import WHOLE, Part, lines_before, span_of
from s2s_cli.bulk.joining import join, part_path
from s2s_cli.bulk.unit import Task, read_record, record_path, translate_file
from s2s_cli.errors import DataError, MachineError, UsageError
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translator import Translator

PIECES = [
    b"\n",
    b"\r\n",
    b"\r",
    b"ab",
    b"cd ef. Gh",
    b" ",
    b"\xef\xbb\xbf",
    b"\0",
    b"\xff\xc3",
    "\u2028\x85é中".encode(),
    b"long " * 40,
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=24).map(b"".join)


def parts(count: int) -> list[Part]:
    return [Part(number, count) for number in range(1, count + 1)]


def streamed(text: bytes, task: Task) -> bytes:
    """What the plain command writes."""
    sink = io.BytesIO()
    translate_stream(translator(), io.BytesIO(text), sink, task.search, task.output)
    return sink.getvalue()


def translate_parts(source: Path, target: Path, task: Task, count: int, order: Any = list) -> bytes:
    for part in order(parts(count)):
        assert translate_file(source, part_path(target, part), task, translator, part)
    return b"".join(part_path(target, part).read_bytes() for part in parts(count))


@given(TEXTS, st.integers(1, 40))
def test_parts_follow_one_another_and_end_where_lines_do(tmp_path: Path, text: bytes, count: int):
    source = tmp_path / "source"
    source.write_bytes(text)
    spans = [span_of(source, part) for part in parts(count)]
    assert [spans[0].begin, *(span.end for span in spans)] == [*(span.begin for span in spans), len(text)]
    for span in spans:
        assert span.begin in (0, len(text)) or text[span.begin - 1 : span.begin] == b"\n"
        assert lines_before(source, span) == text[: span.begin].count(b"\n")


@settings(max_examples=30)
@given(TEXTS, st.integers(1, 9), st.sampled_from(["text", "json", "n-best"]))
def test_parts_together_are_the_whole(tmp_path_factory: Any, text: bytes, count: int, form: str):
    folder = tmp_path_factory.mktemp("parts")
    source, target, task = folder / "source", folder / "target", task_of(folder, form)
    source.write_bytes(text)
    expected = streamed(text, task)
    assert translate_parts(source, target, task, count, reversed) == expected
    assert join(source, target)
    assert target.read_bytes() == expected
    assert translate_file(source, target, task, translator) is False  # the whole is known as what was joined


def test_a_line_that_is_longer_than_parts_is_of_the_first_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cutting, "CHUNK", 7)
    source = tmp_path / "source"
    source.write_bytes(b"a" * 1000 + b"\nb\nc")
    assert [span_of(source, part) for part in parts(5)] == [(0, 1001), *[(1001, 1001)] * 3, (1001, 1004)]


def test_cutting_reads_no_more_than_a_line(tmp_path: Path):
    source = tmp_path / "source"
    with source.open("wb") as file:
        for _ in range(4):
            file.seek(1 << 40, os.SEEK_CUR)  # a hole: reading it would take an hour
            file.write(b"\nline\n")
        file.seek(0)
        file.write(b"x\n" * 10)
    size = source.stat().st_size
    assert span_of(source, Part(1, size // 8)).end == 8


def test_what_is_done_is_not_done_again(tmp_path: Path):
    source, target, task = tmp_path / "source", tmp_path / "target", task_of(tmp_path)
    source.write_bytes(b"one\ntwo\n")
    assert translate_file(source, target, task, translator) is True
    before = target.stat()

    def fail() -> Any:
        raise AssertionError("a model is loaded, though nothing is to be done")

    assert translate_file(source, target, task, fail) is False
    after = target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("change", ["input", "model", "search", "form"])
def test_what_was_made_otherwise_is_refused_and_kept(tmp_path: Path, change: str):
    source, target, task = tmp_path / "source", tmp_path / "target", task_of(tmp_path)
    source.write_bytes(b"one\ntwo\n")
    translate_file(source, target, task, translator)
    before = target.read_bytes()
    if change == "input":
        source.write_bytes(b"one\nsix\n")
    elif change == "model":
        (task.models[0] / "manifest.json").write_bytes(b"another")
    other = {"search": lambda: task_of(tmp_path, beam=3), "form": lambda: task_of(tmp_path, "json")}
    other["model"] = lambda: task_of(tmp_path)
    said = {"input": "another input", "model": "another model", "search": "another search", "form": "options of output"}
    with pytest.raises(UsageError, match=said[change]):
        translate_file(source, target, other.get(change, lambda: task)(), translator)
    assert target.read_bytes() == before


def test_a_file_without_a_record_is_not_replaced(tmp_path: Path):
    source, target, task = tmp_path / "source", tmp_path / "target", task_of(tmp_path)
    source.write_bytes(b"one\n")
    target.write_bytes(b"a thesis")
    with pytest.raises(UsageError, match="no record"):
        translate_file(source, target, task, translator)
    assert target.read_bytes() == b"a thesis"


def test_a_model_that_is_replaced_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source, task = tmp_path / "source", task_of(tmp_path)
    source.write_bytes(b"one\n")
    monkeypatch.setattr(Translator, "load", lambda *_, **__: translator())
    translate_file(source, tmp_path / "first", task, task.load)
    (task.models[0] / "manifest.json").write_bytes(b"another")
    with pytest.raises(DataError, match="changed since the work began"):
        translate_file(source, tmp_path / "second", task, task.load)
    translate_file(source, tmp_path / "third", task, translator)  # by a process that had loaded the first one
    assert read_record(tmp_path / "third").by == read_record(tmp_path / "first").by  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b"ONE", b"ONE\n\0\0\0\n"])
def test_a_file_that_was_damaged_is_made_again(tmp_path: Path, content: bytes):
    source, target, task = tmp_path / "source", tmp_path / "target", task_of(tmp_path)
    source.write_bytes(b"one\ntwo\n")
    translate_file(source, target, task, translator)
    target.write_bytes(content)
    assert translate_file(source, target, task, translator) is True
    assert target.read_bytes() == b"ONE\nTWO\n"


def test_any_fault_of_the_disk_leaves_nothing_or_all(tmp_path: Path, faults: Any):
    source, task = tmp_path / "source", task_of(tmp_path)
    source.write_bytes(b"one\ntwo\n")
    with faults.at(None):
        translate_file(source, tmp_path / "first" / "target", task, translator)
    for index in range(len(faults.calls)):
        target = tmp_path / str(index) / "target"
        with faults.at(index), pytest.raises(MachineError):
            translate_file(source, target, task, translator)
        assert not target.exists() or target.read_bytes() == b"ONE\nTWO\n"
        translate_file(source, target, task, translator)
        assert target.read_bytes() == b"ONE\nTWO\n"
        assert sorted(os.listdir(target.parent)) == [".target.record", "target"]


def test_an_input_that_grows_meanwhile_is_noticed(tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"one\n")

    def grow() -> Any:
        source.write_bytes(b"one\ntwo\n")
        return translator()

    with pytest.raises(DataError, match="changed while"):
        translate_file(source, target, task_of(tmp_path), grow)
    assert not target.exists()  # whose record would tell of other lines


@pytest.mark.parametrize("suffix", compression.SUFFIXES)
def test_compressed_files(tmp_path: Path, suffix: str):
    if suffix == ".zst":
        pytest.importorskip("backports.zstd")
    source, target, task = tmp_path / f"source{suffix}", tmp_path / f"target.txt{suffix}", task_of(tmp_path)
    with source.open("wb") as file, compression.writing(file, suffix) as content:
        content.write(b"one\ntwo\n")
    assert translate_file(source, target, task, translator)
    with compression.reading(target) as content:
        assert content.read() == b"ONE\nTWO\n"
    with pytest.raises(UsageError, match="cannot be cut"):
        translate_file(source, target, task, translator, Part(1, 2))
    plain = tmp_path / "plain"
    plain.write_bytes(b"one\ntwo\n" * 5)
    target = tmp_path / f"joined{suffix}"
    translate_parts(plain, target, task, 3)
    assert join(plain, target)
    with compression.reading(target) as content:
        assert content.read() == b"ONE\nTWO\n" * 5


def test_the_same_content_is_compressed_to_the_same_bytes(tmp_path: Path):
    for name in ("a.gz", "b.gz"):
        with (tmp_path / name).open("wb") as file, compression.writing(file, ".gz") as content:
            content.write(b"text")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"text"


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_a_damaged_archive_is_named(tmp_path: Path, suffix: str):
    if suffix == ".zst":
        pytest.importorskip("backports.zstd")
    source = tmp_path / f"source{suffix}"
    with source.open("wb") as file, compression.writing(file, suffix) as content:
        content.write(b"one\ntwo\n" * 1000)
    source.write_bytes(source.read_bytes()[:-9])
    with pytest.raises(DataError, match="damaged archive"):
        translate_file(source, tmp_path / "target", task_of(tmp_path), translator)
    assert not (tmp_path / "target").exists()


# ------------------------------------------------------------------------------------------------------------- joining


@pytest.fixture
def divided(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "source", tmp_path / "target.txt"
    source.write_bytes(b"one\ntwo\nthree\nfour\n")
    translate_parts(source, target, task_of(tmp_path), 3)
    return source, target


def test_names_of_parts_are_sorted_as_the_parts_are():
    names = [part_path(Path("a.txt.gz"), part).name for part in parts(12)]
    assert names[2] == "a.txt.03-of-12.gz" and names == sorted(names)


def test_a_missing_part_is_named(divided: tuple[Path, Path]):
    source, target = divided
    part_path(target, Part(2, 3)).unlink()
    with pytest.raises(DataError, match="1 of 3 shards are missing: 2"):
        join(source, target)
    assert not target.exists()


def test_a_damaged_part_is_named(divided: tuple[Path, Path]):
    source, target = divided
    path = part_path(target, Part(2, 3))
    path.write_bytes(path.read_bytes().replace(b"T", b"t"))
    with pytest.raises(DataError, match="damaged") as error:
        join(source, target)
    assert error.value.where == str(path) and not target.exists()


def test_parts_of_another_input_or_another_way_are_not_joined(divided: tuple[Path, Path], tmp_path: Path):
    source, target = divided
    path = part_path(target, Part(3, 3))
    path.unlink()
    translate_file(source, path, task_of(tmp_path, beam=3), translator, Part(3, 3))
    with pytest.raises(DataError, match="another way"):
        join(source, target)
    source.write_bytes(b"one\ntwo\nthree\nfive\n")
    path.unlink()
    translate_file(source, path, task_of(tmp_path), translator, Part(3, 3))
    join(source, target)  # only the last part was changed
    assert target.read_bytes().endswith(b"FIVE\n")
    source.write_bytes(b"six\ntwo\nthree\nfive\n")
    with pytest.raises(DataError, match="not made of what"):
        join(source, target)


def test_parts_of_two_divisions_are_not_joined(divided: tuple[Path, Path], tmp_path: Path):
    source, target = divided
    translate_file(source, part_path(target, Part(1, 2)), task_of(tmp_path), translator, Part(1, 2))
    with pytest.raises(UsageError, match="of 2 and of 3"):
        join(source, target)


def test_nothing_to_join(tmp_path: Path):
    with pytest.raises(DataError, match="no shards"):
        join(tmp_path / "source", tmp_path / "target")


def test_records_say_what_a_file_is(divided: tuple[Path, Path]):
    source, target = divided
    join(source, target)
    record = read_record(target)
    assert record is not None and record_path(target).name == ".target.txt.record"
    assert (record.made_of.begin, record.made_of.end) == span_of(source, WHOLE)
    assert record.output.size == target.stat().st_size

"""The files of `s2s translate`: what is a document, and what is written where."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from s2s_cli.cli.app import app
from s2s_cli.errors import ExitCode, UsageError
from s2s_cli.inference.dividing import Division
from s2s_cli.inference.reading import Reader
from s2s_cli.inference.translation import Candidate, Translation
from s2s_cli.search.options import SearchOptions

PAGE = b"<p>one <b>two</b></p>\r\n"


def shouted(line: str) -> Translation:
    return Translation(line, [Candidate(" ".join(line.upper().split()), 0.0, [], [(0, 0), (1, 1)])])


class Shouting:
    """A translator that needs no model."""

    options = SearchOptions(beam=1)
    device = SimpleNamespace(type="cpu")
    division = Division(source="en", target="de")
    reader = Reader(cast("Any", None), division)
    writer = SimpleNamespace(calibration=())

    def __enter__(self) -> Shouting:
        return self

    def __exit__(self, *_: object) -> None: ...

    def translate(self, lines: list[str], *_: object, **__: object) -> list[Translation]:
        return [shouted(line) for line in lines]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2S_MODEL", "model")
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    Path("page.html").write_bytes(PAGE)
    Path("a.txt").write_bytes(b"\xef\xbb\xbf  one\r\n\r\ntwo")
    Path("lines").write_bytes(b"one\r\ntwo")
    Path("rows.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr("s2s_cli.inference.translator.Translator.load", lambda *_, **__: Shouting())
    return tmp_path


def run(line: str, stdin: bytes = b"") -> bytes:
    result = CliRunner().invoke(app, ["translate", *line.split()], input=stdin, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout_bytes


def test_a_document_goes_to_stdout_or_into_a_file():
    shouted = PAGE.replace(b"one", b"ONE").replace(b"two", b"TWO")
    assert run("page.html") == run("--format html", PAGE) == run("page.html -o -") == shouted
    assert run("page.html -o out/page.de.html") == run("-o page2.html", PAGE) == b""
    assert Path("out/page.de.html").read_bytes() == Path("page2.html").read_bytes() == shouted
    for folder in ("out", "new/"):
        run(f"page.html -o {folder}")
        assert Path(folder, "page.html").read_bytes() == shouted
    run("--format html lines -o new")
    assert Path("new/lines").read_bytes() == b"ONE TWO"


def test_plain_text_is_lines_unless_it_becomes_a_file():
    assert run("a.txt") == b"ONE\n\nTWO\n"
    assert run("--format text a.txt") == b"\xef\xbb\xbf  ONE\r\n\r\nTWO"
    run("a.txt -o b.txt")
    assert Path("b.txt").read_bytes() == b"\xef\xbb\xbf  ONE\r\n\r\nTWO"
    run("lines a.txt -o both.txt")
    assert Path("both.txt").read_bytes() == b"ONE\nTWO\nONE\n\nTWO\n"
    run("lines -o copy")
    assert Path("copy").read_bytes() == b"ONE\nTWO\n"
    run("a.txt --in-place")
    Path("b.txt").write_bytes(b"\ttwo\r\n")
    run("a.txt b.txt --in-place")
    assert (Path("a.txt").read_bytes(), Path("b.txt").read_bytes()) == (b"\xef\xbb\xbf  ONE\r\n\r\nTWO", b"\tTWO\r\n")
    run("a.txt --strict -o b.txt")
    assert Path("b.txt").read_bytes().startswith(b"\xef\xbb\xbf  ONE\r\n")
    with pytest.raises(UsageError, match="read strictly"):
        run("page.html --strict")
    run("a.txt --json -o a.jsonl")
    Path("a.txt").write_bytes(b"one\r\n")
    run("a.txt --min-confidence 0 -o c.txt")
    assert Path("c.txt").read_bytes() == b"ONE\r\n"
    assert Path("a.jsonl").read_bytes().count(b'"translation"') == 3


def test_each_of_several_documents_becomes_a_file():
    shouted = PAGE.replace(b"one", b"ONE").replace(b"two", b"TWO")
    Path("other.html").write_bytes(PAGE)
    Path("notes.md").write_bytes(b"# one\n")
    assert run("page.html other.html notes.md -o out/") == b""
    assert sorted(os.listdir("out")) == ["notes.md", "other.html", "page.html"]
    assert Path("out/page.html").read_bytes() == Path("out/other.html").read_bytes() == shouted
    assert Path("out/notes.md").read_bytes() == b"# ONE\n"
    run("--format html lines other.html -o new/")
    assert Path("new/lines").read_bytes() == b"ONE TWO" and Path("new/other.html").read_bytes() == shouted
    run("--in-place other.html notes.md")
    assert Path("other.html").read_bytes() == shouted and Path("notes.md").read_bytes() == b"# ONE\n"


def test_a_fault_of_one_document_leaves_the_others():
    for name, content in {"a.po": b'msgid "one"\nmsgstr ""\n', "b.po": b"what?\n"}.items():
        Path(name).write_bytes(content)
    result = CliRunner().invoke(app, ["translate", "a.po", "b.po", "-o", "out/"])
    assert str(result.exception).startswith("b.po:1: this is no line of a PO file")
    assert b'msgstr "ONE"' in Path("out/a.po").read_bytes() and os.listdir("out") == ["a.po"]


def test_a_document_is_replaced_only_if_that_is_asked_for():
    Path("link.html").symlink_to("page.html")
    for name in ("page.html", "link.html", "./page.html", "."):
        with pytest.raises(UsageError, match="is the input .*--in-place"):
            run(f"page.html -o {name}")
    with pytest.raises(UsageError, match="is the input"):
        run("lines a.txt -o lines")
    assert Path("page.html").read_bytes() == PAGE
    os.chmod("page.html", 0o600)
    run("--in-place link.html")
    assert Path("page.html").read_bytes() == PAGE.replace(b"one", b"ONE").replace(b"two", b"TWO")
    assert Path("link.html").is_symlink()
    assert Path("page.html").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("arguments", [["-o", "lines"], ["-", "-o", "./lines"], ["--format", "html", "-o", "lines"]])
def test_the_input_may_come_through_stdin(arguments: list[str], monkeypatch: pytest.MonkeyPatch):
    with open("lines") as file, pytest.raises(UsageError, match="lines is the input"):
        monkeypatch.setattr("sys.stdin", file)
        app(["translate", *arguments], standalone_mode=False)
    assert Path("lines").read_bytes() == b"one\r\ntwo"


def test_what_is_read_and_written_but_no_file_is_no_input_to_be_kept(monkeypatch: pytest.MonkeyPatch):
    with open(os.devnull) as file:
        monkeypatch.setattr("sys.stdin", file)
        app(["translate", "-o", os.devnull], standalone_mode=False)


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("--format doc page.html", "--format", "unknown format `doc`"),
        ("page.html a.txt", "INPUT", "a.txt is no document, and others are"),
        ("page.html a.txt -o out/", "INPUT", "a.txt is no document, and others are"),
        ("page.html a.txt -o out", "INPUT", "a.txt is no document, and others are"),
        ("page.html page.html", "INPUT", "2 documents do not become one"),
        ("--format html lines page.html -o x.html", "INPUT", "2 documents do not become one"),
        ("--in-place page.html ./page.html", "INPUT", "two inputs would both become page.html"),
        ("--in-place page.html -o x.html", "-o", "--in-place writes to the input"),
        ("--in-place lines", "--in-place", "needs a document in a file"),
        ("--in-place --format po", "--in-place", "needs a document in a file"),
        ("page.html -o page.po", "-o", "html is not converted to po"),
        ("page.html page.html -o out/", "INPUT", "two inputs would both become out/page.html"),
        ("--format html - -o out/", "--format", "no effect: .* write to one file"),
        ("lines -o x.html --attention x.html", "--attention", "x.html is where translations go"),
        ("lines -o x.html --attention new/../x.html", "--attention", "x.html is where translations go"),
        ("rows.parquet", "rows.parquet", "no lines of text .*add -o DIR/"),
    ],
)
def test_what_cannot_be_meant_is_refused(line: str, where: str, message: str):
    with pytest.raises(UsageError, match=message) as error:
        run(line)
    assert (error.value.where, error.value.exit_code) == (where, ExitCode.USAGE)


def test_a_fault_leaves_the_old_file():
    Path("bad.po").write_bytes(b"what?\n")
    Path("out.po").write_bytes(b"old")
    result = CliRunner().invoke(app, ["translate", "bad.po", "-o", "out.po"])
    assert str(result.exception).startswith("bad.po:1: this is no line of a PO file")
    assert Path("out.po").read_bytes() == b"old"
    assert [name for name in os.listdir() if name.startswith(".")] == []


@pytest.mark.parametrize("begin", [b"PK\x03\x04", b"%PDF-1.7", b"PAR1"])
@pytest.mark.parametrize("output", ["out.pptx", "folder/"])
@pytest.mark.parametrize("name", ["slides.pptx", "slides.pptx.gz"])
def test_a_document_of_another_program_is_not_taken_for_lines(begin: bytes, output: str, name: str):
    content = begin + b"\n" * 9
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    result = CliRunner().invoke(app, ["translate", name, "-o", output])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(f"{name}: this holds no lines of text")
    assert not Path(output).exists()

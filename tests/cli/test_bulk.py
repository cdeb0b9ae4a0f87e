"""`s2s translate` of files in parts, and of several files into a folder."""

from __future__ import annotations

import gzip
import json
import os
import resource
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from s2s_cli import atomic
from s2s_cli.cli.app import app
from s2s_cli.errors import DataError, UsageError
from s2s_cli.inference.aids import Aids
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

TEXT = "".join(f"line {number} of the text\n" for number in range(50)) + "no end"


@pytest.fixture(scope="module")
def model(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = CharacterTokenizer("▁abcdefghilnortx0123456789")
    return tools.export(tmp_path_factory.mktemp("model"), ("fr", "en"), TokenizerPair(tokenizer, tokenizer))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2S_MODEL", str(model))
    Path("lines").write_text(TEXT)
    return tmp_path


def run(line: str, stdin: bytes = b"") -> bytes:
    words = ["translate", *line.split()] + ([] if "--join" in line else ["--workers", "1"])
    result = CliRunner().invoke(app, words, input=stdin, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout_bytes


@pytest.mark.parametrize("options", ["--greedy", "--json", "--n-best 2 --beam 3", "--sample --seed 5"])
def test_shards_joined_are_what_the_plain_command_writes(options: str):
    expected = run(options, TEXT.encode())
    for number in (3, 1, 2):
        assert run(f"--shard {number}/3 lines -o out.txt {options}") == b""
    run("--join lines -o out.txt")
    assert Path("out.txt").read_bytes() == expected
    assert b"".join(path.read_bytes() for path in sorted(Path().glob("out.txt.*-of-3"))) == expected
    run(f"lines {options} -o again")
    assert Path("again").read_bytes() == expected


@pytest.mark.parametrize(
    "options",
    ["--glossary terms.tsv", "--memory old.tsv --json --fuzzy 1", "--protect numbers --protect-pattern te+xt"],
)
def test_parts_are_given_what_a_stream_is_given(options: str):
    Path("terms.tsv").write_text("line\tbad\n")
    Path("old.tsv").write_text("line 7 of the text\tfrom there\nno end\tthe end\n")
    expected = run(options, TEXT.encode())
    assert expected != run("--json" if "--json" in options else "", TEXT.encode())
    for number in (2, 1):
        run(f"--shard {number}/2 lines -o out {options}")
    run("--join lines -o out")
    assert Path("out").read_bytes() == expected
    with pytest.raises(UsageError, match="another --protect, --glossary or --memory"):
        run(f"--shard 1/2 lines -o out {'--json' if '--json' in options else ''}")


def test_parts_of_another_glossary_are_another_work():
    Path("terms.tsv").write_text("line\tbad\n")
    run("--shard 1/2 lines -o out --glossary terms.tsv")
    Path("terms.tsv").write_text("line\tgood\n")
    with pytest.raises(UsageError, match="another --protect, --glossary or --memory"):
        run("--shard 1/2 lines -o out --glossary terms.tsv")
    aids = Aids(glossary=Path("terms.tsv")).sealed()
    Path("terms.tsv").write_text("line\tbad\n")
    with pytest.raises(DataError, match="changed since the work began"):
        aids.given_to(cast("Any", None), SearchOptions())


def test_files_go_into_a_folder_and_are_dealt_out_to_shards():
    for name in "abcde":
        Path(f"{name}.gz").write_bytes(gzip.compress(f"{name} text\n".encode(), mtime=0))
    Path("out").mkdir()
    run("a.gz b.gz -o out")
    assert gzip.decompress(Path("out/b.gz").read_bytes()) == run("b.gz") == run("", b"b text\n")
    run("a.gz b.gz -o new/")
    run("a.gz -o one/")
    assert Path("new/b.gz").read_bytes() == Path("out/b.gz").read_bytes() and Path("one/a.gz").is_file()
    run("--shard 2/2 a.gz b.gz c.gz d.gz e.gz -o parts")
    assert sorted(path.name for path in Path("parts").glob("[a-z]*")) == ["b.gz", "d.gz"]
    run("--shard 1/2 a.gz b.gz c.gz d.gz e.gz -o parts")
    assert sorted(path.name for path in Path("parts").glob("[a-z]*")) == [f"{name}.gz" for name in "abcde"]
    run("lines -o out.gz")
    assert gzip.decompress(Path("out.gz").read_bytes()) == run("", TEXT.encode())


def test_what_a_killed_command_left_is_removed_by_one_look_at_the_folder(monkeypatch: pytest.MonkeyPatch):
    Path("out").mkdir()
    left = [Path("out", f".{name}.0123456789abcdef.tmp") for name in (".a.record", "b", "foreign")]
    for path in (Path("a"), Path("b"), *left):
        path.write_text("text\n")
    swept: list[Path] = []
    sweep = atomic.sweep
    monkeypatch.setattr(atomic, "sweep", lambda folder, of: (swept.append(folder), sweep(folder, of)))
    run("a b -o out --greedy")
    assert swept == [Path("out")] and [path.exists() for path in left] == [False, False, True]


def test_rows_of_json_may_be_compressed():
    rows = "".join(f'{{"body": "{line}"}}\n' for line in TEXT.splitlines())
    Path("rows.jsonl").write_text(rows)
    Path("again.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    run("--column body --greedy rows.jsonl again.jsonl.gz -o out/")
    expected = Path("out/rows.jsonl").read_bytes()
    assert gzip.decompress(Path("out/again.jsonl.gz").read_bytes()) == expected
    for number in (1, 2):
        run(f"--column body --greedy --shard {number}/2 rows.jsonl -o parts.jsonl.gz")
    run("--join rows.jsonl -o parts.jsonl.gz")
    assert gzip.decompress(Path("parts.jsonl.gz").read_bytes()) == expected
    translations = [json.loads(row)["translation"] for row in expected.splitlines()]
    assert "".join(f"{each}\n" for each in translations) == run("--greedy lines").decode()


@pytest.mark.parametrize("options", ["--n-best 2 --beam 3", "--json --greedy", "--sample --seed 5"])
def test_lines_of_several_files_are_numbered_as_those_of_one(options: str):
    Path("one").write_text("line 1\nline 2\n")
    Path("two").write_text("line 1\nline 2\n")
    assert run(f"one two {options}") == run(options, b"line 1\nline 2\n" * 2)
    Path("bad").write_bytes(b"line 1\n\xff\n")
    with pytest.raises(DataError, match="bad:2: invalid UTF-8"):
        run(f"one bad --strict {options}")


def test_any_number_of_files():
    """More than a process may have open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    names = [f"{number}.txt" for number in range(80)]
    for name in names:
        Path(name).write_text("text\n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, before[1]))
    try:
        assert run(f"{' '.join(names)} --greedy").count(b"\n") == len(names)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_is_done_is_skipped_and_what_is_foreign_is_kept():
    run("--shard 1/2 lines -o out")
    again = CliRunner().invoke(app, "translate --shard 1/2 lines -o out".split())
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "out.1-of-2 is done already\n")
    with pytest.raises(UsageError, match="another search"):
        run("--shard 1/2 lines -o out --beam 4")
    with pytest.raises(DataError, match="1 of 2 shards are missing: 2"):
        run("--join lines -o out")


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("--shard 0/3 lines -o out", "--shard", "`0/3` is no shard"),
        ("--shard 4/3 lines -o out", "--shard", "no shard"),
        ("--shard 3 lines -o out", "--shard", "no shard"),
        ("--shard 1/3 -o out", "--shard", "needs files"),
        ("--shard 1/3 lines", "--shard", "needs a file or a folder"),
        ("--join lines", "--join", "needs a file or a folder"),
        ("--join lines lines -o out", "-o", "two inputs would both become"),
        ("--join lines a/in2 -o out", "--join", "no file is divided"),
        ("--shard 1/3 page.html -o out", "--shard", "html is translated as a whole"),
        ("--shard 1/3 in.gz -o out", "in.gz", "cannot be cut"),
        ("--shard 1/3 lines -o lines", "-o", "is the input"),
        ("lines a/lines -o a", "-o", "two inputs would both become"),
        ("a/in2 -o a", "-o", "is the input"),
        ("--shard 1/2 rows.jsonl lines -o a --column c", "INPUT", "rows and of lines"),
        ("--shard 1/2 rows.jsonl -o a.txt --column c", "-o", "stay that"),
        ("--shard 1/2 lines -o out.parquet", "-o", "lines do not become"),
        ("lines -o a --sample", "--sample", "draw by another seed"),
        ("--shard 1/3 lines -o out --min-confidence 0.5", "--min-confidence", "no measure of confidence"),
    ],
)
def test_what_cannot_be_meant_is_refused(line: str, where: str, message: str):
    Path("a").mkdir()
    for name in ("page.html", "rows.jsonl", "in.gz", "a/lines", "a/in2"):
        Path(name).write_bytes(gzip.compress(b"text\n") if name.endswith(".gz") else b"text\n")
    with pytest.raises(UsageError, match=message) as error:
        run(line)
    assert error.value.where == where

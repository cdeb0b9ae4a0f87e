"""Rows of JSON and of Parquet: all columns stay, in order, and a translation is added, whatever the parts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from models import task_of, translator

from s2s_cli.bulk.cutting import Part
from s2s_cli.bulk.joining import join, part_path
from s2s_cli.bulk.rows import translating
from s2s_cli.bulk.unit import translate_file
from s2s_cli.errors import DataError
from s2s_cli.inference.translation import LinesLost

TEXTS = ["one", "", None, "two. Three", "a\nb", "long " * 30, "né"] * 4


def in_parts(source: Path, target: Path, column: str, count: int) -> None:
    task = replace(task_of(source.parent), column=column)
    for number in range(count, 0, -1):
        translate_file(source, part_path(target, Part(number, count)), task, translator, Part(number, count))
    assert join(source, target)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_rows_of_json(tmp_path: Path, count: int):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"id": number, "body": text, "more": [None, {"a": "é\ud800"}]} for number, text in enumerate(TEXTS)]
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    in_parts(source, target, "body", count)
    found = [json.loads(line) for line in target.read_text().splitlines()]
    assert [{key: row[key] for key in rows[0]} for row in found] == rows
    assert [row["translation"] for row in found[:4]] == ["ONE", "", "", "TWO. tHREE"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("what", "not JSON at column 1: Expecting value"),
        ("[1]", "not a JSON object"),
        (json.dumps({"text": "a" * (1 << 20)}), "longer than 1 MiB"),
        ('{"text": "a", "id": ' + "9" * 5000 + "}", "not JSON: a number of more than 4000 digits"),
        ('{"text": 1}', "no text"),
        ('{"texts": "a"}', "no text `text`"),
        ('{"text": "", "translation": 1}', "already"),
        ('{"text": "a\\ud800"}', "lone surrogate"),
        ('{"text": "a", "id": 1e999}', "1e999 is no number of JSON"),
    ],
)
def test_bad_rows_of_json_are_named(tmp_path: Path, line: str, message: str):
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{"text": "one"}}\n{line}\n')
    with pytest.raises(DataError, match=message) as error:
        translate_file(source, tmp_path / "out.jsonl", replace(task_of(tmp_path), column="text"), translator)
    assert str(error.value.where) == f"{source}:2"
    assert not (tmp_path / "out.jsonl").exists()


@pytest.fixture
def parquet() -> Any:
    return pytest.importorskip("pyarrow.parquet")


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_rows_of_parquet(tmp_path: Path, parquet: Any, count: int):
    import pyarrow

    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    body = pyarrow.array(TEXTS, pyarrow.string())
    table = pyarrow.table({"id": range(len(TEXTS)), "body": body.dictionary_encode() if count == 7 else body})
    parquet.write_table(table, source, row_group_size=5)
    in_parts(source, target, "body", count)
    found = parquet.read_table(target)
    assert found.select(["id", "body"]).equals(table)
    assert found.column("translation").to_pylist()[:4] == ["ONE", "", "", "TWO. tHREE"]
    whole = tmp_path / "whole.parquet"
    translate_file(source, whole, replace(task_of(tmp_path), column="body"), translator)
    assert parquet.read_table(whole).equals(found)


def test_rows_are_named_by_their_number_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("s2s_cli.inference.dividing.LINE_BYTES", 8)
    fake = translator()
    translate = translating(fake, task_of(tmp_path), "in.parquet")
    assert translate(["a", "b" * 9], 4096) == ["A", "B" * 8]
    assert capsys.readouterr().err.startswith("warning: in.parquet:4098: a text that is too long")

    def lose(*_: object, **__: object) -> None:
        raise LinesLost([4097, 4099])

    fake.translate = lose  # type: ignore[method-assign]
    with pytest.raises(LinesLost, match=r"in\.parquet: .* lines 4097, 4099"):
        translate(["a"] * 3, 4096)


def test_parquet_without_such_a_column(tmp_path: Path, parquet: Any):
    import pyarrow

    source = tmp_path / "in.parquet"
    parquet.write_table(pyarrow.table({"id": [1], "translation": ["a"]}), source)
    for column, message in (("text", "no column"), ("id", "no column"), ("translation", "already")):
        with pytest.raises(DataError, match=message):
            translate_file(source, tmp_path / "out.parquet", replace(task_of(tmp_path), column=column), translator)
    source.write_bytes(b"PAR1 not")
    with pytest.raises(DataError, match="not sound Parquet"):
        translate_file(source, tmp_path / "out.parquet", task_of(tmp_path), translator)


def test_damaged_parquet_is_an_error_of_the_file_or_none(tmp_path: Path, parquet: Any):
    import pyarrow

    source, random = tmp_path / "in.parquet", Random(3)
    parquet.write_table(pyarrow.table({"id": range(len(TEXTS)), "text": TEXTS}), source, row_group_size=5)
    sound, refused = source.read_bytes(), 0
    for number in range(100):
        damaged = bytearray(sound)
        damaged[random.randrange(len(sound))] = random.randrange(256)
        source.write_bytes(damaged)
        try:
            translate_file(
                source, tmp_path / f"{number}.parquet", replace(task_of(tmp_path), column="text"), translator
            )
        except DataError as error:
            assert error.where == str(source)
            refused += 1
    assert refused

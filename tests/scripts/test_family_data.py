"""The text of recipes/family/ that is no translation: made anew, and kept apart."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.data.cleaning import sentence_key
from s2s_cli.text.files import read_lines
from scripts.make_family_data import (
    DATA,
    LONGEST,
    NAMES,
    SHORTEST,
    Rows,
    accent_rows,
    book_rows,
    read_verses,
    without_accents,
    write,
)

SETS = {"books": book_rows, "accents": accent_rows}
SPLITS = ("train", "dev", "test")


def read(folder: Path) -> Rows:
    return {split: [tuple(line.split("\t")) for line in read_lines(folder / f"{split}.tsv.xz")] for split in SPLITS}


@cache
def made(name: str) -> Rows:
    return SETS[name](read_verses(DATA / "bible-es-en" / "web-rv1909.tsv.xz"))


@pytest.mark.parametrize("name", SETS)
def test_the_script_makes_the_shipped_files(name: str, tmp_path: Path):
    assert read(DATA / "family" / name) == made(name)
    few = {split: rows[:20] for split, rows in made(name).items()}
    write(few, tmp_path)
    assert read(tmp_path) == few


@pytest.mark.parametrize(("name", "column"), [("books", 1), ("accents", 0)])
def test_no_sentence_stands_twice(name: str, column: int):
    keys = [sentence_key(row[column]) for rows in made(name).values() for row in rows]
    assert len(set(keys)) == len(keys)


def test_all_books_are_in_all_splits_and_no_chapter_is_in_two():
    rows = made("books")
    chapters = {split: {reference.rpartition(".")[0] for _, _, reference in rows[split]} for split in SPLITS}
    assert not chapters["train"] & chapters["dev"]
    assert not (chapters["train"] | chapters["dev"]) & chapters["test"]
    for split in SPLITS:
        assert {book for book, _, _ in rows[split]} == set(NAMES.values())


def test_clauses_differ_by_accents_alone():
    for rows in made("accents").values():
        for plain, text in rows:
            assert len(plain) == len(text)
            assert SHORTEST <= len(text) <= LONGEST
            assert plain == without_accents(text) == without_accents(plain)
        assert sum(plain != text for plain, text in rows) >= 0.5 * len(rows)


@given(st.text("aáeéñüNÑ âç."))
def test_taking_accents_away_changes_letters_one_by_one(text: str):
    plain = without_accents(text)
    assert len(plain) == len(text)
    assert all(unicodedata.normalize("NFD", a)[0] == b for a, b in zip(text, plain, strict=True))
    assert without_accents(plain) == plain


@pytest.mark.parametrize("name", ["family", "bible-es-en"])
def test_origin_and_licence_are_told(name: str):
    note = (DATA / name / "README.md").read_text(encoding="utf-8")
    assert "public domain" in note
    for kind, rows in ((kind, made(kind)) for kind in SETS if name == "family"):
        counts = " / ".join(f"{len(rows[split]):,}" for split in SPLITS)
        assert any(f"`{kind}/`" in line and counts in line for line in note.splitlines())

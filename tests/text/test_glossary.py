"""Glossaries are read as they stand, and terms are found as whole words, the longest first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.errors import DataError, MachineError
from s2s_cli.text.glossary import Glossary, Phrases

words = st.lists(st.sampled_from(["a", "B", "ab", "c", "."]), min_size=1, max_size=12)


def found(phrases: list[str], text: str, *, ignore_case: bool = False) -> list[str]:
    return [text[each.start : each.end] for each in Phrases(phrases, ignore_case=ignore_case).find(text)]


@pytest.mark.parametrize(
    ("phrases", "text", "expected"),
    [
        (["disk", "hard disk"], "A hard disk, a disk, diskettes.", ["hard disk", "disk"]),
        (["hard disk"], "hard\u00a0 disk", ["hard\u00a0 disk"]),
        (["C++"], "C, C++ and C.", ["C++"]),
        (["硬盘"], "这个硬盘坏了", ["硬盘"]),
        (["café"], "un cafe\u0301 noir", ["cafe\u0301"]),
        (["हिन्दी"], "यह हिन्दी है।", ["हिन्दी"]),
        (["हि"], "हिन्दी", []),
        (["แมว"], "แมวดำ", ["แมว"]),
        (["a b", "b c d"], "a b c d", ["a b"]),
        (["a b c", "b"], "a b d", ["b"]),
        (["Disk"], "disk", []),
    ],
)
def test_phrases_are_found_as_whole_words_the_longest_first(phrases: list[str], text: str, expected: list[str]):
    assert found(phrases, text) == expected


def test_case_is_ignored_by_choice():
    assert found(["Straße"], "Die STRASSE", ignore_case=True) == ["STRASSE"]
    assert Phrases(["Disk"], ignore_case=True).find("disk")[0].phrase == "Disk"


@given(st.lists(words, max_size=4), words)
def test_finding_equals_trying_every_phrase_at_every_place(phrases: list[list[str]], text: list[str]):
    expected, place = [], 0
    while place < len(text):
        longest = max((p for p in phrases if text[place : place + len(p)] == p), key=len, default=[])
        expected += [" ".join(longest)] if longest else []
        place += len(longest) or 1
    assert found([" ".join(phrase) for phrase in phrases], " ".join(text)) == expected


def test_a_file_has_variants_comments_and_blank_lines(tmp_path: Path):
    path = tmp_path / "terms.tsv"
    path.write_text("\ufeff# ours\n\nhard  disk\tFestplatte\r\nhard disk\tPlatte\tnote\nhard disk\tPlatte\n")
    glossary = Glossary.read(path)
    assert glossary.terms == {"hard disk": ["Festplatte", "Platte"]}
    assert [each.phrase for each in glossary.find("a hard disk")] == ["hard disk"]


@pytest.mark.parametrize("line", [b"disk", b"disk\t ", b"\tPlatte", b"dis\xffk\tPlatte"])
def test_a_wrong_line_is_named(tmp_path: Path, line: bytes):
    path = tmp_path / "terms.tsv"
    path.write_bytes(b"a\tb\n" + line)
    with pytest.raises(DataError) as caught:
        Glossary.read(path)
    assert str(caught.value).startswith(f"{path}:2: ")


def test_a_glossary_without_terms_or_file_is_refused(tmp_path: Path):
    path = tmp_path / "terms.tsv"
    path.write_text("# none\n")
    with pytest.raises(DataError):
        Glossary.read(path)
    with pytest.raises(MachineError):
        Glossary.read(tmp_path / "missing.tsv")

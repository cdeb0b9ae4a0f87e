"""Terms are found as whole words, the longest first, with the freedom that was asked for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.errors import DataError
from s2s_cli.text.terms import TermList

ROWS = [("Quelle", "source", []), ("Quelle des Flusses", "spring", []), ("Haus", "house", []), ("C++", "C++", [])]


def found(text: str, *match: str, rows=ROWS) -> list[tuple[str, str]]:
    return [(text[term.start : term.end], term.target) for term in TermList.of(rows, match).terms_of(text)]


@pytest.mark.parametrize(
    ("text", "match", "terms"),
    [
        ("Die Quelle, das Haus.", (), [("Quelle", "source"), ("Haus", "house")]),
        ("Die Quelle des Flusses ist hier", (), [("Quelle des Flusses", "spring")]),
        ("Die Quelle des Baches", (), [("Quelle", "source")]),
        ("die quelle und Hausboote", (), []),
        ("die QUELLE", ("any-case",), [("QUELLE", "source")]),
        ("der Quellen des Hauses", (), []),
        ("der Quellen des Hauses", ("inflected",), [("Quellen", "source"), ("Hauses", "house")]),
        ("im Hausboot", ("inflected",), []),
        ("in C++ und C", (), [("C++", "C++")]),
        ("", (), []),
    ],
)
def test_terms_are_whole_words_the_longest_first(text: str, match: tuple[str, ...], terms: list[tuple[str, str]]):
    assert found(text, *match) == terms


def test_what_differs_least_wins():
    rows = [("Quelle", "source", ["inflected"]), ("Quellen", "sources", [])]
    assert found("Quellen", rows=rows) == [("Quellen", "sources")]
    assert found("Quelle", rows=rows) == [("Quelle", "source")]
    assert found("Haus", rows=[("Haus", "house", []), ("Haus", "home", [])]) == [("Haus", "house")]


@given(st.text("aQuelle dsF,. ", max_size=40), st.sets(st.sampled_from(["any-case", "inflected"])))
def test_terms_never_overlap(text: str, match: set[str]):
    terms = TermList.of(ROWS, tuple(match)).terms_of(text)
    assert all(one.end <= other.start for one, other in pairwise(terms))


def test_a_file_is_read_and_its_faults_are_named(tmp_path: Path):
    path = tmp_path / "terms.tsv"
    path.write_text("# terms\n\nHaus\thouse\nQuelle\tsource\tinflected,any-case\n")
    glossary = TermList.read(path)
    assert [term.target for term in glossary.terms_of("haus Haus QUELLEN")] == ["house", "source"]
    for line in ("Haus", "\thouse", "Haus\t", "Haus\thouse\twild", "Haus\thouse\t\tmore"):
        path.write_text(f"a\tb\n{line}\n")
        with pytest.raises(DataError, match="term") as error:
            TermList.read(path)
        assert str(error.value.where) == f"{path}:2"
    path.write_bytes(b"\xff\tb\n")
    with pytest.raises(DataError, match="UTF-8"):
        TermList.read(path)

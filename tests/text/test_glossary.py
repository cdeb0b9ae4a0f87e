"""Glossaries are read as they stand, and terms are found as whole words, the longest first, as freely as asked for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.errors import DataError, MachineError
from s2s_cli.text.glossary import Glossary, Occurrence, Row, _difference
from s2s_cli.text.words import words_of

TERMS = ["Quelle", "Quelle des Flusses", "Haus", "C++"]
words = st.lists(st.sampled_from(["a", "B", "ab", "c", "."]), min_size=1, max_size=12)


def found(terms: list[str], text: str, *match: str) -> list[str]:
    glossary = Glossary((Row(term, term) for term in terms), match)
    return [text[each.start : each.end] for each in glossary.find(text)]


@pytest.mark.parametrize(
    ("terms", "text", "expected"),
    [
        (["disk", "hard disk"], "A hard disk, a disk, diskettes.", ["hard disk", "disk"]),
        (["hard disk"], "hard\u00a0 disk", ["hard\u00a0 disk"]),
        (["C++"], "C, C++ and C.", ["C++"]),
        (["硬盘"], "这个硬盘坏了", ["硬盘"]),
        (["café"], "un cafe\u0301 noir", ["cafe\u0301"]),
        (["Donau"], "die Do\u00adnau\u2060, \u00ad", ["Do\u00adnau\u2060"]),
        (["हिन्दी"], "यह हिन्दी है।", ["हिन्दी"]),
        (["हि"], "हिन्दी", []),
        (["แมว"], "แมวดำ", ["แมว"]),
        (["a b", "b c d"], "a b c d", ["a b"]),
        (["a b c", "b"], "a b d", ["b"]),
        (["Disk"], "disk", []),
        (TERMS, "Die Quelle des Baches", ["Quelle"]),
        (TERMS, "", []),
    ],
)
def test_terms_are_found_as_whole_words_the_longest_first(terms: list[str], text: str, expected: list[str]):
    assert found(terms, text) == expected


@pytest.mark.parametrize(
    ("text", "match", "expected"),
    [
        ("die quelle, die QUELLE und Hausboote", (), []),
        ("die QUELLE und Hausboote", ("any-case",), ["QUELLE"]),
        ("der Quellen des Hauses", (), []),
        ("der Quellen des Hauses", ("inflected",), ["Quellen", "Hauses"]),
        ("der QUELLEN des hauses", ("inflected",), []),
        ("der QUELLEN DES FLUSSES, des hauses", ("inflected", "any-case"), ["QUELLEN DES FLUSSES", "hauses"]),
        ("im Hausboot, Häuser", ("inflected",), []),
    ],
)
def test_case_and_endings_count_unless_they_may_differ(text: str, match: tuple[str, ...], expected: list[str]):
    assert found(TERMS, text, *match) == expected
    assert found(["Straße"], "Die STRASSE", "any-case") == ["STRASSE"]


def test_of_what_is_found_it_is_known_whether_it_has_endings():
    glossary = Glossary((Row(term, term) for term in TERMS), ["inflected", "any-case"])
    occurrences = glossary.find("QUELLE DES FLUSSES, Quellen des FLUSSES: quelle des Flussesn, HAUS, HAUSES, C++")
    assert [each.is_inflected for each in occurrences] == [False, True, True, False, True, False]


def test_what_differs_least_is_found_then_the_first():
    glossary = Glossary([Row("Quelle", "source", ["inflected", "any-case"]), Row("Quellen", "sources", ["any-case"])])
    targets = [each.term.targets[0] for each in glossary.find("Quellen Quelle QUELLEN QUELLE Quelles")]
    assert targets == ["sources", "source", "sources", "source", "source"]
    either = Glossary([Row("Disk", "1"), Row("DISK", "2")], ["any-case"])
    assert [each.term.targets[0] for each in either.find("disk DISK")] == ["1", "2"]


@given(st.lists(words, max_size=4), words, st.sets(st.sampled_from(["any-case", "inflected"])))
def test_finding_equals_trying_every_term_at_every_place(terms: list[list[str]], text: list[str], match: set[str]):
    assert_plain([" ".join(term) for term in terms], " ".join(text), match)


@given(st.lists(st.text("aQuelle ds,", max_size=9), max_size=4), st.data())
def test_so_it_does_with_endings_and_capitals(terms: list[str], data: st.DataObject):
    pieces = st.sampled_from([*terms, "n", "en", "ern", "hern", " ", "."]) | st.sampled_from(terms or ["a"]).map(
        str.upper
    )
    text = "".join(data.draw(st.lists(pieces, max_size=8)))
    assert_plain(terms, text, data.draw(st.sets(st.sampled_from(["any-case", "inflected"]))))


def assert_plain(terms: list[str], text: str, match: set[str]) -> None:
    """Finding finds what comparing every term with the words at every place finds."""
    glossary = Glossary((Row(term, term) for term in terms), tuple(match))
    all_words = words_of(text)
    tokens = [word.text for word in all_words]
    expected, place = [], 0
    while place < len(tokens):
        best = (0, 0, None)
        for term in glossary.terms:
            own = [word.text for word in words_of(term.source)]
            if len(own) <= len(tokens) - place:
                difference = _difference(own, term.match, tokens[place : place + len(own)])
                if difference is not None and (len(own), -difference) > best[:2]:
                    best = (len(own), -difference, term)
        length, _, term = best
        if term is not None:
            end = place + length
            lengths = [sum(map(len, map(str.casefold, each))) for each in (term.source.split(), tokens[place:end])]
            expected.append(Occurrence(all_words[place].start, all_words[end - 1].end, term, lengths[0] < lengths[1]))
        place += length or 1
    assert glossary.find(text) == expected
    assert all(one.end <= other.start for one, other in pairwise(expected))


def test_a_file_has_variants_ways_to_match_comments_and_blank_lines(tmp_path: Path):
    path = tmp_path / "terms.tsv"
    path.write_text(
        "\ufeff# ours\n\nhard  disk\tFestplatte\r\nhard disk\tPlatte\t\nhard disk\tPlatte\n"
        "key\tTaste\tany-case, inflected\n"
    )
    disk, key = Glossary.read(path).terms
    assert (disk.source, disk.targets, disk.where) == ("hard disk", ("Festplatte", "Platte"), f"{path}:3")
    assert (key.match, key.where) == ({"any-case", "inflected"}, f"{path}:6")
    assert Glossary.read(path, ["any-case"]).terms[0].match == {"any-case"}


@pytest.mark.parametrize(
    "line", [b"disk", b"disk\t ", b"\tPlatte", b"dis\xffk\tPlatte", b"a\tb\twild", b"a\tb\t\tmore", b"a\tb\tany-case,x"]
)
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

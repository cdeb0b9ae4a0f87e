"""Case markup: whatever the text, it comes back; whatever is marked, there are no marks in its text."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.text.casing import BREAK, CAPITALS, ESCAPE, MARKS, TITLE, is_letter, mark, unmark, without_marks
from s2s_cli.text.hygiene import clean_line

MARKED = {
    "Knowledge is power.": "knowledge^ is power.",
    "I saw NASA": "i^ saw nasa#",
    "A B2B-deal": "a^ b^2b^-deal",
    "iPhone, McDonald, YouTube, GmbH": "i|phone^, mc^donald^, you^tube^, gmb^h^",
    "NGOs, McDONALD, aBcDE": "ngo#s, mc^donald#, a|bc^de#",
    "DON'T": "don#'t^",
    "Élan ÉLAN, X̌a": "élan^ élan#, x̌a^",
    "Знание США": "знание^ сша#",
    "Οδός ΟΔΟΣ": "οδός^ οδος#",
    "我爱Python和NASA": "我爱python^和nasa#",
    "ใช้Python": "ใช้python^",
    "Straße STRAẞE": "straße^ stra#ẞ|e^",
    "İstanbul Istanbul İSTANBUL": "İstanbul istanbul^ İ|stanbul#",
    "ʻOkina Hawaiʻi": "ʻ|okina^ hawaiʻi^",
    "ǅ Ǆ ǆ": "ǅ ǆ^ ǆ",
    "ქართული ᲥᲐᲠᲗᲣᲚᲘ": "ქართული ქართული#",
    "knowledge 42 知识": "knowledge 42 知识",
    "": "",
}
CASED = [c for c in map(chr, range(sys.maxunicode + 1)) if c.lower() != c or c.upper() != c or c.title() != c]
PARTS = st.one_of(
    st.sampled_from([TITLE, CAPITALS, BREAK, ESCAPE, " ", "1", "A", "ab", "Ab", "AB", "中", "é", "\u030c", "ς", "ſ"]),
    st.sampled_from(CASED),
    st.characters(exclude_categories=["Cs"]),
)
TEXTS = st.lists(PARTS, max_size=12).map("".join)


def _written(readable: str) -> str:
    return readable.replace("^", TITLE).replace("#", CAPITALS).replace("|", BREAK)


@pytest.mark.parametrize("text", MARKED)
def test_words_are_marked(text: str) -> None:
    assert mark(text) == _written(MARKED[text])
    assert unmark(mark(text)) == text


@given(TEXTS)
def test_any_text_comes_back(text: str) -> None:
    assert unmark(mark(clean_line(text))) == clean_line(text)
    assert unmark(mark(text)) == text
    assert not any(len(c.lower()) == 1 and c.isalpha() and c.lower().upper() == c != c.lower() for c in mark(text))


@pytest.mark.parametrize("pattern", ["{}", "{}b", "a{}", "A{}", "{}{}", "{}\u030c", "中{}ab"])
def test_words_with_any_letter_of_a_pair_come_back(pattern: str) -> None:
    for letter in CASED:
        text = pattern.replace("{}", letter)
        assert unmark(mark(text)) == text
        assert letter.isalnum() <= is_letter(letter), letter


@given(TEXTS)
def test_unmarked_text_has_only_marks_that_were_escaped(marked: str) -> None:
    text = unmark(marked)
    assert sum(map(text.count, MARKS)) <= marked.count(ESCAPE)
    assert len(text.split()) == len(without_marks(marked).split())
    if ESCAPE not in marked:
        assert len(text) == len(without_marks(marked))


@pytest.mark.parametrize(
    ("marked", "text"),
    [
        ("^a", "a"),
        ("a^^", "A"),
        ("ab#^", "AB"),
        ("5^ #", "5 "),
        ("Ab^c^", "AbC"),
        ("中^", "中"),
        ("^", ""),
        ("aB#", "AB"),
        ("|a|", "a"),
    ],
)
def test_what_a_model_may_write_is_read_all_the_same(marked: str, text: str) -> None:
    assert unmark(_written(marked)) == text


def test_marks_in_a_text_are_escaped() -> None:
    for literal in (TITLE, CAPITALS, BREAK, ESCAPE):
        assert mark(f"Ab{literal}c") == f"ab{TITLE}{ESCAPE}{literal}c"


def test_a_long_word_takes_no_longer_by_its_square() -> None:
    word = "x" * 300_000
    assert unmark(mark(f"{word}Y é")) == f"{word}Y é"
    assert unmark(mark(f"Y{word} é")) == f"Y{word} é"

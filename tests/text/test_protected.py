"""What is protected in a line, and how a line with marks is encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.text.codes import Code, Kind
from s2s_cli.text.protected import KINDS, Finder
from s2s_cli.text.sentencepieces import train_sentencepiece
from s2s_cli.text.symbols import CharacterTokenizer, WordTokenizer
from s2s_cli.text.tokenizer import TERM_TAGS, Tokenizer, mark_name

PIECES = [
    "<b>",
    "</b>",
    "<x/>",
    "%s",
    "{name}",
    "http://a.b/c",
    "a@b.org",
    "12.5",
    "{% if %}",
    "&amp;",
    "Wort",
    " ",
    "“",
    "\n",
    "ю",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=8).map("".join)
MARKS = [mark_name(1), mark_name(2)]
LINES = ["der Hund, die Katze", "das Haus und der Hund", "die Maus (im Haus)"]


def spans(line: str, *kinds: str, patterns: tuple[str, ...] = ()) -> list[str]:
    return [part.text for part in Finder(kinds, patterns).parts(line) if isinstance(part, Code)]


@given(TEXTS, st.sets(st.sampled_from(sorted(KINDS))), st.sampled_from([(), ("W.r",), ("t", "x*")]))
def test_the_parts_are_the_line(line: str, kinds: set[str], patterns: tuple[str, ...]):
    parts = Finder(tuple(kinds), patterns).parts(line)
    assert "".join(part if isinstance(part, str) else part.text for part in parts) == line
    assert all(part.kind is not Kind.BREAK for part in parts if isinstance(part, Code))


@pytest.mark.parametrize(
    ("kind", "line", "found"),
    [
        ("tags", "a <b>c</b> &amp; <x id='1'/> 3 < 4", ["<b>", "</b>", "&amp;", "<x id='1'/>"]),
        ("placeholders", "{name} %s %(x)d ${x} {% if a %} %", "{name} %s %(x)d ${x} {% if a %}".split(" ", 4)),
        ("placeholders", "%{a} %<n>02d to %user_name%: 5%, %ld%% %<PRIu64> b", "%{a} %<n>02d %user_name% %ld".split()),
        ("placeholders", "<%= a > b %> of <% if c %> 5 <% d", ["<%= a > b %>", "<% if c %>"]),
        ("placeholders", "@count of @some-one, a@b.c, @ 5 @@x @-", ["@count", "@some-one"]),
        ("urls", "see https://a.com/a?b=c, or www.example.org.", ["https://a.com/a?b=c", "www.example.org"]),
        ("urls", "看https://a.com/a，我（www.b.org/b。）", ["https://a.com/a", "www.b.org/b"]),
        ("emails", "to a.b@example.org.", ["a.b@example.org"]),
        ("emails", "请写信给user@example.org谢谢", ["user@example.org"]),
        ("urls", "请看www.example.org。", ["www.example.org"]),
        ("placeholders", "你好%user_name%，有@count本书。", ["%user_name%", "@count"]),
        ("numbers", "我有42本书，A4和๑๒a。", ["42"]),
        ("numbers", "3 men, 1,000.50 of 10-12 in A4 at 12:30, -5.", ["3", "1,000.50", "10-12", "12:30", "-5"]),
    ],
)  # fmt: skip
def test_a_kind_finds_its_own_alone(kind: str, line: str, found: list[str]):
    assert spans(line, kind) == found
    assert not set(spans(line, *(KINDS.keys() - {kind}))) & set(found) - {"1"}


def test_own_patterns_come_first():
    assert spans("call %s and ABC-12", "placeholders", patterns=(r"[A-Z]+-\d+", r"call %s")) == ["call %s", "ABC-12"]


def test_a_pattern_sees_what_is_before_although_it_was_taken():
    assert spans("a <b>Ab: c</b>", patterns=("<[^>]+>", r"^\w+:", "(?<=>)A")) == ["<b>", "A", "</b>"]
    assert spans("Ab: <b>", patterns=("<[^>]+>", r"^\w+:")) == ["Ab:", "<b>"]


def test_only_tags_with_a_counterpart_are_pairs():
    kinds = [part.kind for part in Finder().parts("<b>a</b> <i>c") if isinstance(part, Code)]
    assert kinds == [Kind.OPEN, Kind.CLOSE, Kind.ALONE]


TOKENIZERS = [
    train_sentencepiece(LINES, model="unigram", vocabulary=40, character_coverage=1.0, tags=MARKS),
    train_sentencepiece(LINES, model="bpe", vocabulary=40, character_coverage=1.0, tags=MARKS),
    CharacterTokenizer.train(LINES, vocabulary=60, tags=MARKS),
]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["unigram", "bpe", "character"])
def test_marks_change_no_other_piece(tokenizer: Tokenizer):
    first, second = tokenizer.marks
    [hund] = tokenizer.encode(["der Hund, die Katze"])
    found = tokenizer.encode_marked(["der ", first, "Hund", second, ", die Katze"])
    assert [index for index in found if index not in tokenizer.marks] == hund
    assert tokenizer.decode(found) == "der Hund, die Katze"
    assert tokenizer.decode(found[: found.index(first)]) == "der"
    assert tokenizer.decode(found[: found.index(second)]) == "der Hund"
    # A word that is replaced leaves the signs and words after it as they were.
    assert tokenizer.decode(tokenizer.encode_marked(["der ", first, ", die ", second])) == "der, die"
    assert tokenizer.encode_marked([first, "der Hund, die Katze"]) == [first, *hund]


def test_words_take_marks_as_words():
    tokenizer = WordTokenizer.train(LINES, vocabulary=60, tags=MARKS)
    assert tokenizer.pieces(tokenizer.encode_marked(["der ", tokenizer.marks[0], " Hund,"])) == [
        "der",
        MARKS[0],
        "Hund,",
    ]


def test_what_is_said_of_a_term_belongs_to_its_last_word():
    tokenizer = CharacterTokenizer([*TERM_TAGS, *"▁abcd"], TERM_TAGS)
    opening, giving, closing = tokenizer.term_tags or (0, 0, 0)
    ids = tokenizer.encode_marked(["a ", opening, "b", giving, " c d", closing, " a"])
    assert tokenizer.decode(ids) == "a b c d a"
    assert tokenizer.text_pieces(ids) == ([0, 2, 3, 5, 6, 7, 8, 10, 11], [0, 1, 1, 1, 1, 1, 1, 2, 2])
    assert tokenizer.told(ids) == {1, 4, 5, 6, 7, 8, 9}
    assert tokenizer.unwritten == [opening, giving, closing]
    assert CharacterTokenizer(["a"]).term_tags is None


def test_marks_are_written_and_other_tags_are_not():
    tokenizer = CharacterTokenizer(["<bt>", *MARKS, "a"], ["<bt>", *MARKS])
    assert tokenizer.unwritten == [tokenizer.tags["<bt>"]]
    assert tokenizer.pieces(tokenizer.marks) == MARKS
    assert CharacterTokenizer(["a"]).marks == []

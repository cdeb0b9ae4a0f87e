"""The rules of cleaning, one by one."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.data.cleaning import (
    Excluded,
    Overlap,
    WrongScript,
    length_rules,
    pair_key,
    sentence_key,
    text_rules,
)
from s2s_cli.recipe import schema

LANGUAGES = schema.Languages(source="zh", target="en")


def _first_broken(config: schema.Cleaning, source: str, target: str) -> str | None:
    overlap, excluded = Overlap.of([("你好。", "Hello, World!")]), Excluded.of(["A Secret!", "秘密"])
    rules = text_rules(config, LANGUAGES, overlap, excluded)
    return next((name for name, rule in rules.items() if rule(source, target)), None)


@pytest.mark.parametrize(
    ("source", "target", "broken"),
    [
        ("再见", "Bye", None),
        ("", "Bye", "empty"),
        ("再见", "", "empty"),
        ("OK", "OK", "identical"),
        ("再见", "再见了", "script"),
        ("good", "Bye", "script"),
        ("123", "4 5", None),
        ("你好", "Hi", "overlap"),
        ("喂", "hello world", "overlap"),
        ("喂", "asecret", "excluded"),
        ("秘密。", "Hi", "excluded"),
        ("秘密。", "hello world", "overlap"),
    ],
)
def test_rules_on_text(source: str, target: str, broken: str | None) -> None:
    assert _first_broken(schema.Cleaning(), source, target) == broken


def test_rules_can_be_left_out() -> None:
    off = schema.Cleaning(
        drop_identical=False, min_script_share=None, drop_overlap=False, deduplicate=False, max_length_ratio=None
    )
    assert set(text_rules(off, LANGUAGES, Overlap.of([]), Excluded.of([]))) == {"empty"}
    assert set(length_rules(off.max_pieces, off.max_length_ratio)) == {"empty", "length"}


def test_a_ratio_of_lengths_that_no_pair_has_is_refused() -> None:
    with pytest.raises(ValueError, match="max_length_ratio: must be at least 1"):
        schema.Cleaning.read({"max_length_ratio": 0.5})


def test_unknown_languages_have_no_rule_on_script() -> None:
    assert not WrongScript(None, "Latn", 0.5)("что угодно", "anything")


def test_overlap_is_looked_for_on_the_same_side() -> None:
    rule = Overlap.of([("Un chat.", "A cat.")])
    assert rule("UN CHAT", "A dog") and rule("Un chien", "a cat!")
    assert not rule("A cat.", "Un chat.")


def test_forms_of_characters_hide_no_overlap() -> None:
    rule = Overlap.of([("東京は１２月、ＡＢＣ。", "The ﬁrst №１!")])
    assert rule("東京は12月､abc", "x") and rule("x", "the first no1")
    assert not rule("東京 は12月abc", "the fir st no1")  # spaces count


def test_sentences_without_letters_overlap_with_nothing() -> None:
    assert sentence_key("?!") == b""
    assert not Overlap.of([("?!", "...")])("!", "?")


def test_excluded_lines_are_compared_blindly_on_both_sides() -> None:
    rule = Excluded.of(["The ﬁrst Straße, №１!", "Ⅳ", "e\u0301te\u0301", "?!", "", "x - y"])
    for text in ("the FIRST strasse no1", "iv", "ÉTÉ", "xy", "X…Y"):
        assert rule(text, "other") and rule("other", text), text
    for text in ("the first strasse", "ete", "", "...", "x y z"):
        assert not rule(text, "other") and not rule("other", text), text
    assert not Excluded.of([])("a", "b")


def test_how_a_sign_looks_tells_no_sentences_apart() -> None:
    assert sentence_key("Ich ❤\ufe0f 葛\U000e0100城!") == sentence_key("ich ❤ 葛城")
    assert Excluded.of(["Ich ❤\ufe0f 葛城"])("ich 葛\U000e0100城", "x")


@given(lines=st.lists(st.text(max_size=3)), text=st.text(max_size=3))
def test_the_line_itself_is_always_excluded(lines: list[str], text: str) -> None:
    assert Excluded.of([*lines, text])(text, "") == any(
        unicodedata.category(character)[0] not in "PSZC" and not unicodedata.name(character, "").startswith("VARIATION")
        for character in unicodedata.normalize("NFKC", text).casefold()
    ) or Excluded.of(lines)(text, "")


def test_marks_of_vowels_tell_sentences_apart() -> None:
    assert sentence_key("की") != sentence_key("का")


def test_pair_keys_see_where_a_side_ends() -> None:
    assert pair_key("a b", "c") != pair_key("a", "b c")
    assert len(pair_key("a", "b")) == 8


@pytest.mark.parametrize(
    ("source", "target", "broken"),
    [(0, 3, "empty"), (101, 90, "length"), (100, 100, None), (9, 1, None), (10, 2, "length_ratio"), (40, 10, None)],
)
def test_rules_on_lengths(source: int, target: int, broken: str | None) -> None:
    rules = length_rules(100, 4.0)
    for one, other in ((source, target), (target, source)):
        found = (name for name, rule in rules.items() if rule(np.array([one]), np.array([other]))[0])
        assert next(found, None) == broken

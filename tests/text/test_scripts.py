"""Scripts of languages."""

from __future__ import annotations

import pytest

from s2s_cli.text import scripts
from s2s_cli.text.scripts import script_of, script_share


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Größe, Maß und Œuvre"),
        ("vi", "Tiếng Việt không khó"),
        ("ru", "Съешь ещё этих булок"),
        ("el", "Ξεσκεπάζω την ψυχοφθόρα"),
        ("ar", "نص حكيم له سر قاطع"),
        ("he", "דג סקרן שט בים"),
        ("zh", "我现在在加拿大很开心。"),
        ("ja", "コーヒーを飲みましたか、先生？"),
        ("ko", "키스의 고유조건은"),
        ("hi", "ऋषियों को सताने वाले"),
        ("th", "เป็นมนุษย์สุดประเสริฐ"),
    ],
)
def test_text_of_a_language_is_in_its_script_and_in_no_other(language: str, text: str) -> None:
    own = script_of(language)
    assert own is not None and script_share(text, own) == 1.0
    shared = {"Hans": {"Hant", "Jpan", "Kore"}}.get(own, set())
    for other in {script_of(code) for code in "de ru el ar he zh ja ko hi th".split()} - {own, *shared}:
        assert other is not None and script_share(text, other) < 0.5


def test_share_counts_letters_only() -> None:
    assert script_share("12 % — 3!", "Latn") == 1.0
    assert script_share("abc 123 где", "Latn") == pytest.approx(0.5)


def test_tags_and_unknown_languages() -> None:
    assert script_of("pt-BR") == script_of("pt_PT") == "Latn"
    assert script_of("sr-Cyrl") == "Cyrl" and script_of("zh-Hant-TW") == "Hant"
    assert script_of("sr") is None and script_of("tlh") is None


def test_every_script_of_the_tables_is_known_to_unicode() -> None:
    codes = {part for parts in scripts._MIXED.values() for part in parts} | set(scripts._LANGUAGES)
    assert all(scripts._others(code) is not None for code in codes)


def test_tags_name_any_script_of_unicode() -> None:
    assert script_of("chr-Cher") == "Cher" and script_share("ᏣᎳᎩ", "Cher") == 1.0
    assert script_of("deu") == script_of("ger-DE") == "Latn" and script_of("cmn") == "Hans"
    assert script_of("de-abcd") == "Latn" and script_of("de-1901") == "Latn"


@pytest.mark.parametrize(
    ("text", "script", "share"),
    [
        ("ー", "Jpan", 1.0),  # the long vowel mark, which both kanas share
        ("々〆", "Hans", 1.0),
        ("ㄅㄆㄇ", "Hant", 1.0),
        ("ｶﾞｷﾞ", "Jpan", 1.0),
        ("한자漢字", "Kore", 1.0),
        ("ｆｕｌｌ", "Latn", 1.0),
        ("𠮷野家", "Hans", 1.0),
        ("ـعـ", "Arab", 1.0),
        ("漢字かな", "Hans", 0.5),
    ],
)
def test_letters_that_are_hard_to_place(text: str, script: str, share: float) -> None:
    assert script_share(text, script) == share

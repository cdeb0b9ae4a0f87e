"""Where lines are divided."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.text.sentences import halves, joins_without_space, sentences

# Language, and the sentences of a text with bars between them.
CASES = [
    ("en", "Dr. Smith paid 3.14 in the U.S. Treasury. |He left."),
    ("en", "Mr. T. S. Eliot came. |He sat down... |Then what? |Nothing!"),
    ("en", "He was e.g. here, vs. there. |And so am I. |It was 10 a.m. |I can't. |See fig. 5 on p. 7."),
    ("en", "(It is so.) |“Go!” |She said: “Why?” and left. |'Well.' |[No.]"),
    ("en", "1. First item. |2. Second item. |Version 2.0 is out. |3 are left."),
    ("en", "Really?! |Yes.No is one word"),
    ("de", "Das ist z. B. gut, d. h. z.B. besser. |Ja."),
    ("de", "Am 1. Januar kam Dr. Maier bzw. Prof. Müller. |Er blieb bis zum 3. 5. 2020."),
    ("de", "Es kostet 3.14 Euro. |Im 19. Jahrhundert regierte Wilhelm II. lange."),
    ("de", "„Komm!“ sagte er. |„Ja.“ |Ich ging… |Dann kam sie."),
    ("de", "Er rief „Hilfe!“. |Sie las „Wer bin ich?“. |Kennst du „Was ist los?“? |„Halt!“! |Ja."),
    ("fr", "M. Dupont est là, av. Foch. |Il dort. |« Viens ! » dit-il. |« Non. » |Elle vint."),
    ("fr", "Où est-il ? |Ici ! |Qu'est-ce que c'est ? |J.-C. est mort."),
    ("es", "¿Qué hora es? |¡Son las tres! |El Sr. García vino. |«¡Hola!» |Ud. no vino a EE. UU. ayer."),
    ("ja", "そうですか？|はい！|「行くよ。」と彼は言った。|（本当だ。）|「はい。」|円は3.14です。"),
    ("zh", "你好吗？|我很好！|价格是3.14元。|“什么？”|“没有。”|真的……是吗？|对!|好。 |再见。"),
    ("pt-BR", "O Dr. Silva chegou. |Ele ficou."),
    ("pt", "O Sr. Silva e a Sra. Costa vivem na Av. Brasil. |Veja a pág. 5. |O homem está no mar. |Sim."),
    ("it", "Il sig. Rossi è qui. |L'avv. Bianchi vide il dott. Verdi a pag. 5. |Poi uscì."),
    ("nl", "Dhr. Jansen woont hier, zie blz. 5. |Hij slaapt."),
    ("pl", "— Cześć! — powiedział prof. Nowak. |Mieszka na ul. Długiej. |Tak."),
    ("ru", "«Стой!» — крикнул проф. Иванов. |См. рис. 5. |Он жил на ул. Ленина. |Да."),
    ("es", "—¡Hola! —dijo Juan. |Luego se fue."),
    ("fr", "« Viens ! » — dit-il. |Il part."),
    ("de", "Er wohnt in der Bahnhofstr. 5 bei der Fa. Meier. |Ja."),
    ("deu", "Am 1. Januar kam er bzw. sie. |Ja."),
    ("en", "See No. 5 and pp. 7 to 9. |There are no. |Six men came."),
    ("es", "—Hola. |—¿Qué tal? |Dice que no. |3 personas vienen."),
    ("ru", "Он ест рис. |Рост 180 см. |Цена 100 руб. |— Привет! |— Здравствуй!"),
    ("pt", "São dez. |Ele ganhou o set. |Ela perdeu."),
    ("de", "Er wohnt in der Bahnhofstr. |Danach ging er."),
    ("hi", "यह एक वाक्य है। |यह दूसरा है।"),
    ("", "One, etc. and so on. |Two."),
    ("", ""),
    ("en", "no mark at all"),
]

# Marks, quotes, spaces, letters of several scripts, all that the rules look at.
TEXT = st.text(alphabet="aBI1.!?。！？、，…—– \u3000\u00a0\t\"'“”«»「」()[]¿¡;:,-é中かक।\u0301🙂\n", max_size=60)
LANGUAGES = st.sampled_from(["", "de", "en", "es", "fr", "ja", "zh-Hans", "xx"])


@pytest.mark.parametrize(("language", "marked"), CASES)
def test_sentences_of_a_language(language: str, marked: str) -> None:
    expected = marked.split("|")
    assert sentences("".join(expected), language) == expected


@given(st.one_of(TEXT, st.text()), LANGUAGES)
def test_the_parts_put_together_are_the_text(text: str, language: str) -> None:
    parts = sentences(text, language)
    assert "".join(parts) == text
    assert all(parts) or text == ""


@given(st.one_of(TEXT, st.text()).filter(lambda text: len(text) > 1))
def test_halves_put_together_are_the_text(text: str) -> None:
    first, second = halves(text)
    assert first + second == text
    assert min(len(first), len(second)) >= len(text) // 4 or not second[:1].isspace()
    assert first and second


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("no capitals here. or there, at least not", "no capitals here. "),
        ("one two three, four five six", "one two three, "),
        ("one two three – four five six", "one two three "),
        ("one two three four", "one two "),
        ("我们今天去公园，因为天气很好", "我们今天去公园，"),
        ("abcdef", "abc"),
        ("ab\u0301\u0316\u0301cd", "ab\u0301\u0316\u0301"),
    ],
)
def test_a_long_sentence_is_cut_at_a_clause_else_a_space_else_a_character(text: str, first: str) -> None:
    assert halves(text)[0] == first


def test_chinese_and_japanese_have_no_space_between_sentences() -> None:
    assert [joins_without_space(language) for language in ("zh", "zh-TW", "ja", "ko", "en", "")] == [
        *[True] * 3,
        *[False] * 3,
    ]

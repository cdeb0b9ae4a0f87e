"""Accelerators of PO files: a sign before the letter of a key."""

from __future__ import annotations

import pytest
from fake_translators import FakeTranslator, document, same, translated
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.documents.accelerators import Accelerator, without_accelerator
from s2s_cli.documents.translation import translate_document
from s2s_cli.text.codes import Code

HEADER = 'msgid ""\nmsgstr ""\n"X-Accelerator-Marker: {}\\n"\n\n'


def message(text: str, translation: str, sign: str = "~") -> str:
    """What becomes of a message whose translation, without accelerators, is this."""
    data = f'{HEADER.format(sign)}msgid "{text}"\nmsgstr ""\n'.encode()
    return translated("po", data, lambda _: translation).decode().splitlines()[-1][len('msgstr "') : -1]


@pytest.mark.parametrize(
    ("text", "translation", "expected"),
    [
        ("~Open", "Offen", "~Offen"),
        ("~Open", "Weit offen", "Weit ~offen"),  # the beginning of a word is better than the middle of one
        ("~Save", "Das", "Da~s"),
        ("~File", "Datei", "~Datei"),
        ("~File", "文件", "文件(~F)"),
        ("~Open...", "打开...", "打开(~O)..."),
        ("Version ~2", "版本 2", "版本 ~2"),
        ("Save ~as", "Sauver as", "Sauver ~as"),
        ("~Open", "...", "..."),
        ("Open", "Offen", "Offen"),
        ("about ~ 5", "etwa ~ 5", "etwa ~ 5"),  # not before a letter or digit
        ("~a or ~b", "~b", "~b"),  # which of the two?
        ("Find 2~nd", "2. finden", "2. fi~nden"),
        ("~Quit\\tCtrl+Q", "Ende", "~Ende\\tEnde"),  # it stays before the tab
        ("Do it ~now\\nNot", "Sofort", "~Sofort\\nSofort"),
        ("~Open", "~Offen", "~Offen"),  # as a translation memory may have it
    ],
)
def test_the_sign_goes_before_a_letter_of_the_translation(text: str, translation: str, expected: str):
    assert message(text, translation) == expected


def test_no_sign_goes_into_a_placeholder():
    data = f'{HEADER.format("&")}#, c-format\nmsgid "&dot %d {{dot}} of &lt;"\nmsgstr ""\n'.encode()
    assert translated("po", data, lambda text: text.replace("dot", "x")).endswith(b'msgstr "&x %d {dot} of &lt;"\n')


@pytest.mark.parametrize(
    ("sign", "text"),
    [
        ("&", "AT&T"),
        ("&", "R&D team"),
        ("&", "Drag&Drop"),
        ("&", "a & b"),
        ("_", "Set LC_ALL"),
        ("_", "a_b"),
        ("~", "a~"),
    ],
)
def test_a_sign_that_is_text_stays_text(sign: str, text: str):
    data = f'{HEADER.format(sign)}msgid "{text}"\nmsgstr ""\n'.encode()
    assert translated("po", data).decode().endswith(f'msgstr "{text.upper()}"\n')


def test_a_memory_knows_texts_with_their_accelerators():
    memory = {"~Open %s": "%s ~auf", "~Quit": "Ende", "Close": "~Zu"}
    for text, expected in [("~Open %s", "%s ~auf"), ("~Quit", "~Ende"), ("Open ~%s", "OPEN ~%s"), ("Close", "CLOSE")]:
        data = f'{HEADER.format("~")}#, c-format\nmsgid "{text}"\nmsgstr ""\n'.encode()
        written = translate_document(FakeTranslator(memory=memory), document("po", data), None).decode()
        assert written.endswith(f'msgstr "{expected}"\n')


@pytest.mark.parametrize("sign", ["", "x", "ab", " "])
def test_a_header_without_a_sign_changes_nothing(sign: str):
    assert message("x~Open xab", "x~Offen", sign) == "x~Offen"


PARTS = st.lists(st.sampled_from(["a", "B", " ", "~", "é", "字", "1", "... ", Code("<b>"), Code("%s")]), max_size=9)


@given(PARTS)
def test_the_identity_puts_the_sign_back(pieces: list[str | Code]):
    taken, accelerator = without_accelerator(tuple(pieces), "~")
    text = "".join(each if isinstance(each, str) else each.text for each in pieces)
    if accelerator is None:
        assert taken == tuple(pieces)
    else:
        assert all("~" not in each for each in taken if isinstance(each, str))
        taken = accelerator.put_into(taken)
        assert "".join(each if isinstance(each, str) else each.text for each in taken) == text


def test_the_identity_puts_it_back_into_a_message():
    for text in ("~Open", "New ~notes", "%s: ~new", "Sa~ve <b>v</b>"):
        data = f'{HEADER.format("~")}msgid "{text}"\nmsgstr ""\n'.encode()
        assert translated("po", data, same).decode().endswith(f'msgstr "{text}"\n')


@given(PARTS.filter(lambda pieces: "~" not in pieces))
def test_the_sign_is_there_once_or_there_is_no_word(pieces: list[str | Code]):
    parts = Accelerator("~", "q", 3, 0).put_into(tuple(pieces))
    signs = sum(each.count("~") for each in parts if isinstance(each, str))
    assert signs == any(each.strip(" .") for each in pieces if isinstance(each, str))

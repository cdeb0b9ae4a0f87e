"""Texts of requests, without a server: what is refused before it is translated, and what is done beside the loop."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from direct import texts_of

from s2s_cli import Translator
from s2s_cli.serving.limits import Refused
from s2s_cli.serving.models import Models
from s2s_cli.serving.texts import EXPLAINED_PIECES, LONG, Texts, Wish, _framed

PAIR = ("de", "en")


@pytest.fixture
def undivided(german: Translator) -> Texts:
    """By a model that divides no lines."""
    division = replace(german.division, split="never")
    translator = Translator(german.model, german.tokenizers, options=german.options, division=division)
    return texts_of(Models([translator], {PAIR: 0}))


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("ja\nguten Tag, wie geht es", {}),
        ("ja\nguten Tag, wie geht es", {"keeps_lines": False}),
        ("<p>ja</p><p>guten Tag, <b>wie</b> geht es</p>", {"form": "html"}),
        ("ja <b>guten</b> Tag, wie geht es", {"form": "xml"}),
    ],
)
def test_no_text_is_cut_without_a_word(
    undivided: Texts, monkeypatch: pytest.MonkeyPatch, text: str, wish: dict[str, Any]
):
    [[whole]] = asyncio.run(undivided.translate([text], Wish(PAIR, **wish)))
    assert whole
    monkeypatch.setattr("s2s_cli.inference.dividing.WHOLE_PIECES", 20)
    with pytest.raises(Refused, match="a line exceeds") as refused:
        asyncio.run(undivided.translate(["ja", text], Wish(PAIR, **wish)))
    assert refused.value.status == 413
    [[divided]] = asyncio.run(undivided.translate([text], Wish(PAIR, split="long", **wish)))
    assert divided


def test_only_parts_of_so_many_pieces_are_explained(undivided: Texts):
    longest = "a" * EXPLAINED_PIECES
    assert len(asyncio.run(undivided.explain(f"ja\n{longest}", PAIR, 4))) == 2
    for text in (f"ja\n{longest}a", longest * 300):
        with pytest.raises(Refused, match="for an explanation") as refused:
            asyncio.run(undivided.explain(text, PAIR, 4))
        assert refused.value.status == 400
    assert len(asyncio.run(undivided.explain(f"ja\n{longest}a", PAIR, 1))) == 1


def test_translations_of_many_lines_are_joined_beside_the_loop(german: Translator, monkeypatch: pytest.MonkeyPatch):
    joining = set[int]()

    def framed(line: str, text: str) -> str:
        joining.add(threading.get_ident())
        return _framed(line, text)

    monkeypatch.setattr("s2s_cli.serving.texts._framed", framed)
    texts = texts_of(Models([german], {PAIR: 0}))
    text = "\n" * (LONG // 2)  # short enough to be read at once, but there are several translations
    assert asyncio.run(texts.translate([text], Wish(PAIR, n_best=3))) == [[text]]
    assert joining and threading.get_ident() not in joining

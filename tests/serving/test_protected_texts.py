"""What is served of models that carry protected spans by marks, without a server."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from direct import texts_of
from serving_process import LETTERS

from s2s_cli import Translator
from s2s_cli.documents.formats import read_document
from s2s_cli.documents.snippets import snippet
from s2s_cli.documents.translation import translate_document
from s2s_cli.inference.reading import Reader
from s2s_cli.serving.explaining import _words
from s2s_cli.serving.models import Models
from s2s_cli.serving.texts import LONG, Texts, Wish
from s2s_cli.text.languages import Languages
from s2s_cli.text.protected import Finder
from s2s_cli.text.sentencepieces import train_sentencepiece
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TERM_TAGS, TokenizerPair, mark_name

PAIR = ("de", "en")
MARKS = [mark_name(number) for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def translator(tools, tmp_path_factory: pytest.TempPathFactory) -> Translator:
    letters = [piece for piece in LETTERS.pieces(range(LETTERS.size))[4:]]
    tokenizer = CharacterTokenizer([*MARKS, *letters], MARKS)
    pair = TokenizerPair(tokenizer, tokenizer)
    often = [*tokenizer.marks[:2], *tokenizer.encode(["a e"])[0]]
    bias = dict.fromkeys(often, 3.0) | dict.fromkeys(tokenizer.marks[:2], 3.8)  # it writes marks anywhere
    folder: Path = tools.export(tmp_path_factory.mktemp("marked") / "model", PAIR, pair, bias=bias, packed=True, seed=2)
    found = Translator.load(folder, device="cpu", threads=1)
    found.reader = replace(found.reader, finder=Finder())
    return found


@pytest.fixture(params=[LONG, 0], ids=["here", "aside"])
def texts(translator: Translator, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Texts:
    monkeypatch.setattr("s2s_cli.serving.texts.LONG", request.param)
    return texts_of(Models([translator], {PAIR: 0}))


@pytest.mark.parametrize(
    "page",
    [
        "<p>der <b>rote</b> Hund <i>ist</i> da. und <a href='x'>hier</a>, <b>dort</b></p><p>der <b>rote Hund</b></p>",
        "<p>nimm {name} und <b>%s</b>.</p><p></p><p>{name}</p>",
    ],
)
def test_html_is_translated_as_a_page_is(translator: Translator, texts: Texts, page: str) -> None:
    document = read_document("html", BytesIO(page.encode()), Languages(*PAIR))
    expected = translate_document(translator, document, translator.options).decode()
    assert asyncio.run(texts.translate([page], Wish(PAIR, form="html"))) == [[expected]]
    [several] = asyncio.run(texts.translate([page], Wish(PAIR, n_best=2, form="html")))
    assert several[0] == expected
    spans = ("<b>", "</b>", "{name}", "%s", "</p>")
    assert all(each.count(span) == page.count(span) for each in several for span in spans)


def test_lines_are_translated_as_lines_are(translator: Translator, texts: Texts) -> None:
    lines = ["nimm {name} und <b>dort</b>.", "", "{name}"]
    expected = [[each.text] for each in translator.translate(lines)]
    assert asyncio.run(texts.translate(lines, Wish(PAIR))) == expected


def test_other_requests_go_on_while_a_long_text_is_read(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, heard = Models([translator], {PAIR: 0}), threading.Event()

    def patient(read: Any) -> Any:
        def wait(*given: Any, **named: Any) -> Any:
            assert heard.wait(60), "the loop waits for the text"
            return read(*given, **named)

        return wait

    async def all_at_once() -> Any:
        texts = texts_of(models, patient(snippet))
        page = texts.translate(["<p>ja</p>" * LONG], Wish(PAIR, form="html"))
        asking = asyncio.gather(page, texts.explain("ja\n" * LONG, PAIR, 1))
        await asyncio.sleep(0.01)
        heard.set()
        return await asking

    monkeypatch.setattr(Reader, "read", patient(Reader.read))
    [[page]], [part] = asyncio.run(all_at_once())
    assert page.startswith("<p>") and part["source"] == "ja"


def test_marks_are_no_words_of_an_explanation(translator: Translator, texts: Texts) -> None:
    line = "nimm {name} und hier"
    [part] = asyncio.run(texts.explain(line, PAIR, 4))
    assert MARKS[0] in part["source_tokens"] and MARKS[0] in part["tokens"]
    assert part["source_words"] == ["nimm", "und", "hier"]
    assert part["words"] == part["text"].split()
    assert not any(mark in word for mark in MARKS for word in part["words"])
    assert [target for _, target in part["alignment"]] == list(range(len(part["words"])))
    assert all(source < 3 for source, _ in part["alignment"])


def test_words_of_an_explanation_are_written_as_in_the_text() -> None:
    lines = ["Nimm die Tür der NATO und iss dort"]
    tokenizer = train_sentencepiece(lines * 9, model="bpe", vocabulary=40, character_coverage=1.0, case_markup=True)
    [ids] = tokenizer.encode(lines)
    assert _words(tokenizer, ids) == lines[0].split()


def test_what_is_told_of_a_term_is_no_word_of_an_explanation() -> None:
    tokenizer = CharacterTokenizer([*TERM_TAGS, *"▁abc"], TERM_TAGS)
    opening, giving, closing = tokenizer.term_tags or (0, 0, 0)
    ids = tokenizer.encode_marked(["a ", opening, "b", giving, " c c", closing, " a"])
    assert _words(tokenizer, ids) == ["a", "b", "a"]

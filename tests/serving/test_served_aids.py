"""Glossaries, memories and protection that are given to a server: it translates as `s2s translate` does with them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from direct import texts_of
from serving_process import Server

from s2s_cli import Translator
from s2s_cli.documents.formats import read_document
from s2s_cli.documents.translation import translate_document
from s2s_cli.errors import DataError, MachineError, UsageError
from s2s_cli.inference.aids import Aids
from s2s_cli.serving.aids import ServedAids
from s2s_cli.serving.models import Models
from s2s_cli.serving.texts import Wish
from s2s_cli.text.languages import Languages

DE_EN, EN_DE = ("de", "en"), ("en", "de")
LINES = ["der Hund bellt. die Katze und der Hund", "ja", "  guten  Tag", "", "ein Hund auf www.s2s.org", "Katze"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("terms.tsv").write_text("Hund\tbig dog\n")
    Path("old.tsv").write_text("guten Tag\thello there\nKatze\ta cat\n<b>die</b> Katze\t<b>this</b> cat\n")


def translated(models: Models, lines: list[str], **wish: Any) -> list[str]:
    return [found[0] for found in asyncio.run(texts_of(models).translate(lines, Wish(DE_EN, **wish)))]


def test_texts_are_translated_as_the_command_does(models: list[Path]):
    given = ServedAids("urls", ("b.llt",), ("terms.tsv",), "any-case", None, ("old.tsv",))
    served = Models.load(models[:1], aids=given)
    alone = Translator.load(models[0], device="cpu", threads=1)
    aids = Aids("urls", ("b.llt",), Path("terms.tsv"), "any-case", None, (Path("old.tsv"),))
    alone.reader = aids.given_to(alone.reader, alone.options)
    expected = [each.text for each in alone.translate(LINES)]
    assert expected[0].count("big dog") == 2 and "bellt" in expected[0] and "www.s2s.org" in expected[4]
    assert (expected[2], expected[5]) == ("hello there", "a cat")
    assert [text.strip() for text in translated(served, LINES)] == expected
    assert [translated(served, [line])[0].strip() for line in LINES] == expected  # whatever is with it
    [several] = asyncio.run(texts_of(served).translate(["Katze\nein Hund"], Wish(DE_EN, n_best=2)))
    assert len(several) == 2 and all(text.startswith("a cat\n") and "big dog" in text for text in several)
    page = "<p>der <b>Hund</b> bellt</p><p><i>Katze</i></p><p><b>die</b> Katze</p>"
    document = read_document("html", BytesIO(page.encode()), Languages(*DE_EN))
    [found] = translated(served, [page], form="html")
    assert found == translate_document(alone, document, alone.options).decode() and "<p><b>this</b> cat</p>" in found
    assert translated(served, ["<b>die</b> Katze"], form="xml") == ["<b>this</b> cat"]


def test_an_explanation_tells_what_is_translated(models: list[Path]):
    served = Models.load(models[:1], aids=ServedAids(glossaries=("terms.tsv",), memories=("old.tsv",)))
    parts = asyncio.run(texts_of(served).explain("Katze\nein Hund\nja", DE_EN, 4))
    assert [part["text"] for part in parts] == translated(served, ["ein Hund", "ja"])
    assert [bool(part["steps"]) for part in parts] == [False, True]


def test_of_several_models_each_has_its_own(models: list[Path], german: Translator, english: Translator):
    Path("en.tsv").write_text("dog\tHund\n")
    glossaries, memories = ("de-en=terms.tsv", "en-de=en.tsv"), ("de-en=old.tsv",)
    served = Models.load(models, aids=ServedAids(glossaries=glossaries, memories=memories))
    texts = texts_of(served)
    [[one], [two], [three]] = asyncio.run(texts.translate(["the dog", "Katze", "yes"], Wish(EN_DE)))
    assert "Hund" in one and [two, three] == [each.text for each in english.translate(["Katze", "yes"])]
    assert "big dog" in translated(served, ["der Hund"])[0]
    only = Models.load(models, aids=ServedAids(memories=memories))
    assert translated(only, ["der Hund", "Katze"]) == [german.translate(["der Hund"])[0].text, "a cat"]


@pytest.mark.parametrize(
    ("given", "where", "message"),
    [
        ({"glossaries": ("terms.tsv",)}, "--glossary terms.tsv", "its languages are needed: de-en= or en-de="),
        ({"memories": ("fr-en=old.tsv",)}, "--memory fr-en=old.tsv", "its languages are needed"),
        ({"glossaries": ("de-en=terms.tsv",) * 2}, "--glossary de-en=terms.tsv", "a second glossary from de to en"),
        ({"glossaries": ("de-en=terms.tsv",), "glossary_way": "inline"}, "--glossary-way", "trained with terms"),
    ],
)
def test_what_cannot_be_meant_is_refused(models: list[Path], given: dict[str, Any], where: str, message: str):
    with pytest.raises(UsageError, match=message) as error:
        Models.load(models, aids=ServedAids(**given))
    assert error.value.where == where


def test_faults_of_files_are_told_before_anything_is_served(models: list[Path]):
    for given, kind in (("fr-en=terms.tsv", UsageError), ("none.tsv", MachineError), ("bad=terms.tsv", DataError)):
        Path("bad=terms.tsv").write_text("no term\n")
        with pytest.raises(kind):
            Models.load(models[:1], aids=ServedAids(glossaries=(given,)))
    with pytest.raises(UsageError, match="a beam of 2 or more"):
        Models.load(models[:1], beam=1, aids=ServedAids(glossaries=("terms.tsv",)))


def test_protection_is_taken_from_those_models_that_protect(models: list[Path], monkeypatch: pytest.MonkeyPatch):
    found = Models.load(models, aids=ServedAids("urls")).translators
    monkeypatch.setattr(Translator, "load", lambda path, **_: found[models.index(path)])
    found[1].reader = replace(found[1].reader, finder=None)
    assert [each.reader.finder for each in Models.load(models, aids=ServedAids("none")).translators] == [None, None]


def test_a_server_by_its_options(models: list[Path]):
    here = Path().absolute()
    options = ("--glossary", f"de-en={here}/terms.tsv", "--memory", f"de-en={here}/old.tsv", "--protect", "urls")
    with Server(*options, models=models) as server:
        texts = ["Katze", "der Hund auf www.s2s.org"]
        found = server.ask("/translate", {"q": texts, "source": "de", "target": "en"}).body["translatedText"]
        assert found[0] == "a cat" and "big dog" in found[1] and "www.s2s.org" in found[1]
        asked = {"text": texts, "source_lang": "DE", "target_lang": "EN-US"}
        assert [each["text"] for each in server.ask("/v2/translate", asked).body["translations"]] == found

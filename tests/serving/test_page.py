"""The page in a browser: `make test-browser`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser
from serving_process import PAIR, Server

from s2s_cli import Translator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs chromium and chromium-driver"
    ),
]
TEXT = "guten Tag. ja"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Browser:
    browser.open(f"{server.address}/")
    browser.until(lambda: browser.run("return document.querySelectorAll('#target option').length"))
    return browser


def translated(page: Browser, text: str) -> str:
    """Type a text, and wait for its translation with all that is shown of it."""
    page.type("#text", text)
    page.until(
        lambda: page.run("return !document.querySelector('#result.old') && !document.querySelector('#inside[hidden]')")
    )
    page.until(lambda: page.run("return document.querySelectorAll('#result .word').length"))
    return page.text("#result")


def test_it_translates_while_one_types(page: Browser, german: Translator):
    assert translated(page, TEXT) == german.translate([TEXT])[0].text
    assert page.run("return document.querySelectorAll('#alternatives li').length") > 0
    page.click("#clear")
    page.until(lambda: page.text("#result") == "")
    assert page.complaints() == []


def test_only_the_last_of_what_was_typed_is_shown(page: Browser, server: Server, german: Translator):
    for part in ("gu", "ten", " Tag"):
        page.type("#text", part)
    expected = german.translate(["guten Tag"])[0].text
    page.until(lambda: page.text("#result") == expected)


def test_a_translation_stays_where_its_explanation_is_refused(
    browser: Browser, models: list[Path], german: Translator, tmp_path: Path
):
    keys = tmp_path / "keys"
    keys.write_text("once 1\n")
    with Server("--api-keys", keys, models=models) as server:
        browser.open(f"{server.address}/")
        browser.until(lambda: browser.run("return document.querySelectorAll('#target option').length"))
        fill = "const [id, value, name] = arguments, field = document.getElementById(id); field.value = value;"
        for field in (("key", "once", "change"), ("text", "guten Tag", "input")):
            browser.run(f"{fill} field.dispatchEvent(new Event(name));", *field)
        browser.until(lambda: "Slowdown" in browser.text("#status"))
        assert browser.text("#result") == german.translate(["guten Tag"])[0].text
        assert all("429" in complaint for complaint in browser.complaints())


def test_words_are_linked_by_pointer_and_keys(page: Browser, german: Translator):
    translated(page, TEXT)
    page.point_at("#result .word")
    page.until(lambda: page.run("return document.querySelectorAll('#behind mark').length"))
    marked = page.text("#behind mark")
    assert marked in TEXT and page.text("#behind") == TEXT
    page.run("document.querySelector('#result').focus()")
    page.run("document.querySelector('#result').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'}))")
    assert "from" in page.text("#status") and page.run("return document.querySelectorAll('#result mark').length") == 1


def test_attention_and_search_are_shown(page: Browser, german: Translator):
    translated(page, "guten Tag")
    found = german.translate(["guten Tag"])[0]
    cells = page.run("return [...document.querySelectorAll('.heat tbody tr')].map((row) => row.cells.length)")
    assert cells == [len(found.source_tokens) + 2] * len(found.tokens)
    steps = int(page.run("return document.querySelector('#step').max"))
    assert steps >= len(found.tokens)
    boxes = [page.run("return document.querySelectorAll('#tree rect').length")]
    for _ in range(steps - 1):
        page.click("#forth")
        boxes.append(page.run("return document.querySelectorAll('#tree rect').length"))
    assert boxes == sorted(set(boxes))
    best = page.run("return [...document.querySelectorAll('#tree .best text')].map((node) => node.textContent)")
    assert len(best) == len(found.tokens) + found.finished or not found.finished
    assert page.text("#step-text").startswith(f"Step {steps} of {steps}")
    fates = page.run("return [...document.querySelectorAll('#choices td:last-child')].map((cell) => cell.textContent)")
    assert set(fates) <= {"kept", "dropped", "finished"} and len(fates) > 2


@pytest.mark.parametrize("source", ["de", "auto"])
def test_swapping_translates_back(page: Browser, english: Translator, source: str):
    choice = "const field = document.querySelector('#source'); field.value = arguments[0];"
    page.run(f"{choice} field.dispatchEvent(new Event('change'))", source)
    first = translated(page, "guten Tag")
    page.click("#swap")
    page.until(lambda: page.run("return document.querySelector('#source').value") == "en")
    expected = english.translate([first])[0].text
    page.until(lambda: page.text("#result") == expected)


def test_a_language_with_a_region_is_named(browser: Browser, tools: Any, tmp_path: Path):
    model = tools.export(tmp_path / "model", ("de", "pt_BR"), PAIR, packed=True)
    with Server(models=[model]) as server:
        browser.open(f"{server.address}/")
        browser.until(lambda: browser.run("return document.getElementById('target').value") == "pt_BR")
        assert browser.text("#target") == "Brazilian Portuguese"
        translated(browser, "ja")


def test_markup_in_a_text_is_text(page: Browser):
    page.type("#text", "<img src=x onerror=document.title=1>")
    page.until(lambda: page.run("return !document.querySelector('#result.old')"))
    page.until(lambda: page.run("return !document.querySelector('#inside').hidden"))
    assert page.run("return document.title").startswith("Translate")
    assert page.run("return document.querySelectorAll('main img').length") == 0


def test_everything_has_a_name_and_small_screens_need_no_scrolling(server: Server, tmp_path: Path):
    with Browser(390, 844, dark=True) as small:
        small.open(f"{server.address}/")
        small.until(lambda: small.run("return document.querySelectorAll('#target option').length"))
        translated(small, TEXT)
        assert small.run("return document.documentElement.scrollWidth <= window.innerWidth")
        nameless = """return [...document.querySelectorAll('button, input, select, textarea')]
            .filter((field) => !(field.ariaLabel || field.textContent.trim() || field.labels?.length))
            .map((field) => field.id)"""
        assert small.run(nameless) == []
        assert small.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
        (tmp_path / "small.png").write_bytes(small.picture())


def test_the_description_of_the_api_is_readable(browser: Browser, server: Server):
    browser.open(f"{server.address}/docs")
    browser.until(lambda: browser.run("return document.querySelectorAll('h2').length"))
    assert "/v2/translate" in browser.text("#paths") and browser.complaints() == []

"""Worker processes of a translator: the same translations, and none lost when a worker dies."""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from copy_model import copy_translator

from s2s_cli.inference.memory import Lookup, TranslationMemory
from s2s_cli.inference.output import OutputOptions
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translation import LinesLost
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions

GREEDY = SearchOptions(beam=1)


def two_workers(translator: Translator) -> Translator:
    return Translator(translator.model, translator.tokenizers, batch_tokens=16, workers=2)


def test_translations_do_not_depend_on_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s_cli.inference.translator.LEAST_SHARE", 16)
    lines = ["abc", "", "a", "bb " * 7, "ab"] * 20
    alone = [translation.text for translation in copy_translator().translate(lines, GREEDY)]
    with two_workers(copy_translator()) as translator:
        assert [translation.text for translation in translator.translate(lines, GREEDY)] == alone
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()


def test_closing_waits_for_the_call_of_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s_cli.inference.translator.LEAST_SHARE", 16)
    lines = ["abc", "bb " * 7] * 200
    with two_workers(copy_translator()) as translator, ThreadPoolExecutor() as threads:
        asked = threads.submit(translator.translate, lines, GREEDY)
        while not multiprocessing.active_children():
            time.sleep(0.001)
        translator.close()
        assert not multiprocessing.active_children()
        alone = copy_translator().translate(lines, GREEDY)
        assert [each.text for each in asked.result()] == [each.text for each in alone]


@pytest.mark.parametrize("memory", [None, Lookup(TranslationMemory([("q", "x")]))], ids=["plain", "memory"])
def test_a_child_has_its_own_turn_and_its_own_workers(memory, monkeypatch: pytest.MonkeyPatch, tools) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("s2s_cli.inference.translator.LEAST_SHARE", 16)
    lines, is_turn, ends = ["abc", "bb " * 7] * 10, threading.Event(), threading.Event()
    expected = [each.text for each in copy_translator().translate(lines, GREEDY)]

    def in_child() -> str:
        signal.alarm(20)
        with translator:
            assert [each.text for each in translator.translate(lines, GREEDY)] == expected
        return "translated"

    def take_turn() -> None:
        with translator._turn:
            is_turn.set()
            ends.wait()

    with two_workers(copy_translator()) as translator, ThreadPoolExecutor() as threads:
        translator.reader = replace(translator.reader, memory=memory)
        translator.translate(lines, GREEDY)
        threads.submit(take_turn)
        is_turn.wait()
        found = tools.in_child(in_child)
        ends.set()
        assert found == (0, "translated")
        assert [each.text for each in translator.translate(lines, GREEDY)] == expected


def test_lines_that_no_worker_survives_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("s2s_cli.inference.translator.LEAST_SHARE", 16)
    translator = two_workers(copy_translator())
    start, victim = translator.model.start, len("deadly") + 1

    def deadly(source_BS, source_lengths_B):  # type: ignore[no-untyped-def]
        if victim in source_lengths_B.tolist():
            os._exit(1)
        return start(source_BS, source_lengths_B)

    monkeypatch.setattr(translator.model, "start", deadly)
    source = io.BytesIO(b"a\n" * 300 + b"deadly\n" + b"bcd\n" * 50)
    sink = io.BytesIO()
    with pytest.raises(LinesLost) as caught:
        translate_stream(translator, source, sink, GREEDY, OutputOptions())
    assert re.search(r"lines .*\b301\b", str(caught.value))
    assert sink.getvalue() == b"A\n" * 256
    assert "worker process ended unexpectedly; its lines are translated again" in capsys.readouterr().err
    assert not multiprocessing.active_children()

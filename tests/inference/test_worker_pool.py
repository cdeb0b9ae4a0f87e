"""Worker processes of a translator: the same translations, and none lost when a worker dies."""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from copy_model import copy_translator

from s2s_cli.errors import DataError
from s2s_cli.inference.output import OutputOptions
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translator import Translator
from s2s_cli.inference.workers import JobLost, LinesLost, WorkerPool
from s2s_cli.search.options import SearchOptions

GREEDY = SearchOptions(beam=1)


def pool(work: Callable[[int], int], size: int = 3) -> WorkerPool[int, int]:
    return WorkerPool(lambda: work, size)


def test_every_job_is_done_once_and_by_several_processes() -> None:
    workers = WorkerPool(lambda: lambda number: (number * number, os.getpid()), 3)
    for _ in range(2):  # the same processes, again
        results = dict(workers.map(range(50)))
        assert {index: square for index, (square, _) in results.items()} == {n: n * n for n in range(50)}
        assert len({process for _, process in results.values()}) == 3
    workers.close()
    assert not multiprocessing.active_children()


def test_a_job_whose_worker_dies_is_done_by_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def work(number: int) -> int:
        mark = tmp_path / "died"
        if number == 5 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    workers = pool(work)
    assert sorted(workers.map(range(20))) == [(n, n) for n in range(20)]
    assert "worker process ended unexpectedly" in capsys.readouterr().err
    workers.close()


def test_a_job_that_no_worker_survives_is_named() -> None:
    def work(number: int) -> int:
        if number == 5:
            os._exit(1)
        return number

    with pytest.raises(JobLost) as caught:
        list(pool(work).map(range(20)))
    assert caught.value.index == 5
    assert not multiprocessing.active_children()


def test_an_error_of_the_work_arrives_and_leaves_nothing_behind() -> None:
    def work(number: int) -> int:
        raise DataError("thirteen", where="here")

    with pytest.raises(DataError, match="thirteen"):
        list(pool(work).map(range(4)))
    assert not multiprocessing.active_children()


def test_whoever_stops_early_gets_fresh_results_afterwards() -> None:
    workers = pool(lambda number: number)
    results = workers.map(range(100))
    next(results)
    results.close()
    assert sorted(workers.map(range(200, 204))) == [(0, 200), (1, 201), (2, 202), (3, 203)]
    workers.close()


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


def test_lines_that_no_worker_survives_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert not multiprocessing.active_children()

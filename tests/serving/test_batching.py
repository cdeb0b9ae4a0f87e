"""Whatever waits is a batch, and no request is lost with a worker."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from s2s_cli.serving.batching import Batcher, Full, PartLost
from s2s_cli.serving.queue import Sized


class Watcher:
    def __init__(self) -> None:
        self.batches: list[int] = []
        self.deaths = 0

    def batch(self, parts: int, tokens: int) -> None:
        self.batches.append(parts)

    def lost(self) -> None:
        self.deaths += 1


def make_work() -> Callable[[Any], list[str]]:
    """Capitals; `die` ends the worker, `fail` raises, and `wait:FILE` waits until there is this file."""

    def work(job: Any) -> list[str]:
        answers = []
        for text in job[1] if job else []:
            if text == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if text == "fail":
                raise ValueError("this fails")
            if text.startswith("wait:"):
                with open(text[5:]):  # a FIFO: until somebody opens its other end
                    pass
            answers.append(text.upper())
        return answers

    return work


def make_no_work() -> Callable[[Any], list[str]]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def with_batcher(
    scenario: Callable[[Batcher, Watcher], Awaitable[None]],
    *,
    workers: int = 1,
    waiting: int = 100,
    make_work: Callable[[], Callable[[Any], list[str]]] = make_work,
) -> None:
    watcher = Watcher()
    batcher: Batcher[str, str] = Batcher(
        make_work, workers=workers, budget=64, most_parts=lambda kind: 10, most_waiting=waiting, watcher=watcher
    )
    batcher.start()

    async def run() -> None:
        batcher.attach()
        async with asyncio.timeout(60):
            await scenario(batcher, watcher)

    try:
        asyncio.run(run())
    finally:
        batcher.close()


def ask(batcher: Batcher, *texts: str, kind: str = "x") -> asyncio.Future[list[str]]:
    return asyncio.ensure_future(batcher.answers(kind, [Sized(text, 4) for text in texts]))


@pytest.fixture
def fifo(tmp_path) -> str:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


def test_what_waits_while_the_worker_works_is_the_next_batch(fifo: str):
    async def scenario(batcher: Batcher, watcher: Watcher) -> None:
        first = ask(batcher, f"wait:{fifo}")
        while not watcher.batches:
            await asyncio.sleep(0)
        others = [ask(batcher, f"a{number}", f"b{number}") for number in range(5)]
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: os.close(os.open(fifo, os.O_WRONLY)))
        assert await first == [f"WAIT:{fifo}".upper()]
        assert await asyncio.gather(*others) == [[f"A{number}", f"B{number}"] for number in range(5)]
        assert watcher.batches == [1, 10]

    with_batcher(scenario)


def test_a_part_at_which_workers_die_takes_no_other_one_with_it():
    async def scenario(batcher: Batcher, watcher: Watcher) -> None:
        bad, *good = [ask(batcher, "die", "never"), *(ask(batcher, f"a{number}") for number in range(6))]
        assert await asyncio.gather(*good) == [[f"A{number}"] for number in range(6)]
        with pytest.raises(PartLost):
            await bad
        assert watcher.deaths == 3
        assert await ask(batcher, "then") == ["THEN"]
        assert batcher.queue.parts == 0

    with_batcher(scenario)


def test_a_fault_ends_the_request_that_made_it():
    async def scenario(batcher: Batcher, watcher: Watcher) -> None:
        bad, good = ask(batcher, "fail"), ask(batcher, "a")
        assert await good == ["A"]
        with pytest.raises(ValueError, match="this fails"):
            await bad

    with_batcher(scenario)


def test_a_worker_that_is_killed_loses_nothing():
    async def scenario(batcher: Batcher, watcher: Watcher) -> None:
        asked = [ask(batcher, *(f"t{request}-{part}" for part in range(7))) for request in range(40)]
        for _ in range(3):
            await asyncio.sleep(0.01)
            while not (ready := [each for each in batcher._workers if batcher._busy.get(each) != []]):
                await asyncio.sleep(0.001)
            os.kill(ready[0].process.pid, signal.SIGKILL)
        assert await asyncio.gather(*asked) == [[f"T{r}-{p}" for p in range(7)] for r in range(40)]

    with_batcher(scenario, workers=2, waiting=1000)


def test_workers_that_die_before_they_are_ready_are_not_forked_without_end(monkeypatch: pytest.MonkeyPatch):
    async def scenario(batcher: Batcher, watcher: Watcher) -> None:
        monkeypatch.setattr("s2s_cli.serving.batching.RESTART_DELAY", 3600.0)
        while not watcher.deaths:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert watcher.deaths == 1 and batcher.alive == 0

    with_batcher(scenario, make_work=make_no_work)


def test_who_comes_when_too_much_waits_is_told_when_to_come_again(fifo: str):
    async def scenario(batcher: Batcher, watcher: Watcher) -> None:
        first = ask(batcher, f"wait:{fifo}")
        while not watcher.batches:
            await asyncio.sleep(0)
        second = ask(batcher, *"abcdefgh")  # more than may wait, but nothing else does
        await asyncio.sleep(0)
        with pytest.raises(Full) as full:
            await ask(batcher, "i")
        assert 1 <= full.value.seconds <= 60
        second.cancel()
        await asyncio.sleep(0)
        third = ask(batcher, "j")
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: os.close(os.open(fifo, os.O_WRONLY)))
        await first
        assert await third == ["J"]
        assert watcher.batches == [1, 1]  # what was given up was never handed out

    with_batcher(scenario, waiting=5)


def test_kinds_do_not_mix():
    async def scenario(batcher: Batcher, watcher: Watcher) -> None:
        asked = [ask(batcher, "a", kind="x"), ask(batcher, "b", kind="y"), ask(batcher, "c", kind="x")]
        assert await asyncio.gather(*asked) == [["A"], ["B"], ["C"]]
        assert sorted(watcher.batches) == [1, 2]

    with_batcher(scenario)


def test_nothing_to_translate_is_answered_at_once():
    async def scenario(batcher: Batcher, watcher: Watcher) -> None:
        assert await ask(batcher) == [] and watcher.batches == []

    with_batcher(scenario)

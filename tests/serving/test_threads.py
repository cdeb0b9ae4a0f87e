"""Threads beside the event loop: what they return, and what becomes of work that nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from s2s_cli.serving.threads import Threads


def failing() -> None:
    raise KeyError("no such thing")


def test_work_is_done_by_another_thread_and_its_error_is_raised_here():
    threads = Threads(1)
    assert asyncio.run(threads.result(threading.get_ident)) != threading.get_ident()
    with pytest.raises(KeyError, match="no such thing"):
        asyncio.run(threads.result(failing))
    assert asyncio.run(threads.result(lambda: 7)) == 7


async def given_up(task: asyncio.Task[object]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_work_that_nobody_waits_for_keeps_its_thread_until_it_is_done():
    begun, ended = threading.Event(), threading.Event()

    def slow() -> bool:
        begun.set()
        return ended.wait(60)

    async def ask() -> list[str]:
        threads, done = Threads(1), list[str]()
        first = asyncio.create_task(threads.result(slow))
        await asyncio.to_thread(begun.wait, 60)
        await given_up(first)
        second = asyncio.create_task(threads.result(lambda: done.append("second")))
        third = asyncio.create_task(threads.result(lambda: done.append("third")))
        await asyncio.sleep(0.01)
        assert not done
        await given_up(second)
        ended.set()
        await third
        return done

    assert asyncio.run(ask()) == ["third"]


def test_where_no_thread_can_be_started_the_next_one_still_can(monkeypatch: pytest.MonkeyPatch):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads = Threads(1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            asyncio.run(threads.result(lambda: 7))
    assert asyncio.run(threads.result(lambda: 7)) == 7

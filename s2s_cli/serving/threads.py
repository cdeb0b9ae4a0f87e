"""Threads for work that would keep the event loop from other requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")

MOST_AT_ONCE = 8
"""By default; each may keep Python from the event loop for 5 ms."""


class Threads:
    """Threads for which the process does not wait when it ends, as it does for those of `asyncio.to_thread`: nothing
    can end the work of a thread, however long it takes.

    The process must end by `os._exit`, as `s2s` does (its threads are daemons): Python ends such a thread inside C++ by
    an abort.
    """

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._free = asyncio.Semaphore(most)

    async def result(self, work: Callable[[], Result]) -> Result:
        """What the work returns, or raises. Work that has begun keeps its thread up to its end, even if the caller is
        cancelled; what waits for a thread is then forgotten."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def run() -> None:
            outcome = _outcome(work)
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._end, future, *outcome)

        try:
            threading.Thread(target=run, daemon=True).start()
        except RuntimeError:  # there are too many in this process, or on this machine
            self._free.release()
            raise
        return await future

    def _end(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._free.release()
        if future.done():  # cancelled
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _outcome(work: Callable[[], Result]) -> tuple[Result | None, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:
        return None, error

"""Dynamic batching: whatever waits when a worker is free is its next batch, and nothing waits for company.

The workers are processes that were forked with the models in memory. One event loop hands batches out and takes answers
in. A worker that dies is replaced, and what it had is given to another one, part by part, so that a part at which
workers die takes no other one with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from s2s_cli import console
from s2s_cli.errors import MachineError
from s2s_cli.processes import Worker, WorkerLost, stop
from s2s_cli.serving.queue import FairQueue, Request, Sized, Waiting

Kind = TypeVar("Kind", bound=Hashable)
Answer = TypeVar("Answer")

LEAST_SHARE = 200  # tokens: below it, a batch is not divided among idle workers
MOST_DEATHS = 3
"""Workers that may die at the same part before it is given up."""
RESTART_DELAY = 1.0
"""Seconds until the next try after a worker could not be started, or died before it was ready."""

Job = tuple[Kind, list[Any]] | None
"""A kind and the contents of the parts of a batch; None: be ready."""


class Full(Exception):
    """Too much waits already. seconds: until it is worth while to ask again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class PartLost(MachineError):
    """All workers that tried to translate a part of a request have died."""

    def __init__(self) -> None:
        super().__init__("worker processes ended unexpectedly at this text", hint="is there enough memory?")


class Watcher(Protocol):
    """Is told what happens, for metrics."""

    def batch(self, parts: int, tokens: int) -> None: ...
    def lost(self) -> None: ...


class Batcher(Generic[Kind, Answer]):
    """Answers requests by batches on worker processes. All its methods are called by one event loop."""

    def __init__(
        self,
        make_work: Callable[[], Callable[[Job], list[Answer]]],
        *,
        workers: int,
        budget: int,
        most_parts: Callable[[Kind], int],
        most_waiting: int,
        watcher: Watcher,
    ) -> None:
        """make_work: called once in each worker; what it returns answers each part of a job, or raises for all of it.

        budget: most tokens of a batch. most_parts: of a batch, by kind. most_waiting: parts that may wait when a
        request comes; one that comes while nothing waits is taken, however long it is.
        """
        self.queue: FairQueue[Kind] = FairQueue()
        self._make_work, self._size = make_work, workers
        self._budget, self._most_parts, self._most_waiting = budget, most_parts, most_waiting
        self._watcher = watcher
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        self._busy: dict[Worker, list[Waiting[Kind]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._speed = 1000.0  # tokens per second of all workers, by what was seen of late
        self._begun: dict[Worker, float] = {}
        self._is_due = False

    # ------------------------------------------------------------------------------------------------------ requests

    async def answers(self, kind: Kind, parts: Sequence[Sized]) -> list[Answer]:
        """The answer for each part. Raises Full, PartLost and what the work raises.

        If the caller is cancelled, what waits of it is never translated.
        """
        if not parts:
            return []
        self.admit(len(parts))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        request: Request[Answer] = Request(len(parts), lambda fault: _settle(future, fault))
        self.queue.add(kind, parts, request)
        self._soon()
        try:
            await future
        finally:
            self.queue.forget(request)
            request.is_over = True
        return request.found  # type: ignore[return-value]  # all parts are done

    def admit(self, parts: int = 1) -> None:
        """Raise Full if so many parts could not wait now."""
        if self.queue.parts and self.queue.parts + parts > self._most_waiting:
            raise Full(self.patience)

    @property
    def patience(self) -> int:
        """Seconds until all that waits now is done, from 1 to 60."""
        return round(min(60.0, max(1.0, self.queue.tokens / self._speed)))

    @property
    def alive(self) -> int:
        """Workers that are there."""
        return len(self._workers)

    # ------------------------------------------------------------------------------------------------------- workers

    def start(self) -> None:
        """Fork the workers. What this process has opened until now, they have too."""
        while len(self._workers) < self._size:
            self._add()

    def attach(self) -> None:
        """Take answers in, by the running event loop."""
        self._loop = asyncio.get_running_loop()
        for worker in self._workers:
            self._watch(worker)
        self._soon()

    def close(self) -> None:
        """End the workers. Requests that are not answered are left so."""
        for worker in self._workers:
            if self._loop is not None:
                self._loop.remove_reader(worker.connection.fileno())
        stop(self._workers)
        self._workers, self._idle, self._busy, self._loop = [], [], {}, None

    def _add(self) -> None:
        worker = Worker.start(self._make_work, self._workers)
        self._workers.append(worker)
        self._busy[worker] = []
        worker.send(None)  # so that it gets ready before there is work

    def _watch(self, worker: Worker) -> None:
        assert self._loop is not None
        self._loop.add_reader(worker.connection.fileno(), self._receive, worker)

    def _soon(self) -> None:
        """Hand out at the end of this round of the loop, so that requests that came together share a batch."""
        if self._loop is not None and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._hand_out)

    def _hand_out(self) -> None:
        self._is_due = False
        while self._idle and self.queue.parts:
            share = max(LEAST_SHARE, -(-self.queue.tokens // len(self._idle)))
            batch = self.queue.take(min(self._budget, share), self._most_parts)
            if not batch:
                return
            worker = self._idle.pop()
            self._busy[worker] = batch
            self._begun[worker] = asyncio.get_running_loop().time()
            self._watcher.batch(len(batch), sum(waiting.part.tokens for waiting in batch))
            worker.send((batch[0].kind, [waiting.part.content for waiting in batch]))

    def _receive(self, worker: Worker) -> None:
        """An answer is there, or the worker is dead."""
        batch = self._busy.get(worker, [])
        try:
            answers = worker.take()
        except WorkerLost:
            self._replace(worker, batch)
            return
        except Exception as fault:
            self._try_again(batch, fault, len(batch) == 1)
        else:
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.request.put(waiting.index, answer)
            self._measure(worker, batch)
        self._busy.pop(worker, None)
        self._idle.append(worker)
        self._hand_out()

    def _measure(self, worker: Worker, batch: Sequence[Waiting[Kind]]) -> None:
        if batch:
            seconds = asyncio.get_running_loop().time() - self._begun[worker]
            speed = self._size * sum(waiting.part.tokens for waiting in batch) / max(seconds, 1e-3)
            self._speed += 0.1 * (speed - self._speed)

    def _replace(self, worker: Worker, batch: Sequence[Waiting[Kind]]) -> None:
        """A worker has died: what it had waits again, and another one takes its place."""
        assert self._loop is not None
        self._loop.remove_reader(worker.connection.fileno())
        self._workers.remove(worker)
        was_ready = self._busy.pop(worker, None) != []
        self._begun.pop(worker, None)
        if worker in self._idle:
            self._idle.remove(worker)
        stop([worker])
        self._watcher.lost()
        console.warn("a worker process ended unexpectedly; what it had is translated again")
        self._try_again(batch, PartLost(), any(waiting.deaths + 1 >= MOST_DEATHS for waiting in batch))
        if was_ready:
            self._restart()
        else:  # the next one might do the same at once, and so on without end
            self._loop.call_later(RESTART_DELAY, self._restart)
        self._hand_out()

    def _try_again(self, batch: Sequence[Waiting[Kind]], fault: Exception, is_last: bool) -> None:
        """Let the parts of a batch that failed wait again, each alone; or give up what failed alone."""
        for waiting in batch:
            waiting.deaths += 1
            if is_last:
                self.queue.forget(waiting.request)
                waiting.request.end(fault)
            else:
                self.queue.put_back(waiting)

    def _restart(self) -> None:
        if self._loop is None:
            return
        try:
            while len(self._workers) < self._size:
                self._add()
                self._watch(self._workers[-1])
        except MachineError as fault:
            console.warn(str(fault))
            self._loop.call_later(RESTART_DELAY, self._restart)


def _settle(future: asyncio.Future[None], fault: Exception | None) -> None:
    if not future.done():
        if fault is None:
            future.set_result(None)
        else:
            future.set_exception(fault)

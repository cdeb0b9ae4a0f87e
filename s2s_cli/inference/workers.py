"""Several processes that share out one list of jobs, and outlive the death of one of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Generic, TypeVar, cast

from s2s_cli import console
from s2s_cli.data.workers import Worker, stop
from s2s_cli.errors import MachineError

Job = TypeVar("Job")
Result = TypeVar("Result")

MOST_ATTEMPTS = 2
"""Workers that may die of the same job."""


class JobLost(Exception):
    """A job that no worker survives. index: which one."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class LinesLost(MachineError):
    """Lines, counted from 1, that no worker process survives."""

    def __init__(self, numbers: Sequence[int], where: str | None = None) -> None:
        listed = ", ".join(map(str, sorted(numbers)))
        super().__init__(
            f"two worker processes ended unexpectedly while they translated the lines {listed}",
            where=where,
            hint="is there enough memory? --workers 1 needs less",
        )
        self.numbers = numbers


class WorkerPool(Generic[Job, Result]):
    """Workers that are started when there is work, and kept for more.

    make_work: called once in each process; it makes what does the work.
    """

    def __init__(self, make_work: Callable[[], Callable[[Job], Result]], size: int) -> None:
        self.size = size
        self._make_work = make_work
        self._workers: dict[Connection, Worker] = {}

    def map(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Result]]:
        """The result of each job with its index, as they come in.

        A job whose worker dies is given to another one; raises JobLost if that dies too. What the work raises is raised
        here. Whoever stops before the end loses the workers, so that no stale result is left in a pipe.
        """
        waiting, deaths = deque(range(len(jobs))), Counter[int]()
        busy: dict[Connection, int] = {}
        while len(self._workers) < min(self.size, len(jobs)):
            self._hire()
        try:
            while waiting or busy:
                for connection in self._workers.keys() - busy.keys():
                    if waiting:
                        busy[connection] = waiting.popleft()
                        self._send(connection, jobs[busy[connection]])
                for connection in cast(list[Connection], wait(list(busy))):
                    index = busy.pop(connection)
                    try:
                        result, error = connection.recv()
                    except (EOFError, ConnectionError):
                        self._replace(connection)
                        deaths[index] += 1
                        if deaths[index] == MOST_ATTEMPTS:
                            raise JobLost(index) from None
                        console.warn("a worker process ended unexpectedly; its lines are translated again")
                        waiting.appendleft(index)
                        continue
                    if error is not None:
                        raise error
                    yield index, result
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers; the pool starts new ones when it is used again."""
        stop(list(self._workers.values()))
        self._workers.clear()

    def _hire(self) -> None:
        worker = Worker.start(self._make_work, list(self._workers.values()))
        self._workers[worker.connection] = worker

    def _replace(self, connection: Connection) -> None:
        stop([self._workers.pop(connection)])
        self._hire()

    @staticmethod
    def _send(connection: Connection, job: Job) -> None:
        """Send a job; if nobody is there to take it, the end of the pipe will tell."""
        with suppress(ConnectionError):
            connection.send(job)

"""Work done by other processes: on chunks, with the results in the order of the chunks, or a single piece of work.

Each worker is a process with one pipe. A worker whose parent dies, in whatever way, ends at once, whatever it is doing,
so nothing is left behind.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, TypeVar

from s2s_cli.errors import MachineError

Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


def map_in_order(
    make_work: Callable[[], Callable[[Chunk], Result]], chunks: Iterable[Chunk], *, processes: int | None = None
) -> Generator[Result]:
    """The result of the work on each chunk, in order; at most two chunks for each process are in memory.

    make_work: called once in each process; it makes what does the work. What few chunks there are is done here,
    without any process. processes: one for each core by default.
    """
    chunks = iter(chunks)
    processes = processes or usable_cores()
    first = list(islice(chunks, 2))
    if processes == 1 or len(first) < 2:
        work = make_work()
        yield from (work(chunk) for chunk in chain(first, chunks))
        return
    with _workers(make_work, processes) as connections:
        yield from _exchange(connections, chain(first, chunks))


def apart(work: Callable[[], Result]) -> Result:
    """The result of the work, done by a process of its own.

    So a signal to this process takes effect at once, even if the work is deep in a library that looks for none.
    """

    def make_work() -> Callable[[None], Result]:
        return lambda _: work()

    with _workers(make_work, 1) as connections:
        return next(_exchange(connections, iter([None])))


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _exchange(connections: list[Connection], chunks: Iterator[Chunk]) -> Iterator[Result]:
    """Deal chunks out in turn and collect the results in the same turn."""
    busy = []
    for connection, chunk in zip(connections, chunks, strict=False):  # the connections end before a chunk is taken
        connection.send(chunk)
        busy.append(connection)
    while busy:
        connection = busy.pop(0)
        try:
            result, error = connection.recv()
        except (EOFError, ConnectionError) as lost:
            raise MachineError("a worker process ended unexpectedly", hint="is there enough memory?") from lost
        if error is not None:
            raise error
        for chunk in islice(chunks, 1):
            connection.send(chunk)
            busy.append(connection)
        yield result


@contextmanager
def _workers(make_work: Callable[[], Callable[[Chunk], Result]], processes: int) -> Iterator[list[Connection]]:
    """Start the workers and end them."""
    workers: list[Worker] = []
    try:
        for _ in range(processes):
            workers.append(Worker.start(make_work, workers))
        yield [worker.connection for worker in workers]
    finally:
        stop(workers)


class Worker(NamedTuple):
    """A process, and the pipe by which it is sent chunks and answers each with (result, None) or (None, error)."""

    process: BaseProcess
    connection: Connection

    @staticmethod
    def start(make_work: Callable[[], Callable[[Chunk], Result]], others: Sequence[Worker]) -> Worker:
        """A new process, forked where the system can: it begins at once, and shares the memory that is there.

        others: all workers that this process has; their pipes must not stay open in the new one.
        """
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
        context: Any = multiprocessing.get_context(method)  # the stubs know only its subclasses
        ours, theirs = context.Pipe()
        connections = [ours, *(worker.connection for worker in others)]
        process = context.Process(target=_serve, args=(make_work, theirs, connections), daemon=True)
        # Of the threads of this process only the one that forks lives on in the new one. A thread that has done work
        # with OpenMP would wait there for its helpers, so take one that has not.
        forking = threading.Thread(target=process.start)
        forking.start()
        forking.join()
        theirs.close()
        return Worker(process, ours)


def stop(workers: Sequence[Worker]) -> None:
    """End these processes, whatever they are doing."""
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        worker.process.terminate()
        worker.process.join()


def _serve(make_work: Callable[[], Callable[[Chunk], Result]], pipe: Connection, others: list[Connection]) -> None:
    """A worker's life: answer each chunk with (result, None) or (None, error) until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for connection in others:
        connection.close()  # the parent's ends: held here, they would keep pipes open that the parent left
    work = make_work()
    while True:
        try:
            chunk = pipe.recv()
        except (EOFError, ConnectionError):
            return
        try:
            pipe.send((work(chunk), None))
        except Exception as error:
            pipe.send((None, error))


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)

"""Work done by other processes: on chunks, with results in their order; on a list of jobs; or a single piece of work.

Each worker is a process with one pipe. A worker ends at once when its parent dies, so no process is left behind.

A new process is forked: it starts at once, and shares the memory of its parent. Of the parent's threads it has only the
one that forked, and a lock that another thread held at that moment stays locked for ever. Python's own locks and the
allocator of the C library are prepared for that; open files and other libraries are not. So no work uses a file that a
thread of the parent may be writing to, and where a library runs threads (for the sockets of a training group), work is
done by `apart` with `fresh`.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from s2s_cli.cores import usable_cores
from s2s_cli.errors import MachineError

# `multiprocessing` is imported by the functions that need it: a short translation needs no process.
if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

Job = TypeVar("Job")
Result = TypeVar("Result")

MOST_ATTEMPTS = 2
"""Workers that may die at the same job before it is given up."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What a terminal or a service manager sends to a whole group of processes."""

POLL_INTERVAL = 0.5
"""Seconds between two checks whether a worker that sends nothing is alive."""


class WorkerLost(MachineError):
    """A worker has died without an answer."""

    def __init__(self) -> None:
        super().__init__("a worker process ended unexpectedly", hint="is there enough memory?")


class JobLost(Exception):
    """A job at which all workers that tried it died. index: its place in the list."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class Mapper(Protocol):
    """What `map_in_order` does, wherever it is done: with chunks, work and results that can be pickled."""

    def __call__(
        self, make_work: Callable[[], Callable[[Job], Result]], chunks: Iterable[Job], /
    ) -> Generator[Result]: ...


# ----------------------------------------------------------------------------------------------------------- the work


def map_in_order(
    make_work: Callable[[], Callable[[Job], Result]], chunks: Iterable[Job], *, processes: int | None = None
) -> Generator[Result]:
    """The result of the work on each chunk, in order; at most two chunks for each process are in memory.

    make_work: called once in each process, returns the work. A single chunk is processed here, without any process.
    processes: one for each core by default. Raises `MachineError` if no process can be started, or one of them dies.
    """
    chunks = iter(chunks)
    processes = processes or usable_cores()
    first = list(islice(chunks, 2))
    if processes == 1 or len(first) < 2:
        work = make_work()
        yield from (work(chunk) for chunk in chain(first, chunks))
        return
    with _workers(make_work, processes) as workers:
        yield from _exchange(workers, chain(first, chunks))


def in_chunks(items: Iterable[Job], size: int) -> Iterator[list[Job]]:
    """The items in lists of this size; the last one may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def apart(work: Callable[[], Result], *, fresh: bool = False) -> Result:
    """The result of the work, done by a separate process.

    So a signal to this process takes effect at once, even while a library works that checks for none. fresh: by a new
    Python instead of a fork; `work` must then be a function of a module, or a `partial` of one.
    """
    with _workers(partial(_without_chunk, work), 1, "spawn" if fresh else "fork") as workers:
        return next(_exchange(workers, iter([None])))


def _without_chunk(work: Callable[[], Result]) -> Callable[[None], Result]:
    return lambda _: work()


def _exchange(workers: list[Worker], chunks: Iterator[Job]) -> Iterator[Result]:
    """Send chunks to the workers in turn and collect the results in the same order."""
    busy = deque[Worker]()
    for worker, chunk in zip(workers, chunks, strict=False):  # `zip` finds no worker left before it takes a chunk
        worker.send(chunk)
        busy.append(worker)
    while busy:
        worker = busy.popleft()
        result = worker.receive()
        for chunk in islice(chunks, 1):
            worker.send(chunk)
            busy.append(worker)
        yield result


class WorkerPool(Generic[Job, Result]):
    """Workers that share a list of jobs and are kept for the next list; one that dies is replaced.

    make_work: called once in each process, returns the work. tell_loss: called when a worker died and its job is given
    to another one.
    """

    def __init__(
        self,
        make_work: Callable[[], Callable[[Job], Result]],
        size: int,
        tell_loss: Callable[[], object] = lambda: None,
    ) -> None:
        self.size = size
        self._make_work, self._tell_loss = make_work, tell_loss
        self._workers: list[Worker] = []

    def map(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Result]]:
        """The result of each job with its index, as it is done.

        Raises `JobLost` if the second worker of a job dies too, `MachineError` if no process can be started, and what
        the work raises. If the caller stops before the end, the workers are ended, so that no stale result is left in a
        pipe.
        """
        waiting, deaths = deque(range(len(jobs))), Counter[int]()
        busy: dict[Worker, int] = {}
        try:
            while waiting or busy:
                while len(self._workers) < min(self.size, len(jobs)):
                    self._workers.append(Worker.start(self._make_work, self._workers))
                for worker in self._workers:
                    if waiting and worker not in busy:
                        busy[worker] = waiting.popleft()
                        worker.send(jobs[busy[worker]])
                for worker in _ready(busy):
                    index = busy.pop(worker)
                    try:
                        yield index, worker.receive()
                    except WorkerLost:
                        self._workers.remove(worker)
                        stop([worker])
                        deaths[index] += 1
                        if deaths[index] == MOST_ATTEMPTS:
                            raise JobLost(index) from None
                        self._tell_loss()
                        waiting.appendleft(index)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers; the pool starts new ones when it is used again."""
        stop(self._workers)
        self._workers.clear()


# ---------------------------------------------------------------------------------------------------------- a worker


class Worker(NamedTuple):
    """A process, and the pipe by which it is sent chunks and answers each with (result, None) or (None, error)."""

    process: BaseProcess
    connection: Connection

    @staticmethod
    def start(
        make_work: Callable[[], Callable[[Job], Result]], others: Sequence[Worker] = (), method: str = "fork"
    ) -> Worker:
        """A new process. Raises `MachineError` if it cannot be started.

        others: all workers of the same owner; the new process closes its copies of their pipes.
        """
        outcome: list[Worker | BaseException] = []
        # A thread that has used OpenMP has helper threads, which the new process would lack and wait for. The forking
        # thread becomes the main thread of the new process, so it must be one that has not used OpenMP.
        forking = threading.Thread(target=_start, args=(make_work, others, method, outcome))
        _start_thread(forking)
        forking.join()
        [worker] = outcome
        if isinstance(worker, OSError):
            raise _refused(worker.strerror) from worker
        if isinstance(worker, BaseException):
            raise worker
        return worker

    def send(self, chunk: object) -> None:
        """Send a chunk; if the worker is dead, `receive` raises an error."""
        with suppress(ConnectionError):
            self.connection.send(chunk)

    def receive(self) -> Any:
        """The result of its chunk. Raises what the work raised, and `WorkerLost` if there is no answer."""
        if not self._has_answered():
            _ready([self])
            if not self._has_answered():  # dead, although another process holds its end of the pipe open
                raise WorkerLost
        return self.take()

    def take(self) -> Any:
        """As `receive`, where it is known that there is something to read, or that the pipe has ended."""
        try:
            result, error = self.connection.recv()
        except (EOFError, OSError) as lost:  # a plain OSError where it died in the middle of its answer
            raise WorkerLost from lost
        if error is not None:
            raise error
        return result

    def own_memory(self) -> int:
        """Bytes that no other process has in common with it, now; 0 where the system does not tell."""
        try:
            with open(f"/proc/{self.process.pid}/smaps_rollup", encoding="ascii") as sums:
                return sum(1024 * int(line.split()[1]) for line in sums if line.startswith("Private_Dirty:"))
        except OSError:
            return 0

    def _has_answered(self) -> bool:
        try:
            return self.connection.poll()
        except ConnectionError as lost:
            raise WorkerLost from lost


def _ready(workers: Iterable[Worker]) -> list[Worker]:
    """Wait for workers that have answered or died; an answer sent before a death can still be read.

    The end of a pipe reports a death at once. The exit code is checked too, since a child of the worker may keep the
    pipe open.
    """
    from multiprocessing.connection import wait

    owners = {worker.connection: worker for worker in workers}
    while True:
        answered = wait(list(owners), POLL_INTERVAL)
        ended = [connection for connection, worker in owners.items() if worker.process.exitcode is not None]
        if answered or ended:
            return [owners[connection] for connection in dict.fromkeys([*answered, *ended])]  # type: ignore[index]


def _start_thread(thread: threading.Thread) -> None:
    try:
        thread.start()
    except RuntimeError as error:  # Python's form of what is an OSError elsewhere
        raise _refused(error) from error


def _refused(reason: object) -> MachineError:
    hint = "end other programs, or raise the limits of memory and processes"
    return MachineError(f"no worker process can be started: {reason}", hint=hint)


def stop(workers: Sequence[Worker]) -> None:
    """Kill these processes."""
    for worker in workers:
        worker.process.kill()
        worker.connection.close()
    for worker in workers:
        worker.process.join()


@contextmanager
def _workers(
    make_work: Callable[[], Callable[[Job], Result]], processes: int, method: str = "fork"
) -> Iterator[list[Worker]]:
    """Start the workers and end them."""
    workers: list[Worker] = []
    try:
        for _ in range(processes):
            workers.append(Worker.start(make_work, workers, method))
        yield workers
    finally:
        stop(workers)


_ends: dict[int, Connection] = {}
"""The workers' ends of pipes that are open in this process, by the thread that starts the worker."""


def _close_ends_of_others() -> None:
    """After any fork, in the child: it holds no worker's end of a pipe but its own.

    Held open by others, it would outlive the worker. (A lock that forks wait for is no way to it: there are more of
    these, such as that of `concurrent.futures`, and two threads that fork would take them in different orders.)
    """
    _ends.pop(threading.get_ident(), None)
    for connection in _ends.values():
        connection.close()
    _ends.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_ends_of_others)


def _start(
    make_work: Callable[[], Callable[[Job], Result]],
    others: Sequence[Worker],
    method: str,
    outcome: list[Worker | BaseException],
) -> None:
    """Put the new worker, or the error that prevented it, into `outcome`."""
    import multiprocessing
    from multiprocessing import resource_tracker

    context: Any = multiprocessing.get_context(method)  # the stubs know only its subclasses
    try:
        ours, theirs = context.Pipe()
        _ends[threading.get_ident()] = theirs
        with theirs:
            inherited = [ours, *(worker.connection for worker in others)] if method == "fork" else []
            process = context.Process(target=_serve, args=(make_work, theirs, inherited), daemon=method == "fork")
            if method == "spawn":
                resource_tracker.ensure_running()  # now, for starting that unblocks the signals
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # of this thread, so that of the new process
            process.start()
        _kill_at_exit(os.getpid())
        outcome.append(Worker(process, ours))
    except BaseException as error:
        outcome.append(error)
    finally:
        _ends.pop(threading.get_ident(), None)


@cache
def _kill_at_exit(parent: int) -> None:
    """Once in a process, have its workers killed when it ends: `multiprocessing` would ask them to end by a signal that
    they leave to their parent, and wait. parent: the process, since one that was forked begins anew."""
    from multiprocessing import active_children, util

    def kill() -> None:
        for child in active_children():
            if child.daemon:
                child.kill()

    util.Finalize(None, kill, exitpriority=10)


def _serve(make_work: Callable[[], Callable[[Job], Result]], pipe: Connection, inherited: list[Connection]) -> None:
    """The loop of a worker: answer each chunk with (result, None) or (None, error) until the pipe ends."""
    for number in _SIGNALS:  # sent to the whole group, they reach the parent, too, which may need its workers for what
        signal.signal(number, signal.SIG_IGN)  # is left to do, and ends them
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for connection in inherited:
        connection.close()  # the parent's ends: held here, they would keep pipes open that the parent has closed
    work = None
    with suppress(EOFError, OSError):
        while True:
            chunk = pipe.recv()
            answer: tuple[Result | None, Exception | None]
            try:
                if work is None:
                    _start_thread(threading.Thread(target=_end_with_parent, daemon=True))
                    work = make_work()
                answer = work(chunk), None
            except Exception as error:
                answer = None, error
            pipe.send(answer)
            del chunk, answer  # an error holds all that the work had in memory


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)

"""Worker processes: order, errors, and nothing left behind."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.distributed as dist

from s2s_cli.errors import DataError, ExitCode, MachineError, RecipeError, Stopped, UsageError, UserError
from s2s_cli.processes import JobLost, Worker, WorkerLost, WorkerPool, apart, map_in_order, stop

PATIENCE = 120.0  # seconds, on a busy machine


def _squares() -> Callable[[int], tuple[int, int]]:
    def work(number: int) -> tuple[int, int]:
        if number == 13:
            raise DataError("thirteen", where="file:13")
        if number == 99:
            os._exit(1)
        time.sleep(0.002 * (number % 3))
        return number * number, os.getpid()

    return work


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 12])
def test_results_come_in_the_order_of_the_chunks(processes: int, count: int) -> None:
    results = list(map_in_order(_squares, range(count), processes=processes))
    assert [square for square, _ in results] == [number * number for number in range(count)]
    assert len({pid for _, pid in results}) == (min(processes, count) if count > 1 else min(count, 1))


def test_one_chunk_is_worked_on_in_this_process() -> None:
    assert list(map_in_order(_squares, [3], processes=4)) == [(9, os.getpid())]


def test_large_chunks_do_not_block() -> None:
    chunks = ["x" * 1_000_000] * 6
    assert list(map_in_order(lambda: lambda text: text, chunks, processes=2)) == chunks


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_the_work_arrives_as_it_is(processes: int) -> None:
    with pytest.raises(DataError, match="thirteen") as caught:
        list(map_in_order(_squares, range(10, 20), processes=processes))
    assert caught.value.where == "file:13"
    assert not multiprocessing.active_children()


def test_an_error_of_the_chunks_ends_the_workers() -> None:
    def chunks() -> Iterator[int]:
        yield from range(5)
        raise DataError("broken corpus")

    with pytest.raises(DataError, match="broken corpus"):
        list(map_in_order(_squares, chunks(), processes=2))
    assert not multiprocessing.active_children()


def test_a_killed_worker_is_an_error() -> None:
    with pytest.raises(MachineError, match="ended unexpectedly"):
        list(map_in_order(_squares, [1, 2, 99, 4], processes=2))


def test_what_ends_the_whole_group_is_left_to_the_parent() -> None:
    def work() -> Callable[[int], int]:
        return lambda number: [os.kill(os.getpid(), sent) for sent in (signal.SIGTERM, signal.SIGINT)] and number

    assert list(map_in_order(work, [1, 2, 3], processes=2)) == [1, 2, 3]


def test_a_program_that_does_not_stop_its_workers_ends() -> None:
    code = """
from s2s_cli.processes import WorkerPool
pool = WorkerPool(lambda: abs, 2, lambda *_: None)
print(sorted(result for _, result in pool.map([-1, 2, -3])))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 2, 3]\n", "")


def lost() -> None:
    apart(lambda: os.kill(os.getpid(), signal.SIGKILL))


def test_a_death_below_a_fresh_process_is_told_as_it_is() -> None:
    with pytest.raises(MachineError, match="ended unexpectedly"):
        apart(lost, fresh=True)


ERRORS = [
    WorkerLost(),
    Stopped("stopped", exit_code=ExitCode.TERMINATED, hint="again"),
    RecipeError([UsageError("a", where="b:1"), UsageError("c")]),
    DataError("d", where=Path("e"), hint="f"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_go_through_pipes(error: UserError) -> None:
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), found.exit_code) == (type(error), str(error), error.exit_code)
    assert found.args == error.args and vars(found).keys() == vars(error).keys()


def test_work_done_apart() -> None:
    assert apart(os.getpid) != os.getpid()
    with pytest.raises(DataError, match="thirteen"):
        apart(lambda: _squares()(13))
    with pytest.raises(MachineError, match="ended unexpectedly"):
        apart(lambda: _squares()(99))
    assert not multiprocessing.active_children()


def test_work_done_apart_by_threads_after_work_by_threads_here() -> None:
    before, elements = torch.get_num_threads(), torch.ones(1_000_000)
    torch.set_num_threads(4)
    try:
        elements.tanh()
        assert apart(lambda: elements.tanh().argmin().item()) == 0
    finally:
        torch.set_num_threads(before)


def _slow(directory: Path) -> Callable[[int], int]:
    (directory / str(os.getpid())).touch()

    def work(number: int) -> int:
        time.sleep(0.05)
        return number

    return work


def _endless(directory: Path) -> None:
    for _ in map_in_order(lambda: _slow(directory), iter(int, 1), processes=3):
        pass


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _deep_in_work(directory: Path) -> None:
    def work() -> None:
        (directory / str(os.getpid())).touch()
        time.sleep(2 * PATIENCE)

    apart(work)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(("count", "life"), [(3, _endless), (1, _deep_in_work)])
def test_workers_end_with_their_killed_parent(count: int, life: Callable[[Path], None], tmp_path: Path) -> None:
    parent = multiprocessing.get_context("fork").Process(target=life, args=(tmp_path,))
    parent.start()
    deadline = time.monotonic() + PATIENCE
    while len(list(tmp_path.iterdir())) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == count and parent.pid is not None
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    while any(map(_runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(_runs, workers))


# -------------------------------------------------------------------------------------------------------------- a pool


def pool(work: Callable[[int], int], tell_loss: Callable[[], object] = lambda: None) -> WorkerPool[int, int]:
    return WorkerPool(lambda: work, 3, tell_loss)


def test_every_job_is_done_once_and_by_several_processes() -> None:
    workers = WorkerPool(lambda: lambda number: (number * number, os.getpid()), 3)
    for _ in range(2):  # the same processes, again
        results = dict(workers.map(range(50)))
        assert {index: square for index, (square, _) in results.items()} == {n: n * n for n in range(50)}
        assert len({process for _, process in results.values()}) == 3
    workers.close()
    assert not multiprocessing.active_children()


def test_a_job_whose_worker_dies_is_done_by_another(tmp_path: Path) -> None:
    told = []

    def work(number: int) -> int:
        mark = tmp_path / "died"
        if number == 5 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    workers = pool(work, lambda: told.append("lost"))
    assert sorted(workers.map(range(20))) == [(n, n) for n in range(20)]
    assert told == ["lost"]
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


# ------------------------------------------------------------------------------------------------ deaths and refusals


@pytest.fixture
def other_forks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another thread forks at the worst moments: it would inherit the worker's end of the pipe, and hold it open."""
    import concurrent.futures.thread  # noqa: F401  # it has a lock that forks wait for

    children: list[int] = []
    start = multiprocessing.context.ForkProcess.start

    def fork_elsewhere() -> threading.Thread:
        thread = threading.Thread(target=lambda: children.append(os.fork() or _sleep_on()))
        thread.start()
        thread.join(PATIENCE)
        return thread

    def start_between_forks(process: multiprocessing.process.BaseProcess) -> None:
        threads.append(fork_elsewhere())
        start(process)
        threads.append(fork_elsewhere())

    threads: list[threading.Thread] = []
    with monkeypatch.context() as patch:
        patch.setattr(multiprocessing.context.ForkProcess, "start", start_between_forks)
        yield
    for thread in threads:
        thread.join()
    assert len(children) == len(threads) == 2
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _sleep_on() -> int:
    time.sleep(2 * PATIENCE)
    os._exit(1)


def test_a_death_is_noticed_whatever_is_forked_meanwhile(other_forks: None) -> None:
    worker = Worker.start(lambda: lambda chunk: os.kill(os.getpid(), signal.SIGKILL))
    worker.send(None)
    assert worker.connection.poll(PATIENCE)
    with pytest.raises(WorkerLost):
        worker.receive()
    stop([worker])


def test_a_death_in_the_middle_of_an_answer_is_noticed() -> None:
    ours, theirs = multiprocessing.Pipe()
    os.write(theirs.fileno(), (1000).to_bytes(4) + b"the first of 1000 bytes")
    theirs.close()
    with ours, pytest.raises(WorkerLost):
        Worker(cast("Any", None), ours).receive()


def test_a_death_is_noticed_although_a_child_of_the_worker_holds_its_pipe(tmp_path: Path) -> None:
    def leave_a_child(chunk: None) -> None:
        if not (child := os.fork()):
            _sleep_on()
        (tmp_path / "child").write_text(str(child))
        os._exit(1)

    worker = Worker.start(lambda: leave_a_child)
    worker.send(None)
    try:
        with pytest.raises(WorkerLost):
            worker.receive()
    finally:
        stop([worker])
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_a_result_that_was_sent_before_the_death_is_taken() -> None:
    worker = Worker.start(lambda: lambda chunk: chunk * 2)
    worker.send("ab")
    assert worker.connection.poll(PATIENCE)
    worker.process.kill()
    worker.process.join()
    assert worker.receive() == "abab"
    worker.send("cd")
    with pytest.raises(WorkerLost):
        worker.receive()
    stop([worker])


@pytest.mark.parametrize(
    ("what", "refuse"),
    [
        ("fork", OSError(errno.EAGAIN, "Resource temporarily unavailable")),
        ("socketpair", OSError(errno.EMFILE, "Too many open files")),
        ("start", RuntimeError("can't start new thread")),
    ],
)
@pytest.mark.parametrize("before", [0, 1])
def test_where_no_process_can_be_started_one_sentence_says_so_and_the_others_are_ended(
    what: str, refuse: Exception, before: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    owner = {"fork": os, "socketpair": multiprocessing.connection.socket, "start": threading.Thread}[what]
    act = getattr(owner, what)
    for ask in (
        lambda: list(map_in_order(_squares, range(9), processes=3)),
        lambda: list(WorkerPool(_squares, 3).map(range(9))),
        *([lambda: apart(os.getpid)] if not before else []),
    ):
        calls = iter(range(9))

        def refusing(*arguments, calls=calls):
            if next(calls) >= before:
                raise refuse
            return act(*arguments)

        with monkeypatch.context() as patch, pytest.raises(MachineError, match=f"started: {refuse.args[-1]}"):
            patch.setattr(owner, what, refusing)
            ask()
        assert not multiprocessing.active_children()
    assert capfd.readouterr().err == ""


def test_what_fails_before_the_work_arrives_like_an_error_of_the_work(capfd: pytest.CaptureFixture[str]) -> None:
    def make_work() -> Callable[[int], int]:
        raise DataError("no tokenizer")

    with pytest.raises(DataError, match="no tokenizer"):
        list(map_in_order(make_work, range(5), processes=2))
    assert capfd.readouterr().err == ""


# ------------------------------------------------------------------------------------------------- the parent's threads


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_fresh_process_is_never_open_to_signals_of_the_group() -> None:
    """Nor while it starts: it would end with a traceback."""
    begun, seen = threading.Event(), list[int]()

    def watch() -> None:
        while not begun.is_set():
            for child in multiprocessing.active_children():
                with suppress(OSError):
                    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
                    status = dict(line.split(":", 1) for line in lines)
                    closed = int(status["SigBlk"], 16) | int(status["SigIgn"], 16)
                    seen.append(closed >> (signal.SIGINT - 1) & closed >> (signal.SIGTERM - 1) & 1)

    watching = threading.Thread(target=watch)
    watching.start()
    apart(partial(time.sleep, 0.1), fresh=True)
    begun.set()
    watching.join()
    assert seen and all(seen)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_work_done_apart_and_fresh() -> None:
    assert apart(os.getpid, fresh=True) not in (os.getpid(), os.getppid())
    with pytest.raises(FileNotFoundError):
        apart(partial(os.listdir, "/nowhere"), fresh=True)
    assert apart(_threads_after_workers, fresh=True) == 1
    assert not multiprocessing.active_children()


def _threads_after_workers() -> int:
    """In a fresh process: how many threads it has beside the one that watches its parent."""
    assert list(map_in_order(_squares, range(3), processes=2))
    return threading.active_count() - 1


@pytest.mark.parametrize("rounds", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_workers_answer_whatever_the_threads_of_python_do_meanwhile(rounds: int, tmp_path: Path) -> None:
    """Threads that log, take memory, and serve others; none of the files that they write to is used by the work."""
    done = threading.Event()
    log = logging.FileHandler(tmp_path / "log")
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    client = dist.TCPStore("127.0.0.1", store.port, is_master=False)

    def be_busy() -> None:
        while not done.is_set():
            log.handle(logging.LogRecord("busy", logging.INFO, __file__, 1, "x" * 1000, (), None))
            sum(len(bytearray(size)) for size in range(1000, 60_000, 1000))
            client.set("key", "value" * 100)

    def work(number: int) -> int:
        logging.getLogger("worker").info("x")
        return len("".join(map(str, range(1000)))) + number

    threads = [threading.Thread(target=be_busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(rounds):
            assert _within(lambda: work, range(3)) == [2890, 2891, 2892]
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _within(make_work: Callable[[], Callable[[int], int]], chunks: range) -> list[int]:
    """The results of `map_in_order`, by two processes, which fail rather than hang."""
    workers = [Worker.start(make_work) for _ in range(2)]
    try:
        results = []
        for number, chunk in enumerate(chunks):
            worker = workers[number % 2]
            worker.send(chunk)
            assert worker.connection.poll(PATIENCE), "a worker hangs"
            results.append(worker.receive())
        return results
    finally:
        stop(workers)


class Activations:
    """What a work has in memory."""


def failing_once() -> Callable[[int], bool]:
    """Whether what the failed work had is still in memory."""
    had: list[weakref.ref[Activations]] = []

    def work(_: int) -> bool:
        activations = Activations()
        if not had:
            had.append(weakref.ref(activations))
            raise MemoryError
        return had[0]() is not None

    return work


def test_after_a_fault_a_worker_keeps_nothing_of_what_the_work_had():
    worker = Worker.start(failing_once)
    try:
        worker.send(1)
        with pytest.raises(MemoryError):
            worker.receive()
        worker.send(2)
        assert worker.receive() is False
    finally:
        stop([worker])

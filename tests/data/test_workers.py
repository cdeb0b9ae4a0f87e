"""Worker processes: order, errors, and nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from s2s_cli.data.workers import apart, map_in_order
from s2s_cli.errors import DataError, MachineError


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
        time.sleep(60)

    apart(work)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(("count", "life"), [(3, _endless), (1, _deep_in_work)])
def test_workers_end_with_their_killed_parent(count: int, life: Callable[[Path], None], tmp_path: Path) -> None:
    parent = multiprocessing.get_context("fork").Process(target=life, args=(tmp_path,))
    parent.start()
    deadline = time.monotonic() + 10
    while len(list(tmp_path.iterdir())) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    assert len(workers) == count and parent.pid is not None
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    while any(map(_runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(_runs, workers))

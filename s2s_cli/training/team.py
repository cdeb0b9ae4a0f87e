"""Threads that each process their share of the pairs through a whole update.

OpenMP threads share the work of each operation and synchronise at its end, in a recurrence several times a position. On
a machine whose cores have other work too, all of them wait there for the one whose core is taken. The threads of a team
synchronise once an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from s2s_cli.model.dropout import own_stream

MOST_THREADS = 4
"""More threads would wait for Python's global lock; with more, OpenMP divides each operation instead."""

Part = TypeVar("Part")
Result = TypeVar("Result")


class Team:
    """The calling thread and further threads, which wait for work."""

    def __init__(self) -> None:
        self.others = ThreadPoolExecutor(MOST_THREADS - 1, thread_name_prefix="team")

    def map(self, work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """The result of each part, in their order.

        A single part is processed as if there were no team; several parts are processed each in its own thread, with
        dropout from its own random stream. When one part fails, the others are still finished.
        """
        first, *rest = parts
        if not rest:
            return [work(first)]
        threads = torch.get_num_threads()
        seed, *seeds = torch.randint(2**62, (1 + len(rest),)).tolist()
        futures = [self.others.submit(_alone, work, *each) for each in zip(rest, seeds, strict=True)]
        try:
            result = _alone(work, first, seed)
        finally:
            wait(futures)
            torch.set_num_threads(threads)
        return [result, *(future.result() for future in futures)]


def shares(pairs: int) -> int:
    """The number of parts for so many pairs, which depends only on their number and on torch's number of threads."""
    threads = torch.get_num_threads()
    return min(threads, pairs) if threads <= MOST_THREADS else 1


def _alone(work: Callable[[Part], Result], part: Part, seed: int) -> Result:
    """The work, with all operations in this thread."""
    torch.set_num_threads(1)  # for this thread, and for threads started later
    with own_stream(seed):
        return work(part)

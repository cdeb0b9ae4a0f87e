"""Threads that each keep their share of the pairs through a whole update.

The threads of OpenMP share the work of each operation and meet at its end: in a recurrence several times a position. On
a machine whose cores have other work too, all of them wait there for the one whose core is taken. These meet once an
update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from s2s_cli.model.dropout import own_stream

MOST_THREADS = 4
"""More would wait for one another in Python, which runs in one thread at a time: then OpenMP shares the work out."""

Part = TypeVar("Part")
Result = TypeVar("Result")


class Team:
    """The calling thread, and some that wait for it to have work for them."""

    def __init__(self) -> None:
        self.others = ThreadPoolExecutor(MOST_THREADS - 1, thread_name_prefix="team")

    def map(self, work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """The result of each part, in their order.

        A single part is worked on as if there were no team, several parts each in a thread of its own, with dropout
        from a stream of its own. When one part fails, the others are still finished.
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
    """In how many parts the team works on so many pairs: a matter of their number and of torch's threads alone."""
    threads = torch.get_num_threads()
    return min(threads, pairs) if threads <= MOST_THREADS else 1


def _alone(work: Callable[[Part], Result], part: Part, seed: int) -> Result:
    """The work, by operations that all run in this thread."""
    torch.set_num_threads(1)  # for this thread, and such as begin later
    with own_stream(seed):
        return work(part)

"""The order in which waiting parts of texts are translated.

Parts are scheduled, not texts, in the manner of fair queueing (Demers, Keshav and Shenker 1989; Goyal, Vin and Cheng
1996). A virtual clock runs by the work that is handed out, shared among the requests that wait. A part is due when the
clock has passed all the work of its own request before it: so the first part of a new request comes before the
hundredth of a long one, and that one still has its turn, however many requests arrive meanwhile.

Only parts of the same kind (model, options) share a batch. A batch is what waits, most due first, up to its budget.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

Kind = TypeVar("Kind", bound=Hashable)
Answer = TypeVar("Answer")

OVERHEAD = 2  # tokens that a part costs beside its own


class Sized(NamedTuple):
    """What a worker is given of a part, and the tokens of its source, EOS counted."""

    content: object
    tokens: int


@dataclass(eq=False)
class Request(Generic[Answer]):
    """Parts of the texts of one request, all of one kind, and what was found for them.

    ended: called once when the last part is done (without a fault), or when a part was given up (with it).
    """

    count: int
    ended: Callable[[Exception | None], object]
    found: list[Answer | None] = field(init=False)
    waiting: int = 0
    is_over: bool = False

    def __post_init__(self) -> None:
        self.found = [None] * self.count
        self._left = self.count

    def put(self, index: int, answer: Answer) -> None:
        """The answer for one part."""
        if not self.is_over:
            self.found[index] = answer
            self._left -= 1
            if not self._left:
                self.end()

    def end(self, fault: Exception | None = None) -> None:
        """No further part is translated; those that wait are forgotten."""
        if not self.is_over:
            self.is_over = True
            self.ended(fault)


@dataclass(eq=False)
class Waiting(Generic[Kind]):
    """A part in the queue."""

    kind: Kind
    part: Sized
    request: Request
    index: int  # in the request
    due: float = 0.0
    deaths: int = 0
    """Workers that died while they had it."""

    @property
    def cost(self) -> int:
        """The work that it is taken to be."""
        return self.part.tokens + OVERHEAD


class FairQueue(Generic[Kind]):
    """Waiting parts, by kind; `parts` and `tokens` count them."""

    def __init__(self) -> None:
        self.parts = self.tokens = 0
        self._clock = 0.0
        self._requests: set[Request] = set()
        self._heaps: dict[Kind, list[tuple[float, int, Waiting[Kind]]]] = {}
        self._numbers = itertools.count()

    def add(self, kind: Kind, parts: Sequence[Sized], request: Request) -> None:
        """Add all parts of a request."""
        due = self._clock
        for index, part in enumerate(parts):
            waiting = Waiting(kind, part, request, index, due)
            due += waiting.cost
            self.put_back(waiting)

    def put_back(self, waiting: Waiting[Kind]) -> None:
        """Let a part wait that was handed out, at its old place."""
        if waiting.request.is_over:
            return
        heapq.heappush(self._heaps.setdefault(waiting.kind, []), (waiting.due, next(self._numbers), waiting))
        self._count(waiting, 1)
        self._requests.add(waiting.request)

    def forget(self, request: Request) -> None:
        """A request is over: its parts leave the queue."""
        if request not in self._requests:
            return
        self._requests.discard(request)
        for kind, heap in list(self._heaps.items()):
            if forgotten := [waiting for _, _, waiting in heap if waiting.request is request]:
                for waiting in forgotten:
                    self._count(waiting, -1)
                kept = [each for each in heap if each[2].request is not request]
                heapq.heapify(kept)
                self._keep(kind, kept)

    def take(self, budget: int, most: Callable[[Kind], int]) -> list[Waiting[Kind]]:
        """The next batch, which leaves the queue; empty if nothing waits.

        budget: most tokens, parts × longest; a longer part is a batch of its own, and so is one at which a worker died.
        most: parts of a batch, by the kind.
        """
        kind = min(self._heaps, key=lambda kind: self._heaps[kind][0][:2], default=None)  # whose part is most due
        if kind is None:
            return []
        heap, batch, longest, limit = self._heaps[kind], list[Waiting[Kind]](), 0, most(kind)
        while heap and len(batch) < limit:
            waiting = heap[0][2]
            longest = max(longest, waiting.part.tokens)
            is_suspect = waiting.deaths > 0 or (batch and batch[0].deaths > 0)
            if batch and (is_suspect or longest * (len(batch) + 1) > budget):
                break
            batch.append(waiting)
            self._count(waiting, -1)
            heapq.heappop(heap)
        self._keep(kind, heap)
        self._advance(batch)
        return batch

    def _keep(self, kind: Kind, heap: list[tuple[float, int, Waiting[Kind]]]) -> None:
        if heap:
            self._heaps[kind] = heap
        else:
            del self._heaps[kind]

    def _advance(self, batch: Sequence[Waiting[Kind]]) -> None:
        """Let the clock run by the work of a batch, shared among the requests that wait."""
        work = sum(waiting.cost for waiting in batch)
        self._clock += work / max(1, len(self._requests))
        self._requests -= {each.request for each in batch if not each.request.waiting}

    def _count(self, waiting: Waiting[Kind], sign: int) -> None:
        waiting.request.waiting += sign
        self.parts += sign
        self.tokens += sign * waiting.part.tokens

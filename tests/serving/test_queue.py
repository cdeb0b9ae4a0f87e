"""The queue is fair to short texts and to long ones, and counts what waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.serving.queue import FairQueue, Request, Sized


def request(queue: FairQueue[str], lengths: list[int], kind: str = "de-en") -> Request[str]:
    made: Request[str] = Request(len(lengths), lambda fault: None)
    queue.add(kind, [Sized((made, index), length) for index, length in enumerate(lengths)], made)
    return made


def many(kind: str) -> int:
    return 1000


def test_a_short_text_does_not_wait_for_a_long_one():
    queue: FairQueue[str] = FairQueue()
    long = request(queue, [20] * 500)
    queue.take(200, many)
    short = request(queue, [10])
    assert short in {waiting.request for waiting in queue.take(200, many)}
    assert long in {waiting.request for waiting in queue.take(200, many)}


def test_a_long_text_does_not_wait_for_ever():
    queue: FairQueue[str] = FairQueue()
    long = request(queue, [20] * 30)
    batches = 0
    while long.waiting:
        for _ in range(5):  # as many as a batch holds, again and again
            request(queue, [20])
        queue.take(100, many)
        batches += 1
        assert batches < 1000


@given(st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=8), min_size=1, max_size=12), st.integers(1, 200))
def test_each_part_is_taken_once_in_batches_within_the_budget(requests: list[list[int]], budget: int):
    queue: FairQueue[str] = FairQueue()
    made = [request(queue, lengths, "ab"[number % 2]) for number, lengths in enumerate(requests)]
    assert queue.parts == sum(map(len, requests)) and queue.tokens == sum(map(sum, requests))
    taken = []
    while batch := queue.take(budget, lambda kind: 3):
        lengths = [waiting.part.tokens for waiting in batch]
        assert len(batch) == 1 or len(batch) * max(lengths) <= budget
        assert len(batch) <= 3 and len({waiting.kind for waiting in batch}) == 1
        taken += [(id(waiting.request), waiting.index) for waiting in batch]
    assert queue.parts == queue.tokens == 0
    assert sorted(taken) == sorted((id(each), index) for each in made for index in range(each.count))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5)), max_size=20))
def test_what_is_forgotten_is_not_taken_and_not_counted(plan: list[tuple[bool, int]]):
    queue: FairQueue[str] = FairQueue()
    kept = 0
    for is_kept, size in plan:
        made = request(queue, [7] * size)
        if is_kept:
            kept += size
        else:
            queue.forget(made)
            made.end()
    assert queue.parts == kept == sum(map(len, queue._heaps.values()))  # nor do they take memory
    taken = 0
    while batch := queue.take(50, many):
        taken += len(batch)
    assert taken == kept and queue.parts == 0


def test_a_part_at_which_a_worker_died_is_alone_in_its_batch():
    queue: FairQueue[str] = FairQueue()
    request(queue, [5, 5, 5])
    [first, second, third] = queue.take(100, many)
    second.deaths = 1
    for waiting in (first, second, third):
        queue.put_back(waiting)
    assert [[waiting.index for waiting in queue.take(100, many)] for _ in range(3)] == [[0], [1], [2]]

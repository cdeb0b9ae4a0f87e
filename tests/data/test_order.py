"""The order of batches: complete, within the budget, and a pure function of seed and epoch."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.data.order import BatchOrder, Part, permuted

Sides = tuple[list[int], list[int]]


def _drawn(count: int, seed: int) -> Sides:
    source, target = np.random.default_rng(seed).integers(1, 31, (2, count)).tolist()
    return source, target


SIDES = st.builds(_drawn, st.integers(0, 400), st.integers(0, 1000))


def _order(sides: Sides, **values: Any) -> BatchOrder:
    defaults = {"batch_tokens": 100, "seed": 1, "window": 64}
    return BatchOrder(np.array(sides[0], np.int64), np.array(sides[1], np.int64), **{**defaults, **values})


def _lists(order: BatchOrder, epoch: int, skip: int = 0) -> list[list[int]]:
    return [batch.tolist() for batch in order.epoch(epoch, skip)]


@settings(max_examples=60)
@given(SIDES, st.integers(31, 200), st.none() | st.integers(1, 5), st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_every_pair_once_and_within_the_budget(
    sides: Sides, tokens: int, sentences: int | None, window: int, seed: int
) -> None:
    order = _order(sides, batch_tokens=tokens, batch_sentences=sentences, window=window, seed=seed)
    for epoch in (0, 1):
        batches = _lists(order, epoch)
        assert sorted(chain.from_iterable(batches)) == list(range(len(sides[0])))
        for batch in batches:
            assert 1 <= len(batch) <= (sentences or len(batch))
            assert len(batch) * max(max(sides[0][pair], sides[1][pair]) + 1 for pair in batch) <= tokens


@settings(max_examples=30)
@given(SIDES, st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(0, 60))
def test_skipping_is_dropping_the_first_batches(sides: Sides, seed: int, epoch: int, skip: int) -> None:
    whole = _lists(_order(sides, seed=seed), epoch)
    assert _lists(_order(sides, seed=seed), epoch, skip) == whole[skip:]


def test_seed_and_epoch_and_nothing_else_choose_the_order() -> None:
    sides = ([5] * 300, list(range(1, 31)) * 10)
    order = _order(sides)
    first = _lists(order, 3)
    _lists(order, 4)
    np.random.seed(0)
    assert _lists(order, 3) == first == _lists(_order(sides), 3)
    assert _lists(order, 4) != first != _lists(_order(sides, seed=2), 3)


WEIGHTS = st.sampled_from([0.01, 0.3, 0.5, 1.0, 1.7, 3.0, 11.0])
PARTS = st.lists(st.builds(Part, st.integers(0, 80), WEIGHTS), min_size=1, max_size=4)


def _weighted(parts: list[Part], seed: int = 1) -> BatchOrder:
    return _order(_drawn(sum(part.pairs for part in parts), seed), parts=parts, seed=seed, window=50)


@settings(max_examples=60)
@given(PARTS, st.integers(0, 1000), st.integers(1, 8))
def test_over_the_epochs_each_pair_is_taken_as_often_as_its_weight_says(
    parts: list[Part], seed: int, epochs: int
) -> None:
    order = _weighted(parts, seed)
    drawn = [list(chain.from_iterable(_lists(order, epoch))) for epoch in range(epochs)]
    assert all(len(pairs) == order.pairs == sum(part.draws for part in parts) for pairs in drawn)
    times = Counter(chain.from_iterable(drawn))
    for part, first in zip(parts, accumulate((part.pairs for part in parts), initial=0), strict=False):
        own = {times[pair] for pair in range(first, first + part.pairs)}
        if part.pairs:
            assert own <= {epochs * part.draws // part.pairs, -(-epochs * part.draws // part.pairs)}
            exact = epochs * max(part.weight, 1 / part.pairs)
            assert all(exact - 1 - epochs / part.pairs < count < exact + 1 + epochs / part.pairs for count in own)


@settings(max_examples=30)
@given(PARTS, st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 60))
def test_a_resumed_epoch_with_weights_goes_on_where_it_stopped(
    parts: list[Part], seed: int, epoch: int, skip: int
) -> None:
    whole = _lists(_weighted(parts, seed), epoch)
    assert _lists(_weighted(parts, seed), epoch, skip) == whole[skip:]


def test_weights_of_one_take_every_pair_once_and_equal_pairs_are_not_batch_mates() -> None:
    order = _order(([9] * 300, [9] * 300), parts=[Part(100, 1.0), Part(200, 1.0)])
    assert sorted(chain.from_iterable(_lists(order, 5))) == list(range(300))
    order = _order(([9] * 300, [9] * 300), parts=[Part(300, 3.0)], window=10_000)
    batches = _lists(order, 0)  # of ten pairs each
    assert sum(len(set(batch)) for batch in batches) > 0.98 * 900


def test_the_order_of_corpora_with_weights_does_not_change_between_versions() -> None:
    order = _order(([3, 1, 4, 1, 5], [9, 2, 6, 5, 3]), parts=[Part(2, 0.5), Part(3, 2.0)], batch_tokens=20)
    assert [_lists(order, epoch) for epoch in (0, 1)] == [
        [[3, 3], [1, 4, 4], [2, 2]],
        [[2, 0], [4, 4, 3], [3, 2]],
    ]


def test_too_long_a_pair_is_a_batch_of_its_own() -> None:
    batches = _lists(_order(([5, 500, 5], [5, 5, 5])), 0)
    assert [1] in batches and sorted(chain.from_iterable(batches)) == [0, 1, 2]


def test_no_pairs_no_batches() -> None:
    assert _lists(_order(([], [])), 0) == []


def test_the_order_itself_does_not_change_between_versions() -> None:
    """A run resumed under a newer version must see the pairs that it has not seen."""
    sides = ([3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8])
    assert _lists(_order(sides, batch_tokens=20), 0) == [[3], [0, 1], [6, 2, 4], [5, 7]]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 17, 64, 1000, 4097])
def test_permutations(count: int) -> None:
    one, other = (permuted(np.arange(count, dtype=np.uint64), count, np.uint64(key)) for key in (1, 2**64 - 1))
    assert sorted(one) == sorted(other) == list(range(count))
    assert count < 10 or one.tolist() != other.tolist()


def test_permutations_look_random() -> None:
    """Neighbours go to unrelated places, and every place is as likely from the first as from the second half."""
    count = 100_000
    places = permuted(np.arange(count, dtype=np.uint64), count, np.uint64(5))
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 0.02
    assert abs(places[: count // 2].mean() / count - 0.5) < 0.01
    assert 1 <= np.sum(places == np.arange(count)) + 1 < 12


def test_little_padding_and_ties_in_new_company() -> None:
    """Lengths like those of captions, sides of 15 ± 5 pieces that go together; more pairs than are sorted at once."""
    random = np.random.default_rng(0)
    source = np.clip(random.gamma(9.0, 1.7, 58_000), 2, 80).astype(np.int64)
    target = np.clip(source * random.normal(0.96, 0.2, 58_000), 1, 80).astype(np.int64)
    order = BatchOrder(source, target, batch_tokens=2000, seed=1)
    padded = real = 0
    neighbours = []
    for batch in order.epoch(0):
        for side in (source[batch] + 1, target[batch] + 1):
            padded += len(batch) * side.max()
            real += side.sum()
        neighbours.append(set(batch.tolist()))
    assert 1 - real / padded < 0.05
    again = {pair: batch for batch in order.epoch(1) for pair in batch.tolist()}
    shared = [len(batch & set(again[next(iter(batch))].tolist())) / len(batch) for batch in neighbours]
    assert np.mean(shared) < 0.27

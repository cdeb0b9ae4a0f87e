"""The most likely target pieces of each source piece: IBM Model 1 (Brown et al. 1993, section 4.1), on the training
data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from s2s_cli.data.shards import ParallelData
from s2s_cli.text.tokenizer import EOS

MOST_LINKS = 6_000_000  # pairs of pieces in the same sentence pair: some 0.5 GB and five seconds
ITERATIONS = 5


@dataclass(frozen=True)
class Lexicon:
    """Which target pieces a source piece is the cause of, of all that occur together in a pair. EOS on the source side
    is the cause of those that no source piece explains (the empty word of the paper).

    keys: source piece × target_size + target piece, rising; counts: of each, how often, as is expected.
    """

    keys: np.ndarray
    counts: np.ndarray
    target_size: int

    @classmethod
    def of(cls, data: ParallelData, target_size: int) -> Self:
        """As the pairs of the data say."""
        links, link_counts = _links(data, target_size)
        keys, links = np.unique(links, return_inverse=True)
        return cls(keys, _expected_counts(links, link_counts, keys // target_size), target_size)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """p(target piece | source piece) of each key."""
        source_of = self.keys // self.target_size
        return self.counts / np.bincount(source_of, weights=self.counts)[source_of]

    def best(self, source_size: int, count: int) -> np.ndarray:
        """The `count` most frequent translations of each source piece, most frequent first: int32 [Vs, count]. Unused
        places hold EOS."""
        source_of, target_of = np.divmod(self.keys, self.target_size)
        order = np.lexsort((-self.counts, source_of))
        ranks = np.arange(len(order)) - np.searchsorted(source_of[order], source_of[order])
        best, ranks = order[ranks < count], ranks[ranks < count]
        table = np.full((source_size, count), EOS, dtype=np.int32)
        table[source_of[best], ranks] = target_of[best]
        return table

    def causes(self, source: Sequence[int], target: Sequence[int]) -> np.ndarray:
        """The probability that the target piece in a row has the source piece in a column as its cause, [T, S]; what is
        missing to 1 in a row is that it has none of them."""
        causes = np.append(np.array(source, np.int64), EOS) * self.target_size
        wanted = causes[None, :] + np.array(target, np.int64)[:, None]
        places = np.minimum(self.keys.searchsorted(wanted), len(self.keys) - 1)
        found = np.where(self.keys[places] == wanted, self.probabilities[places], 0.0)
        return found[:, :-1] / np.maximum(found.sum(axis=1, keepdims=True), np.finfo(float).tiny)


def frequent_targets(data: ParallelData, target_size: int, count: int) -> np.ndarray:
    """The `count` most frequent target pieces: int32."""
    totals = np.zeros(target_size, dtype=np.int64)
    for index in _sample(data):
        np.add.at(totals, data.pair(index)[1], 1)
    return np.argsort(-totals, kind="stable")[:count].astype(np.int32)


def _expected_counts(links: np.ndarray, link_counts: np.ndarray, source_of: np.ndarray) -> np.ndarray:
    """How often each source piece is the cause of a target piece, by expectation maximisation."""
    starts = np.cumsum(link_counts) - link_counts
    probabilities = np.ones(len(source_of))
    for _ in range(ITERATIONS):
        shares = probabilities[links]
        shares /= np.repeat(np.add.reduceat(shares, starts), link_counts)
        counts = np.bincount(links, weights=shares, minlength=len(source_of))
        probabilities = counts / np.bincount(source_of, weights=counts)[source_of]
    return counts


def _links(data: ParallelData, target_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys of each target piece with each source piece of its sentence, and the number of keys of each target piece."""
    keys, counts = [], []
    for index in _sample(data):
        source, target = data.pair(index)
        causes = np.unique(np.append(source, EOS)).astype(np.int64)
        keys.append((causes * target_size + target[:, None]).ravel())
        counts.append(np.full(len(target), len(causes)))
    return np.concatenate(keys), np.concatenate(counts)


def _sample(data: ParallelData) -> range:
    """Evenly spaced pairs of the data, with about `MOST_LINKS` links at most."""
    links = int((np.asarray(data.source_lengths, dtype=np.int64) + 1) @ np.asarray(data.target_lengths, dtype=np.int64))
    return range(0, len(data), max(1, -(-links // MOST_LINKS)))

"""The training pairs as each epoch has them: segmented anew, or with marks or terms.

What is drawn is a function of (seed, epoch, pair), the same whatever the number of threads and processes and wherever
training was interrupted. Batches are formed by the lengths of the prepared pairs; those of an epoch may be longer, over
`max_pieces` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import NamedTuple

import numpy as np

from s2s_cli.data.alignment import Aligner, Sides
from s2s_cli.data.batches import Ids, Pairs
from s2s_cli.data.marking import with_marks
from s2s_cli.data.shards import ParallelData
from s2s_cli.data.terms import with_terms
from s2s_cli.text.segmentation import Segmenter


@dataclass(frozen=True)
class SampledPairs:
    """Another segmentation of each sentence in each epoch (Kudo 2018; of BPE, Provilkov et al. 2020).

    best: the pairs in their best segmentation, whose pieces hold the text. source, target: what segments this side;
    None: it stays as it is.
    """

    best: ParallelData
    source: Segmenter | None
    target: Segmenter | None
    seed: int
    epoch: int

    def pair(self, index: int) -> tuple[Ids, Ids]:
        source, target = self.best.pair(index)
        return self._sampled(source, self.source, "source", index), self._sampled(target, self.target, "target", index)

    def _sampled(self, ids: np.ndarray, segmenter: Segmenter | None, side: str, index: int) -> Ids:
        if segmenter is None:
            return ids
        key = f"{self.seed} {self.epoch} {side} ".encode() + int(index).to_bytes(8, "little")
        return segmenter.segment(ids.tolist(), _drawn(key))


class Shares(NamedTuple):
    """Of the pairs: those that get marks, and those of which the source gets terms."""

    marks: float = 0.0
    terms: float = 0.0


@dataclass(frozen=True)
class ChangedPairs:
    """Marks or terms in some pairs of each epoch. plain: what the others are; data: what these are put into."""

    plain: Pairs
    data: ParallelData
    aligner: Aligner
    shares: Shares
    seed: int
    epoch: int

    def pair(self, index: int) -> tuple[Ids, Ids]:
        return self.changed(index) or self.plain.pair(index)

    def changed(self, index: int) -> Sides | None:
        """Both sides of a pair with marks or terms; None if it has none in this epoch."""
        random = Random(_drawn(f"{self.seed} {self.epoch} marks {index}".encode()))
        source, target = (side.tolist() for side in self.data.pair(index))
        chance = random.random()
        if chance < self.shares.marks:
            return with_marks(self.aligner, source, target, random)
        return with_terms(self.aligner, source, target, random) if chance < sum(self.shares) else None


def _drawn(key: bytes) -> int:
    """64 bits that look random, for each key."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "little")

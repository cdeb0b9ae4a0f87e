"""Subword sampling: a sentence has another segmentation in each epoch (Kudo 2018; of BPE, Provilkov et al. 2020).

Shards hold the best segmentation, and its pieces the text: what is sampled is a function of (seed, epoch, pair, side),
the same whatever the number of threads and processes and wherever training was interrupted. Batches are formed by the
lengths of the best segmentation; sampled ones may be longer, over `max_pieces` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from s2s_cli.data.batches import Ids, Pairs
from s2s_cli.data.shards import ParallelData
from s2s_cli.text.segmentation import Segmenter


@dataclass(frozen=True)
class SubwordSampling:
    """The pairs of each epoch. source, target: what segments this side; None: it stays as it is."""

    source: Segmenter | None
    target: Segmenter | None
    seed: int

    def pairs(self, data: ParallelData, epoch: int) -> Pairs:
        """The data, as it is segmented in this epoch."""
        return data if self.source is None and self.target is None else SampledPairs(self, data, epoch)


@dataclass(frozen=True)
class SampledPairs:
    """Pairs, each segmented anew."""

    sampling: SubwordSampling
    best: ParallelData
    epoch: int

    def pair(self, index: int) -> tuple[Ids, Ids]:
        source, target = self.best.pair(index)
        return (
            self._sampled(source, self.sampling.source, "source", index),
            self._sampled(target, self.sampling.target, "target", index),
        )

    def _sampled(self, ids: np.ndarray, segmenter: Segmenter | None, side: str, index: int) -> Ids:
        if segmenter is None:
            return ids
        key = f"{self.sampling.seed} {self.epoch} {side} ".encode() + int(index).to_bytes(8, "little")
        digest = blake2b(key, digest_size=8).digest()
        return segmenter.segment(ids.tolist(), int.from_bytes(digest, "little"))

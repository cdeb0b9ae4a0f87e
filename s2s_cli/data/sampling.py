"""Subword sampling: a sentence has another segmentation in each epoch (Kudo 2018; of BPE, Provilkov et al. 2020).

Shards hold the best segmentation, and its pieces the text: what is sampled is a function of (seed, epoch, pair, side),
the same whatever the number of threads and processes and wherever training was interrupted. Batches are formed by the
lengths of the best segmentation; sampled ones may be longer, over `max_pieces` too.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from s2s_cli.data.batches import Pairs, Sequences
from s2s_cli.data.shards import ParallelData, Shards
from s2s_cli.text.segmentation import Segmenter


@dataclass(frozen=True)
class SampledSequences:
    """Sequences of ids, each segmented anew. key: of the random numbers."""

    best: Shards
    segmenter: Segmenter
    key: bytes

    def __getitem__(self, index: int) -> list[int]:
        digest = blake2b(self.key + int(index).to_bytes(8, "little"), digest_size=8).digest()
        return self.segmenter.segment(self.best[index].tolist(), int.from_bytes(digest, "little"))


@dataclass(frozen=True)
class SampledPairs:
    """Pairs, one side or both of which are sampled."""

    source: Sequences
    target: Sequences


@dataclass(frozen=True)
class SubwordSampling:
    """The pairs of each epoch. source, target: what segments this side; None: it stays as it is."""

    source: Segmenter | None
    target: Segmenter | None
    seed: int

    def pairs(self, data: ParallelData, epoch: int) -> Pairs:
        """The data, as it is segmented in this epoch."""
        if self.source is None and self.target is None:
            return data
        key = f"{self.seed} {epoch} ".encode()
        return SampledPairs(
            _sampled(data.source, self.source, key + b"source "), _sampled(data.target, self.target, key + b"target ")
        )


def _sampled(best: Shards, segmenter: Segmenter | None, key: bytes) -> Sequences:
    return best if segmenter is None else SampledSequences(best, segmenter, key)

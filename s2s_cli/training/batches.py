"""Batches of pairs as tensors. Shapes: B pairs, S and T the longest source and target of the batch with EOS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import torch
from torch import Tensor

from s2s_cli.data.batches import Pairs, padded

Arrays = tuple[np.ndarray, ...]
"""The fields of a batch, in their order."""


@dataclass(frozen=True)
class Batch:
    """Pairs of sentences, each side ended by EOS and filled up with PAD; int64. Lengths count EOS."""

    source_BS: Tensor
    source_lengths_B: Tensor
    target_BT: Tensor
    target_lengths_B: Tensor
    pairs: np.ndarray
    """Indices of the pairs in the data, [B]."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True), self.pairs)

    def repeat(self, times: int) -> Batch:
        """The whole batch several times, one after the other."""
        return self._each(lambda tensor: torch.cat([tensor] * times), np.tile(self.pairs, times))

    def parts(self, count: int) -> Iterator[Batch]:
        """The pairs in `count` parts of similar sizes, each only as wide as its longest pair."""
        edges = [len(self.pairs) * part // count for part in range(count + 1)]
        for rows in map(slice, edges, edges[1:]):
            part = self._each(itemgetter(rows), self.pairs[rows])
            source_BS = part.source_BS[:, : int(part.source_lengths_B.max())]
            target_BT = part.target_BT[:, : int(part.target_lengths_B.max())]
            yield replace(part, source_BS=source_BS, target_BT=target_BT)

    def arrays(self) -> Arrays:
        """What another process makes the same batch of; it must be on CPU."""
        return (*(tensor.numpy() for tensor in self._tensors), self.pairs)

    @staticmethod
    def of(arrays: Arrays) -> Batch:
        """The batch of its fields."""
        *tensors, pairs = arrays
        source_BS, source_lengths_B, target_BT, target_lengths_B = map(torch.from_numpy, tensors)
        return Batch(source_BS, source_lengths_B, target_BT, target_lengths_B, pairs)

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        return self.source_BS, self.source_lengths_B, self.target_BT, self.target_lengths_B

    def _each(self, change: Callable[[Tensor], Tensor], pairs: np.ndarray) -> Batch:
        source_BS, source_lengths_B, target_BT, target_lengths_B = map(change, self._tensors)
        return Batch(source_BS, source_lengths_B, target_BT, target_lengths_B, pairs)


def collate(data: Pairs, pairs: np.ndarray) -> Batch:
    """The batch of the given pairs, in their order."""
    found = [data.pair(index) for index in pairs]
    source, target = (padded([pair[side] for pair in found]) for side in (0, 1))
    return Batch.of((*source, *target, pairs))

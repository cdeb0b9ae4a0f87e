"""Batches of pairs as tensors. Shapes: B pairs, S and T the longest source and target of the batch with EOS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s2s_cli.data.batches import Pairs, padded


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
        return Batch(
            self.source_BS.to(device, non_blocking=True),
            self.source_lengths_B.to(device, non_blocking=True),
            self.target_BT.to(device, non_blocking=True),
            self.target_lengths_B.to(device, non_blocking=True),
            self.pairs,
        )

    def repeat(self, times: int) -> Batch:
        """The whole batch several times, one after the other."""
        return Batch(
            self.source_BS.repeat(times, 1),
            self.source_lengths_B.repeat(times),
            self.target_BT.repeat(times, 1),
            self.target_lengths_B.repeat(times),
            np.tile(self.pairs, times),
        )


def collate(data: Pairs, pairs: np.ndarray) -> Batch:
    """The batch of the given pairs, in their order."""
    found = [data.pair(index) for index in pairs]
    source, target = (padded([pair[side] for pair in found]) for side in (0, 1))
    source_BS, source_lengths_B, target_BT, target_lengths_B = map(torch.from_numpy, (*source, *target))
    return Batch(source_BS, source_lengths_B, target_BT, target_lengths_B, pairs)

"""Batches as tensors. Shapes: B pairs, S and T the longest source and target of the batch with EOS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from s2s_cli.text.tokenizer import EOS, PAD


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


class Sequences(Protocol):
    """Sequences of ids, without EOS."""

    def __getitem__(self, index: int, /) -> np.ndarray | Sequence[int]: ...


class Pairs(Protocol):
    """Both sides of a corpus."""

    @property
    def source(self) -> Sequences: ...

    @property
    def target(self) -> Sequences: ...


def collate(data: Pairs, pairs: np.ndarray) -> Batch:
    """The batch of the given pairs, in their order."""
    source_BS, source_lengths_B = padded([data.source[index] for index in pairs])
    target_BT, target_lengths_B = padded([data.target[index] for index in pairs])
    return Batch(source_BS, source_lengths_B, target_BT, target_lengths_B, pairs)


def padded(sequences: Sequence[np.ndarray | Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Sequences of ids as one matrix [B, longest + 1] with EOS and PAD, and their lengths [B] with EOS."""
    lengths_B = np.array([len(ids) + 1 for ids in sequences], np.int64)
    ids_BL = np.full((len(sequences), lengths_B.max(initial=1)), PAD, np.int64)
    for row, ids in enumerate(sequences):
        ids_BL[row, : len(ids)] = ids
        ids_BL[row, len(ids)] = EOS
    return torch.from_numpy(ids_BL), torch.from_numpy(lengths_B)

"""Batches of sequences as arrays. Shapes: B sequences, L the longest of them with EOS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from s2s_cli.text.tokenizer import EOS, PAD

Ids = np.ndarray | Sequence[int]
"""A sequence, without EOS."""


class Pairs(Protocol):
    """A corpus of pairs of sequences."""

    def pair(self, index: int, /) -> tuple[Ids, Ids]:
        """Source and target of one pair."""


def padded(sequences: Sequence[Ids]) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of ids as one matrix [B, L] with EOS and PAD, and their lengths [B] with EOS; int64."""
    lengths_B = np.array([len(ids) + 1 for ids in sequences], np.int64)
    ids_BL = np.full((len(sequences), lengths_B.max(initial=1)), PAD, np.int64)
    for row, ids in enumerate(sequences):
        ids_BL[row, : len(ids)] = ids
        ids_BL[row, len(ids)] = EOS
    return ids_BL, lengths_B

"""Parallel data: pairs of token sequences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from s2s_cli.data.shards import Lengths, Shards
from s2s_cli.errors import DataError


@dataclass(frozen=True)
class ParallelData:
    """Pairs of sequences of piece ids, memory-mapped."""

    source: Shards
    target: Shards

    @classmethod
    def open(cls, directory: Path) -> Self:
        """The pairs in `directory`: `source.bin`, `source.idx` and the same of the target.

        Raises DataError if they are damaged.
        """
        data = cls(Shards(directory / "source"), Shards(directory / "target"))
        if len(data.source) != len(data.target):
            sizes = f"{len(data.source)} and {len(data.target)} sequences"
            raise DataError(f"the two sides differ in length: {sizes}", where=directory)
        return data

    def __len__(self) -> int:
        return len(self.source)

    @property
    def source_lengths(self) -> Lengths:
        """Pieces of each source side, EOS not counted."""
        return self.source.lengths

    @property
    def target_lengths(self) -> Lengths:
        """Pieces of each target side, EOS not counted."""
        return self.target.lengths

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Source and target ids of one pair, without EOS."""
        return self.source[index], self.target[index]

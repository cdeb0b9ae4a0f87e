"""Batches as tensors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.data.batches import collate, padded
from s2s_cli.data.shards import ParallelData, ShardWriter
from s2s_cli.text.tokenizer import EOS, PAD


@given(st.lists(st.lists(st.integers(4, 99), max_size=6), min_size=1, max_size=8))
def test_padding_takes_nothing_away(sequences: list[list[int]]) -> None:
    ids_BL, lengths_B = padded(sequences)
    assert ids_BL.dtype == lengths_B.dtype == torch.int64
    assert ids_BL.shape == (len(sequences), max(map(len, sequences)) + 1)
    for row, length, ids in zip(ids_BL.tolist(), lengths_B.tolist(), sequences, strict=True):
        assert row[:length] == [*ids, EOS]
        assert set(row[length:]) <= {PAD}


def test_collate(tmp_path: Path) -> None:
    for name, sequences in (("source", [[4], [5, 6, 7], [8]]), ("target", [[9, 10], [11], []])):
        with ShardWriter(tmp_path / name, 100) as writer:
            ids = np.array([index for ids in sequences for index in ids])
            writer.write(ids, np.array([len(ids) for ids in sequences]))
    batch = collate(ParallelData.open(tmp_path), np.array([2, 1]))
    assert batch.source_BS.tolist() == [[8, EOS, PAD, PAD], [5, 6, 7, EOS]]
    assert batch.source_lengths_B.tolist() == [2, 4]
    assert batch.target_BT.tolist() == [[EOS, PAD], [11, EOS]]
    assert batch.target_lengths_B.tolist() == [1, 2]
    assert batch.pairs.tolist() == [2, 1]
    assert torch.equal(batch.to(torch.device("cpu")).source_BS, batch.source_BS)
    twice = batch.repeat(2)
    assert twice.source_BS.tolist() == batch.source_BS.tolist() * 2
    assert twice.target_BT.tolist() == batch.target_BT.tolist() * 2
    assert twice.source_lengths_B.tolist() == [2, 4, 2, 4]
    assert twice.target_lengths_B.tolist() == [1, 2, 1, 2]
    assert twice.pairs.tolist() == [2, 1, 2, 1]


def test_preparation_does_not_import_torch() -> None:
    code = "import sys, s2s_cli.data.preparation, s2s_cli.data.order; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

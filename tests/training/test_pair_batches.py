"""Batches as tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from s2s_cli.text.tokenizer import EOS, PAD
from s2s_cli.training.batches import collate


def test_collate(tools, tmp_path: Path) -> None:
    data = tools.write_pairs(tmp_path, source=([[4], [5, 6, 7], [8]], 100), target=([[9, 10], [11], []], 100))
    batch = collate(data, np.array([2, 1]))
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

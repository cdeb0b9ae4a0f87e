"""Sequences of ids as one matrix."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.data.batches import padded
from s2s_cli.text.tokenizer import EOS, PAD


@given(st.lists(st.lists(st.integers(4, 99), max_size=6), min_size=1, max_size=8))
def test_padding_takes_nothing_away(sequences: list[list[int]]) -> None:
    ids_BL, lengths_B = padded(sequences)
    assert ids_BL.dtype == lengths_B.dtype == np.int64
    assert ids_BL.shape == (len(sequences), max(map(len, sequences)) + 1)
    for row, length, ids in zip(ids_BL.tolist(), lengths_B.tolist(), sequences, strict=True):
        assert row[:length] == [*ids, EOS]
        assert set(row[length:]) <= {PAD}


def test_preparation_does_not_import_torch() -> None:
    code = "import sys, s2s_cli.data.preparation, s2s_cli.data.order; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

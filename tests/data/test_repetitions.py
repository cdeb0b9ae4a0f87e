"""Repetitions of keys, found in parts of a few keys at a time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.data.repetitions import repeated

KEYS = st.integers(0, 9) | st.integers(0, 2**64 - 1) | st.integers(0, 15).map(lambda leading: leading << 60)


@given(st.lists(KEYS, max_size=60), st.integers(1, 70))
def test_a_key_is_repeated_if_an_equal_one_precedes_it(tmp_path: Path, keys: list[int], keys_at_a_time: int):
    path = tmp_path / "keys"
    np.array(keys, np.uint64).tofile(path)
    expected = [key in keys[:place] for place, key in enumerate(keys)]
    assert repeated(path, keys_at_a_time).tolist() == expected
    assert os.listdir(tmp_path) == ["keys"]

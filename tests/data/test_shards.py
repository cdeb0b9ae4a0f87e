"""Token shards: what is written is read, and damage is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.data.shards import ParallelData, Shards, ShardWriter
from s2s_cli.errors import DataError, MachineError


def write(stem: Path, sequences: list[list[int]], vocabulary: int = 1000, chunk: int = 3) -> None:
    with ShardWriter(stem, vocabulary) as writer:
        for begin in range(0, len(sequences), chunk):
            part = sequences[begin : begin + chunk]
            ids = np.array([index for ids in part for index in ids], np.uint32)
            writer.write(ids, np.array([len(ids) for ids in part], np.int64))


@settings(max_examples=60)
@given(data=st.data(), vocabulary=st.sampled_from([10, 2**16, 2**16 + 1, 2**20]))
def test_sequences_come_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, vocabulary: int) -> None:
    sequences = data.draw(st.lists(st.lists(st.integers(0, vocabulary - 1), max_size=5), max_size=10))
    stem = tmp_path_factory.mktemp("shards") / "side"
    write(stem, sequences, vocabulary)
    shards = Shards(stem)
    assert [shards[index].tolist() for index in range(len(shards))] == sequences
    lengths = [len(ids) for ids in sequences]
    assert np.asarray(shards.lengths).tolist() == lengths and len(shards.lengths) == len(lengths)
    assert shards.tokens == sum(lengths)
    if sequences:
        chosen = np.array(data.draw(st.lists(st.integers(0, len(sequences) - 1))), np.int64)
        assert shards.lengths[chosen].tolist() == [lengths[index] for index in chosen]


def test_ids_take_two_bytes_where_they_fit(tmp_path: Path) -> None:
    write(tmp_path / "small", [[1, 65535]], 65536)
    write(tmp_path / "large", [[1, 65536]], 65537)
    assert (tmp_path / "small.bin").stat().st_size == 4 and (tmp_path / "large.bin").stat().st_size == 8


@pytest.mark.parametrize("name", ["side.bin", "side.idx"])
def test_cut_files_are_noticed(tmp_path: Path, name: str) -> None:
    write(tmp_path / "side", [[1, 2, 3], [4, 5]])
    whole = (tmp_path / name).read_bytes()
    for content in (b"", whole[:-1], whole + b"\0"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError):
            Shards(tmp_path / "side")
    (tmp_path / name).unlink()
    with pytest.raises(MachineError, match=r"cannot be read"):
        Shards(tmp_path / "side")


def test_parallel_data(tmp_path: Path) -> None:
    write(tmp_path / "source", [[4], [5, 6]])
    write(tmp_path / "target", [[7, 8, 9], []])
    data = ParallelData.open(tmp_path)
    assert len(data) == 2
    assert [side.tolist() for side in data.pair(1)] == [[5, 6], []]
    assert np.asarray(data.source_lengths).tolist() == [1, 2]
    assert np.asarray(data.target_lengths).tolist() == [3, 0]
    write(tmp_path / "target", [[7]])
    with pytest.raises(DataError, match="2 and 1 sequences"):
        ParallelData.open(tmp_path)

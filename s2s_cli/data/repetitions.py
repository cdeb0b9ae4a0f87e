"""Repetitions among any number of pairs, in bounded memory.

Of each pair only a 64-bit key is kept, on disk. The keys are compared in parts, by their leading bits, so that memory
holds a few million keys at a time and one byte a pair. Two unlike pairs among n share a key with probability
n² / 2^65: less than 10^-5 for ten million pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_KEYS_AT_A_TIME = 1 << 22


def repeated(path: Path, keys_at_a_time: int = _KEYS_AT_A_TIME) -> np.ndarray:
    """For each key of a file of uint64 whether an equal one stands before it."""
    count = path.stat().st_size // 8
    result = np.zeros(count, bool)
    part_bits = max(0, (count // keys_at_a_time).bit_length())
    for part in range(1 << part_bits):
        keys, places = _part(path, part, part_bits, keys_at_a_time)
        order = np.argsort(keys, kind="stable")  # equal keys stay in the order of the file
        again = np.flatnonzero(keys[order[1:]] == keys[order[:-1]]) + 1
        result[places[order[again]]] = True
    return result


def _part(path: Path, part: int, part_bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The keys whose leading bits are `part`, and their places in the file."""
    keys, places = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for begin, found in _blocks(path, block):
        # A shift by all 64 bits is not defined: one part holds everything.
        mine = np.flatnonzero(found >> np.uint64(64 - part_bits) == part) if part_bits else np.arange(len(found))
        keys.append(found[mine])
        places.append(mine + begin)
    return np.concatenate(keys), np.concatenate(places)


def _blocks(path: Path, size: int) -> Iterator[tuple[int, np.ndarray]]:
    begin = 0
    with path.open("rb") as file:
        while len(block := np.fromfile(file, np.uint64, size)):
            yield begin, block
            begin += len(block)

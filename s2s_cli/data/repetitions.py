"""Repetitions among millions of pairs, found by their keys with bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

KEYS_AT_A_TIME = 1 << 22
"""Keys of pairs that are compared in memory."""

_KEY = np.dtype([("key", np.uint64), ("place", np.int64)])


def repeated(path: Path, keys_at_a_time: int = KEYS_AT_A_TIME) -> np.ndarray:
    """For each key of a file of uint64, whether an equal one precedes it.

    The keys are divided among files by their leading bits, so that memory holds a few million keys at a time and one
    byte for each pair. Two different pairs among n share a 64-bit key with probability n² / 2^65: less than 10^-5 for
    ten million pairs.
    """
    count = path.stat().st_size // 8
    result = np.zeros(count, bool)
    for found in _parts(path, max(0, (count // keys_at_a_time).bit_length()), keys_at_a_time):
        keys, places = found["key"], found["place"]
        order = np.argsort(keys, kind="stable")  # equal keys stay in the order of the file
        again = np.flatnonzero(keys[order[1:]] == keys[order[:-1]]) + 1
        result[places[order[again]]] = True
    return result


def _parts(path: Path, bits: int, block: int) -> Iterator[np.ndarray]:
    """The keys that share their leading bits, with their places in the file, in its order."""
    blocks = _blocks(path, block)
    if not bits:  # a shift by all 64 bits is not defined: one part holds everything
        yield from blocks
        return
    with TemporaryDirectory(dir=path.parent) as folder:
        files = [Path(folder, str(part)) for part in range(1 << bits)]
        for found in blocks:
            part = (found["key"] >> np.uint64(64 - bits)).astype(np.int64)
            order = np.argsort(part, kind="stable")
            cuts = np.searchsorted(part[order], np.arange(1, 1 << bits))
            for file, mine in zip(files, np.split(found[order], cuts), strict=True):
                with file.open("ab") as writer:  # not kept open: there may be more than a process may have
                    mine.tofile(writer)
        for file in files:
            yield np.fromfile(file, _KEY)
            file.unlink()


def _blocks(path: Path, size: int) -> Iterator[np.ndarray]:
    begin = 0
    with path.open("rb") as file:
        while len(keys := np.fromfile(file, np.uint64, size)):
            found = np.empty(len(keys), _KEY)
            found["key"], found["place"] = keys, np.arange(begin, begin + len(keys))
            yield found
            begin += len(keys)

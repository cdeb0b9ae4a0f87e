"""Token shards: sequences of ids in a `.bin` file and their offsets in an `.idx` file, both memory-mapped.

`.bin` holds the ids of all sequences one after the other, as uint16, or as uint32 where the vocabulary requires it.
`.idx` holds n + 1 int64 offsets into it: sequence i is `ids[offset[i] : offset[i + 1]]`. All little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from s2s_cli.errors import DataError, MachineError

_OFFSET = np.dtype("<i8")
_ID_BY_BYTES: dict[int, np.dtype[Any]] = {2: np.dtype("<u2"), 4: np.dtype("<u4")}
_REMEDY = "prepare the data again with `s2s prep --force`"


class ShardWriter:
    """Writes sequences as they come; memory does not grow with their number. Use it as a context manager."""

    def __init__(self, stem: Path, vocabulary: int) -> None:
        """stem: the path without `.bin` and `.idx`. vocabulary: ids are less than this."""
        self._dtype = _ID_BY_BYTES[2 if vocabulary <= 2**16 else 4]
        self._ids = stem.with_name(stem.name + ".bin").open("wb")
        self._index = stem.with_name(stem.name + ".idx").open("wb")
        self._index.write(np.zeros(1, _OFFSET).tobytes())
        self._end = 0

    def write(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Append len(lengths) sequences, whose ids lie in `ids` one after the other."""
        self._ids.write(ids.astype(self._dtype).tobytes())
        self._index.write((self._end + np.cumsum(lengths, dtype=_OFFSET)).tobytes())
        self._end += len(ids)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._ids.close()
        self._index.close()


class Shards:
    """Sequences in a pair of files, read from disk when they are asked for."""

    def __init__(self, stem: Path) -> None:
        """Raises DataError if the files do not belong together, MachineError if one cannot be read."""
        index, ids = stem.with_name(stem.name + ".idx"), stem.with_name(stem.name + ".bin")
        try:
            index_bytes, ids_bytes = index.stat().st_size, ids.stat().st_size
            if index_bytes < _OFFSET.itemsize or index_bytes % _OFFSET.itemsize:
                raise DataError("damaged index of token ids", where=index, hint=_REMEDY)
            self._offsets = np.memmap(index, _OFFSET, "r")
            total = int(self._offsets[-1])
            dtype = _ID_BY_BYTES.get(ids_bytes // total) if total > 0 else _ID_BY_BYTES[2]
            if dtype is None or ids_bytes != total * dtype.itemsize:
                raise DataError("token ids do not fit their index", where=ids, hint=_REMEDY)
            self._ids = np.memmap(ids, dtype, "r") if total else np.zeros(0, dtype)
        except OSError as error:
            raise MachineError(f"cannot be read: {error.strerror}", where=error.filename, hint=_REMEDY) from error

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Ids of one sequence; a view into the file."""
        return self._ids[self._offsets[index] : self._offsets[index + 1]]

    @property
    def lengths(self) -> Lengths:
        """Length of each sequence."""
        return Lengths(self._offsets)

    @property
    def tokens(self) -> int:
        """Number of ids in all sequences."""
        return int(self._offsets[-1])


class Lengths:
    """Lengths of memory-mapped sequences. Indexed like an array of integers, it computes only what is asked for."""

    def __init__(self, offsets: np.ndarray) -> None:
        self._begins, self._ends = offsets[:-1], offsets[1:]

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, index: Any) -> Any:
        return np.subtract(self._ends[index], self._begins[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


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

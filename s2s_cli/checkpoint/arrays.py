"""Named arrays in safetensors files, without PyTorch: written as a stream of chunks, read where they lie.

The format is that of `s2s_cli.checkpoint.tensors`. The header is filled up with spaces, and arrays whose size is a
multiple of a cache line come first, so that these begin at one where the file is mapped into memory. In arrays, uint16
stands for bfloat16, which NumPy does not have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from mmap import mmap
from typing import Any

import numpy as np

from s2s_cli.errors import CheckpointError, printable

LINE = 64  # bytes of a line of a cache
LARGEST_HEADER = 16 * 2**20  # bytes; a thousand arrays need some 100 kB
_KINDS: dict[np.dtype[Any], str] = {
    np.dtype(np.uint8): "U8",
    np.dtype(np.int8): "I8",
    np.dtype(np.uint16): "BF16",
    np.dtype(np.int32): "I32",
    np.dtype(np.int64): "I64",
    np.dtype(np.float16): "F16",
    np.dtype(np.float32): "F32",
    np.dtype(np.float64): "F64",
}
_DTYPES = {kind: dtype.newbyteorder("<") for dtype, kind in _KINDS.items()}
_METADATA = "__metadata__"


def encode_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The chunks of a file. facts: what else it tells."""
    names = sorted(arrays, key=lambda name: (arrays[name].nbytes % LINE > 0, -arrays[name].itemsize, name))
    parts = ((name, _KINDS[arrays[name].dtype], arrays[name].shape, arrays[name].nbytes) for name in names)
    yield encode_header(parts, facts)
    for name in names:
        yield np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data


def encode_header(parts: Iterable[tuple[str, str, Sequence[int], int]], facts: Mapping[str, str]) -> bytes:
    """The beginning of a file. parts: name, number type, shape and bytes of all that follows, in this order."""
    header: dict[str, Any] = {_METADATA: dict(facts)} if facts else {}
    end = 0
    for name, kind, shape, size in parts:
        start, end = end, end + size
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % LINE)
    return len(text).to_bytes(8, "little") + text


def header_length(data: bytes | memoryview, where: object) -> int:
    """Bytes of the JSON header, which begins after 8 bytes. Raises `CheckpointError` if there is none."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or data[8:9] != b"{" or length > len(data) - 8:
        raise CheckpointError("is not a safetensors file", where=where)
    if length > LARGEST_HEADER:
        raise CheckpointError(f"has a header of {length:,} bytes; at most {LARGEST_HEADER:,} are allowed", where=where)
    return length


def decode_arrays(data: bytes | mmap, where: object) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file, on its memory, and what else it tells. Raises `CheckpointError` for anything but such a
    file."""
    view = memoryview(data)
    length = header_length(view, where)
    content = view[8 + length :]
    try:
        header = json.loads(bytes(view[8 : 8 + length]).decode())
        facts = header.pop(_METADATA, {})
        arrays = {name: _array(content, **entry) for name, entry in header.items()}
        return arrays, {str(name): str(fact) for name, fact in facts.items()}
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        fault = printable(" ".join(str(error).split())) or type(error).__name__
        raise CheckpointError(f"is not a valid safetensors file: {fault}", where=where) from error


def _array(content: memoryview, *, dtype: str, shape: list[int], data_offsets: list[int]) -> np.ndarray:
    kind, (start, end) = _DTYPES[dtype], data_offsets
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise ValueError("sizes and offsets must be whole numbers")
    if end > len(content) or end - start != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{end - start} bytes for the shape {shape}")
    array = np.frombuffer(content[start:end], kind).reshape(shape)
    return np.require(array, requirements="A")  # a copy, if another program wrote the file: C reads whole numbers


def floats(array: np.ndarray) -> np.ndarray:
    """Weights as float32, whatever they were saved as."""
    if array.dtype == np.uint16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32, copy=False)


def own_weights(
    arrays: Mapping[str, np.ndarray], shared: Collection[str], shapes: Mapping[str, Sequence[int]], where: object
) -> dict[str, np.ndarray]:
    """The weights that a model is made of, in float32.

    shared: other names of tables; older models hold them under each name. shapes: of what it needs, by name. Raises
    `CheckpointError` naming the first difference.
    """
    own = {name: array for name, array in arrays.items() if name not in shared}
    check_shapes(own, shapes, where)
    return {name: floats(array) for name, array in own.items()}


def check_shapes(found: Mapping[str, Any], expected: Mapping[str, Sequence[int]], where: object) -> None:
    """Compare the names and shapes of weights with those that a model needs.

    Raises `CheckpointError` naming the first difference.
    """
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            raise CheckpointError(f"has no tensor {printable(repr(name))}, which the model needs", where=where)
        if name not in expected:
            raise CheckpointError(f"has a tensor {printable(repr(name))}, which the model does not know", where=where)
        if tuple(found[name].shape) != tuple(expected[name]):
            shapes = f"{list(found[name].shape)}, the model needs {list(expected[name])}"
            raise CheckpointError(f"tensor {printable(repr(name))} has the shape {shapes}", where=where)

"""Named tensors in safetensors files: written as a stream of chunks, read from bytes that were verified before.

The format is 8 bytes of header length (little endian), a JSON header {name: {dtype, shape, data_offsets}}, and the
data without gaps: https://github.com/huggingface/safetensors#format. Tensors that share memory are written as separate
copies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from s2s_cli.checkpoint.arrays import LARGEST_HEADER
from s2s_cli.errors import CheckpointError, printable

_DTYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
}


def encode_tensors(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """The chunks of a safetensors file. Raises `TypeError` for a number type that the format does not have."""
    # Wide elements first: with a header of a multiple of 8 bytes, every tensor is then aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, end = {}, 0
    for name in names:
        tensor = tensors[name]
        if tensor.dtype not in _DTYPES or tensor.layout != torch.strided:
            raise TypeError(f"{name}: tensors of type {tensor.dtype}, {tensor.layout} cannot be saved")
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        yield _bytes_of(tensors[name])


def decode_tensors(data: bytes, where: object) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises `CheckpointError` for anything but such a file."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or data[8:9] != b"{" or length > len(data) - 8:
        raise CheckpointError("is not a safetensors file", where=where)
    if length > LARGEST_HEADER:
        raise CheckpointError(f"has a header of {length:,} bytes; at most {LARGEST_HEADER:,} are allowed", where=where)
    try:
        return load_safetensors(data)
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError, AssertionError, MemoryError) as error:
        fault = printable(" ".join(str(error).split())) or type(error).__name__
        raise CheckpointError(f"is not a valid safetensors file: {fault}", where=where) from error


def _bytes_of(tensor: Tensor) -> memoryview:
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().data

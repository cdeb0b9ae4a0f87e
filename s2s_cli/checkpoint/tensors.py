"""Named tensors in safetensors files: written as a stream of chunks, read from bytes that were verified before.

The format is 8 bytes of header length (little endian), a JSON header {name: {dtype, shape, data_offsets}}, and the
data without gaps: https://github.com/huggingface/safetensors#format. Tensors that share memory are written as separate
copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from s2s_cli.checkpoint.arrays import encode_header, header_length
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
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES or tensor.layout != torch.strided:
            raise TypeError(f"{name}: tensors of type {tensor.dtype}, {tensor.layout} cannot be saved")
    # Wide elements first: then every tensor is aligned.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    parts = ((name, _DTYPES[tensors[name].dtype], tensors[name].shape, tensors[name].nbytes) for name in names)
    yield encode_header(parts, {})
    for name in names:
        yield _bytes_of(tensors[name])


def decode_tensors(data: bytes, where: object) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU. Raises `CheckpointError` for anything but such a file."""
    header_length(data, where)
    try:
        return load_safetensors(data)
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError, AssertionError, MemoryError) as error:
        fault = printable(" ".join(str(error).split())) or type(error).__name__
        raise CheckpointError(f"is not a valid safetensors file: {fault}", where=where) from error


def _bytes_of(tensor: Tensor) -> memoryview:
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().data

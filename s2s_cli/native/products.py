"""Matrix products of decoding, rows × weights, in 8 bits and in fp32: the function of `c/products.c`.

Weights are packed once, multiplied many times, and packed alike for every processor: they can be written to a file and
mapped from it. A block of 32 outputs has a word of 32 bits for each output and step along K: a float, or four 8-bit
weights, each stored as weight + 128. P: blocks. Q: the numbers in one.
"""

from __future__ import annotations

import numpy as np

from s2s_cli.native.calls import Function, Parameter

COLUMNS = 32
GROUP = 4  # inputs are a multiple of it in packed weights
ALIGNMENT = 64  # bytes in a line of a cache

_ZERO = {np.dtype(np.int8): 128, np.dtype(np.float32): 0}
_MULTIPLY = (
    Parameter("rows_RK", "rows"),
    Parameter("packed_PQ", "packed"),
    Parameter("products_RN", "products", "written"),
)
FUNCTIONS = {
    "multiply": Function(
        "multiply",
        "RNK",
        _MULTIPLY,
        {
            "float32": {"rows": "float32", "packed": "float32", "products": "float32"},
            "int8": {"rows": "int8", "packed": "uint8", "products": "int32"},
        },
        blocks=[("P", "N", COLUMNS, 1), ("Q", "K", GROUP, COLUMNS * GROUP)],
    )
}


def pack(weights_NK: np.ndarray) -> np.ndarray:
    """Weights, int8 or float32, as `multiply` takes them: uint8 or float32 [P, Q], aligned to lines of the cache."""
    (N, K), zero = weights_NK.shape, _ZERO[weights_NK.dtype]
    P, steps = -(-N // COLUMNS), -(-K // GROUP)
    kind = np.dtype(np.uint8 if zero else np.float32)
    padded = np.full((P * COLUMNS, steps * GROUP), zero, kind)
    padded[:N, :K] = weights_NK + np.int16(128) if zero else weights_NK
    parts = padded.reshape(P, COLUMNS, steps, GROUP).transpose(0, 2, 1, 3) if zero else padded.reshape(P, COLUMNS, -1)
    packed = _aligned((P, steps * GROUP * COLUMNS), kind)
    packed.reshape(P, steps, -1)[...] = (parts if zero else parts.transpose(0, 2, 1)).reshape(P, steps, -1)
    return packed


def packed_shape(outputs: int, inputs: int) -> tuple[int, int]:
    """P and Q of packed weights [N, K], in both number types."""
    return -(-outputs // COLUMNS), -(-inputs // GROUP) * GROUP * COLUMNS


def unpack(packed_PQ: np.ndarray, outputs: int, inputs: int) -> np.ndarray:
    """The weights [N, K] of which `pack` made this."""
    P, is_bytes = len(packed_PQ), packed_PQ.dtype == np.uint8
    parts = packed_PQ.reshape(P, -1, COLUMNS, GROUP if is_bytes else 1).transpose(0, 2, 1, 3)
    weights_NK = parts.reshape(P * COLUMNS, -1)[:outputs, :inputs]
    return (weights_NK - np.int16(128)).astype(np.int8) if is_bytes else weights_NK


def multiply(rows_RK: np.ndarray, packed_PQ: np.ndarray, products_RN: np.ndarray, *, threads: int) -> None:
    """rows × weightsᵀ into `products_RN`: int8 into int32, exact; or float32, where a row is the same to the last bit
    whatever other rows there are. Raises `ArrayError` if the arrays do not belong together."""
    variant = "int8" if rows_RK.dtype == np.int8 else "float32"
    FUNCTIONS["multiply"](variant, [rows_RK, packed_PQ, products_RN], threads=threads)


def multiply_reference(rows_RK: np.ndarray, weights_NK: np.ndarray) -> np.ndarray:
    """The same of weights that are not packed, by NumPy."""
    kind = np.int32 if rows_RK.dtype == np.int8 else np.float32
    return rows_RK.astype(kind) @ weights_NK.T.astype(kind)


def _aligned(shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    room = np.empty(int(np.prod(shape)) * kind.itemsize + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : len(room) - ALIGNMENT + start].view(kind).reshape(shape)

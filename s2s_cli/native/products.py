"""Matrix products, rows × weights: in 8 bits and fp32 for decoding, in fp32 and bfloat16 for training. The functions of
`c/products.c`.

Weights are packed once, multiplied many times, and packed alike for every processor: they can be written to a file and
mapped from it. A block of 32 outputs has a word of 32 bits for each output and step along K: a float, two numbers of
bfloat16, or four 8-bit weights, each stored as weight + 128. P: blocks. Q: the numbers in one.
"""

from __future__ import annotations

import numpy as np

from s2s_cli.native.calls import ABSENT, Function, Parameter
from s2s_cli.native.training import POSITION, STORAGES

COLUMNS = 32
GROUP = 4  # inputs are a multiple of it in packed weights
ALIGNMENT = 64  # bytes in a line of a cache

_PACKED = [("P", "N", COLUMNS, 1), ("Q", "K", GROUP, COLUMNS * GROUP)]
_MULTIPLY = (
    Parameter("rows_RK", "rows"),
    Parameter("packed_PQ", "packed"),
    Parameter("products_RN", "products", "written"),
    Parameter("addends_RN", "addends", optional=True),
)
_MULTIPLY_AT = (  # of each position or, where X is 1, of the last one alone
    Parameter("rows_TRK", "storage", "changing"),
    Parameter("packed_PQ", "storage"),
    Parameter("products_XRN", "storage", "written"),
    Parameter("addends_TRN", "storage", "changing", optional=True),
)
_TRANSPOSE = (Parameter("numbers_MN", "storage"), Parameter("transposed_NM", "storage", "written"))
_INTO = Parameter("packed_PQ", "storage", "written")
_ALIKE = {kind: dict.fromkeys(("rows", "packed", "products", "addends"), kind) for kind in STORAGES}
_INT8 = {"rows": "int8", "packed": "uint8", "products": "int32", "addends": ABSENT}
FUNCTIONS = {
    function.name: function
    for function in (
        Function("multiply", "RNK", _MULTIPLY, {**_ALIKE, "int8": _INT8}, blocks=_PACKED),
        Function("multiply_at", "RNKX", _MULTIPLY_AT, STORAGES, blocks=_PACKED, scalars=[POSITION]),
        Function("pack", "NK", [Parameter("weights_NK", "storage"), _INTO], STORAGES, blocks=_PACKED),
        Function("pack_transposed", "NK", [Parameter("weights_KN", "storage"), _INTO], STORAGES, blocks=_PACKED),
        Function("transpose", "MN", _TRANSPOSE, {"bfloat16": STORAGES["bfloat16"]}),
    )
}


def pack(weights_NK: np.ndarray) -> np.ndarray:
    """Weights, int8, float32 or bfloat16 (as uint16), as the functions take them: [P, Q], uint8 or of the same type,
    aligned to lines of the cache."""
    (N, K), zero = weights_NK.shape, 128 if weights_NK.dtype == np.int8 else 0
    kind = np.dtype(np.uint8) if zero else weights_NK.dtype
    P, Q = packed_shape(N, K)
    padded = np.full((P * COLUMNS, Q // COLUMNS), zero, kind)
    padded[:N, :K] = weights_NK + np.int16(128) if zero else weights_NK
    packed, each = _aligned((P, Q), kind), _in_word(kind)
    words = Q // COLUMNS // each
    packed.reshape(P, words, COLUMNS, each)[...] = padded.reshape(P, COLUMNS, words, each).transpose(0, 2, 1, 3)
    return packed


def packed_shape(outputs: int, inputs: int) -> tuple[int, int]:
    """P and Q of packed weights [N, K], in all number types."""
    return -(-outputs // COLUMNS), -(-inputs // GROUP) * GROUP * COLUMNS


def unpack(packed_PQ: np.ndarray, outputs: int, inputs: int) -> np.ndarray:
    """The weights [N, K] of which `pack` made this."""
    P, kind = len(packed_PQ), packed_PQ.dtype
    words = packed_PQ.reshape(P, -1, COLUMNS, _in_word(kind)).transpose(0, 2, 1, 3)
    weights_NK = words.reshape(P * COLUMNS, -1)[:outputs, :inputs]
    return (weights_NK - np.int16(128)).astype(np.int8) if kind == np.uint8 else weights_NK


def _in_word(kind: np.dtype) -> int:
    """How many numbers are in 32 bits."""
    return 4 // kind.itemsize


def multiply(rows_RK: np.ndarray, packed_PQ: np.ndarray, products_RN: np.ndarray, *, threads: int) -> None:
    """rows × weightsᵀ into `products_RN`: int8 into int32, exact; or float32, where a row is the same to the last bit
    whatever other rows there are. Raises `ArrayError` if the arrays do not belong together."""
    variant = "int8" if rows_RK.dtype == np.int8 else "float32"
    FUNCTIONS["multiply"](variant, [rows_RK, packed_PQ, products_RN, None], threads=threads)


def multiply_reference(rows_RK: np.ndarray, weights_NK: np.ndarray) -> np.ndarray:
    """The same of weights that are not packed, by NumPy."""
    kind = np.int32 if rows_RK.dtype == np.int8 else np.float32
    return rows_RK.astype(kind) @ weights_NK.T.astype(kind)


def _aligned(shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    room = np.empty(int(np.prod(shape)) * kind.itemsize + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : len(room) - ALIGNMENT + start].view(kind).reshape(shape)

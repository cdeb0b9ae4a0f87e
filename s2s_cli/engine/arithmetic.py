"""The number types in which the engine multiplies matrices.

Rows go in as an `Operand` and come out in float32. In int8 every row has a scale of its own, so that no row changes
the rounding of another, and every output of a weight matrix has one too; sums are exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Arithmetic(NamedTuple):
    """A number type of matrix products.

    name: the variant of the functions in `native/c/*.c`. operands: type of what products read, and of values.
    tables: of keys, embeddings and what a symbol adds to a sum; uint16 stands for bfloat16.
    """

    name: str
    operands: type
    tables: type

    @property
    def has_scales(self) -> bool:
        return self.operands is np.int8


ARITHMETICS = {
    "fp32": Arithmetic("float32", np.float32, np.float32),
    "int8": Arithmetic("int8", np.int8, np.uint16),
}


class Operand(NamedTuple):
    """Rows that a product reads, [R, N]. In int8 row r stands for values[r] × scales[r]; else there are no scales."""

    values_RN: np.ndarray
    scales_R: np.ndarray | None

    def rows(self, index: slice | np.ndarray) -> Operand:
        return Operand(self.values_RN[index], None if self.scales_R is None else self.scales_R[index])


def quantised(numbers_RN: np.ndarray, has_scales: bool) -> Operand:
    """Rows as products read them: in int8 the greatest magnitude of each becomes 127, and a row of zeros stays so."""
    if not has_scales:
        return Operand(np.asarray(numbers_RN, np.float32), None)
    greatest_R = np.abs(numbers_RN).max(axis=1, initial=0.0)
    inverse_R = np.divide(np.float32(127), greatest_R, out=np.zeros_like(greatest_R), where=greatest_R > 0)
    return Operand(np.rint(numbers_RN * inverse_R[:, None]).astype(np.int8), greatest_R / np.float32(127))


def to_table(numbers: np.ndarray, arithmetic: Arithmetic) -> np.ndarray:
    """Numbers as tables hold them."""
    return to_bfloat16(numbers) if arithmetic.tables is np.uint16 else np.asarray(numbers, np.float32)


def to_bfloat16(numbers: np.ndarray) -> np.ndarray:
    """The nearest bfloat16, ties to even, in arrays of uint16."""
    bits = np.array(numbers, np.float32, order="C").view(np.uint32)
    bits += (bits >> 16 & 1) + np.uint32(0x7FFF)
    bits >>= 16
    return bits.astype(np.uint16)


def from_table(table: np.ndarray) -> np.ndarray:
    """float32."""
    return (table.astype(np.uint32) << 16).view(np.float32) if table.dtype == np.uint16 else table

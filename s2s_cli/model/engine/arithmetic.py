"""The number types in which the engine multiplies matrices.

Rows go in as an `Operand` and come out as a `Product`. In int8 every row has a scale of its own, so that no row changes
the rounding of another, and every output of a weight matrix has one too; sums are exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.model.kernels.packing import packed


class Operand(NamedTuple):
    """Rows that a product reads, [R, N]. In int8 row r stands for values[r] × scales[r]; else there are no scales."""

    values_RN: Tensor
    scales_R: Tensor | None

    def numbers(self) -> Tensor:
        """float32 [R, N]."""
        return self.values_RN.float() if self.scales_R is None else self.values_RN * self.scales_R[:, None]


class Product(NamedTuple):
    """Rows times weights, [R, N]. In int8 it stands for values[r, n] × row_scales[r] × column_scales[n]."""

    values_RN: Tensor
    row_scales_R: Tensor | None = None
    column_scales_N: Tensor | None = None

    def columns(self, start: int, stop: int) -> Product:
        scales = self.column_scales_N
        return Product(self.values_RN[:, start:stop], self.row_scales_R, None if scales is None else scales[start:stop])

    def numbers(self) -> Tensor:
        """float32 [R, N]."""
        numbers_RN = self.values_RN.float()
        if self.row_scales_R is None or self.column_scales_N is None:
            return numbers_RN
        return numbers_RN * self.row_scales_R[:, None] * self.column_scales_N


class Dense(ABC):
    """A product with weights. weights: they themselves, a row [K] for each of the N outputs."""

    weights: Operand

    @abstractmethod
    def __call__(self, rows: Operand) -> Product:
        """Multiply. The result is overwritten by the next one."""


class Arithmetic(ABC):
    """A number type of matrix products.

    name: the variant of the functions in `native/c/decoding.c`. operands: type of what products read. tables: that of
    embeddings, keys and encoder states, which no product reads.
    """

    name: str
    operands: torch.dtype
    tables: torch.dtype

    @abstractmethod
    def room(self, rows: int, width: int) -> Operand:
        """For rows that are still to be written."""

    @abstractmethod
    def dense(self, weight_NK: Tensor) -> Dense:
        """The product with these weights."""


class Floats(Arithmetic):
    """Floating-point products, of the same type all through."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.name, self.operands, self.tables = name, dtype, dtype

    def room(self, rows: int, width: int) -> Operand:
        return Operand(torch.empty(rows, width, dtype=self.operands), None)

    def dense(self, weight_NK: Tensor) -> Dense:
        return FloatDense(weight_NK.to(self.operands).contiguous())


class FloatDense(Dense):
    def __init__(self, weight_NK: Tensor) -> None:
        self.weights = Operand(weight_NK, None)
        self.factor = packed(weight_NK)

    def __call__(self, rows: Operand) -> Product:
        return Product(self.factor.product(rows.values_RN))


class Int8(Arithmetic):
    """Whole numbers within ±127 and exact sums of 32 bits, scaled by the row and by the column."""

    name, operands, tables = "int8", torch.int8, torch.bfloat16

    def room(self, rows: int, width: int) -> Operand:
        return Operand(torch.empty(rows, width, dtype=self.operands), torch.empty(rows))

    def dense(self, weight_NK: Tensor) -> Dense:
        scales_N = (weight_NK.float().abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        return Int8Dense((weight_NK.float() / scales_N[:, None]).round().to(self.operands), scales_N)


class Int8Dense(Dense):
    def __init__(self, weight_NK: Tensor, scales_N: Tensor) -> None:
        self.weights = Operand(weight_NK, scales_N)
        self.buffer = Buffer(len(weight_NK), torch.int32)

    def __call__(self, rows: Operand) -> Product:
        sums_RN = self.buffer.rows(len(rows.values_RN))
        torch._int_mm(rows.values_RN, self.weights.values_RN.t(), out=sums_RN)
        return Product(sums_RN, rows.scales_R, self.weights.scales_R)


class Buffer:
    """Room for a result, used again and again: fresh memory would cost a page fault for every 4 KiB."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        self._room = torch.empty(0, width, dtype=dtype)

    def rows(self, count: int) -> Tensor:
        if count > len(self._room):
            self._room = self._room.new_empty(count, self._room.size(1))
        return self._room[:count]


ARITHMETICS: dict[str, Arithmetic] = {
    "fp32": Floats("float32", torch.float32),
    "bf16": Floats("bfloat16", torch.bfloat16),
    "int8": Int8(),
}

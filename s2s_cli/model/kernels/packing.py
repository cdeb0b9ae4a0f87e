"""Products with a weight matrix that multiplies again and again: its memory is put in the order of reading once."""

from __future__ import annotations

import functools
from typing import Protocol

import torch
from torch import Tensor

ROWS = 64
"""The number of rows for which the order is chosen. It is always the same, so that the product of a row hardly ever
depends on how many others there are; with MKL it does below six."""


class Factor(Protocol):
    """A weight matrix, [N, K]."""

    def product(self, x_RK: Tensor) -> Tensor:
        """x @ weight.t(), [R, N]."""

    def mm(self, x_RK: Tensor, out: Tensor) -> Tensor:
        """The same, in memory that is there."""

    def addmm(self, addend_RN: Tensor, x_RK: Tensor, out: Tensor) -> Tensor:
        """addend + x @ weight.t(), [R, N]."""


class PlainFactor:
    """By torch's products, for all devices and number types: the reference."""

    def __init__(self, weight_NK: Tensor) -> None:
        self.weight_KN = weight_NK.t()

    def product(self, x_RK: Tensor) -> Tensor:
        return torch.mm(x_RK, self.weight_KN)

    def mm(self, x_RK: Tensor, out: Tensor) -> Tensor:
        return torch.mm(x_RK, self.weight_KN, out=out)

    def addmm(self, addend_RN: Tensor, x_RK: Tensor, out: Tensor) -> Tensor:
        return torch.addmm(addend_RN, x_RK, self.weight_KN, out=out)


class PackedFactor:
    """By oneDNN: few rows in float32 are multiplied 1.3 to 1.7 times as fast as by MKL, which packs them each time."""

    def __init__(self, weight_NK: Tensor) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight_NK.contiguous(), ROWS)

    def product(self, x_RK: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x_RK, self.weight, None, "none", [], "")

    def mm(self, x_RK: Tensor, out: Tensor) -> Tensor:
        return out.copy_(self.product(x_RK))

    def addmm(self, addend_RN: Tensor, x_RK: Tensor, out: Tensor) -> Tensor:
        return torch.add(addend_RN, self.product(x_RK), out=out)


def packed(weight_NK: Tensor) -> Factor:
    """The faster of the two. In bfloat16 torch's own products are oneDNN's, and packing saves no more than it costs."""
    if weight_NK.dtype is torch.float32 and weight_NK.device.type == "cpu" and can_pack():
        return PackedFactor(weight_NK)
    return PlainFactor(weight_NK)


@functools.cache
def can_pack() -> bool:
    """Whether this torch has such products, which are none of its public functions, and they are right."""
    x_RK, weight_NK = torch.arange(64.0).view(4, 16).cos(), torch.arange(512.0).view(32, 16).sin()
    out_RN, expected_RN = torch.empty(2, 4, 32)
    try:
        PackedFactor(weight_NK).mm(x_RK, out_RN)
    except (RuntimeError, AttributeError, TypeError):
        return False
    return torch.allclose(out_RN, PlainFactor(weight_NK).mm(x_RK, expected_RN), rtol=1e-4, atol=1e-4)

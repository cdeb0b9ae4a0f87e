"""A dense layer's product in training, as an autograd function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from s2s_cli.model.kernels import native
from s2s_cli.model.kernels.backend import compute_type


def fast_linear(inputs_XK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, [..., K] -> [..., N], by the C library where that is faster."""
    if not _is_faster(inputs_XK, weight_NK):
        return linear(inputs_XK, weight_NK, bias_N)
    kind = torch.bfloat16
    rows_RK = inputs_XK.to(kind).reshape(-1, weight_NK.shape[1])
    with torch.autocast("cpu", enabled=False):
        products_RN = _Product.apply(rows_RK, weight_NK.to(kind), None if bias_N is None else bias_N.to(kind))
    return products_RN.view(*inputs_XK.shape[:-1], len(weight_NK))


def _is_faster(inputs_XK: Tensor, weight_NK: Tensor) -> bool:
    """In decoding a step has few rows, and to pack the weights would take longer than to multiply."""
    kinds = {inputs_XK.dtype, weight_NK.dtype, torch.bfloat16}
    return (
        torch.is_grad_enabled()
        and inputs_XK.device.type == "cpu"
        and compute_type(inputs_XK) is torch.bfloat16
        and kinds <= {torch.float32, torch.bfloat16}
        and native.fits(torch.bfloat16, inputs_XK.device)
        and native.multiplies_any_number(torch.bfloat16)
    )


class _Product(torch.autograd.Function):
    """rows @ weight.t() + bias, all of them bfloat16: [R, K] and [N, K] -> [R, N]."""

    @staticmethod
    def forward(ctx: Any, rows_RK: Tensor, weight_NK: Tensor, bias_N: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows_RK, weight_NK)
        return native.factor(weight_NK)(rows_RK, None if bias_N is None else bias_N.expand(len(rows_RK), -1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_products_RN: Tensor) -> tuple[Tensor | None, ...]:
        rows_RK, weight_NK = ctx.saved_tensors
        in_rows, in_weight, in_bias = ctx.needs_input_grad
        return (
            native.factor(weight_NK.t())(d_products_RN) if in_rows else None,
            native.outer(d_products_RN, rows_RK) if in_weight else None,
            d_products_RN.sum(dim=0) if in_bias else None,
        )

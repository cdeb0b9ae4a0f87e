"""A dense layer's product, as an autograd function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from s2s_cli.model.kernels import native
from s2s_cli.model.kernels.backend import compute_type, passes_for
from s2s_cli.model.kernels.passes import Passes


def fast_linear(inputs_XK: Tensor, weight_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, [..., K] -> [..., N], by the C library where that is faster."""
    kind, device = compute_type(inputs_XK), inputs_XK.device
    if not (native.fits(kind, device) and native.multiplies_any_number(kind)):
        return linear(inputs_XK, weight_NK, bias_N)
    bias = None if bias_N is None else bias_N.to(kind)
    rows_RK = inputs_XK.to(kind).flatten(0, -2)
    with torch.autocast(device.type, enabled=False):
        products_RN = _Product.apply(rows_RK, weight_NK.to(kind), bias, passes_for(kind, device))
    return products_RN.unflatten(0, inputs_XK.shape[:-1])


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows_RK: Tensor, weight_NK: Tensor, bias_N: Tensor | None, passes: Passes) -> Tensor:
        ctx.save_for_backward(rows_RK, weight_NK)
        ctx.passes = passes
        addends_RN = None if bias_N is None else bias_N.expand(len(rows_RK), -1)
        return passes.factor(weight_NK)(rows_RK, addends_RN)

    @staticmethod
    def backward(ctx: Any, d_products_RN: Tensor) -> tuple[Tensor | None, ...]:
        rows_RK, weight_NK = ctx.saved_tensors
        in_rows, in_weight, in_bias, _ = ctx.needs_input_grad
        return (
            ctx.passes.factor(weight_NK.t())(d_products_RN) if in_rows else None,
            ctx.passes.outer(d_products_RN, rows_RK) if in_weight else None,
            d_products_RN.sum(dim=0) if in_bias else None,
            None,
        )

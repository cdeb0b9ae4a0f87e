"""Passes in C, each once over its tensors: on CPU, in float32 and bfloat16. See `native/c/training.c`, `products.c`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import torch
from torch import Tensor

from s2s_cli.model.kernels import aten
from s2s_cli.model.kernels.passes import Pass
from s2s_cli.native import library, products, variants
from s2s_cli.native.training import FUNCTIONS

Tensors = Sequence[Tensor | None]
STORAGES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def fits(kind: torch.dtype, device: torch.device) -> bool:
    """Whether there is a library, and it knows numbers of this kind."""
    return device.type == "cpu" and kind in STORAGES and library.load() is not None


def multiply(weight_NK: Tensor, rows_TRK: Tensor, products_XRN: Tensor, addends_TRN: Tensor | None = None) -> Pass:
    """The weights are packed once. torch's products of bfloat16 pack them each time, which for the few rows of a
    recurrence takes as long as to multiply."""
    if not multiplies(weight_NK.dtype):
        return aten.multiply(weight_NK, rows_TRK, products_XRN, addends_TRN)
    variant, threads = STORAGES[weight_NK.dtype], torch.get_num_threads()
    packed_PQ = weight_NK.new_empty(products.packed_shape(*weight_NK.shape))
    pack, weight = ("pack", weight_NK) if weight_NK.stride(1) == 1 else ("pack_transposed", weight_NK.t())
    products.FUNCTIONS[pack](variant, (weight, packed_PQ), threads=threads)
    tensors = (rows_TRK, packed_PQ, products_XRN, addends_TRN)
    return products.FUNCTIONS["multiply_at"].bind(variant, tensors, threads=threads)


@cache
def multiplies(kind: torch.dtype) -> bool:
    """Whether the library multiplies such numbers as fast as the processor can. torch knows Intel's matrix unit."""
    return kind is torch.float32 or (bool(library.loaded().has_bfloat16()) and "amx_bf16" not in variants.features())


def _pass(name: str, run: Tensors, gradients: Tensors = ()) -> Pass:
    """The function of the library with these tensors, whose first one tells the type of all that is stored."""
    first = run[0]
    assert first is not None
    return FUNCTIONS[name].bind(STORAGES[first.dtype], (*run, *gradients), threads=torch.get_num_threads())


gru_forward, gru_backward = partial(_pass, "gru_forward"), partial(_pass, "gru_backward")
blend_forward, blend_backward = partial(_pass, "blend_forward"), partial(_pass, "blend_backward")
attention_forward, attention_backward = partial(_pass, "attention_forward"), partial(_pass, "attention_backward")


def cross_entropy(logits_NV: Tensor, bias_V: Tensor, targets_N: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    loss_N, likelihood_N = torch.empty(2, len(logits_NV)).unbind()
    tensors = (logits_NV, bias_V, targets_N, loss_N, likelihood_N)
    FUNCTIONS["cross_entropy"](STORAGES[logits_NV.dtype], tensors, smoothing, threads=torch.get_num_threads())
    return loss_N, likelihood_N

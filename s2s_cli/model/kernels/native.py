"""Passes in C, each once over its tensors: on CPU, in float32 and bfloat16. See `native/c/training.c`, `products.c`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import cast

import torch
from torch import Tensor

from s2s_cli.model.kernels import aten
from s2s_cli.model.kernels.passes import AttentionGradients, AttentionRun, Factor, Pass
from s2s_cli.native import library, products
from s2s_cli.native.calls import Bound, Function, call_along
from s2s_cli.native.training import FUNCTIONS

Tensors = Sequence[Tensor | None]
STORAGES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def fits(kind: torch.dtype, device: torch.device) -> bool:
    """Whether there is a library, and it knows numbers of this kind."""
    return device.type == "cpu" and kind in STORAGES and library.load() is not None


def run(passes: Sequence[Pass], positions: range) -> None:
    """In one call, in which other threads can run: they would wait for Python's lock after each pass."""
    if all(isinstance(each, Bound) for each in passes):
        call_along(cast(Sequence[Bound], passes), positions)
    else:
        aten.run(passes, positions)


def multiply(weight_NK: Tensor, rows_TRK: Tensor, products_XRN: Tensor, addends_TRN: Tensor | None = None) -> Pass:
    """The weights are packed once. torch's products of bfloat16 pack them each time, which for the few rows of a
    recurrence takes as long as to multiply."""
    if not multiplies(weight_NK.dtype):
        return aten.multiply(weight_NK, rows_TRK, products_XRN, addends_TRN)
    tensors = (rows_TRK, _packed(weight_NK), products_XRN, addends_TRN)
    return products.FUNCTIONS["multiply_at"].bind(STORAGES[weight_NK.dtype], tensors, threads=torch.get_num_threads())


def factor(weight_NK: Tensor) -> Factor:
    """In bfloat16. torch compiles code for each new number of rows, which takes longer than to multiply them."""
    if not multiplies_any_number(weight_NK.dtype):
        return aten.factor(weight_NK)
    packed_PQ = _packed(weight_NK)

    def times(rows_RK: Tensor, addends_RN: Tensor | None = None) -> Tensor:
        products_RN = rows_RK.new_empty(len(rows_RK), len(weight_NK))
        _call(products.FUNCTIONS["multiply"], rows_RK, packed_PQ, products_RN, addends_RN)
        return products_RN

    return times


def outer(first_RM: Tensor, second_RN: Tensor) -> Tensor:
    """In bfloat16, likewise."""
    if not multiplies_any_number(first_RM.dtype):
        return aten.outer(first_RM, second_RN)
    first_MR = first_RM.new_empty(first_RM.shape[::-1])
    _call(products.FUNCTIONS["transpose"], first_RM, first_MR)
    return factor(second_RN.t())(first_MR)


@cache
def multiplies(kind: torch.dtype) -> bool:
    """Whether the library multiplies such numbers as fast as the processor can. torch knows Intel's matrix unit where a
    variant of the library that does not was chosen, or is all that could be compiled."""
    if kind is torch.float32:
        return True
    return library.loaded().has_matrix_unit() or (
        library.loaded().has_bfloat16() and not torch.cpu._is_amx_tile_supported()
    )


def multiplies_any_number(kind: torch.dtype) -> bool:
    """The same where rows are many, and their number is another one at each update."""
    return kind is torch.bfloat16 and multiplies(kind)


def _packed(weight_NK: Tensor) -> Tensor:
    packed_PQ = weight_NK.new_empty(products.packed_shape(*weight_NK.shape))
    pack, weight = ("pack", weight_NK) if weight_NK.stride(1) == 1 else ("pack_transposed", weight_NK.t())
    _call(products.FUNCTIONS[pack], weight, packed_PQ)
    return packed_PQ


def _call(function: Function, *tensors: Tensor | None) -> None:
    """The function of the library, for the type of the first tensor."""
    assert tensors[0] is not None
    function(STORAGES[tensors[0].dtype], tensors, threads=torch.get_num_threads())


def _pass(name: str, run: Tensors, gradients: Tensors = ()) -> Pass:
    """The function of the library with these tensors, whose first one tells the type of all that is stored."""
    first = run[0]
    assert first is not None
    return FUNCTIONS[name].bind(STORAGES[first.dtype], (*run, *gradients), threads=torch.get_num_threads())


gru_forward, gru_backward = partial(_pass, "gru_forward"), partial(_pass, "gru_backward")
blend_forward, blend_backward = partial(_pass, "blend_forward"), partial(_pass, "blend_backward")
attention_forward, attention_backward = partial(_pass, "attention_forward"), partial(_pass, "attention_backward")


def attention_memory(run: AttentionRun, gradients: AttentionGradients) -> Tensor:
    if run.memory_BSM.dtype is torch.float32:  # of which torch's products are as good for any shape
        return aten.attention_memory(run, gradients)
    d_memory_BSM = torch.empty_like(run.memory_BSM, memory_format=torch.contiguous_format)
    tensors = (run.attention_TBS, gradients.contexts_TBM, d_memory_BSM)
    FUNCTIONS["attention_memory"]("bfloat16", tensors, threads=torch.get_num_threads())
    return d_memory_BSM


def cross_entropy(logits_NV: Tensor, bias_V: Tensor, targets_N: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    loss_N, likelihood_N = torch.empty(2, len(logits_NV)).unbind()
    tensors = (logits_NV, bias_V, targets_N, loss_N, likelihood_N)
    FUNCTIONS["cross_entropy"](STORAGES[logits_NV.dtype], tensors, smoothing, threads=torch.get_num_threads())
    return loss_N, likelihood_N

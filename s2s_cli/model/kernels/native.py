"""Passes as loops in C, each once over its tensors: on CPU, in float32 and bfloat16. See `native/c/training.c`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from s2s_cli.model.kernels.passes import (
    AttentionGradients,
    AttentionRun,
    BlendGradients,
    BlendRun,
    GRUGradients,
    GRURun,
    Pass,
)
from s2s_cli.native import library
from s2s_cli.native.training import FUNCTIONS

STORAGES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def fits(kind: torch.dtype, device: torch.device) -> bool:
    """Whether there is a library, and it knows numbers of this kind."""
    return device.type == "cpu" and kind in STORAGES and library.load() is not None


def gru_forward(run: GRURun) -> Pass:
    return _pass("gru_forward", run)


def gru_backward(run: GRURun, gradients: GRUGradients) -> Pass:
    return _pass("gru_backward", (*run, *gradients))


def blend_forward(run: BlendRun) -> Pass:
    return _pass("blend_forward", run)


def blend_backward(run: BlendRun, gradients: BlendGradients) -> Pass:
    return _pass("blend_backward", (*run, *gradients))


def attention_forward(run: AttentionRun) -> Pass:
    return _pass("attention_forward", run)


def attention_backward(run: AttentionRun, gradients: AttentionGradients) -> Pass:
    return _pass("attention_backward", (*run, *gradients))


def cross_entropy(logits_NV: Tensor, bias_V: Tensor, targets_N: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    loss_N, likelihood_N = torch.empty(2, len(logits_NV)).unbind()
    tensors = (logits_NV, bias_V, targets_N, loss_N, likelihood_N)
    FUNCTIONS["cross_entropy"](STORAGES[logits_NV.dtype], tensors, smoothing, threads=torch.get_num_threads())
    return loss_N, likelihood_N


def _pass(name: str, tensors: Sequence[Tensor | None]) -> Pass:
    """The function of the library with these tensors, whose first one tells the type of all that is stored."""
    first = tensors[0]
    assert first is not None
    return FUNCTIONS[name].bind(STORAGES[first.dtype], tensors, threads=torch.get_num_threads())

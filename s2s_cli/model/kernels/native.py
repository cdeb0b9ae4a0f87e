"""Passes as loops in C, each once over its tensors: on CPU, in float32 and bfloat16. See `native/c/training.c`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from s2s_cli.model.kernels.passes import Pass
from s2s_cli.native import library
from s2s_cli.native.training import FUNCTIONS

Tensors = Sequence[Tensor | None]
STORAGES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def fits(kind: torch.dtype, device: torch.device) -> bool:
    """Whether there is a library, and it knows numbers of this kind."""
    return device.type == "cpu" and kind in STORAGES and library.load() is not None


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

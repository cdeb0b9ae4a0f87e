"""Steps as loops in C, each one pass over its tensors: on CPU, in float32 and bfloat16. See `c/training.c`."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Array, c_float, c_int, c_int64, c_void_p

import torch
from torch import Tensor

from s2s_cli.model.kernels import library
from s2s_cli.model.kernels.steps import AttentionGradients, AttentionRun, GRUGradients, GRURun, Step

STORAGES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def fits(kind: torch.dtype, device: torch.device) -> bool:
    """Whether there is a library, and it knows numbers of this kind."""
    return device.type == "cpu" and kind in STORAGES and library.load() is not None


def gru_forward(run: GRURun) -> Step:
    return _step("gru_forward", run.following_TBH.shape[1:], run)


def gru_backward(run: GRURun, gradients: GRUGradients) -> Step:
    return _step("gru_backward", run.following_TBH.shape[1:], run, gradients)


def attention_forward(run: AttentionRun) -> Step:
    return _step("attention_forward", (*run.keys_BSA.shape, run.memory_BSM.shape[2]), run)


def attention_backward(run: AttentionRun, gradients: AttentionGradients) -> Step:
    return _step("attention_backward", (*run.keys_BSA.shape, run.memory_BSM.shape[2]), run, gradients)


def cross_entropy(logits_NV: Tensor, bias_V: Tensor, targets_N: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    rows, symbols = logits_NV.shape
    tensors = (logits_NV, bias_V, targets_N.contiguous(), torch.empty(rows), torch.empty(rows))
    function = getattr(library.load(), f"cross_entropy_{STORAGES[logits_NV.dtype]}")
    function(record((rows, symbols), tensors), c_float(smoothing), c_int(torch.get_num_threads()))
    return tensors[3], tensors[4]


def _step(name: str, sizes: Sequence[int], run: GRURun | AttentionRun, *gradients: Sequence[Tensor | None]) -> Step:
    """The function `name` of the library, bound to the memory of these tensors, which live as long as the step."""
    function = getattr(library.load(), f"{name}_{STORAGES[run[0].dtype]}")
    function.argtypes = [c_void_p] * (1 + len(gradients)) + [c_int64, c_int]
    tensors = [[_rows(tensor) for tensor in group] for group in (run, *gradients)]
    records = [record(sizes if group is tensors[0] else (), group) for group in tensors]
    threads = torch.get_num_threads()

    def step(t: int, _alive: object = tensors) -> None:
        function(*records, t, threads)

    return step


def _rows(tensor: Tensor | None) -> Tensor | None:
    """The tensor, or a copy of it, with its last numbers side by side."""
    if tensor is None or tensor.dtype is torch.bool or tensor.stride(-1) == 1:
        return tensor
    return tensor.contiguous()


def record(sizes: Sequence[int], tensors: Sequence[Tensor | None]) -> Array[c_int64]:
    """A struct of the library: the sizes, then a `view` of each tensor."""
    numbers = list(sizes)
    for tensor in tensors:
        numbers += (0, 0, 0) if tensor is None else (tensor.data_ptr(), *(*tensor.stride(), 0)[:2])
    return (c_int64 * len(numbers))(*numbers)

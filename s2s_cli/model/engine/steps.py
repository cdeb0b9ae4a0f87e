"""The passes between the engine's products, as functions of the C library."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int

import torch
from torch import Tensor

from s2s_cli.model.engine.arithmetic import Arithmetic
from s2s_cli.model.kernels import library
from s2s_cli.model.kernels.native import record


def available() -> bool:
    """Whether there is a library."""
    return library.load() is not None


def run_step(name: str, arithmetic: Arithmetic, sizes: Sequence[int], *tensors: Tensor | None) -> None:
    """Call a function of `decoding.c`: sizes and tensors are the fields of its record, in their order."""
    function = getattr(library.load(), f"{name}_{arithmetic.name}")
    function(record(sizes, tensors), c_int(torch.get_num_threads()))

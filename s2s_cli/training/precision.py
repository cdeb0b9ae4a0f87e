"""Where and in which number type the model is trained."""

from __future__ import annotations

import torch

from s2s_cli.errors import UsageError


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("no CUDA device is available", where="training.device", hint="use `cpu` or `auto`")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of matrix products; `auto` takes bfloat16 where the device computes it natively.

    Without such units bfloat16 is several times slower than float32: the choice follows capability, not hope.
    """
    if precision == "auto":
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()

"""Where, and in which number type, matrices are multiplied."""

from __future__ import annotations

import torch

from s2s_cli.errors import UsageError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_device(name: str, where: str | None = None) -> torch.device:
    """`cpu`, `cuda`, or `auto`: a GPU if there is one. where: what named it, for the error."""
    if name not in DEVICES:
        raise UsageError(f"unknown device `{name}`", where=where, hint=f"one of {', '.join(DEVICES)}")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("there is no GPU that PyTorch can use", where=where, hint="use `cpu` or `auto`")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def choose_dtype(precision: str, device: torch.device, where: str | None = None) -> torch.dtype:
    """The type of matrix products: `fp32`, `bf16`, or `auto`: bfloat16 where the device computes it natively.

    Without such units bfloat16 is several times slower than float32: the choice follows capability, not hope.
    """
    if precision == "auto":
        return torch.bfloat16 if has_native_bfloat16(device) else torch.float32
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision `{precision}`", where=where, hint=f"one of auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def precision_of(dtype: torch.dtype) -> str:
    """The name of a number type in recipes and options."""
    return next(name for name, kind in PRECISIONS.items() if kind is dtype)


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether this device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()

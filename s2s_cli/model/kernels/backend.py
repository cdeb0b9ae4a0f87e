"""Which passes a fused kernel is made of, and which number types it works with."""

from __future__ import annotations

import torch
from torch import Tensor

from s2s_cli.model.kernels import aten, native
from s2s_cli.model.kernels.passes import Passes


def passes_for(kind: torch.dtype, device: torch.device, native_allowed: bool = True) -> Passes:
    """The passes in C where there are such for this number type and device, else those of torch operations."""
    return native if native_allowed and native.fits(kind, device) else aten


def passes_name(kind: torch.dtype, device: torch.device) -> str:
    """Which of the two it is, `native` or `aten`, for messages. The first call compiles the C library."""
    return "native" if passes_for(kind, device) is native else "aten"


def compute_type(values: Tensor) -> torch.dtype:
    """The number type of matrix products: that of autocast where it is on, else the tensor's own."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype


def wide_type(kind: torch.dtype) -> torch.dtype:
    """The number type of sums, and of what must not be rounded at each step: at least float32."""
    return torch.promote_types(kind, torch.float32)

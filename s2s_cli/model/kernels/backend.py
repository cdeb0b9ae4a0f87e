"""Which steps and which number types a kernel works with."""

from __future__ import annotations

import torch
from torch import Tensor

from s2s_cli.model.kernels import aten, native
from s2s_cli.model.kernels.steps import Steps


def steps_for(values: Tensor, allow_native: bool = True) -> Steps:
    """The steps in C where there are such for this type and device, else those of torch operations."""
    return native if allow_native and native.fits(values.dtype, values.device) else aten


def compute_type(values: Tensor) -> torch.dtype:
    """The number type of matrix products: that of autocast where it is on, else the tensor's own."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype


def wide_type(kind: torch.dtype) -> torch.dtype:
    """The number type of sums, and of what must not be rounded at each step: at least float32."""
    return torch.promote_types(kind, torch.float32)

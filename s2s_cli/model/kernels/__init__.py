"""How recurrences are run. Every kernel computes the same functions; they differ in speed alone."""

from __future__ import annotations

from s2s_cli.model.kernels.fused import FusedKernel
from s2s_cli.model.kernels.reference import Kernel, ReferenceKernel

KERNELS: dict[str, type[Kernel]] = {"reference": ReferenceKernel, "fused": FusedKernel, "auto": FusedKernel}


def choose_kernel(name: str) -> Kernel:
    """The kernel of this name. `fused` runs what it does not know by the reference."""
    return KERNELS[name]()


__all__ = ["KERNELS", "FusedKernel", "Kernel", "ReferenceKernel", "choose_kernel"]

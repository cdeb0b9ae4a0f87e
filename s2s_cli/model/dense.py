"""Dense layers."""

from __future__ import annotations

from torch import Tensor, nn

from s2s_cli.model.kernels.product import fast_linear


class Dense(nn.Linear):
    """W x + b, [..., K] -> [..., N]."""

    def forward(self, inputs_XK: Tensor) -> Tensor:
        return fast_linear(inputs_XK, self.weight, self.bias)

"""Outputs: from what the decoder knows of a position to the distribution of the symbol that stands there.

A new output is one class here and one row of `OUTPUTS`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from s2s_cli.model.features import Features
from s2s_cli.model.kernels.backend import wide_type
from s2s_cli.model.kernels.cross_entropy import fused_cross_entropy
from s2s_cli.model.memory import Memory


@dataclass(frozen=True)
class Decoded:
    """What an output may see: of each position the readout, the features and the embedding of y_{t-1}; the source."""

    readout_BXR: Tensor
    features: Features
    embedded_BXE: Tensor
    memory: Memory


class Output(nn.Linear):
    """p(y_t | y_<t, x). As a layer it projects readouts to the vocabulary, [.., R] -> [.., V].

    readout: R. symbols: V.
    """

    def __init__(self, readout: int, symbols: int) -> None:
        super().__init__(readout, symbols)

    @abstractmethod
    def log_probs(self, decoded: Decoded) -> Tensor:
        """log p of every symbol at every position, at least float32 [B, X, V]."""

    @abstractmethod
    def loss(self, decoded: Decoded, target_BT: Tensor, valid_BT: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """Sums over the valid positions of the label-smoothed loss and of −log p(target), the latter not
        differentiable. smoothing: share of the wanted distribution that is spread evenly over all symbols."""


class SoftmaxOutput(Output):
    """p = softmax(W r_t + b)."""

    def log_probs(self, decoded: Decoded) -> Tensor:
        logits_BXV = self(decoded.readout_BXR)
        return torch.log_softmax(logits_BXV, dim=-1, dtype=wide_type(logits_BXV.dtype))

    def loss(self, decoded: Decoded, target_BT: Tensor, valid_BT: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
        """Padding is left out before the projection, not masked after it."""
        readout_NR = decoded.readout_BXR[valid_BT]
        return fused_cross_entropy(readout_NR, self.weight, self.bias, target_BT[valid_BT], smoothing)


OUTPUTS: dict[str, type[Output]] = {"softmax": SoftmaxOutput}

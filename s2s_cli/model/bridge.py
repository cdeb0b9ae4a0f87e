"""Bridges q, which make the decoder's first state s_0 of the context C."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CopyBridge(nn.Module):
    """s_0 = C. Further parts of the state (the LSTM's c) start at zero."""

    def __init__(self, memory: int, state: int) -> None:
        super().__init__()
        self.missing = state - memory

    def forward(self, summary_BM: Tensor) -> Tensor:
        return nn.functional.pad(summary_BM, (0, self.missing))


class DenseBridge(nn.Module):
    """s_0 = tanh(W C + b) (Bahdanau et al. 2015, appendix A.2.2)."""

    def __init__(self, memory: int, state: int) -> None:
        super().__init__()
        self.dense = nn.Linear(memory, state)

    def forward(self, summary_BM: Tensor) -> Tensor:
        return torch.tanh(self.dense(summary_BM))


class OwnStart(nn.Module):
    """s_0 is a parameter of its own, for decoders that meet C at every step instead."""

    def __init__(self, memory: int, state: int) -> None:
        super().__init__()
        self.state = nn.Parameter(torch.zeros(state))

    def forward(self, summary_BM: Tensor) -> Tensor:
        return self.state.expand(len(summary_BM), -1)


BRIDGES: dict[str, type[nn.Module]] = {"copy": CopyBridge, "dense": DenseBridge, "own": OwnStart}

"""The readout: from the features of a position to the vector that the output projection turns into words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2s_cli.model.dense import Dense
from s2s_cli.model.dropout import Dropout
from s2s_cli.model.features import Features


class Readout(nn.Module):
    """tanh(W_s s_t + W_c c_t + W_y y_{t-1} + b), of those that the decoder has (Bahdanau et al. 2015, appendix A.2.2).

    output, context, embedding: widths H, M and E; 0 for what the decoder lacks. width: R.
    """

    def __init__(self, output: int, context: int, embedding: int, width: int, dropout: Dropout) -> None:
        super().__init__()
        self.output = Dense(output, width)
        self.context = Dense(context, width, bias=False) if context else None
        self.embedding = Dense(embedding, width, bias=False) if embedding else None
        self.dropout = dropout

    def forward(self, features: Features, embedded_BXE: Tensor) -> Tensor:
        sum_BXR = self.output(features.output_BXH)
        if self.context is not None:
            sum_BXR = sum_BXR + self.context(features.context_BXM)
        if self.embedding is not None:
            sum_BXR = sum_BXR + self.embedding(embedded_BXE)
        return self.dropout(torch.tanh(sum_BXR))


class AttentionalReadout(nn.Module):
    """For decoders whose output already is the attentional vector, and has had its dropout as such."""

    def forward(self, features: Features, embedded_BXE: Tensor) -> Tensor:
        return features.output_BXH

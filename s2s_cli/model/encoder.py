"""The encoder: reads the source one step at a time into states h_1..h_N."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from s2s_cli.model.cells import Cell
from s2s_cli.model.dropout import Dropout
from s2s_cli.model.kernels import Kernel
from s2s_cli.model.memory import Memory, Summary


class Direction(nn.Module):
    """One cell run over a sequence, from the left or from the right."""

    def __init__(self, inputs: int, cell: Cell, backwards: bool) -> None:
        super().__init__()
        self.inputs = nn.Linear(inputs, cell.gate_width)
        self.cell = cell
        self.backwards = backwards

    def forward(self, inputs_BSI: Tensor, valid_BS: Tensor, kernel: Kernel) -> Tensor:
        """-> states [B, S, H], zero at padding."""
        return kernel.run_cell(self.cell, self.inputs(inputs_BSI), valid_BS, self.backwards)


class EncoderLayer(nn.Module):
    """One direction, or both side by side."""

    def __init__(self, directions: list[Direction]) -> None:
        super().__init__()
        self.directions = nn.ModuleList(directions)

    def forward(self, inputs_BSI: Tensor, valid_BS: Tensor, kernel: Kernel) -> Tensor:
        states = [direction(inputs_BSI, valid_BS, kernel) for direction in self.directions]
        return states[0] if len(states) == 1 else torch.cat(states, dim=-1)


class Encoder(nn.Module):
    """Embedding, then recurrent layers; from the second on with a residual connection, if wanted."""

    def __init__(
        self,
        embedding: nn.Embedding,
        layers: list[EncoderLayer],
        summary: Summary,
        embedding_dropout: Dropout,
        state_dropout: Dropout,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.layers = nn.ModuleList(layers)
        self.directions = len(layers[0].directions)
        self.summary = summary
        self.embedding_dropout = embedding_dropout
        self.state_dropout = state_dropout
        self.residual = residual

    def forward(self, source_BS: Tensor, source_lengths_B: Tensor, kernel: Kernel) -> Memory:
        """source_BS: ids, padded at the end; source_lengths_B: how many of them are valid, at least one."""
        positions_S = torch.arange(source_BS.shape[1], device=source_BS.device)
        valid_BS = positions_S < source_lengths_B[:, None]
        states_BSM = self.embedding_dropout(self.embedding(source_BS))
        for depth, layer in enumerate(self.layers):
            below_BSM = states_BSM
            states_BSM = self.state_dropout(layer(below_BSM, valid_BS, kernel))
            if self.residual and depth > 0:
                states_BSM = states_BSM + below_BSM
        return Memory(states_BSM, valid_BS, self.summary(states_BSM, valid_BS, self.directions), source_BS)

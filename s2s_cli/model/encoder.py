"""Encoders: what reads the source into states h_1..h_N.

A new encoder is one class here, one row of `ENCODERS`, and its keys as a class of `s2s_cli.recipe.schema.model`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from s2s_cli.model.cells import Cell
from s2s_cli.model.dense import Dense
from s2s_cli.model.dropout import Dropout, WordDropout
from s2s_cli.model.kernels.backend import wide_type
from s2s_cli.model.kernels.reference import Kernel
from s2s_cli.model.memory import Memory, Summary


class Parts(NamedTuple):
    """What a model has for an encoder of any kind."""

    embedding: nn.Embedding
    embedding_dropout: Dropout
    word_dropout: WordDropout
    state_dropout: Dropout
    """On the states that a layer hands on."""
    summary: Summary
    cell: Callable[[int], Cell]
    """Makes a recurrent cell of a width."""


class Encoder(nn.Module):
    """The base of all: source symbols, embedded; states that a kind of encoder makes of them; their summary C.

    width: M, of the states. directions: what the summary `last` is to know of them.
    """

    initialises_itself: ClassVar[bool] = False
    """Whether all its weights stay as it has drawn them; else they are drawn as those of every dense layer."""

    def __init__(self, parts: Parts, width: int, directions: int = 1) -> None:
        super().__init__()
        self.embedding, self.summary = parts.embedding, parts.summary
        self.embedding_dropout, self.word_dropout = parts.embedding_dropout, parts.word_dropout
        self.state_dropout = parts.state_dropout
        self.width, self.directions = width, directions

    @abstractmethod
    def read(self, embedded_BSE: Tensor, valid_BS: Tensor, kernel: Kernel) -> Tensor:
        """-> h_1..h_N [B, S, M]. Padding, where `valid_BS` is False, changes none of the others."""

    def forward(self, source_BS: Tensor, source_lengths_B: Tensor, kernel: Kernel) -> Memory:
        """source_BS: ids, padded at the end; source_lengths_B: how many of them are valid, at least one."""
        positions_S = torch.arange(source_BS.shape[1], device=source_BS.device)
        valid_BS = positions_S < source_lengths_B[:, None]
        embedded_BSE = self.embedding_dropout(self.word_dropout(self.embedding(source_BS), source_BS))
        states_BSM = self.read(embedded_BSE, valid_BS, kernel)
        return Memory(states_BSM, valid_BS, self.summary(states_BSM, valid_BS, self.directions), source_BS)


class Direction(nn.Module):
    """One cell run over a sequence, from the left or from the right."""

    def __init__(self, inputs: int, cell: Cell, backwards: bool) -> None:
        super().__init__()
        self.inputs = Dense(inputs, cell.gate_width)
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


class RecurrentEncoder(Encoder):
    """Layers of one or two directions, h_j = f(h_{j-1}, x_j), zero at padding.

    hidden: H, of one direction. residual: from the second layer on, add a layer's input to its output.
    """

    def __init__(self, parts: Parts, *, hidden: int, layers: int, bidirectional: bool, residual: bool) -> None:
        sides = (False, True) if bidirectional else (False,)
        super().__init__(parts, width=hidden * len(sides), directions=len(sides))
        inputs = [parts.embedding.embedding_dim] + [self.width] * (layers - 1)
        self.layers = nn.ModuleList(
            EncoderLayer([Direction(width, parts.cell(hidden), backwards) for backwards in sides]) for width in inputs
        )
        self.residual = residual

    def read(self, embedded_BSE: Tensor, valid_BS: Tensor, kernel: Kernel) -> Tensor:
        states_BSM = embedded_BSE
        for depth, layer in enumerate(self.layers):
            below_BSM = states_BSM
            states_BSM = self.state_dropout(layer(below_BSM, valid_BS, kernel))
            if self.residual and depth > 0:
                states_BSM = states_BSM + below_BSM
        return states_BSM


class TransformerEncoder(Encoder):
    """Layers of self-attention and feed-forward with sinusoidal positions (Vaswani et al. 2017, sections 3.1 to 3.5),
    each after its norm (Xiong et al. 2020). Before a recurrent decoder it makes the hybrid of Chen et al. 2018.

    hidden: M. feed_forward: inner width of the second part of a layer.
    """

    initialises_itself = True

    def __init__(self, parts: Parts, *, hidden: int, layers: int, heads: int, feed_forward: int) -> None:
        super().__init__(parts, width=hidden)
        embedding = parts.embedding.embedding_dim
        self.inputs = nn.Identity() if embedding == hidden else Dense(embedding, hidden)
        self.layers = nn.ModuleList(
            TransformerLayer(hidden, heads, feed_forward, parts.state_dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As Glorot and Bengio 2010; what is added to the states, so much less that their variance does not grow with
        the depth (Radford et al. 2019, section 2.3)."""
        added = {part for layer in self.layers for part in (layer.attended, layer.outer)}
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, 1 / math.sqrt(2 * len(self.layers)) if module in added else 1.0)
                nn.init.zeros_(module.bias)

    def read(self, embedded_BSE: Tensor, valid_BS: Tensor, kernel: Kernel) -> Tensor:
        scaled_BSM = self.inputs(embedded_BSE) * math.sqrt(embedded_BSE.shape[-1])
        states_BSM = scaled_BSM + sinusoids(scaled_BSM)
        for layer in self.layers:
            states_BSM = layer(states_BSM, valid_BS)
        return self.norm(states_BSM) * valid_BS[..., None]


class TransformerLayer(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: Dropout) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.attended = Dense(width, 3 * width), Dense(width, width)
        self.inner, self.outer = Dense(width, feed_forward), Dense(feed_forward, width)
        self.dropout = dropout

    def forward(self, states_BSM: Tensor, valid_BS: Tensor) -> Tensor:
        attended_BSM = self.attended(self._attend(self.attention_norm(states_BSM), valid_BS))
        states_BSM = states_BSM + self.dropout(attended_BSM)
        inner_BSF = torch.relu(self.inner(self.feed_forward_norm(states_BSM)))
        return states_BSM + self.dropout(self.outer(inner_BSF))

    def _attend(self, states_BSM: Tensor, valid_BS: Tensor) -> Tensor:
        """Scaled dot products of each head, over the valid positions.

        Sums over positions are made in blocks of a vector's width: filled up to whole ones, a sentence has the same sum
        whatever the padding of its batch.
        """
        filling = -states_BSM.shape[1] % VECTOR
        parts_BSHD = self.query_key_value(states_BSM).unflatten(2, (3, self.heads, -1))
        query, key, value = nn.functional.pad(parts_BSHD, (0, 0, 0, 0, 0, 0, 0, filling)).transpose(1, 3).unbind(2)
        valid_B11S = nn.functional.pad(valid_BS, (0, filling))[:, None, None]
        mixed_BHSD = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=valid_B11S)
        return mixed_BHSD.transpose(1, 2).flatten(2)[:, : states_BSM.shape[1]]


VECTOR = 16
"""Numbers of float32 in the widest registers."""


def sinusoids(states_BSM: Tensor) -> Tensor:
    """The positions 0..S-1 as sines and cosines of M / 2 wavelengths, from 2π to 10,000 · 2π: [S, M]."""
    _, length, width = states_BSM.shape
    kind, device = wide_type(states_BSM.dtype), states_BSM.device
    frequencies_D = 10_000.0 ** -(torch.arange(0, width, 2, dtype=kind, device=device) / width)
    angles_SD = torch.arange(length, dtype=kind, device=device)[:, None] * frequencies_D
    return torch.cat([angles_SD.sin(), angles_SD.cos()], dim=1).to(states_BSM.dtype)


ENCODERS: dict[str, type[Encoder]] = {
    "recurrent": RecurrentEncoder,
    "transformer": TransformerEncoder,
}

"""The decoder's cells, one above the other."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from s2s_cli.model.cells import Cell
from s2s_cli.model.dense import Dense
from s2s_cli.model.dropout import Dropout


class Stack(nn.Module):
    """Deep recurrence: the bottom cell takes a projected input, each further cell the output of the one below.

    context: width M of the context that every layer receives, the upper ones beside the output of the one below (Wu et
    al. 2016, section 3); 0 for none. residual: add the output of the layer below to a layer's own (section 3.1).
    """

    def __init__(self, cells: list[Cell], dropout: Dropout, context: int = 0, residual: bool = False) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)
        self.inputs = nn.ModuleList(Dense(cell.hidden + context, cell.gate_width) for cell in cells[1:])
        self.dropout = dropout
        self.residual = residual

    @property
    def bottom(self) -> Cell:
        return cast(Cell, self.cells[0])

    def forward(
        self, projected: Tensor, states: tuple[Tensor, ...], context: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """projected [..., G], one state [..., W] a layer, context [..., M] -> output [..., H] of the top, next states.

        The bottom's share of the context is already in its projected input, whose number type the output has too.
        """
        return self.rise(self.bottom(projected, states[0]), states, context, projected.dtype)

    def rise(
        self, bottom: Tensor, states: tuple[Tensor, ...], context: Tensor | None, kind: torch.dtype
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The same from the next state [..., W] of the bottom layer on. kind: number type of the outputs."""
        output, following = self.bottom.output(bottom).to(kind), [bottom]
        upper = cast(list[Cell], list(self.cells))[1:]
        for cell, inputs, state in zip(upper, self.inputs, states[1:], strict=True):
            below = self.dropout(output)
            state = cell(inputs(beside(below, context)), state)
            output = cell.output(state).to(kind)
            output = output + below if self.residual else output
            following.append(state)
        return output, tuple(following)


def beside(below: Tensor, context: Tensor | None) -> Tensor:
    """What an upper layer receives: [output of the layer below; context]."""
    return below if context is None else torch.cat([below, context], dim=-1)

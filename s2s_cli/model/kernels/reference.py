"""The reference kernel: the recurrences as the papers write them, plain loops over positions for every member."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from s2s_cli.model.cells import Cell
from s2s_cli.model.features import Features
from s2s_cli.model.kernels.backend import wide_type

if TYPE_CHECKING:
    from s2s_cli.model.decoder import Decoder, DecoderState


class ReferenceKernel:
    """Plain loops."""

    def run_cell(self, cell: Cell, inputs_BSG: Tensor, valid_BS: Tensor, backwards: bool) -> Tensor:
        """Run a cell along a sequence, from a zero state -> outputs [B, S, H].

        inputs_BSG: projected inputs. Where `valid_BS` is False the state returns to zero, so that padding, which only
        stands at the end, changes nothing in either direction.
        """
        kind = inputs_BSG.dtype
        state_BW = inputs_BSG.new_zeros(len(inputs_BSG), cell.state_width, dtype=wide_type(kind))
        outputs = []
        positions = range(inputs_BSG.shape[1])
        for position in reversed(positions) if backwards else positions:
            state_BW = cell(inputs_BSG[:, position], state_BW) * valid_BS[:, position, None]
            outputs.append(cell.output(state_BW).to(kind))
        return torch.stack(outputs[::-1] if backwards else outputs, dim=1)

    def unroll(self, decoder: Decoder, inputs_BTG: Tensor, state: DecoderState) -> Features:
        """Run a decoder along a whole target whose inputs are known (teacher forcing)."""
        steps: list[Features] = []
        for input_BG in inputs_BTG.unbind(dim=1):
            features, state = decoder.advance(input_BG[:, None], state)
            steps.append(features)
        return Features.join(steps)


Kernel = ReferenceKernel

"""The fused kernel: each recurrence as one autograd function, where it fits; the reference kernel elsewhere."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from s2s_cli.model.attention import AdditiveScore, Attention
from s2s_cli.model.cells import GRU, Cell
from s2s_cli.model.decoder import AttentionDecoder, Decoder, DecoderState, EveryStepDecoder, InitialContextDecoder
from s2s_cli.model.features import Features
from s2s_cli.model.kernels.attention_gru import AttentionGRU
from s2s_cli.model.kernels.backend import compute_type, passes_for, wide_type
from s2s_cli.model.kernels.gru import GRUSequence
from s2s_cli.model.kernels.reference import ReferenceKernel
from s2s_cli.model.stack import Stack, beside


class FusedKernel(ReferenceKernel):
    """For GRUs without layer normalisation, and for additive attention of one head that feeds them.

    native: carry the passes out by the C library, where there is one and it fits.
    """

    def __init__(self, native: bool = True) -> None:
        self.native = native

    def run_cell(self, cell: Cell, inputs_BSG: Tensor, valid_BS: Tensor, backwards: bool) -> Tensor:
        if not fits_cell(cell):
            return super().run_cell(cell, inputs_BSG, valid_BS, backwards)
        initial_BH = inputs_BSG.new_zeros(len(inputs_BSG), cell.hidden)
        return self._run_gru(cell, inputs_BSG, initial_BH, valid_BS, backwards)

    def unroll(self, decoder: Decoder, inputs_BTG: Tensor, state: DecoderState) -> Features:
        if not all(fits_cell(cell) for cell in decoder.stack.cells):
            return super().unroll(decoder, inputs_BTG, state)
        if type(decoder) is AttentionDecoder and fits_attention(decoder.attention):
            bottom = self._run_attention_gru(decoder, inputs_BTG, state)
        elif type(decoder) in (InitialContextDecoder, EveryStepDecoder):
            bottom = Features(self._run_gru(decoder.stack.bottom, inputs_BTG, state.layers[0][:, 0]))
        else:
            return super().unroll(decoder, inputs_BTG, state)
        if type(decoder) is EveryStepDecoder:
            bottom = replace(bottom, context_BXM=state.memory.summary_BM[:, None].expand(-1, inputs_BTG.shape[1], -1))
        return replace(bottom, output_BXH=self._run_upper(decoder.stack, bottom, state))

    def _run_gru(
        self,
        cell: Cell,
        inputs_BTG: Tensor,
        initial_BH: Tensor,
        valid_BT: Tensor | None = None,
        backwards: bool = False,
    ) -> Tensor:
        kind = compute_type(inputs_BTG)
        tensors = (
            inputs_BTG.to(kind),
            initial_BH.to(kind),
            valid_BT,
            cell.recurrent.weight.to(kind),
            cell.recurrent.bias.to(wide_type(kind)),
        )
        device = inputs_BTG.device
        with torch.autocast(device.type, enabled=False):
            return GRUSequence.apply(*tensors, backwards, passes_for(kind, device, self.native))

    def _run_attention_gru(self, decoder: AttentionDecoder, inputs_BTG: Tensor, state: DecoderState) -> Features:
        kind = compute_type(inputs_BTG)
        score, recurrent, memory = decoder.attention.heads[0], decoder.stack.bottom.recurrent, state.memory
        assert isinstance(score, AdditiveScore)
        tensors = (
            inputs_BTG.to(kind),
            state.layers[0][:, 0].to(kind),
            memory.keys[0].to(kind),
            memory.states_BSM.to(kind),
            memory.valid_BS,
            torch.cat([score.query.weight.to(kind), recurrent.weight.to(kind)]),
            decoder.context.weight.to(kind),
            recurrent.bias.to(wide_type(kind)),
            score.energy.to(wide_type(kind)),
        )
        device = inputs_BTG.device
        with torch.autocast(device.type, enabled=False):
            return Features(*AttentionGRU.apply(*tensors, passes_for(kind, device, self.native)))

    def _run_upper(self, stack: Stack, bottom: Features, state: DecoderState) -> Tensor:
        """The layers above the bottom one, each along the whole sequence, for none feeds back to those below."""
        output_BTH = bottom.output_BXH
        for cell, inputs, layer in zip(stack.cells[1:], stack.inputs, state.layers[1:], strict=True):
            assert isinstance(cell, GRU)
            below_BTH = stack.dropout(output_BTH)
            output_BTH = self._run_gru(cell, inputs(beside(below_BTH, bottom.context_BXM)), layer[:, 0])
            output_BTH = output_BTH + below_BTH if stack.residual else output_BTH
        return output_BTH


def fits_cell(cell: nn.Module) -> bool:
    """Whether the fused kernel computes this cell."""
    return type(cell) is GRU and isinstance(cell.state_norm, nn.Identity)


def fits_attention(attention: Attention) -> bool:
    """Whether the fused kernel computes this attention: Bahdanau's, of one head."""
    return len(attention.heads) == 1 and type(attention.heads[0]) is AdditiveScore

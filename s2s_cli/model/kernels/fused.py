"""The fused kernel: each recurrence as one autograd function, where it fits; the reference kernel elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn

from s2s_cli.model.attention import AdditiveScore, Attention
from s2s_cli.model.cells import GRU, Cell, InputGatedCell
from s2s_cli.model.decoder import (
    AttentionalDecoder,
    AttentionDecoder,
    ConditionalDecoder,
    Decoder,
    DecoderState,
    EveryStepDecoder,
    InitialContextDecoder,
)
from s2s_cli.model.features import Features
from s2s_cli.model.kernels.attention_gru import AttentionGRU
from s2s_cli.model.kernels.backend import compute_type, passes_for, wide_type
from s2s_cli.model.kernels.blend import BlendSequence
from s2s_cli.model.kernels.conditional_gru import ConditionalGRU
from s2s_cli.model.kernels.gru import GRUSequence
from s2s_cli.model.kernels.reference import ReferenceKernel
from s2s_cli.model.stack import Stack, beside


class FusedKernel(ReferenceKernel):
    """For GRUs without layer normalisation, additive attention of one head that feeds them (in one transition a step or
    between two), and input-gated cells.

    native: carry the passes out by the C library, where there is one and it fits.
    """

    def __init__(self, native: bool = True) -> None:
        self.native = native

    def run_cell(self, cell: Cell, inputs_BSG: Tensor, valid_BS: Tensor, backwards: bool) -> Tensor:
        if not runs_along(cell):
            return super().run_cell(cell, inputs_BSG, valid_BS, backwards)
        initial_BW = inputs_BSG.new_zeros(len(inputs_BSG), cell.state_width)
        return self._run(cell, inputs_BSG, initial_BW, valid_BS, backwards)

    def unroll(self, decoder: Decoder, inputs_BTG: Tensor, state: DecoderState) -> Features:
        stack, first_BW = decoder.stack, state.layers[0][:, 0]
        if not all(runs_along(cell) for cell in stack.cells):
            return super().unroll(decoder, inputs_BTG, state)
        if type(decoder) is AttentionDecoder and fits_cell(stack.bottom) and fits_attention(decoder.attention):
            bottom = self._run_attention_gru(decoder, inputs_BTG, state)
            return replace(bottom, output_BXH=self._run_upper(stack, bottom, state))
        if type(decoder) is ConditionalDecoder and fits_conditional(decoder):
            bottom = self._run_conditional_gru(decoder, inputs_BTG, state)
            return replace(bottom, output_BXH=self._run_upper(stack, bottom, state))
        if type(decoder) is AttentionalDecoder and not decoder.looks_back:
            bottom = Features(self._run(stack.bottom, inputs_BTG, first_BW))
            attentional_BTR, attention_BTS = decoder.look(self._run_upper(stack, bottom, state), state)
            return Features(attentional_BTR, attention_BXS=attention_BTS)
        if type(decoder) in (InitialContextDecoder, EveryStepDecoder):
            summary_BTM = state.memory.summary_BM[:, None].expand(-1, inputs_BTG.shape[1], -1)
            context_BTM = summary_BTM if type(decoder) is EveryStepDecoder else None
            bottom = Features(self._run(stack.bottom, inputs_BTG, first_BW), context_BTM)
            return replace(bottom, output_BXH=self._run_upper(stack, bottom, state))
        return super().unroll(decoder, inputs_BTG, state)

    def _run(
        self,
        cell: Cell,
        inputs_BTG: Tensor,
        initial_BW: Tensor,
        valid_BT: Tensor | None = None,
        backwards: bool = False,
    ) -> Tensor:
        """The outputs [B, T, H] of a cell along a sequence."""
        if isinstance(cell, InputGatedCell):
            return self._run_blend(cell, inputs_BTG, initial_BW, valid_BT, backwards)
        assert isinstance(cell, GRU)
        return self._run_gru(cell, inputs_BTG, initial_BW, valid_BT, backwards)

    def _run_blend(
        self, cell: InputGatedCell, inputs_BTG: Tensor, initial_BW: Tensor, valid_BT: Tensor | None, backwards: bool
    ) -> Tensor:
        gates_BTG = cell.input_norm(inputs_BTG)
        blended_BTG, kind = gates_BTG[..., : 2 * cell.hidden], gates_BTG.dtype
        tensors = (blended_BTG, initial_BW[:, : cell.hidden].to(kind), valid_BT, cell.forget_bias.to(wide_type(kind)))
        memory_BTH = BlendSequence.apply(*tensors, backwards, passes_for(kind, gates_BTG.device, self.native))
        output_BTH = cell.output(cell.shown(gates_BTG, memory_BTH))
        return output_BTH if valid_BT is None else output_BTH * valid_BT[..., None]

    def _run_gru(
        self,
        cell: GRU,
        inputs_BTG: Tensor,
        initial_BH: Tensor,
        valid_BT: Tensor | None,
        backwards: bool,
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
        score, bottom = decoder.attention.heads[0], decoder.stack.bottom
        assert isinstance(score, AdditiveScore) and isinstance(bottom, GRU)
        recurrent = bottom.recurrent
        tensors = (
            *_read_by_attention(inputs_BTG, state, kind),
            torch.cat([score.query.weight.to(kind), recurrent.weight.to(kind)]),
            decoder.context.weight.to(kind),
            recurrent.bias.to(wide_type(kind)),
            score.energy.to(wide_type(kind)),
        )
        device = inputs_BTG.device
        with torch.autocast(device.type, enabled=False):
            return Features(*AttentionGRU.apply(*tensors, passes_for(kind, device, self.native)))

    def _run_conditional_gru(self, decoder: ConditionalDecoder, inputs_BTG: Tensor, state: DecoderState) -> Features:
        kind = compute_type(inputs_BTG)
        score, first, second = decoder.attention.heads[0], decoder.stack.bottom, decoder.second
        assert isinstance(score, AdditiveScore) and isinstance(first, GRU) and isinstance(second, GRU)
        tensors = (
            *_read_by_attention(inputs_BTG, state, kind),
            first.recurrent.weight.to(kind),
            first.recurrent.bias.to(wide_type(kind)),
            torch.cat([score.query.weight.to(kind), second.recurrent.weight.to(kind)]),
            second.recurrent.bias.to(wide_type(kind)),
            decoder.context.weight.to(kind),
            decoder.context.bias.to(kind),
            score.energy.to(wide_type(kind)),
        )
        device = inputs_BTG.device
        with torch.autocast(device.type, enabled=False):
            return Features(*ConditionalGRU.apply(*tensors, passes_for(kind, device, self.native)))

    def _run_upper(self, stack: Stack, bottom: Features, state: DecoderState) -> Tensor:
        """The layers above the bottom one, each along the whole sequence, for none feeds back to those below."""
        output_BTH = bottom.output_BXH
        cells = cast(list[Cell], list(stack.cells))
        for cell, inputs, layer in zip(cells[1:], stack.inputs, state.layers[1:], strict=True):
            below_BTH = stack.dropout(output_BTH)
            output_BTH = self._run(cell, inputs(beside(below_BTH, bottom.context_BXM)), layer[:, 0])
            output_BTH = output_BTH + below_BTH if stack.residual else output_BTH
        return output_BTH


def _read_by_attention(inputs_BTG: Tensor, state: DecoderState, kind: torch.dtype) -> tuple[Tensor, ...]:
    """What every recurrence with attention begins with: inputs, first state, keys and encoder states, in one type; and
    which of these are valid."""
    memory = state.memory
    numbers = (inputs_BTG, state.layers[0][:, 0], memory.keys[0], memory.states_BSM)
    return *(tensor.to(kind) for tensor in numbers), memory.valid_BS


def runs_along(cell: nn.Module) -> bool:
    """Whether the fused kernel runs this cell along a sequence whose inputs are known."""
    return fits_cell(cell) or isinstance(cell, InputGatedCell)


def fits_cell(cell: nn.Module) -> TypeGuard[GRU]:
    """Whether this cell is a GRU that the fused kernel and the engine compute."""
    return type(cell) is GRU and isinstance(cell.state_norm, nn.Identity)


def fits_conditional(decoder: ConditionalDecoder) -> bool:
    """Whether both transitions are such GRUs, with such an attention."""
    return fits_cell(decoder.stack.bottom) and fits_cell(decoder.second) and fits_attention(decoder.attention)


def fits_attention(attention: Attention) -> bool:
    """Whether the fused kernel computes this attention: Bahdanau's, of one head."""
    return len(attention.heads) == 1 and type(attention.heads[0]) is AdditiveScore

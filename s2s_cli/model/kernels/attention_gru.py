"""A GRU with additive attention along a whole target, as one autograd function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from s2s_cli.model.kernels.gru import batch_first, positions
from s2s_cli.model.kernels.passes import AttentionGradients, AttentionRun, GRUGradients, GRURun, Passes


class AttentionGRU(torch.autograd.Function):
    """c_t = attention(s_{t-1}), s_t = f(s_{t-1}, x_t + W_c c_t); see `s2s_cli.model.decoder.AttentionDecoder`.

    Query and gates come of one product, [q_t; u_t] = [W_q; U] s_{t-1}, of width P = A + G. The loops hold only what
    truly waits for the step before; each gradient of a weight is one product after the loop.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs_BTG: Tensor,
        initial_BH: Tensor,
        keys_BSA: Tensor,
        memory_BSM: Tensor,
        valid_BS: Tensor,
        state_weight_PH: Tensor,
        context_weight_GM: Tensor,
        bias_G: Tensor,
        energy_A: Tensor,
        passes: Passes,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """-> s [B, T, H], c [B, T, M], α [B, T, S].

        state_weight_PH: [W_q; U]. context_weight_GM: W_c. bias_G (that of U) and energy_A (v): at least float32; the
        others are of one type.
        """
        batch, length, gates = inputs_BTG.shape
        size = len(energy_A)
        states_XBH = inputs_BTG.new_empty(length + 1, batch, gates // 3)
        states_XBH[0] = initial_BH
        products_TBP = inputs_BTG.new_empty(length, batch, size + gates)
        attention = AttentionRun.of(products_TBP[..., :size], keys_BSA, energy_A, memory_BSM, valid_BS)
        gru = GRURun(
            inputs_TBG=inputs_BTG.new_empty(length, batch, gates),
            products_TBG=products_TBP[..., size:],
            bias_G=bias_G,
            valid_TB=None,
            previous_TBH=states_XBH[:-1],
            following_TBH=states_XBH[1:],
            carry_BH=initial_BH.to(bias_G.dtype, copy=True),
        )
        ask = passes.multiply(state_weight_PH, states_XBH[:-1], products_TBP)
        attend = passes.attention_forward(attention)
        read = passes.multiply(context_weight_GM, attention.contexts_TBM, gru.inputs_TBG, inputs_BTG.transpose(0, 1))
        advance = passes.gru_forward(gru)
        passes.run([ask, attend, read, advance], range(length))
        ctx.save_for_backward(*attention, *gru, products_TBP, state_weight_PH, context_weight_GM)
        ctx.passes = passes
        ctx.set_materialize_grads(False)  # most losses do not read α, and need no gradient of zeros for it
        states_BTH, contexts_BTM = batch_first(gru.following_TBH), batch_first(attention.contexts_TBM)
        return states_BTH, contexts_BTM, batch_first(attention.attention_TBS)

    @staticmethod
    def backward(
        ctx: Any, d_states_BTH: Tensor | None, d_contexts_BTM: Tensor | None, d_attention_BTS: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *saved, products_TBP, state_weight_PH, context_weight_GM = ctx.saved_tensors
        attention, gru = AttentionRun(*saved[: len(AttentionRun._fields)]), GRURun(*saved[len(AttentionRun._fields) :])
        size = len(attention.energy_A)
        d_states_BTH = or_zeros(d_states_BTH, gru.following_TBH)
        d_contexts_BTM = or_zeros(d_contexts_BTM, attention.contexts_TBM)
        d_products_TBP = torch.empty_like(products_TBP)
        d_gru = GRUGradients.of(gru, d_states_BTH)._replace(products_TBG=d_products_TBP[..., size:])
        d_attention = AttentionGradients.of(attention, d_products_TBP[..., :size], d_attention_BTS)
        passes, d_contexts_TBM = ctx.passes, d_contexts_BTM.transpose(0, 1)
        retreat = passes.gru_backward(gru, d_gru)
        read = passes.multiply(context_weight_GM.t(), d_gru.inputs_TBG, d_attention.contexts_TBM, d_contexts_TBM)
        attend = passes.attention_backward(attention, d_attention)
        feed_back = passes.multiply(state_weight_PH.t(), d_products_TBP, d_gru.feedback_BH[None])
        passes.run([retreat, read, attend, feed_back], positions(len(products_TBP), backwards=True))
        return (
            d_gru.inputs_TBG.transpose(0, 1),
            (d_gru.carry_BH + d_gru.feedback_BH).to(d_states_BTH.dtype),
            d_attention.keys_BSA.to(d_states_BTH.dtype),
            passes.attention_memory(attention, d_attention),
            None,
            passes.outer(d_products_TBP.flatten(0, 1), gru.previous_TBH.flatten(0, 1)),
            passes.outer(d_gru.inputs_TBG.flatten(0, 1), attention.contexts_TBM.flatten(0, 1)),
            d_gru.products_TBG.sum(dim=(0, 1)).to(gru.bias_G.dtype),
            d_attention.energy_BA.sum(dim=0),
            None,
        )


def or_zeros(gradient_BTN: Tensor | None, values_TBN: Tensor) -> Tensor:
    """The gradient in some values [B, T, N], each row in one piece, as products take it; zeros for what no loss reads.

    That of a sum is one number, expanded.
    """
    if gradient_BTN is None:
        return torch.zeros_like(values_TBN).transpose(0, 1)
    return gradient_BTN if gradient_BTN.stride(2) == 1 else gradient_BTN.contiguous()

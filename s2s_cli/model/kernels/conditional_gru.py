"""A conditional GRU with additive attention along a whole target, as one autograd function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from s2s_cli.model.kernels.attention_gru import or_zeros
from s2s_cli.model.kernels.gru import batch_first, positions
from s2s_cli.model.kernels.passes import AttentionGradients, AttentionRun, GRUGradients, GRURun, Passes


class ConditionalGRU(torch.autograd.Function):
    """s'_t = f_1(s_{t-1}, x_t), c_t = attention(s'_t), s_t = f_2(s'_t, W_c c_t + b_c); see
    `s2s_cli.model.decoder.ConditionalDecoder`.

    Query and gates of f_2 come of one product, [q_t; u_t] = [W_q; U_2] s'_t, of width P = A + G. One state is carried
    unrounded through both transitions. Else as `s2s_cli.model.kernels.attention_gru.AttentionGRU`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs_BTG: Tensor,
        initial_BH: Tensor,
        keys_BSA: Tensor,
        memory_BSM: Tensor,
        valid_BS: Tensor,
        first_weight_GH: Tensor,
        first_bias_G: Tensor,
        second_weight_PH: Tensor,
        second_bias_G: Tensor,
        context_weight_GM: Tensor,
        context_bias_G: Tensor,
        energy_A: Tensor,
        passes: Passes,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """-> s [B, T, H], c [B, T, M], α [B, T, S].

        first_weight_GH, first_bias_G: U_1 and its bias. second_weight_PH: [W_q; U_2]. The biases of U_1 and U_2, and
        energy_A (v): at least float32; the others, b_c too, are of one type.
        """
        batch, length, gates = inputs_BTG.shape
        size, carry_BH = len(energy_A), initial_BH.to(energy_A.dtype, copy=True)
        states_XBH = inputs_BTG.new_empty(length + 1, batch, gates // 3)
        states_XBH[0] = initial_BH
        between_TBH = torch.empty_like(states_XBH[1:])
        products_TBP = inputs_BTG.new_empty(length, batch, size + gates)
        first = GRURun(
            inputs_TBG=inputs_BTG.transpose(0, 1).contiguous(),
            products_TBG=inputs_BTG.new_empty(length, batch, gates),
            bias_G=first_bias_G,
            valid_TB=None,
            previous_TBH=states_XBH[:-1],
            following_TBH=between_TBH,
            carry_BH=carry_BH,
        )
        attention = AttentionRun.of(products_TBP[..., :size], keys_BSA, energy_A, memory_BSM, valid_BS)
        second = GRURun(
            inputs_TBG=inputs_BTG.new_empty(length, batch, gates),
            products_TBG=products_TBP[..., size:],
            bias_G=second_bias_G,
            valid_TB=None,
            previous_TBH=between_TBH,
            following_TBH=states_XBH[1:],
            carry_BH=carry_BH,
        )
        context_bias_TBG = context_bias_G.expand(length, batch, -1)
        project = passes.multiply(first_weight_GH, states_XBH[:-1], first.products_TBG)
        ask = passes.multiply(second_weight_PH, between_TBH, products_TBP)
        attend = passes.attention_forward(attention)
        read = passes.multiply(context_weight_GM, attention.contexts_TBM, second.inputs_TBG, context_bias_TBG)
        advance = passes.gru_forward(first), passes.gru_forward(second)
        passes.run([project, advance[0], ask, attend, read, advance[1]], range(length))
        weights = (first_weight_GH, second_weight_PH, context_weight_GM)
        ctx.save_for_backward(*first, *attention, *second, products_TBP, *weights)
        ctx.passes = passes
        ctx.set_materialize_grads(False)  # most losses do not read α, and need no gradient of zeros for it
        states_BTH, contexts_BTM = batch_first(second.following_TBH), batch_first(attention.contexts_TBM)
        return states_BTH, contexts_BTM, batch_first(attention.attention_TBS)

    @staticmethod
    def backward(
        ctx: Any, d_states_BTH: Tensor | None, d_contexts_BTM: Tensor | None, d_attention_BTS: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        *runs, products_TBP, first_weight_GH, second_weight_PH, context_weight_GM = ctx.saved_tensors
        begin, end = len(GRURun._fields), len(GRURun._fields) + len(AttentionRun._fields)
        first, attention, second = GRURun(*runs[:begin]), AttentionRun(*runs[begin:end]), GRURun(*runs[end:])
        size = len(attention.energy_A)
        d_states_BTH = or_zeros(d_states_BTH, second.following_TBH)
        d_contexts_BTM = or_zeros(d_contexts_BTM, attention.contexts_TBM)
        d_products_TBP = torch.empty_like(products_TBP)
        d_second = GRUGradients.of(second, d_states_BTH)._replace(products_TBG=d_products_TBP[..., size:])
        nothing_BTH = torch.zeros_like(d_states_BTH)  # s'_t is seen by nobody else
        d_first = GRUGradients.of(first, nothing_BTH)._replace(carry_BH=d_second.carry_BH)
        d_attention = AttentionGradients.of(attention, d_products_TBP[..., :size], d_attention_BTS)
        passes, d_contexts_TBM = ctx.passes, d_contexts_BTM.transpose(0, 1)
        retreat = passes.gru_backward(first, d_first), passes.gru_backward(second, d_second)
        read = passes.multiply(context_weight_GM.t(), d_second.inputs_TBG, d_attention.contexts_TBM, d_contexts_TBM)
        attend = passes.attention_backward(attention, d_attention)
        feed_back = (
            passes.multiply(first_weight_GH.t(), d_first.products_TBG, d_second.feedback_BH[None]),
            passes.multiply(second_weight_PH.t(), d_products_TBP, d_first.feedback_BH[None]),
        )
        steps = [retreat[1], read, attend, feed_back[1], retreat[0], feed_back[0]]
        passes.run(steps, positions(len(products_TBP), backwards=True))
        return (
            d_first.inputs_TBG.transpose(0, 1),
            (d_second.carry_BH + d_second.feedback_BH).to(d_states_BTH.dtype),
            d_attention.keys_BSA.to(d_states_BTH.dtype),
            passes.attention_memory(attention, d_attention),
            None,
            passes.outer(d_first.products_TBG.flatten(0, 1), first.previous_TBH.flatten(0, 1)),
            d_first.products_TBG.sum(dim=(0, 1)).to(first.bias_G.dtype),
            passes.outer(d_products_TBP.flatten(0, 1), second.previous_TBH.flatten(0, 1)),
            d_second.products_TBG.sum(dim=(0, 1)).to(second.bias_G.dtype),
            passes.outer(d_second.inputs_TBG.flatten(0, 1), attention.contexts_TBM.flatten(0, 1)),
            d_second.inputs_TBG.sum(dim=(0, 1)),
            d_attention.energy_BA.sum(dim=0),
            None,
        )

"""A GRU along a whole sequence, as one autograd function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from s2s_cli.model.kernels.passes import GRUGradients, GRURun, Passes


class GRUSequence(torch.autograd.Function):
    """s_t = f(s_{t-1}, x_t) for t = 1..T, or for t = T..1 if `backwards`; see `s2s_cli.model.cells.GRU`.

    The loops hold only what truly waits for the step before; the gradient of the weights is one product after the loop.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs_BTG: Tensor,
        initial_BH: Tensor,
        valid_BT: Tensor | None,
        weight_GH: Tensor,
        bias_G: Tensor,
        backwards: bool,
        passes: Passes,
    ) -> Tensor:
        """-> s_1..s_T [B, T, H]. valid_BT: the state is zero where False. bias_G: at least float32; the rest alike."""
        batch, length, gates = inputs_BTG.shape
        previous_TBH, following_TBH = room_for_states(initial_BH, length, backwards)
        run = GRURun(
            inputs_TBG=inputs_BTG.transpose(0, 1),
            products_TBG=inputs_BTG.new_empty(length, batch, gates),
            bias_G=bias_G,
            valid_TB=None if valid_BT is None else valid_BT.t(),
            previous_TBH=previous_TBH,
            following_TBH=following_TBH,
            carry_BH=initial_BH.to(bias_G.dtype, copy=True),
        )
        project, advance = passes.multiply(weight_GH, previous_TBH, run.products_TBG), passes.gru_forward(run)
        passes.run([project, advance], positions(length, backwards))
        ctx.save_for_backward(*run, weight_GH)
        ctx.backwards, ctx.passes = backwards, passes
        return batch_first(run.following_TBH)

    @staticmethod
    def backward(ctx: Any, d_states_BTH: Tensor) -> tuple[Tensor | None, ...]:
        *saved, weight_GH = ctx.saved_tensors
        run = GRURun(*saved)
        gradients = GRUGradients.of(run, d_states_BTH)
        retreat = ctx.passes.gru_backward(run, gradients)
        feed_back = ctx.passes.multiply(weight_GH.t(), gradients.products_TBG, gradients.feedback_BH[None])
        ctx.passes.run([retreat, feed_back], positions(len(run.products_TBG), not ctx.backwards))
        d_products_NG = gradients.products_TBG.flatten(0, 1)
        return (
            gradients.inputs_TBG.transpose(0, 1),
            (gradients.carry_BH + gradients.feedback_BH).to(d_states_BTH.dtype),
            None,
            ctx.passes.outer(d_products_NG, run.previous_TBH.flatten(0, 1)),
            d_products_NG.sum(dim=0).to(run.bias_G.dtype),
            None,
            None,
        )


def room_for_states(initial_BH: Tensor, length: int, backwards: bool) -> tuple[Tensor, Tensor]:
    """s_{t-1} and s_t of each position, [T, B, H]: two views of the same memory, in which the first state is there."""
    states_XBH = initial_BH.new_empty(length + 1, *initial_BH.shape)
    states_XBH[-1 if backwards else 0] = initial_BH
    return (states_XBH[1:], states_XBH[:-1]) if backwards else (states_XBH[:-1], states_XBH[1:])


def positions(length: int, backwards: bool) -> range:
    """0..length-1, or the reverse."""
    return range(length - 1, -1, -1) if backwards else range(length)


def batch_first(values_TBH: Tensor) -> Tensor:
    """[T, B, ...] -> a contiguous copy [B, T, ...]."""
    return values_TBH.transpose(0, 1).clone(memory_format=torch.contiguous_format)

"""A cell whose gates see the input only, along a whole sequence, as one autograd function."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from s2s_cli.model.kernels.gru import batch_first, positions, room_for_states
from s2s_cli.model.kernels.passes import BlendGradients, BlendRun, Passes


class BlendSequence(torch.autograd.Function):
    """c_t = f_t ⊙ c_{t-1} + (1 − f_t) ⊙ x̃_t; see `s2s_cli.model.cells.InputGatedCell`. There is no product in it."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs_BTG: Tensor,
        initial_BH: Tensor,
        valid_BT: Tensor | None,
        bias_H: Tensor,
        backwards: bool,
        passes: Passes,
    ) -> Tensor:
        """-> c_1..c_T [B, T, H]. inputs_BTG: f_t before σ, and x̃_t. bias_H: of f_t, at least float32."""
        previous_TBH, following_TBH = room_for_states(initial_BH, inputs_BTG.shape[1], backwards)
        run = BlendRun(
            inputs_TBG=inputs_BTG.transpose(0, 1),
            bias_H=bias_H,
            valid_TB=None if valid_BT is None else valid_BT.t(),
            previous_TBH=previous_TBH,
            following_TBH=following_TBH,
            carry_BH=initial_BH.to(bias_H.dtype, copy=True),
        )
        passes.run([passes.blend_forward(run)], positions(inputs_BTG.shape[1], backwards))
        ctx.save_for_backward(*run)
        ctx.backwards, ctx.passes = backwards, passes
        return batch_first(run.following_TBH)

    @staticmethod
    def backward(ctx: Any, d_states_BTH: Tensor) -> tuple[Tensor | None, ...]:
        run = BlendRun(*ctx.saved_tensors)
        gradients = BlendGradients(
            states_TBH=d_states_BTH.transpose(0, 1),
            inputs_TBG=torch.empty_like(run.inputs_TBG),
            carry_BH=torch.zeros_like(run.carry_BH),
        )
        retreat = ctx.passes.blend_backward(run, gradients)
        ctx.passes.run([retreat], positions(len(run.inputs_TBG), not ctx.backwards))
        d_forget_TBH = gradients.inputs_TBG[..., : len(run.bias_H)]
        return (
            gradients.inputs_TBG.transpose(0, 1),
            gradients.carry_BH.to(d_states_BTH.dtype),
            None,
            d_forget_TBH.sum(dim=(0, 1)).to(run.bias_H.dtype),
            None,
            None,
        )

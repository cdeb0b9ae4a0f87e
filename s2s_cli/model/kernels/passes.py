"""What the passes of a fused recurrence read and write, and who carries them out.

A recurrence runs on buffers that hold every position, time first (X: one position more than T). Each matrix product,
and all that is between two products, is a *pass*, made once for a run and then called with a position. `aten` makes
passes of torch operations, `native` of the C library: same names, same results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

Pass = Callable[[int], None]


class GRURun(NamedTuple):
    """A GRU along a sequence: s_t = f(s_{t-1}, x_t).

    inputs_TBG (x_t, projected), products_TBG (U s_{t-1}), bias_G (that of U), previous_TBH (s_{t-1}) and valid_TB (the
    state becomes zero where False) are read; following_TBH (s_t) is written; carry_BH holds the state unrounded, in at
    least float32, from position to position.
    """

    inputs_TBG: Tensor
    products_TBG: Tensor
    bias_G: Tensor
    valid_TB: Tensor | None
    previous_TBH: Tensor
    following_TBH: Tensor
    carry_BH: Tensor


class GRUGradients(NamedTuple):
    """Gradients of the loss in the tensors of a `GRURun`.

    Three parts make the gradient in s_t: states_TBH, from outside; feedback_BH, by way of U s_t; carry_BH, by way of
    the blend in s_{t+1}, which the pass replaces by that in s_{t-1}. inputs_TBG and products_TBG are written.
    """

    states_TBH: Tensor
    feedback_BH: Tensor
    inputs_TBG: Tensor
    products_TBG: Tensor
    carry_BH: Tensor

    @staticmethod
    def of(run: GRURun, d_states_BTH: Tensor) -> GRUGradients:
        """Room for the gradients of a run, before its last pass."""
        return GRUGradients(
            states_TBH=d_states_BTH.transpose(0, 1),
            feedback_BH=torch.zeros_like(run.following_TBH[0]),
            inputs_TBG=torch.empty_like(run.inputs_TBG),
            products_TBG=torch.empty_like(run.products_TBG),
            carry_BH=torch.zeros_like(run.carry_BH),
        )


class BlendRun(NamedTuple):
    """A cell whose gates see the input only, along a sequence: c_t = f_t ⊙ c_{t-1} + (1 − f_t) ⊙ x̃_t.

    inputs_TBG (f_t before σ, then x̃_t), bias_H (that of f_t); the others as of a `GRURun`.
    """

    inputs_TBG: Tensor
    bias_H: Tensor
    valid_TB: Tensor | None
    previous_TBH: Tensor
    following_TBH: Tensor
    carry_BH: Tensor


class BlendGradients(NamedTuple):
    """Gradients of the loss in the tensors of a `BlendRun`.

    Two parts make the gradient in c_t: states_TBH, from outside, and carry_BH, by way of c_{t+1}, which the pass
    replaces by that in c_{t-1}. inputs_TBG are written.
    """

    states_TBH: Tensor
    inputs_TBG: Tensor
    carry_BH: Tensor


class AttentionRun(NamedTuple):
    """Additive attention, position by position: α_t = softmax_j(v · tanh(q_t + k_j)), c_t = Σ_j α_{t,j} h_j.

    queries_TBA, keys_BSA, energy_A (v), memory_BSM (h), valid_BS are read; attention_TBS (α, at least float32) and
    contexts_TBM (c) are written.
    """

    queries_TBA: Tensor
    keys_BSA: Tensor
    energy_A: Tensor
    memory_BSM: Tensor
    valid_BS: Tensor
    attention_TBS: Tensor
    contexts_TBM: Tensor

    @staticmethod
    def of(
        queries_TBA: Tensor, keys_BSA: Tensor, energy_A: Tensor, memory_BSM: Tensor, valid_BS: Tensor
    ) -> AttentionRun:
        """With room for what is written."""
        length, batch, _ = queries_TBA.shape
        return AttentionRun(
            queries_TBA=queries_TBA,
            keys_BSA=keys_BSA,
            energy_A=energy_A,
            memory_BSM=memory_BSM,
            valid_BS=valid_BS,
            attention_TBS=energy_A.new_empty(length, *valid_BS.shape),
            contexts_TBM=memory_BSM.new_empty(length, batch, memory_BSM.shape[2]),
        )


class AttentionGradients(NamedTuple):
    """Gradients of the loss in the tensors of an `AttentionRun`.

    contexts_TBM, and attention_TBS where α itself is part of the loss, are read; queries_TBA are written; keys_BSA and
    energy_BA (a row a sentence), at least float32, are added to. That in the memory is made after the run, of all
    positions at once: `Passes.attention_memory`.
    """

    attention_TBS: Tensor | None
    contexts_TBM: Tensor
    queries_TBA: Tensor
    keys_BSA: Tensor
    energy_BA: Tensor

    @staticmethod
    def of(run: AttentionRun, d_queries_TBA: Tensor, d_attention_BTS: Tensor | None) -> AttentionGradients:
        """Room for the gradients of a run, before its last pass. d_attention_BTS: from outside, None for none."""
        return AttentionGradients(
            attention_TBS=None if d_attention_BTS is None else d_attention_BTS.transpose(0, 1),
            contexts_TBM=torch.empty_like(run.contexts_TBM),
            queries_TBA=d_queries_TBA,
            keys_BSA=torch.zeros_like(run.keys_BSA, dtype=run.energy_A.dtype),
            energy_BA=run.energy_A.new_zeros(len(run.keys_BSA), len(run.energy_A)),
        )


class Factor(Protocol):
    """A weight [N, K] that rows are multiplied by."""

    def __call__(self, rows_RK: Tensor, addends_RN: Tensor | None = None) -> Tensor:
        """rows @ weight.t() + addends, [R, N]."""
        ...


class Passes(Protocol):
    """The names that `aten` and `native` have in common."""

    def run(self, passes: Sequence[Pass], positions: range) -> None: ...
    def multiply(
        self, weight_NK: Tensor, rows_TRK: Tensor, products_XRN: Tensor, addends_TRN: Tensor | None = None
    ) -> Pass: ...
    def factor(self, weight_NK: Tensor) -> Factor: ...
    def outer(self, first_RM: Tensor, second_RN: Tensor) -> Tensor: ...
    def gru_forward(self, run: GRURun) -> Pass: ...
    def gru_backward(self, run: GRURun, gradients: GRUGradients) -> Pass: ...
    def blend_forward(self, run: BlendRun) -> Pass: ...
    def blend_backward(self, run: BlendRun, gradients: BlendGradients) -> Pass: ...
    def attention_forward(self, run: AttentionRun) -> Pass: ...
    def attention_backward(self, run: AttentionRun, gradients: AttentionGradients) -> Pass: ...
    def attention_memory(self, run: AttentionRun, gradients: AttentionGradients) -> Tensor: ...
    def cross_entropy(
        self, logits_NV: Tensor, bias_V: Tensor, targets_N: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]: ...

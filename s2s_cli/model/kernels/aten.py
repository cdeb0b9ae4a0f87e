"""Passes as plain torch operations: for any device and any floating type. See `s2s_cli.model.kernels.passes`.

tanh(x) is computed as 2σ(2x) − 1: on CPU, torch's sigmoid is ten times as fast as its tanh. In the attention the
constants fall away, for softmax does not see them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from s2s_cli.model.kernels.passes import (
    AttentionGradients,
    AttentionRun,
    BlendGradients,
    BlendRun,
    Factor,
    GRUGradients,
    GRURun,
    Pass,
)


def run(passes: Sequence[Pass], positions: range) -> None:
    """All passes at a position, then all at the next."""
    for t in positions:
        for at in passes:
            at(t)


def multiply(weight_NK: Tensor, rows_TRK: Tensor, products_XRN: Tensor, addends_TRN: Tensor | None = None) -> Pass:
    """rows @ weight.t() + addends, of each position or, where X is 1, in the place of the last one's."""
    weight_KN = weight_NK.t()

    def at(t: int) -> None:
        out = products_XRN[t % len(products_XRN)]
        if addends_TRN is None:
            torch.mm(rows_TRK[t], weight_KN, out=out)
        else:
            torch.addmm(addends_TRN[t], rows_TRK[t], weight_KN, out=out)

    return at


def factor(weight_NK: Tensor) -> Factor:
    weight_KN = weight_NK.t()

    def times(rows_RK: Tensor, addends_RN: Tensor | None = None) -> Tensor:
        return rows_RK @ weight_KN if addends_RN is None else torch.addmm(addends_RN, rows_RK, weight_KN)

    return times


def outer(first_RM: Tensor, second_RN: Tensor) -> Tensor:
    """The sum of the outer products of their rows [M, N]: the gradient in a weight."""
    return first_RM.t() @ second_RN


def gru_forward(run: GRURun) -> Pass:
    """s_t = n + z (s_{t-1} − n), see `s2s_cli.model.cells.GRU`."""

    def at(t: int) -> None:
        _, update, new, _ = _gates(run, t)
        state = torch.lerp(new, run.carry_BH, update)
        run.carry_BH.copy_(state if run.valid_TB is None else state * run.valid_TB[t, :, None])
        run.following_TBH[t] = run.carry_BH

    return at


def gru_backward(run: GRURun, gradients: GRUGradients) -> Pass:
    """From the gradient in s_t to those in x_t, U s_{t-1} and s_{t-1}; the gates are computed anew."""
    hidden = run.carry_BH.shape[-1]

    def at(t: int) -> None:
        reset, update, new, product_new = _gates(run, t)
        d_state = gradients.carry_BH + gradients.feedback_BH + gradients.states_TBH[t]
        if run.valid_TB is not None:
            d_state = d_state * run.valid_TB[t, :, None]
        d_new = d_state * (1 - update) * (1 - new * new)
        d_reset = d_new * product_new * reset * (1 - reset)
        d_update = d_state * (run.previous_TBH[t] - new) * update * (1 - update)
        torch.mul(d_state, update, out=gradients.carry_BH)
        gradients.inputs_TBG[t] = torch.cat([d_reset, d_update, d_new], dim=-1)
        gradients.products_TBG[t] = gradients.inputs_TBG[t]
        gradients.products_TBG[t, :, 2 * hidden :] = d_new * reset

    return at


def _gates(run: GRURun, t: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """r, z, n, and the share of the products in n."""
    hidden = run.carry_BH.shape[-1]
    inputs = run.inputs_TBG[t].to(run.carry_BH.dtype)
    products = run.products_TBG[t] + run.bias_G
    reset, update = torch.sigmoid(inputs[:, : 2 * hidden] + products[:, : 2 * hidden]).chunk(2, dim=-1)
    product_new = products[:, 2 * hidden :]
    new = 2 * torch.sigmoid(2 * (inputs[:, 2 * hidden :] + reset * product_new)) - 1
    return reset, update, new, product_new


def blend_forward(run: BlendRun) -> Pass:
    """c_t = x̃ + f (c_{t-1} − x̃), see `s2s_cli.model.cells.InputGatedCell`."""

    def at(t: int) -> None:
        forget, new = _blended(run, t)
        state = torch.lerp(new, run.carry_BH, forget)
        run.carry_BH.copy_(state if run.valid_TB is None else state * run.valid_TB[t, :, None])
        run.following_TBH[t] = run.carry_BH

    return at


def blend_backward(run: BlendRun, gradients: BlendGradients) -> Pass:
    """From the gradient in c_t to those in the inputs and in c_{t-1}; f is computed anew."""

    def at(t: int) -> None:
        forget, new = _blended(run, t)
        d_state = gradients.carry_BH + gradients.states_TBH[t]
        if run.valid_TB is not None:
            d_state = d_state * run.valid_TB[t, :, None]
        d_forget = d_state * (run.previous_TBH[t] - new) * forget * (1 - forget)
        gradients.inputs_TBG[t] = torch.cat([d_forget, d_state * (1 - forget)], dim=-1)
        torch.mul(d_state, forget, out=gradients.carry_BH)

    return at


def _blended(run: BlendRun, t: int) -> tuple[Tensor, Tensor]:
    """f and x̃."""
    forget, new = run.inputs_TBG[t].to(run.carry_BH.dtype).chunk(2, dim=-1)
    return torch.sigmoid(forget + run.bias_H), new


def attention_forward(run: AttentionRun) -> Pass:
    """α_t = softmax(v · tanh(q_t + k)) = softmax(2v · σ(2 q_t + 2k)), c_t = α_t · h."""
    keys_BSA, energy_A = 2 * run.keys_BSA.to(run.attention_TBS.dtype), 2 * run.energy_A
    invalid_BS = ~run.valid_BS

    def at(t: int) -> None:
        energies_BS = torch.add(keys_BSA, run.queries_TBA[t, :, None], alpha=2).sigmoid_() @ energy_A
        attention_BS = torch.softmax(energies_BS.masked_fill_(invalid_BS, -torch.inf), dim=-1)
        run.attention_TBS[t] = attention_BS
        run.contexts_TBM[t] = torch.bmm(attention_BS[:, None].to(run.memory_BSM.dtype), run.memory_BSM)[:, 0]

    return at


def attention_backward(run: AttentionRun, gradients: AttentionGradients) -> Pass:
    """From the gradients in c_t and α_t to those in q_t, k and v; σ is made anew; tanh has the derivative 4σ(1 − σ)."""
    keys_BSA, energy_A = 2 * run.keys_BSA.to(run.attention_TBS.dtype), run.energy_A

    def at(t: int) -> None:
        sigma_BSA = torch.add(keys_BSA, run.queries_TBA[t, :, None], alpha=2).sigmoid_()
        attention_BS = run.attention_TBS[t]
        d_attention_BS = torch.bmm(run.memory_BSM, gradients.contexts_TBM[t, :, :, None])[:, :, 0]
        if gradients.attention_TBS is not None:
            d_attention_BS = d_attention_BS + gradients.attention_TBS[t]
        mean_B1 = torch.linalg.vecdot(attention_BS, d_attention_BS.to(attention_BS.dtype))[:, None]
        d_energies_BS = attention_BS * (d_attention_BS - mean_B1)
        gradients.energy_BA.add_(torch.bmm(d_energies_BS[:, None], sigma_BSA)[:, 0], alpha=2)  # Σ_j de_j = 0
        d_keys_BSA = torch.addcmul(sigma_BSA, sigma_BSA, sigma_BSA, value=-1)
        d_keys_BSA.mul_(4 * energy_A).mul_(d_energies_BS[:, :, None])
        gradients.keys_BSA.add_(d_keys_BSA)
        gradients.queries_TBA[t] = d_keys_BSA.sum(dim=1)

    return at


def attention_memory(run: AttentionRun, gradients: AttentionGradients) -> Tensor:
    """The gradient in the encoder states [B, S, M], after the last pass."""
    attention_BST = run.attention_TBS.permute(1, 2, 0).to(run.memory_BSM.dtype)
    return torch.bmm(attention_BST, gradients.contexts_TBM.transpose(0, 1))


def cross_entropy(logits_NV: Tensor, bias_V: Tensor, targets_N: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The label-smoothed loss and −log p(target) of each row; the gradient of the loss takes the place of the logits.

    logits_NV: still without the bias, which is of at least float32. The wanted distribution has 1 − ε on the target and
    ε/V on every symbol (Szegedy et al. 2016, section 7).
    """
    rows_N, symbols = torch.arange(len(logits_NV), device=logits_NV.device), logits_NV.shape[1]
    log_probs_NV = torch.log_softmax(logits_NV + bias_V, dim=-1)
    likelihood_N = -log_probs_NV[rows_N, targets_N]
    loss_N = (1 - smoothing) * likelihood_N - smoothing * log_probs_NV.mean(dim=-1)
    gradient_NV = log_probs_NV.exp_().sub_(smoothing / symbols)
    gradient_NV[rows_N, targets_N] -= 1 - smoothing
    logits_NV.copy_(gradient_NV)
    return loss_N, likelihood_N

"""Softmax cross-entropy, or log p, of rows that are still to be projected to the vocabulary, as an autograd function.

Output projection, softmax and cross-entropy are one, which never holds the logits of a whole batch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from s2s_cli.model.kernels.backend import compute_type, passes_for, wide_type
from s2s_cli.model.kernels.passes import Passes

CHUNK = 1024
"""Most rows whose logits exist at one time: products reach full speed, and 8,000 symbols in bfloat16 take 16 MB."""

PARTS = 4
"""By how much a chunk has fewer rows where divergences are computed, which take several tensors of its size."""

ROWS = 32
"""Rows are padded to a multiple of this: oneDNN, by which torch multiplies, compiles code for each new shape (8 MB)."""


def fused_cross_entropy(
    readout_NR: Tensor,
    weight_VR: Tensor,
    bias_V: Tensor,
    targets_N: Tensor,
    smoothing: float = 0.0,
    divergence: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Sums over all rows of the label-smoothed loss and of −log p(target), the latter not differentiable.

    Equals `F.cross_entropy(F.linear(readout, weight, bias), targets, reduction="sum", label_smoothing=smoothing)`. Rows
    of padding must be left out beforehand. Products use the type of autocast where it is on, sums at least float32. If
    the gradient of the loss is exactly 1, `backward` saves a pass over the gradient of the weights.

    divergence: weight in the loss of KL(p‖q) + KL(q‖p), where p is the softmax of a row in the first half and q that of
    the same row in the second half.

    Errors: IndexError for a target outside the vocabulary (on CPU).
    """
    rows, passes = _prepared(readout_NR, weight_VR, bias_V, targets_N)
    with torch.autocast(readout_NR.device.type, enabled=False):
        return _CrossEntropy.apply(*rows, smoothing, divergence, passes, torch.is_grad_enabled())


def fused_log_probs(readout_NR: Tensor, weight_VR: Tensor, bias_V: Tensor, targets_N: Tensor) -> Tensor:
    """log p(target) of each row, at least float32 [N].

    Equals `-F.cross_entropy(F.linear(readout, weight, bias), targets, reduction="none")`; the rest is as of
    `fused_cross_entropy`. Logits are computed anew for the gradient: only then is it known what a row weighs.
    """
    rows, passes = _prepared(readout_NR, weight_VR, bias_V, targets_N)
    with torch.autocast(readout_NR.device.type, enabled=False):
        return _LogProbs.apply(*rows, passes)


class _Rows(NamedTuple):
    readout_NR: Tensor
    weight_VR: Tensor
    bias_V: Tensor
    targets_N: Tensor


def _prepared(readout_NR: Tensor, weight_VR: Tensor, bias_V: Tensor, targets_N: Tensor) -> tuple[_Rows, Passes]:
    """The rows in the type of the products, and the passes over their logits."""
    symbols = len(bias_V)
    if len(targets_N) and targets_N.device.type == "cpu" and not 0 <= targets_N.min() <= targets_N.max() < symbols:
        raise IndexError(f"targets must lie between 0 and {symbols - 1}")
    kind = compute_type(readout_NR)
    return _Rows(readout_NR.to(kind), weight_VR, bias_V, targets_N), passes_for(kind, readout_NR.device)


def symmetric_divergence(logits_NV: Tensor, bias_V: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of KL(p‖q) + KL(q‖p) = Σ (p − q)(log p − log q), p of the first half of the rows and q of the second half;
    and its gradient for the logits [N, V]. Both at least float32."""
    log_p, log_q = torch.log_softmax(logits_NV + bias_V, dim=1).chunk(2)  # the bias is at least float32
    p, q, excess = log_p.exp(), log_q.exp(), log_p - log_q
    p_from_q, q_from_p = ((p * excess).sum(dim=1, keepdim=True), -(q * excess).sum(dim=1, keepdim=True))
    d_p = p * (excess - p_from_q) + p - q
    d_q = q * (-excess - q_from_p) + q - p
    return p_from_q.sum() + q_from_p.sum(), torch.cat([d_p, d_q])


class _CrossEntropy(torch.autograd.Function):
    """Gradients are computed along with the loss, chunk by chunk, from the same logits; `backward` scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        readout_NR: Tensor,
        weight_VR: Tensor,
        bias_V: Tensor,
        targets_N: Tensor,
        smoothing: float,
        diverging: float,
        passes: Passes,
        with_gradients: bool,
    ) -> tuple[Tensor, Tensor]:
        rows = _Rows(readout_NR, weight_VR, bias_V, targets_N)
        loss, likelihood_N, gradients = _in_chunks(rows, passes, with_gradients, smoothing, diverging)
        ctx.save_for_backward(*gradients)
        likelihood = likelihood_N.sum()
        ctx.mark_non_differentiable(likelihood)
        return loss, likelihood

    @staticmethod
    def backward(ctx: Any, d_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        if d_loss.device.type != "cpu" or d_loss != 1:
            gradients = tuple(gradient * d_loss.to(gradient.dtype) for gradient in gradients)
        return *gradients, None, None, None, None, None


class _LogProbs(torch.autograd.Function):
    """The gradient is that of a cross-entropy whose rows have weights."""

    @staticmethod
    def forward(
        ctx: Any, readout_NR: Tensor, weight_VR: Tensor, bias_V: Tensor, targets_N: Tensor, passes: Passes
    ) -> Tensor:
        ctx.passes = passes
        ctx.save_for_backward(readout_NR, weight_VR, bias_V, targets_N)
        _, likelihood_N, _ = _in_chunks(_Rows(readout_NR, weight_VR, bias_V, targets_N), passes, with_gradients=False)
        return -likelihood_N

    @staticmethod
    def backward(ctx: Any, d_log_probs_N: Tensor) -> tuple[Tensor | None, ...]:
        _, _, gradients = _in_chunks(
            _Rows(*ctx.saved_tensors), ctx.passes, with_gradients=True, weights_N=-d_log_probs_N
        )
        return *gradients, None, None


def _in_chunks(
    all_rows: _Rows,
    passes: Passes,
    with_gradients: bool,
    smoothing: float = 0.0,
    diverging: float = 0.0,
    weights_N: Tensor | None = None,
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """The sum of the loss over all rows; −log p of each target; the gradients for readout, weight and bias, or nothing.

    weights_N: of the loss of each row, in the gradients; with a divergence there are none.
    """
    readout_NR, weight_VR, bias_V, targets_N = all_rows
    kind, wide = readout_NR.dtype, wide_type(readout_NR.dtype)
    weight, bias = weight_VR.to(kind), bias_V.to(wide)
    d_readout_NR, d_weight_VR, d_bias_V = torch.empty_like(readout_NR), bias.new_empty(0), torch.zeros_like(bias)
    loss, likelihood_N = bias.new_zeros(()), bias.new_empty(len(readout_NR))
    most, halves = (CHUNK // PARTS, 2) if diverging else (CHUNK, 1)  # a chunk has the same rows of both halves
    chunks = max(1, math.ceil(len(readout_NR) / most))
    shape = (halves, len(readout_NR) // halves)
    project, project_back = passes.factor(weight), passes.factor(weight.t()) if with_gradients else None
    tensors = [tensor.unflatten(0, shape) for tensor in (readout_NR, targets_N, d_readout_NR, likelihood_N)]
    parts = [tensor.chunk(chunks, dim=1) for tensor in tensors]
    weights = [None] * chunks if weights_N is None else weights_N.chunk(chunks)
    for chunk, (readout_PnR, targets_Pn, d_readout_PnR, likelihood_Pn) in enumerate(zip(*parts, strict=True)):
        readout_nR, targets_n = readout_PnR.flatten(0, 1), targets_Pn.flatten()
        rows = len(readout_nR)
        readout_nR = pad(readout_nR, (0, 0, 0, -rows % ROWS))
        logits_nV = project(readout_nR)
        if diverging:
            between_halves, d_divergence_nV = symmetric_divergence(logits_nV[:rows], bias)
            loss += diverging * between_halves
        loss_n, likelihood_n = passes.cross_entropy(logits_nV[:rows], bias, targets_n, smoothing)
        loss += loss_n.sum()
        likelihood_Pn.copy_(likelihood_n.view_as(likelihood_Pn))
        if project_back is not None:
            d_logits_nV = logits_nV  # the pass has overwritten the logits
            d_logits_nV[rows:] = 0
            if diverging:
                d_logits_nV[:rows] += d_divergence_nV.mul_(diverging)
            if (weights_n := weights[chunk]) is not None:
                d_logits_nV[:rows] *= weights_n[:, None]
            d_readout_PnR.copy_(project_back(d_logits_nV)[:rows].unflatten(0, (halves, -1)))
            d_part_VR = passes.outer(d_logits_nV, readout_nR)
            d_weight_VR = d_part_VR.to(wide) if chunk == 0 else d_weight_VR.add_(d_part_VR)
            d_bias_V += d_logits_nV.sum(dim=0)
    gradients = (d_readout_NR, d_weight_VR.to(weight_VR.dtype), d_bias_V.to(bias_V.dtype)) if with_gradients else ()
    return loss, likelihood_N, gradients

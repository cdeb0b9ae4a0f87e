"""The training loss: label-smoothed cross-entropy of the target given the source."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.model.output import Decoded
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.tokenizer import BOS
from s2s_cli.training.batches import Batch


class Loss(NamedTuple):
    """Sums over the tokens of a batch, in nats."""

    smoothed: Tensor
    """The objective of training."""
    nll: Tensor
    """-log p of the target itself, detached."""
    tokens: int
    """Target tokens, ends of sentences included."""
    risk: Tensor | None = None
    """The expected cost of what the model writes, from 0 to 1 for each token; of objectives that lower it instead of
    −log p."""


def sequence_loss(model: Seq2Seq, batch: Batch, smoothing: float, divergence: float = 0.0) -> Loss:
    """The loss of a batch under teacher forcing, and that of repeated attention if the recipe weighs it.

    divergence: of the halves of a batch that is repeated, see `Output.loss`.
    """
    decoded = model(batch.source_BS, batch.source_lengths_B, shift_right(batch.target_BT))
    return loss_of(model, decoded, batch.target_BT, batch.target_lengths_B, smoothing, divergence)


def loss_of(
    model: Seq2Seq,
    decoded: Decoded,
    target_BT: Tensor,
    target_lengths_B: Tensor,
    smoothing: float,
    divergence: float = 0.0,
) -> Loss:
    """The same of targets that the model has read."""
    valid_BT = valid_positions(target_BT, target_lengths_B)
    smoothed, nll = model.output.loss(decoded, target_BT, valid_BT, smoothing, divergence)
    repeated_BT = model.decoder.coverage_loss(decoded.features)
    if repeated_BT is not None:
        smoothed = smoothed + repeated_BT[valid_BT].sum()
    return Loss(smoothed, nll, int(target_lengths_B.sum()))


def valid_positions(target_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """Where there is a symbol of the target or its end, not padding: bool [B, T]."""
    return torch.arange(target_BT.shape[1], device=target_BT.device) < lengths_B[:, None]


def shift_right(target_BT: Tensor) -> Tensor:
    """y_1..y_T -> y_0..y_{T-1}, where y_0 is BOS."""
    first_B1 = target_BT.new_full((len(target_BT), 1), BOS)
    return torch.cat([first_B1, target_BT[:, :-1]], dim=1)

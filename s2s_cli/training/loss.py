"""The training loss: label-smoothed cross-entropy of the target given the source."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.data.batches import Batch
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.tokenizer import BOS


class Loss(NamedTuple):
    """Sums over the tokens of a batch, in nats."""

    smoothed: Tensor
    """The objective of training."""
    nll: Tensor
    """-log p of the target itself, detached."""
    tokens: int
    """Target tokens, ends of sentences included."""


def sequence_loss(model: Seq2Seq, batch: Batch, smoothing: float, divergence: float = 0.0) -> Loss:
    """The loss of a batch under teacher forcing, and that of repeated attention if the recipe weighs it.

    divergence: of the halves of a batch that is repeated, see `Output.loss`.
    """
    decoded = model(batch.source_BS, batch.source_lengths_B, shift_right(batch.target_BT))
    positions_T = torch.arange(batch.target_BT.shape[1], device=batch.target_BT.device)
    valid_BT = positions_T < batch.target_lengths_B[:, None]
    smoothed, nll = model.output.loss(decoded, batch.target_BT, valid_BT, smoothing, divergence)
    repeated_BT = model.decoder.coverage_loss(decoded.features)
    if repeated_BT is not None:
        smoothed = smoothed + repeated_BT[valid_BT].sum()
    return Loss(smoothed, nll, int(batch.target_lengths_B.sum()))


def shift_right(target_BT: Tensor) -> Tensor:
    """y_1..y_T -> y_0..y_{T-1}, where y_0 is BOS."""
    first_B1 = target_BT.new_full((len(target_BT), 1), BOS)
    return torch.cat([first_B1, target_BT[:, :-1]], dim=1)

"""Objectives of training: from a model and a batch to the loss whose gradient the optimiser follows.

A new objective is one class here, one row of `OBJECTIVES`, and its keys as a class of `s2s_cli.recipe.schema.training`.
All are sums over the target tokens of a batch, so that a batch can be divided, and of the size of the cross-entropy, so
that learning rates and `clip_norm` mean the same for each.
"""

from __future__ import annotations

from typing import Protocol

from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.batches import Batch
from s2s_cli.training.loss import Loss, sequence_loss
from s2s_cli.training.minimum_risk import MinimumRisk


class Objective(Protocol):
    """What training minimises."""

    def __call__(self, model: Seq2Seq, batch: Batch) -> Loss: ...


class CrossEntropy:
    """The label-smoothed cross-entropy."""

    def __init__(self, smoothing: float) -> None:
        self.smoothing = smoothing

    def __call__(self, model: Seq2Seq, batch: Batch) -> Loss:
        return sequence_loss(model, batch, self.smoothing)


class RDrop:
    """The cross-entropy of two passes with their own dropout, and how far the two differ (Liang et al. 2021).

    Of equation 4 of the paper, CE(p) + CE(q) + alpha ½ (KL(p‖q) + KL(q‖p)), this is the half: the mean of both passes.
    """

    def __init__(self, smoothing: float, alpha: float) -> None:
        self.smoothing, self.alpha = smoothing, alpha

    def __call__(self, model: Seq2Seq, batch: Batch) -> Loss:
        both = sequence_loss(model, batch.repeat(2), self.smoothing, divergence=self.alpha / 2)
        return Loss(both.smoothed / 2, both.nll / 2, both.tokens // 2)


OBJECTIVES: dict[str, type[CrossEntropy] | type[RDrop] | type[MinimumRisk]] = {
    "cross_entropy": CrossEntropy,
    "r_drop": RDrop,
    "minimum_risk": MinimumRisk,
}

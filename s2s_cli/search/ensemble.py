"""Several models as one: the mean of their probabilities at each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from s2s_cli.errors import DataError
from s2s_cli.search.step_model import Prediction, State, StepModel


@dataclass(frozen=True)
class EnsembleState:
    """The states of the members."""

    members: tuple[State, ...]

    def reorder(self, origin_BK: Tensor) -> EnsembleState:
        return EnsembleState(tuple(state.reorder(origin_BK) for state in self.members))

    def select(self, sentences_b: Tensor) -> EnsembleState:
        return EnsembleState(tuple(state.select(sentences_b) for state in self.members))


class Ensemble:
    """A `StepModel` over several with the same vocabulary; their attentions are averaged where they have any."""

    def __init__(self, models: Sequence[StepModel]) -> None:
        sizes = [model.vocabulary for model in models]
        if len(set(sizes)) != 1:
            listed = ", ".join(map(str, sizes))
            raise DataError(f"the models of an ensemble must share one target vocabulary, these have sizes {listed}")
        self.models = tuple(models)
        self.vocabulary = sizes[0]

    def start(self, source_BS: Tensor, source_lengths_B: Tensor) -> EnsembleState:
        return EnsembleState(tuple(model.start(source_BS, source_lengths_B) for model in self.models))

    def step(self, previous_BK: Tensor, state: EnsembleState) -> tuple[Prediction, EnsembleState]:
        pairs = zip(self.models, state.members, strict=True)
        steps, states = zip(*(model.step(previous_BK, member) for model, member in pairs), strict=True)
        attentions = [step.attention_BKS for step in steps if step.attention_BKS is not None]
        attention_BKS = torch.stack(attentions).mean(dim=0) if attentions else None
        log_probs_BKV = _mean_probability([step.log_probs() for step in steps])
        return Prediction(log_probs_BKV, attention_BKS), EnsembleState(states)


def _mean_probability(log_probs: list[Tensor]) -> Tensor:
    """log of the mean of the probabilities."""
    return torch.stack(log_probs).logsumexp(dim=0) - math.log(len(log_probs))

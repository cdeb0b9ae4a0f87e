"""Several models as one: the mean of their probabilities at each step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from s2s_cli.errors import DataError
from s2s_cli.search.step_model import Best, State, Step, StepModel, mean_probability


@dataclass(frozen=True)
class EnsembleState:
    """The states of the members."""

    members: tuple[State, ...]

    def reorder(self, origin_BK: np.ndarray) -> EnsembleState:
        return EnsembleState(tuple(state.reorder(origin_BK) for state in self.members))

    def select(self, sentences_b: np.ndarray) -> EnsembleState:
        return EnsembleState(tuple(state.select(sentences_b) for state in self.members))


@dataclass(frozen=True)
class EnsembleStep(Step):
    """What the members predict; it is combined as late as possible, for what is asked alone."""

    members: tuple[Step, ...]

    @property
    def attention_BKS(self) -> np.ndarray | None:
        attentions = [step.attention_BKS for step in self.members if step.attention_BKS is not None]
        return np.mean(attentions, axis=0) if attentions else None

    def best(self, first: int, count: int, end: int) -> Best:
        return self.members[0].best_of_mean(self.members, first, count, end)

    def log_probs_of(self, rows_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        return mean_probability([step.log_probs_of(rows_P, symbols_P) for step in self.members])

    def log_probs(self) -> np.ndarray:
        return mean_probability([step.log_probs() for step in self.members])


class Ensemble:
    """A `StepModel` over several with the same vocabulary; their attentions are averaged where they have any."""

    def __init__(self, models: Sequence[StepModel]) -> None:
        sizes = [model.vocabulary for model in models]
        if len(set(sizes)) != 1:
            listed = ", ".join(map(str, sizes))
            raise DataError(f"the models of an ensemble must share one target vocabulary, these have sizes {listed}")
        self.models = tuple(models)
        self.vocabulary = sizes[0]

    def start(
        self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: Sequence[Collection[int]] = ()
    ) -> EnsembleState:
        return EnsembleState(tuple(model.start(source_BS, source_lengths_B, admitted) for model in self.models))

    def step(self, previous_BK: np.ndarray, state: EnsembleState) -> tuple[EnsembleStep, EnsembleState]:
        pairs = zip(self.models, state.members, strict=True)
        steps, states = zip(*(model.step(previous_BK, member) for model, member in pairs), strict=True)
        return EnsembleStep(steps), EnsembleState(states)

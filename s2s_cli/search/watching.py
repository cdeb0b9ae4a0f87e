"""A search that is watched: what was kept at each step, and what was dropped, with probabilities.

A search knows only `start` and `step` of a model, so a model that remembers what it was asked tells all of it, and the
search itself is as it always is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from s2s_cli.search.beam import beam_search, best_continuations, within_beam
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import Best, Step, StepModel
from s2s_cli.text.tokenizer import EOS


class Continuation(NamedTuple):
    """One way to go on with a hypothesis."""

    origin: int
    """The hypothesis that is continued, by its place among those that the step before kept."""
    symbol: int
    """EOS where it ends here."""
    log_prob: float
    """log p of all of it, in nats."""
    symbol_log_prob: float
    """log p of the symbol after the hypothesis."""
    kept: bool
    """Whether it is among those that the search follows, or counts as finished."""


Watched = list[list[Continuation]]
"""For each step what there was to choose from, best first. Those kept that did not end are, in this order, the
hypotheses of the next step."""


def watched_beam_search(
    model: StepModel[Any], source: Sequence[int], options: SearchOptions
) -> tuple[list[Hypothesis], Watched]:
    """The beam search for one source, which ends with EOS, and what it did."""
    watching = _Watching(model)
    [found] = beam_search(watching, np.array([source]), np.array([len(source)]), options)
    return found, _replayed(watching.steps, options)


@dataclass
class _Remembered(Step):
    """A step whose answer can be asked for again, after later steps too."""

    step: Step
    answer: Best | None = None

    @property
    def attention_BKS(self) -> np.ndarray | None:
        return self.step.attention_BKS

    def best(self, first: int, count: int, end: int) -> Best:
        if self.answer is None:
            self.answer = self.step.best(first, count, end)
        return self.answer

    def log_probs_of(self, rows_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        return self.step.log_probs_of(rows_P, symbols_P)

    def log_probs(self) -> np.ndarray:
        return self.step.log_probs()


class _Watching:
    """A model that keeps its steps."""

    def __init__(self, model: StepModel[Any]) -> None:
        self._model = model
        self.steps: list[_Remembered] = []

    @property
    def vocabulary(self) -> int:
        return self._model.vocabulary

    def start(
        self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: Sequence[Collection[int]] = ()
    ) -> Any:
        return self._model.start(source_BS, source_lengths_B, admitted)

    def step(self, previous_BK: np.ndarray, state: Any) -> tuple[Step, Any]:
        step, state = self._model.step(previous_BK, state)
        self.steps.append(_Remembered(step))
        return self.steps[-1], state


def _replayed(steps: Sequence[_Remembered], options: SearchOptions) -> Watched:
    """What the search chose from, by its own functions."""
    watched: Watched = []
    log_probs_1K = np.zeros((1, 1), np.float32)
    for length, step in enumerate(steps, start=1):
        pieces, ended_1J = best_continuations(log_probs_1K, step, EOS + 1, options.beam, EOS)
        counts = within_beam(ended_1J, pieces.log_probs_BC, options.beam) > -np.inf
        pairs = zip(pieces.origins_BC[0].tolist(), pieces.symbols_BC[0].tolist(), strict=True)
        places = {pair: place for place, pair in enumerate(pairs)}  # of those that are followed
        log_probs_JC, symbols_JC, ends_J = (array[0] for array in step.best(EOS + 1, options.beam, EOS))
        found = []
        for origin, before in enumerate(log_probs_1K[0].tolist()):
            is_end_kept = length > options.min_length and bool(counts[0, origin])
            found.append(Continuation(origin, EOS, before + float(ends_J[origin]), float(ends_J[origin]), is_end_kept))
            for symbol, log_prob in zip(symbols_JC[origin].tolist(), log_probs_JC[origin].tolist(), strict=True):
                is_kept = (origin, symbol) in places
                found.append(Continuation(origin, symbol, before + log_prob, log_prob, is_kept))
        found.sort(key=lambda each, at=places: (-each.log_prob, at.get(each[:2], len(at))))  # type: ignore[misc]
        watched.append([each for each in found if each.log_prob > -np.inf])
        log_probs_1K = pieces.log_probs_BC
    return watched

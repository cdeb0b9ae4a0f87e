"""All that search knows of a model: it can be started on a batch of sentences, and asked for one step.

Whatever keeps these promises can be searched: a network, an ensemble, an engine with other arithmetic, a table.

Shapes: B sentences, S source positions, K open hypotheses of each sentence, V target symbols.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

AnyState = TypeVar("AnyState", bound="State")


Best = tuple[np.ndarray, np.ndarray, np.ndarray]
"""What `Step.best` tells."""


class Step(Protocol):
    """What a model says of the next symbol, to be asked before the next step is made.

    The search keeps the arrays that it is handed: a model must not write to them again.
    """

    @property
    def attention_BKS(self) -> np.ndarray | None:
        """Weights over the source with which the symbol is predicted; `None` for a model without attention."""
        ...

    def best(self, first: int, count: int, end: int) -> Best:
        """The C best symbols from `first` on after each hypothesis, best first: float log p [B, K, C] and int64
        symbol [B, K, C]; and log p of the symbol `end`, [B, K].

        C is `count`, or less if there are not so many symbols. `first` is EOS or the symbol after it, `end` is EOS.
        Which of two equally probable symbols comes first depends on no other hypothesis.
        """
        ...

    def best_of_mean(self, steps: Sequence[Step], first: int, count: int, end: int) -> Best:
        """The same of an ensemble, which gives the mean of the probabilities of `steps`; this is the first of them.

        A step that knows the others may be faster.
        """
        return best_of_mean(steps, first, count, end)

    def log_probs_of(self, rows_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        """log p of symbols that are given, [P]: each after hypothesis k of sentence b, where the row is b · K + k."""
        ...

    def log_probs(self) -> np.ndarray:
        """log p(next symbol | hypothesis, source) of all symbols, at least float32 [B, K, V]."""
        ...


GROUP = 64  # symbols: a power of 8


@dataclass(frozen=True)
class Prediction:
    """The plain `Step`: all log-probabilities, written out."""

    log_probs_BKV: np.ndarray
    attention_BKS: np.ndarray | None

    def best(self, first: int, count: int, end: int) -> Best:
        log_probs_BKC, symbols_BKC = greatest(self.log_probs_BKV[:, :, first:], count)
        return log_probs_BKC, symbols_BKC + first, self.log_probs_BKV[:, :, end]

    def best_of_mean(self, steps: Sequence[Step], first: int, count: int, end: int) -> Best:
        return best_of_mean(steps, first, count, end)

    def log_probs_of(self, rows_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        return self.log_probs_BKV.reshape(-1, self.log_probs_BKV.shape[2])[rows_P, symbols_P]

    def log_probs(self) -> np.ndarray:
        return self.log_probs_BKV


def mean_probability(log_probs: Sequence[np.ndarray]) -> np.ndarray:
    """log of the mean of the probabilities."""
    members = np.stack(log_probs)
    greatest = np.maximum(members.max(axis=0), np.finfo(np.float32).min)  # finite, also where all are -inf
    with np.errstate(divide="ignore"):
        return greatest + np.log(np.exp(members - greatest).mean(axis=0))


def best_of_mean(steps: Sequence[Step], first: int, count: int, end: int) -> Best:
    """The plain `Step.best_of_mean`."""
    return Prediction(mean_probability([step.log_probs() for step in steps]), None).best(first, count, end)


def at(values_BKV: np.ndarray, symbols_BK: np.ndarray) -> np.ndarray:
    """The value of one symbol of each hypothesis, [B, K]."""
    return np.take_along_axis(values_BKV, symbols_BK[:, :, None], axis=2)[:, :, 0]


def greatest(values: np.ndarray, count: int, group: int = GROUP) -> tuple[np.ndarray, np.ndarray]:
    """The C greatest along the last dimension, the greatest first and of equal ones that with the lower index: values
    and indices, [.., C].

    They lie in the C groups of values with the greatest maxima, and maxima of groups are many times faster to take than
    an order: so that is left with C groups, and with the rest of each row that makes no full group. Those are divided
    into smaller groups again.
    """
    *rows, size = values.shape
    groups, count = size // group, min(count, size)
    if group == 1:
        indices = descending(values)[..., :count]
        return np.take_along_axis(values, indices, axis=-1), indices
    if groups <= count:
        return greatest(values, count, group // 8)
    rest = groups * group
    maxima = values[..., :rest].reshape(*rows, groups, group).max(axis=-1)
    chosen = np.sort(descending(maxima)[..., :count], axis=-1)
    members = (chosen[..., None] * group + np.arange(group)).reshape(*rows, count * group)
    tail = np.broadcast_to(np.arange(rest, size), (*rows, size - rest))
    candidates = np.concatenate([members, tail], axis=-1)
    found, places = greatest(np.take_along_axis(values, candidates, axis=-1), count, group // 8)
    return found, np.take_along_axis(candidates, places, axis=-1)


def descending(values: np.ndarray) -> np.ndarray:
    """The indices that order the last dimension, the greatest first; equal values stay in their order."""
    return (-values).argsort(axis=-1, kind="stable")


class State(Protocol):
    """What a model remembers of a batch of hypotheses. A state is never changed: each method makes a new one."""

    def reorder(self: AnyState, origin_BK: np.ndarray) -> AnyState:
        """New hypothesis k of sentence b continues the old hypothesis origin[b, k]; K may change.

        Only what differs between the hypotheses of a sentence moves; what belongs to the sentence stays as it is.
        """
        ...

    def select(self: AnyState, sentences_b: np.ndarray) -> AnyState:
        """Keep these sentences, given by their present rows: finished ones leave the batch."""
        ...


class StepModel(Protocol[AnyState]):
    """A conditional model of target sentences, symbol by symbol."""

    @property
    def vocabulary(self) -> int:
        """Number V of target symbols, the four special ones (`s2s_cli.text.tokenizer`) included."""
        ...

    def start(
        self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: Sequence[Collection[int]] = ()
    ) -> AnyState:
        """Encode a batch: int64 sources that end with EOS, padded; lengths count EOS. The state has K = 1.

        admitted: for each sentence the symbols that are to be possible, even if the model chooses among few; or none.
        """
        ...

    def step(self, previous_BK: np.ndarray, state: AnyState) -> tuple[Step, AnyState]:
        """Feed the previous symbol of each hypothesis (BOS at first); predict the next one."""
        ...

"""All that search knows of a model: it can be started on a batch of sentences, and asked for one step.

Whatever keeps these promises can be searched: a network, an ensemble, an engine with other arithmetic, a table.

Shapes: B sentences, S source positions, K open hypotheses of each sentence, V target symbols.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

AnyState = TypeVar("AnyState", bound="State")


Best = tuple[Tensor, Tensor, Tensor]
"""What `Step.best` tells."""


class Step(Protocol):
    """What a model says of the next symbol, to be asked before the next step is made.

    The search keeps the tensors that it is handed: a model must not write to them again.
    """

    @property
    def attention_BKS(self) -> Tensor | None:
        """Weights over the source with which the symbol is predicted; `None` for a model without attention."""
        ...

    def best(self, first: int, count: int, end: int) -> Best:
        """The C best symbols from `first` on after each hypothesis, best first: log p [B, K, C] and symbol [B, K, C];
        and log p of the symbol `end`, [B, K].

        C is `count`, or less if there are not so many symbols. `first` is EOS or the symbol after it, `end` is EOS.
        """
        ...

    def best_of_mean(self, steps: Sequence[Step], first: int, count: int, end: int) -> Best:
        """The same of an ensemble, which gives the mean of the probabilities of `steps`; this is the first of them.

        With `best_of_mean` of this module every step can answer; one that knows the others may be faster.
        """
        ...

    def log_probs_of(self, symbols_BK: Tensor) -> Tensor:
        """log p of a symbol given for each hypothesis, [B, K]."""
        ...

    def log_probs(self) -> Tensor:
        """log p(next symbol | hypothesis, source) of all symbols, at least float32 [B, K, V]."""
        ...


GROUP = 64  # symbols; of 16 to 256 the fastest on [64, 5, 8000] with a thread of a processor with 512-bit vectors


@dataclass(frozen=True)
class Prediction:
    """The plain `Step`: all log-probabilities, written out."""

    log_probs_BKV: Tensor
    attention_BKS: Tensor | None

    def best(self, first: int, count: int, end: int) -> Best:
        log_probs_BKC, symbols_BKC = greatest(self.log_probs_BKV[:, :, first:], count)
        return log_probs_BKC, symbols_BKC + first, self.log_probs_BKV[:, :, end]

    def best_of_mean(self, steps: Sequence[Step], first: int, count: int, end: int) -> Best:
        return best_of_mean(steps, first, count, end)

    def log_probs_of(self, symbols_BK: Tensor) -> Tensor:
        return at(self.log_probs_BKV, symbols_BK)

    def log_probs(self) -> Tensor:
        return self.log_probs_BKV


def mean_probability(log_probs: Sequence[Tensor]) -> Tensor:
    """log of the mean of the probabilities."""
    return torch.stack(list(log_probs)).logsumexp(dim=0) - math.log(len(log_probs))


def best_of_mean(steps: Sequence[Step], first: int, count: int, end: int) -> Best:
    """The plain `Step.best_of_mean`."""
    return Prediction(mean_probability([step.log_probs() for step in steps]), None).best(first, count, end)


def at(values_BKV: Tensor, symbols_BK: Tensor) -> Tensor:
    """The value of one symbol of each hypothesis, [B, K]."""
    return values_BKV.gather(2, symbols_BK[:, :, None]).squeeze(2)


def greatest(values_BKV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The same as `topk` along the last dimension: values and indices, [B, K, C].

    The C greatest lie in the C groups of values with the greatest maxima, and maxima of groups are several times faster
    to take than a top-k: so that is left with C groups, and with the rest of each row that makes no full group.
    """
    size = values_BKV.size(2)
    groups, count = size // GROUP, min(count, size)
    if groups <= count:
        return values_BKV.topk(count)
    rest = groups * GROUP
    values_BKGM = values_BKV[:, :, :rest].unflatten(2, (groups, GROUP))
    chosen_BKC = values_BKGM.amax(3).topk(count).indices
    members_BKN = (chosen_BKC[..., None] * GROUP + torch.arange(GROUP, device=values_BKV.device)).flatten(2)
    tail = torch.arange(rest, size, device=values_BKV.device).expand(*values_BKV.shape[:2], -1)
    indices_BKN = torch.cat([members_BKN, tail], dim=2)
    found_BKC, places_BKC = values_BKV.gather(2, indices_BKN).topk(count)
    return found_BKC, indices_BKN.gather(2, places_BKC)


class State(Protocol):
    """What a model remembers of a batch of hypotheses. A state is never changed: each method makes a new one."""

    def reorder(self: AnyState, origin_BK: Tensor) -> AnyState:
        """New hypothesis k of sentence b continues the old hypothesis origin[b, k]; K may change.

        Only what differs between the hypotheses of a sentence moves; what belongs to the sentence stays as it is.
        """
        ...

    def select(self: AnyState, sentences_b: Tensor) -> AnyState:
        """Keep these sentences, given by their present rows: finished ones leave the batch."""
        ...


class StepModel(Protocol[AnyState]):
    """A conditional model of target sentences, symbol by symbol."""

    @property
    def vocabulary(self) -> int:
        """Number V of target symbols, the four special ones (`s2s_cli.text.tokenizer`) included."""
        ...

    def start(self, source_BS: Tensor, source_lengths_B: Tensor) -> AnyState:
        """Encode a batch: int64 sources that end with EOS, padded; lengths count EOS. The state has K = 1."""
        ...

    def step(self, previous_BK: Tensor, state: AnyState) -> tuple[Step, AnyState]:
        """Feed the previous symbol of each hypothesis (BOS at first); predict the next one."""
        ...

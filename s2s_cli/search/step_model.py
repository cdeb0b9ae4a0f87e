"""All that search knows of a model: it can be started on a batch of sentences, and asked for one step.

Whatever keeps these promises can be searched: a network, an ensemble, an engine with other arithmetic, a table.

Shapes: B sentences, S source positions, K open hypotheses of each sentence, V target symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from torch import Tensor

AnyState = TypeVar("AnyState", bound="State")


class Step(Protocol):
    """What a model says of the next symbol. The search keeps the tensors: a model must not write to them again."""

    @property
    def log_probs_BKV(self) -> Tensor:
        """log p(next symbol | hypothesis, source), float32."""
        ...

    @property
    def attention_BKS(self) -> Tensor | None:
        """Weights over the source with which the symbol is predicted; `None` for a model without attention."""
        ...


@runtime_checkable
class Ranks(Protocol):
    """A `Step` that finds the best symbols itself, without writing the others out."""

    def best(self, first: int, count: int, end: int) -> tuple[Tensor, Tensor, Tensor]:
        """The C best symbols from `first` on after each hypothesis, best first: log p [B, K, C] and symbol [B, K, C];
        and log p of the symbol `end`, [B, K].

        C is `count`, or less if there are not so many symbols. To be asked before the next step is made.
        """
        ...


@dataclass(frozen=True)
class Prediction:
    """A plain `Step`, for models that are no network."""

    log_probs_BKV: Tensor
    attention_BKS: Tensor | None


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

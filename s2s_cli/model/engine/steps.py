"""What an engine says of the next symbol: the product with the output weights, which nobody writes out but for those
who ask for all of it.

Shapes: as of `s2s_cli.model.engine.attention_gru`; N places in the list of symbols that a sentence may use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from s2s_cli.model.engine.arithmetic import ARITHMETICS, Arithmetic, Product
from s2s_cli.model.engine.passes import run_pass
from s2s_cli.model.engine.shortlist import Lists
from s2s_cli.search.step_model import Best, Step, at, best_of_mean
from s2s_cli.text.tokenizer import EOS

FLOATS = ARITHMETICS["fp32"]
Found = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class EngineStep:
    """A prediction as its product left it, to be looked at before the next step is made."""

    arithmetic: Arithmetic
    logits: Product
    bias_V: Tensor
    attention_BKS: np.ndarray

    def log_probs(self) -> np.ndarray:
        log_probs_RV = (self.logits.numbers() + self.bias_V).log_softmax(dim=1)
        return log_probs_RV.view(*self.attention_BKS.shape[:2], -1).numpy()

    def log_probs_of(self, symbols_BK: np.ndarray) -> np.ndarray:
        return at(self.log_probs(), symbols_BK)

    def best(self, first: int, count: int, end: int) -> Best:
        found = room(self.logits.values_RN, first, count)
        run_pass("rank", self.arithmetic, (self.logits, self.bias_V, *found), first, end)
        return self._shaped(found)

    def best_of_mean(self, steps: Sequence[Step], first: int, count: int, end: int) -> Best:
        """In one pass if all are of this kind; where their number types differ, in float32."""
        members = [step for step in steps if isinstance(step, EngineStep)]
        if len(members) < len(steps):
            return best_of_mean(steps, first, count, end)
        if any(member.arithmetic is not self.arithmetic for member in members):
            members = [replace(each, arithmetic=FLOATS, logits=Product(each.logits.numbers())) for each in members]
        found = room(self.logits.values_RN, first, count)
        logits, biases = [member.logits for member in members], [member.bias_V for member in members]
        run_pass("rank_mean", members[0].arithmetic, (logits, biases, *found), first, end)
        return self._shaped(found)

    def _shaped(self, found: Found) -> Best:
        (log_probs_RC, symbols_RC, ends_R), shape = found, self.attention_BKS.shape[:2]
        return log_probs_RC.view(*shape, -1).numpy(), symbols_RC.view(*shape, -1).numpy(), ends_R.view(shape).numpy()


@dataclass(frozen=True)
class ListedStep:
    """A prediction of the symbols in the sentences' own lists; all others are impossible.

    sentences_b: which of the sentences with `lists` are still searched, K rows of logits each.
    """

    arithmetic: Arithmetic
    vocabulary: int
    lists: Lists
    sentences_b: Tensor
    logits_RN: Tensor
    attention_BKS: np.ndarray

    def log_probs(self) -> np.ndarray:
        beam = self.attention_BKS.shape[1]
        log_probs_bKN = self.logits_RN.log_softmax(dim=1).view(len(self.sentences_b), beam, -1)
        symbols_b1N = self.lists.symbols_BN[self.sentences_b][:, None]
        nothing_bKV = log_probs_bKN.new_full((*log_probs_bKN.shape[:2], self.vocabulary), -torch.inf)
        # What fills the lists up is EOS, at -inf: the greatest is that of the one EOS that counts.
        return nothing_bKV.scatter_reduce(2, symbols_b1N.expand_as(log_probs_bKN), log_probs_bKN, "amax").numpy()

    def log_probs_of(self, symbols_BK: np.ndarray) -> np.ndarray:
        return at(self.log_probs(), symbols_BK)

    def best(self, first: int, count: int, end: int) -> Best:
        place, counts_B = self._place(first, end), self.lists.counts_B
        found = room(self.logits_RN, place, count)
        run_pass("rank_listed", self.arithmetic, (self.logits_RN, self.sentences_b, counts_B, *found), place)
        return self._named(found)

    def best_of_mean(self, steps: Sequence[Step], first: int, count: int, end: int) -> Best:
        """In one pass if all have the same lists."""
        symbols_BN, place = self.lists.symbols_BN, self._place(first, end)
        members = [step for step in steps if isinstance(step, ListedStep)]
        if len(members) < len(steps) or not all(torch.equal(each.lists.symbols_BN, symbols_BN) for each in members):
            return best_of_mean(steps, first, count, end)
        found = room(self.logits_RN, place, count)
        logits, no_bias_N = [Product(member.logits_RN) for member in members], torch.zeros(symbols_BN.size(1))
        run_pass("rank_mean", FLOATS, (logits, [no_bias_N] * len(members), *found), place, 0)
        return self._named(found)

    @staticmethod
    def _place(first: int, end: int) -> int:
        """The place of `first` in a list."""
        assert first in (EOS, EOS + 1) and end == EOS, "of the special symbols, a list has EOS alone, and first"
        return first - EOS

    def _named(self, found: Found) -> Best:
        """Symbols instead of their places."""
        shape, symbols_BN = self.attention_BKS.shape[:2], self.lists.symbols_BN
        log_probs_RC, places_RC, ends_R = found
        places_bC = places_RC.view(shape[0], -1).clamp(max=symbols_BN.size(1) - 1)
        symbols_BKC = symbols_BN[self.sentences_b].gather(1, places_bC).view(*shape, -1)
        return log_probs_RC.view(*shape, -1).numpy(), symbols_BKC.numpy(), ends_R.view(shape).numpy()


def room(logits_RN: Tensor, first: int, count: int) -> Found:
    """For the best symbols (or places) of each row from `first` on, their log-probabilities, and log p of the end."""
    rows, count = len(logits_RN), min(count, logits_RN.size(1) - first)
    return torch.empty(rows, count), torch.empty(rows, count, dtype=torch.int64), torch.empty(rows)

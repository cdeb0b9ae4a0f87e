"""What the engine says of the next symbol: the product with the output weights, which nobody writes out but for those
who ask for all of it.

Shapes: as of `s2s_cli.engine.decoder`; N places in the list of symbols that a sentence may use.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from s2s_cli.engine.arithmetic import Operand
from s2s_cli.engine.machine import Machine
from s2s_cli.engine.passes import log_softmax
from s2s_cli.engine.shortlist import Lists, Shortlist
from s2s_cli.native.products import packed_shape, unpack
from s2s_cli.search.step_model import Best, Step, best_of_mean
from s2s_cli.text.tokenizer import EOS

MANY = 64  # symbols of a row of which all products are made at once


@dataclass(frozen=True)
class EngineStep:
    """A prediction: what the output projection reads. sentences_b: those of the batch that are still searched."""

    output: Output
    readouts: Operand
    sentences_b: np.ndarray
    attention_BKS: np.ndarray

    def logits(self) -> np.ndarray:
        """Of all symbols, or of the places in the lists: float32 [R, V]."""
        return self.output.logits(self.readouts, self.sentences_b)

    def log_probs(self) -> np.ndarray:
        """Also those of lists are summed by symbol: a sum by place is as long as the longest list of the batch."""
        logits_BKV = self.logits().reshape(*self.attention_BKS.shape[:2], -1)
        return log_softmax(self.output.spread(logits_BKV, self.sentences_b))

    def log_probs_of(self, rows_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        """Of few symbols, only these are multiplied; the sum of all is known from log p of the end."""
        output, beam = self.output, self.attention_BKS.shape[1]
        is_many_P = np.bincount(rows_P, minlength=1)[rows_P] > MANY
        logits_P = np.empty(len(rows_P), np.float32)
        logits_P[~is_many_P] = output.logits_of(self.readouts.rows(rows_P[~is_many_P]), symbols_P[~is_many_P])
        if is_many_P.any():
            rows_M, places_P = np.unique(rows_P[is_many_P], return_inverse=True)
            logits_MV = output.all_logits(self.readouts.rows(rows_M), self.sentences_b[rows_M // beam])
            logits_P[is_many_P] = logits_MV[places_P, symbols_P[is_many_P]]
        logits_R = output.logits_of(self.readouts, np.full(len(self.readouts.values_RN), EOS))
        log_probs_P = logits_P - logits_R[rows_P] + self._end_R[rows_P]
        return np.where(output.holds(self.sentences_b[rows_P // beam], symbols_P), log_probs_P, np.float32(-np.inf))

    @cached_property
    def _end_R(self) -> np.ndarray:
        """log p of EOS, which `best` notes too."""
        return self._ranked(EOS, 1, EOS)[2]

    def best(self, first: int, count: int, end: int) -> Best:
        found = self._ranked(first, count, end)
        vars(self)["_end_R"] = found[2]
        return self._shaped(found)

    def _ranked(self, first: int, count: int, end: int) -> Best:
        output, (first, end) = self.output, self.output.places(first, end)
        found = room(len(self.readouts.values_RN), output.size - first, count)
        output.rank((self.readouts, output.sets(self.sentences_b), *found), first, end)
        return found

    def best_of_mean(self, steps: Sequence[Step], first: int, count: int, end: int) -> Best:
        """In one pass if all are of this kind and have the same lists."""
        members = [step for step in steps if isinstance(step, EngineStep) and step.output.is_like(self.output)]
        if len(members) < len(steps):
            return best_of_mean(steps, first, count, end)
        output, (first, end) = self.output, self.output.places(first, end)
        found = room(len(self.readouts.values_RN), output.size - first, count)
        output.machine.call("rank_mean", variant="float32")(([step.logits() for step in members], *found), first, end)
        return self._shaped(found)

    def _shaped(self, found: Best) -> Best:
        (log_probs_RC, places_RC, ends_R), shape = found, self.attention_BKS.shape[:2]
        symbols_BKC = self.output.symbols(places_RC.reshape(*shape, -1), self.sentences_b)
        return log_probs_RC.reshape(*shape, -1), symbols_BKC, ends_R.reshape(shape)


class Output:
    """The output weights: of sentences without lists, one set of them for all rows. size: V."""

    def __init__(
        self,
        machine: Machine,
        rows: WeightRows,
        packed_BPQ: np.ndarray,
        scales_BV: np.ndarray | None,
        bias_BV: np.ndarray,
    ) -> None:
        self.machine, self.size, self.logits_of = machine, bias_BV.shape[1], rows
        weights = (packed_BPQ, scales_BV, bias_BV)
        self.rank, self._project = machine.call("rank", weights), machine.call("project", weights)

    @classmethod
    def of_all(cls, machine: Machine, rows: WeightRows) -> Output:
        """The whole vocabulary."""
        packed_PQ, scales_V = machine.matrix("output")
        scales_BV = None if scales_V is None else scales_V[None]
        return cls(machine, rows, packed_PQ[None], scales_BV, machine.arrays["output.bias"][None])

    def sets(self, sentences_b: np.ndarray) -> np.ndarray:
        """Which weights belong to the rows, of which each set has as many as the others."""
        return np.zeros(1 if len(sentences_b) else 0, np.int64)

    def logits(self, readouts: Operand, sentences_b: np.ndarray) -> np.ndarray:
        logits_RV = np.empty((len(readouts.values_RN), self.size), np.float32)
        self._project((readouts, self.sets(sentences_b), logits_RV))
        return logits_RV

    def all_logits(self, readouts: Operand, sentences_R: np.ndarray) -> np.ndarray:
        """Of rows of these sentences, however many each has: by symbol, -inf where there is none, [R, V]."""
        sets = self.sets(sentences_R)
        logits_RV = np.empty((len(readouts.values_RN), self.size), np.float32)
        self._project((readouts, sets, logits_RV))
        return self.spread(logits_RV[:, None], sentences_R)[:, 0]

    def is_like(self, other: Output) -> bool:
        """Whether the same symbols stand at the same places."""
        return type(other) is type(self) and other.size == self.size

    def holds(self, sentences_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        """Whether a sentence may use a symbol: bool [P]."""
        return np.ones(len(symbols_P), bool)

    def places(self, first: int, end: int) -> tuple[int, int]:
        """Of symbols."""
        return first, end

    def symbols(self, places_BKC: np.ndarray, sentences_b: np.ndarray) -> np.ndarray:
        """At places."""
        return places_BKC

    def spread(self, values_BKV: np.ndarray, sentences_b: np.ndarray) -> np.ndarray:
        """A value for each symbol, of values for each place."""
        return values_BKV


class Listed(Output):
    """The symbols in the sentences' own lists, whose weights are gathered; all others are impossible."""

    def __init__(self, machine: Machine, weights: ListedOutputs, lists: Lists) -> None:
        (symbols_BN, counts_B), (B, N) = lists, lists.symbols_BN.shape
        scales_V, (V, D) = weights.rows.scales_V, weights.rows.weights_VD.shape
        packed_BPQ: np.ndarray = np.empty((B, *packed_shape(N, D)), machine.matrix("output").packed_PQ.dtype)
        weights.gather((symbols_BN, packed_BPQ))
        is_filling_BN = np.arange(N) >= counts_B[:, None]
        bias_BN = np.where(is_filling_BN, np.float32(-np.inf), machine.arrays["output.bias"][symbols_BN])
        super().__init__(machine, weights.rows, packed_BPQ, None if scales_V is None else scales_V[symbols_BN], bias_BN)
        self.lists, self.vocabulary = lists, V

    def sets(self, sentences_b: np.ndarray) -> np.ndarray:
        return sentences_b

    def holds(self, sentences_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        return self._is_listed_BV[sentences_P, symbols_P]

    @cached_property
    def _is_listed_BV(self) -> np.ndarray:
        is_listed_BV = np.zeros((len(self.lists.symbols_BN), self.vocabulary), bool)
        np.put_along_axis(is_listed_BV, self.lists.symbols_BN, values=True, axis=1)
        return is_listed_BV

    def is_like(self, other: Output) -> bool:
        return isinstance(other, Listed) and np.array_equal(other.lists.symbols_BN, self.lists.symbols_BN)

    def places(self, first: int, end: int) -> tuple[int, int]:
        assert first in (EOS, EOS + 1) and end == EOS, "of the special symbols, a list has EOS alone, and first"
        return first - EOS, 0

    def symbols(self, places_BKC: np.ndarray, sentences_b: np.ndarray) -> np.ndarray:
        places_BKC = np.minimum(places_BKC, self.size - 1)  # where there was none to find
        return self.lists.symbols_BN[sentences_b[:, None, None], places_BKC]

    def spread(self, values_BKV: np.ndarray, sentences_b: np.ndarray) -> np.ndarray:
        spread_BKV = np.full((*values_BKV.shape[:2], self.vocabulary), -np.inf, np.float32)
        symbols_B1N = self.lists.symbols_BN[sentences_b][:, None]
        # What fills the lists up is EOS, whose value is that of the first place.
        told_BKV = np.where(symbols_B1N == EOS, values_BKV[:, :, :1], values_BKV)
        np.put_along_axis(spread_BKV, np.broadcast_to(symbols_B1N, told_BKV.shape), told_BKV, axis=2)
        return spread_BKV


class ListedOutputs:
    """Makes the output of a batch, by the lists of its sentences, of the output weights as rows."""

    def __init__(self, machine: Machine, rows: WeightRows, shortlist: Shortlist) -> None:
        self.machine, self.rows, self.shortlist = machine, rows, shortlist
        self.gather = machine.call("gather", (rows.weights_VD,))

    def __call__(
        self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: Sequence[Collection[int]]
    ) -> Listed:
        return Listed(self.machine, self, self.shortlist.lists(source_BS, source_lengths_B, admitted))


class WeightRows:
    """The output weights of one symbol after the other, unpacked when they are first needed."""

    def __init__(self, machine: Machine, symbols: int, readout: int) -> None:
        (self._packed_PQ, self.scales_V), self._shape = machine.matrix("output"), (symbols, readout)
        self._bias_V = machine.arrays["output.bias"]

    @cached_property
    def weights_VD(self) -> np.ndarray:
        return np.ascontiguousarray(unpack(self._packed_PQ, *self._shape))

    def __call__(self, readouts: Operand, symbols_P: np.ndarray) -> np.ndarray:
        """The logit of a symbol for each row: float32 [P]. None of them depends on another."""
        kind = np.float32 if self.scales_V is None else np.int32
        products_PD = readouts.values_RN.astype(kind) * self.weights_VD[symbols_P]
        logits_P = products_PD.sum(axis=1, dtype=kind)
        if self.scales_V is not None and readouts.scales_R is not None:
            logits_P = logits_P * (readouts.scales_R * self.scales_V[symbols_P])  # in float64, and rounded once
        return (logits_P + self._bias_V[symbols_P]).astype(np.float32, copy=False)


def room(rows: int, places: int, count: int) -> Best:
    """For the best symbols (or places) of each row, their log-probabilities, and log p of the end."""
    shape = rows, min(count, places)
    return np.empty(shape, np.float32), np.empty(shape, np.int64), np.empty(rows, np.float32)

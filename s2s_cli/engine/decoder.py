"""The engine: the same function as a model of PyTorch with a GRU decoder and additive attention, many times as fast.

Three matrix products make a step, with a pass between each two of them; a conditional GRU begins with one more of each,
after which its s'_t stands where s_{t-1} stands in the other. What the previous symbol adds to the gates and to the
readout is a row of a table. The context is not multiplied at all: W c_t = Σ_j α_j (W h_j), and W h_j is made once for
each position. Keys and values belong to the sentence and never move, the recurrent state alone follows the hypotheses.
All of that is one call into the C library (`step`), and the next symbols are another (`rank`).

Shapes: B sentences, K hypotheses of each, R = B · K rows, N rows of the step before, S source positions, H state,
G = 3 H gates, A attention, M memory, D readout, W = G + D values, V symbols, C best ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from s2s_cli.engine.encoder import Encoder
from s2s_cli.engine.form import Form
from s2s_cli.engine.machine import Argument, Call, Machine
from s2s_cli.engine.shortlist import Shortlist
from s2s_cli.engine.steps import EngineStep, ListedOutputs, Output, WeightRows
from s2s_cli.search.step_model import Step


@dataclass(frozen=True)
class Batch:
    """Encoded sentences, which stay in place, whoever leaves. step: takes what belongs to a step; length: the longest
    source, S. output: what makes predictions for them."""

    step: Call
    length: int
    output: Output


class EngineState(NamedTuple):
    """sentences_b: which of the batch are still searched. states_NH: s_t of the rows of the last step. rows_BK: which
    of them each hypothesis goes on from."""

    batch: Batch
    sentences_b: np.ndarray
    states_NH: np.ndarray
    rows_BK: np.ndarray

    def reorder(self, origin_BK: np.ndarray) -> EngineState:
        return self._replace(rows_BK=self.rows_BK[np.arange(len(origin_BK))[:, None], origin_BK])

    def select(self, sentences_b: np.ndarray) -> EngineState:
        return self._replace(rows_BK=self.rows_BK[sentences_b], sentences_b=self.sentences_b[sentences_b])


class Engine:
    """Decodes by a model that fits. form: its sizes. machine: its arrays, and what computes with them."""

    def __init__(self, form: Form, machine: Machine, shortlist: Shortlist | None = None) -> None:
        self.form, self.machine, self.vocabulary = form, machine, form.target
        self.encode = Encoder(form, machine)
        prefix = "conditional_" if form.is_conditional else ""
        self._step = machine.call("step", self._weights(), prefix + machine.arithmetic.name)
        rows = WeightRows(machine, form.target, form.readout)
        self._output = Output.of_all(machine, rows)
        self._listed = None if shortlist is None else ListedOutputs(machine, rows, shortlist)

    def start(
        self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: Sequence[Collection[int]] = ()
    ) -> EngineState:
        """Encode; one hypothesis a sentence. admitted: what their lists have besides, if there is a shortlist."""
        encoded = self.encode(source_BS, source_lengths_B)
        output = self._output if self._listed is None else self._listed(source_BS, source_lengths_B, admitted)
        rows_B, length = np.arange(len(source_BS)), source_BS.shape[1]
        return EngineState(
            Batch(self._step.hold(encoded[:3]), length, output), rows_B, encoded.state_BH, rows_B[:, None]
        )

    def step(self, previous_BK: np.ndarray, state: EngineState) -> tuple[Step, EngineState]:
        """Append one symbol to each hypothesis."""
        (B, K), batch = previous_BK.shape, state.batch
        after_RH = np.empty((B * K, self.form.hidden), np.float32)
        attention_RS = np.empty((B * K, batch.length), np.float32)
        readouts = self.machine.room(B * K, self.form.readout)
        rows = (previous_BK.ravel(), state.rows_BK.ravel())
        batch.step((state.states_NH, state.sentences_b, *rows, after_RH, attention_RS, readouts))
        step = EngineStep(batch.output, readouts, state.sentences_b, attention_RS.reshape(B, K, -1))
        return step, state._replace(states_NH=after_RH, rows_BK=np.arange(B * K).reshape(B, K))

    def _weights(self) -> list[Argument]:
        """What a step reads of the model, in the order of `passes.step`."""
        machine, arrays = self.machine, self.machine.arrays
        nothing = (None, None)
        return [
            machine.matrix("first") if self.form.is_conditional else nothing,
            arrays.get("first.bias"),
            arrays["gates.table"],
            machine.matrix("state"),
            arrays.get("second.bias"),
            arrays["state.bias"],
            arrays["energy"],
            machine.matrix("readout"),
            arrays["readout.table"],
            arrays["readout.bias"],
        ]

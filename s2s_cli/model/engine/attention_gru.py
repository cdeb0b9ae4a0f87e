"""The engine for a GRU decoder with additive attention: the same function as `Seq2Seq.step`, several times as fast.

Four matrix products make a step, and one pass in C (`kernels/c/decoding.c`) stands between each two of them. What the
previous symbol adds to the gates and to the readout is a row of a table; keys and encoder states belong to the sentence
and never move, the recurrent state alone follows the hypotheses. A prediction stays in the form in which its product
left it: the search is handed the best symbols, and nobody writes out the others.

Shapes: B sentences, K hypotheses of each, R = B · K rows, S source positions, H state, G = 3 H gates, A attention, M
memory, D readout, V symbols.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s_cli.model.attention import AdditiveScore
from s2s_cli.model.decoder import AttentionDecoder, PreviousOutput
from s2s_cli.model.engine.arithmetic import Arithmetic, Dense, Operand, Product
from s2s_cli.model.engine.shortlist import Shortlist
from s2s_cli.model.engine.steps import run_step
from s2s_cli.model.kernels.fused import fits_attention, fits_cell
from s2s_cli.model.readout import Readout
from s2s_cli.model.seq2seq import Seq2Seq


class Output(NamedTuple):
    """From readouts to logits: of all symbols, or of some (symbols_N, rising; the others are not written)."""

    weights: Dense
    bias_N: Tensor
    symbols_N: Tensor | None = None


@dataclass(frozen=True)
class Sources:
    """The encoded sentences of a batch: they stay in place, whoever leaves. output: the symbols to write them with."""

    keys_BSA: Tensor
    memory_BSM: Tensor
    lengths_B: Tensor
    output: Output


@dataclass(frozen=True)
class EngineState:
    """sentences_b: which of the sources are still searched. state_BKH: s_t, and the same as products read it."""

    sources: Sources
    sentences_b: Tensor
    state_BKH: Tensor
    operand_BKH: Tensor
    scales_BK: Tensor | None

    def reorder(self, origin_BK: Tensor) -> EngineState:
        rows_B1 = torch.arange(len(origin_BK))[:, None]
        return self._with_rows((rows_B1, origin_BK))

    def select(self, sentences_b: Tensor) -> EngineState:
        return replace(self._with_rows((sentences_b,)), sentences_b=self.sentences_b[sentences_b])

    def _with_rows(self, index: tuple[Tensor, ...]) -> EngineState:
        scales_BK = None if self.scales_BK is None else self.scales_BK[index]
        return replace(self, state_BKH=self.state_BKH[index], operand_BKH=self.operand_BKH[index], scales_BK=scales_BK)


class AttentionGRUEngine:
    """Decodes by a model that `fits`; its weights are copied, its encoder is used as it is."""

    def __init__(
        self, model: Seq2Seq, arithmetic: Arithmetic, encoding: torch.dtype, shortlist: Shortlist | None = None
    ) -> None:
        """encoding: the number type in which source sentences are read. `model` is changed to it, and is used up."""
        decoder, readout = model.decoder, model.readout
        assert isinstance(decoder, AttentionDecoder) and isinstance(readout, Readout)
        score, previous, recurrent = decoder.attention.heads[0], decoder.previous, decoder.stack.bottom.recurrent
        assert isinstance(score, AdditiveScore) and isinstance(previous, PreviousOutput)
        assert isinstance(readout.embedding, nn.Linear) and isinstance(readout.context, nn.Linear)

        self.arithmetic, self.vocabulary = arithmetic, model.vocabulary
        self.attention, self.gates = score.query.out_features, recurrent.out_features
        self.hidden, self.width = recurrent.in_features, readout.output.out_features
        self.from_state = arithmetic.dense(torch.cat([score.query.weight, recurrent.weight]))
        self.from_context = arithmetic.dense(torch.cat([decoder.context.weight, readout.context.weight]))
        self.to_readout = arithmetic.dense(readout.output.weight)
        self.output = Output(arithmetic.dense(model.output.weight), model.output.bias.float().clone())
        self.shortlist = shortlist
        embedded_VE = model.embedding.get_parameter("weight")
        self.gate_table_VG = _table(embedded_VE, previous.dense.weight, previous.dense.bias, arithmetic)
        self.readout_table_VD = _table(embedded_VE, readout.embedding.weight, None, arithmetic)
        self.gate_bias_G, self.energy_A = recurrent.bias.float().clone(), score.energy.float().clone()
        self.readout_bias_D = readout.output.bias.float().clone()
        self.model = model.to(encoding)

    def start(self, source_BS: Tensor, source_lengths_B: Tensor) -> EngineState:
        """Encode; one hypothesis a sentence."""
        state = self.model.start(source_BS, source_lengths_B)
        (keys_BSA,), memory_BSM = state.memory.keys, state.memory.states_BSM
        tables = self.arithmetic.tables
        sources = Sources(
            keys_BSA.to(tables).contiguous(),
            memory_BSM.to(tables).contiguous(),
            source_lengths_B,
            self._output(source_BS),
        )
        state_BKH = state.layers[0].float().contiguous()
        operand = self.arithmetic.room(len(source_BS), self.hidden)
        run_step("prepare", self.arithmetic, (len(source_BS), self.hidden), state_BKH[:, 0], *operand)
        scales_BK = None if operand.scales_R is None else operand.scales_R[:, None]
        return EngineState(sources, torch.arange(len(source_BS)), state_BKH, operand.values_RN[:, None], scales_BK)

    def step(self, previous_BK: Tensor, state: EngineState) -> tuple[EngineStep, EngineState]:
        """Append one symbol to each hypothesis."""
        symbols_R, A, G = previous_BK.flatten(), self.attention, self.gates
        scales_R = None if state.scales_BK is None else state.scales_BK.flatten()
        states = self.from_state(Operand(state.operand_BKH.flatten(0, 1), scales_R))
        attention_RS, context = self._attend(states.columns(0, A), previous_BK.size(1), state)
        contexts = self.from_context(context)
        state_BKH, after = self._advance(states.columns(A, A + G), contexts.columns(0, G), symbols_R, state)
        readouts = self._read_out(self.to_readout(after), contexts.columns(G, G + self.width), symbols_R)
        B, K = previous_BK.shape
        following = replace(
            state,
            state_BKH=state_BKH,
            operand_BKH=after.values_RN.view(B, K, -1),
            scales_BK=None if after.scales_R is None else after.scales_R.view(B, K),
        )
        output = state.sources.output
        logits, attention_BKS = output.weights(readouts), attention_RS.view(B, K, -1)
        return EngineStep(self.arithmetic, self.vocabulary, output, logits, attention_BKS), following

    def _output(self, source_BS: Tensor) -> Output:
        """All symbols, or those of the shortlist."""
        if self.shortlist is None:
            return self.output
        symbols_N = self.shortlist.symbols(source_BS)
        return Output(self.output.weights.select(symbols_N), self.output.bias_N[symbols_N], symbols_N)

    def _attend(self, queries: Product, beam: int, state: EngineState) -> tuple[Tensor, Operand]:
        """α_t over the source, and c_t."""
        sources, rows, width = state.sources, len(queries.values_RN), state.sources.memory_BSM.size(2)
        attention_RS, contexts = torch.zeros(rows, sources.keys_BSA.size(1)), self.arithmetic.room(rows, width)
        run_step(
            "attend",
            self.arithmetic,
            (rows, beam, self.attention, width),
            *queries,
            self.energy_A,
            sources.keys_BSA,
            sources.memory_BSM,
            state.sentences_b,
            sources.lengths_B,
            attention_RS,
            *contexts,
        )
        return attention_RS, contexts

    def _advance(
        self, states: Product, contexts: Product, symbols_R: Tensor, state: EngineState
    ) -> tuple[Tensor, Operand]:
        """s_t, and the same as products read it."""
        state_BKH, following = torch.empty_like(state.state_BKH), self.arithmetic.room(len(symbols_R), self.hidden)
        run_step(
            "advance",
            self.arithmetic,
            (len(symbols_R), self.hidden),
            *states,
            *contexts,
            self.gate_table_VG,
            symbols_R,
            self.gate_bias_G,
            state.state_BKH.flatten(0, 1),
            state_BKH.flatten(0, 1),
            *following,
        )
        return state_BKH, following

    def _read_out(self, states: Product, contexts: Product, symbols_R: Tensor) -> Operand:
        """What the output projection reads."""
        readouts = self.arithmetic.room(len(symbols_R), self.width)
        run_step(
            "read_out",
            self.arithmetic,
            (len(symbols_R), self.width),
            *states,
            *contexts,
            self.readout_table_VD,
            symbols_R,
            self.readout_bias_D,
            *readouts,
        )
        return readouts


@dataclass(frozen=True)
class EngineStep:
    """A prediction as its product left it, to be looked at before the next step is made."""

    arithmetic: Arithmetic
    vocabulary: int
    output: Output
    logits: Product
    attention_BKS: Tensor

    @property
    def log_probs_BKV(self) -> Tensor:
        """All of them, float32; -inf for symbols outside of the shortlist."""
        log_probs_RN = (self.logits.numbers() + self.output.bias_N).log_softmax(dim=1)
        if self.output.symbols_N is not None:
            nothing_RV = log_probs_RN.new_full((len(log_probs_RN), self.vocabulary), -torch.inf)
            log_probs_RN = nothing_RV.index_copy(1, self.output.symbols_N, log_probs_RN)
        return log_probs_RN.view(*self.attention_BKS.shape[:2], -1)

    def best(self, first: int, count: int, end: int) -> tuple[Tensor, Tensor, Tensor]:
        """The `count` best symbols from `first` on after each hypothesis, best first: log p [B, K, C] and symbol
        [B, K, C]; and log p of `end` [B, K]."""
        written_N = self.output.symbols_N
        if written_N is not None:  # from symbols to their places
            first, end = (int((written_N < symbol).sum()) for symbol in (first, end))
        rows, symbols = self.logits.values_RN.shape
        shape, count = self.attention_BKS.shape[:2], min(count, symbols - first)
        log_probs_RC, symbols_RC = torch.empty(rows, count), torch.empty(rows, count, dtype=torch.int64)
        ends_R, sizes = torch.empty(rows), (rows, symbols, first, count, end)
        run_step("rank", self.arithmetic, sizes, *self.logits, self.output.bias_N, log_probs_RC, symbols_RC, ends_R)
        if written_N is not None:
            symbols_RC = written_N[symbols_RC]
        return log_probs_RC.view(*shape, count), symbols_RC.view(*shape, count), ends_R.view(shape)


def fits(model: Seq2Seq) -> bool:
    """Whether the engine can decode by this model: Bahdanau's decoder of one layer of plain GRU."""
    decoder = model.decoder
    return (
        type(decoder) is AttentionDecoder
        and len(decoder.stack.cells) == 1
        and fits_cell(decoder.stack.bottom)
        and fits_attention(decoder.attention)
    )


def _table(embedded_VE: Tensor, weight_NE: Tensor, bias_N: Tensor | None, arithmetic: Arithmetic) -> Tensor:
    """What each symbol adds to a sum, if it is the previous one: [V, N]."""
    return nn.functional.linear(embedded_VE, weight_NE, bias_N).to(arithmetic.tables)

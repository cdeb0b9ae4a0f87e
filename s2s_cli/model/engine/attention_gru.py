"""The engine for a GRU decoder with additive attention: the same function as `Seq2Seq.step`, several times as fast.

Four matrix products make a step, and one pass (`s2s_cli.model.engine.passes`) stands between each two of them; a
conditional GRU begins with one more of each, after which its s'_t stands where s_{t-1} stands in the other. What the
previous symbol adds to the gates and to the readout is a row of a table; keys and encoder states belong to the sentence
and never move, the recurrent state alone follows the hypotheses. A prediction stays in the form in which its product
left it: the search is handed the best symbols, and nobody writes out the others.

Shapes: B sentences, K hypotheses of each, R = B · K rows, S source positions, H state, G = 3 H gates, A attention, M
memory, D readout, V symbols.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from s2s_cli.model.attention import AdditiveScore
from s2s_cli.model.cells import GRU
from s2s_cli.model.decoder import AttentionDecoder, ConditionalDecoder, Decoder, PreviousOutput
from s2s_cli.model.engine.arithmetic import Arithmetic, Operand, Product
from s2s_cli.model.engine.passes import run_pass
from s2s_cli.model.engine.shortlist import Lists, Shortlist
from s2s_cli.model.engine.steps import EngineStep, ListedStep
from s2s_cli.model.kernels.fused import fits_attention, fits_cell, fits_conditional
from s2s_cli.model.kernels.packing import pack_linears
from s2s_cli.model.output import SoftmaxOutput
from s2s_cli.model.readout import Readout
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.search.step_model import Step


@dataclass(frozen=True)
class Sources:
    """The encoded sentences of a batch: they stay in place, whoever leaves. lists: their shortlists, if any."""

    keys_BSA: Tensor
    memory_BSM: Tensor
    lengths_B: Tensor
    lists: Lists | None


@dataclass(frozen=True)
class EngineState:
    """sentences_b: which of the sources are still searched. state_BKH: s_t, and the same as products read it."""

    sources: Sources
    sentences_b: Tensor
    state_BKH: Tensor
    operand_BKH: Tensor
    scales_BK: Tensor | None

    def reorder(self, origin_BK: np.ndarray) -> EngineState:
        rows_B1 = torch.arange(len(origin_BK))[:, None]
        return self._with_rows((rows_B1, torch.from_numpy(origin_BK)))

    def select(self, sentences_b: np.ndarray) -> EngineState:
        rows_b = torch.from_numpy(sentences_b)
        return replace(self._with_rows((rows_b,)), sentences_b=self.sentences_b[rows_b])

    def operand(self) -> Operand:
        """The states as products read them, a row a hypothesis."""
        scales_R = None if self.scales_BK is None else self.scales_BK.flatten()
        return Operand(self.operand_BKH.flatten(0, 1), scales_R)

    def advanced(
        self,
        arithmetic: Arithmetic,
        states: Product,
        contexts: Product,
        table_VG: Tensor,
        symbols_R: Tensor,
        bias_G: Tensor,
    ) -> EngineState:
        """After a transition of a GRU: the gates are those of its product with the state, of the context, of a row of
        the table, and of a bias."""
        B, K, H = self.state_BKH.shape
        state_BKH, following = torch.empty_like(self.state_BKH), arithmetic.room(B * K, H)
        before_RH, after_RH = self.state_BKH.flatten(0, 1), state_BKH.flatten(0, 1)
        inputs = (states, contexts, table_VG, symbols_R, bias_G)
        run_pass("advance", arithmetic, (*inputs, before_RH, after_RH, following))
        scales_BK = None if following.scales_R is None else following.scales_R.view(B, K)
        return replace(self, state_BKH=state_BKH, operand_BKH=following.values_RN.view(B, K, -1), scales_BK=scales_BK)

    def _with_rows(self, index: tuple[Tensor, ...]) -> EngineState:
        scales_BK = None if self.scales_BK is None else self.scales_BK[index]
        return replace(self, state_BKH=self.state_BKH[index], operand_BKH=self.operand_BKH[index], scales_BK=scales_BK)


class FirstTransition:
    """s'_t = f_1(s_{t-1}, y_{t-1}) of a conditional GRU."""

    def __init__(self, cell: GRU, table_VG: Tensor, arithmetic: Arithmetic) -> None:
        """table_VG: what the previous symbol adds to the gates."""
        self.arithmetic, self.table_VG = arithmetic, table_VG
        self.from_state = arithmetic.dense(cell.recurrent.weight)
        self.bias_G = cell.recurrent.bias.float().clone()

    def __call__(self, symbols_R: Tensor, state: EngineState) -> EngineState:
        """The same sentences with s'_t in place of s_{t-1}."""
        products = self.from_state(state.operand())
        nothing_RG = products.values_RN.new_zeros(1, products.values_RN.size(1)).expand_as(products.values_RN)
        no_contexts = products._replace(values_RN=nothing_RG)
        return state.advanced(self.arithmetic, products, no_contexts, self.table_VG, symbols_R, self.bias_G)


class AttentionGRUEngine:
    """Decodes by a model that `fits`; its weights are copied, its encoder is used as it is."""

    def __init__(
        self, model: Seq2Seq, arithmetic: Arithmetic, encoding: torch.dtype, shortlist: Shortlist | None = None
    ) -> None:
        """encoding: the number type in which source sentences are read. `model` is changed to it, and is used up."""
        decoder, readout = model.decoder, model.readout
        assert isinstance(decoder, AttentionDecoder | ConditionalDecoder) and isinstance(readout, Readout)
        score, previous = decoder.attention.heads[0], decoder.previous
        cell = decoder.second if isinstance(decoder, ConditionalDecoder) else decoder.stack.bottom
        assert isinstance(score, AdditiveScore) and isinstance(previous, PreviousOutput) and isinstance(cell, GRU)
        assert isinstance(readout.embedding, nn.Linear) and isinstance(readout.context, nn.Linear)

        recurrent = cell.recurrent
        self.arithmetic, self.vocabulary = arithmetic, model.vocabulary
        self.attention, self.gates = score.query.out_features, recurrent.out_features
        self.hidden, self.width = recurrent.in_features, readout.output.out_features
        self.from_state = arithmetic.dense(torch.cat([score.query.weight, recurrent.weight]))
        self.from_context = arithmetic.dense(torch.cat([decoder.context.weight, readout.context.weight]))
        self.to_readout = arithmetic.dense(readout.output.weight)
        self.output, self.output_bias_V = arithmetic.dense(model.output.weight), model.output.bias.float().clone()
        self.shortlist = shortlist
        embedded_VE = model.embedding.get_parameter("weight")
        self.gate_table_VG = _table(embedded_VE, previous.dense.weight, previous.dense.bias, arithmetic)
        self.first: FirstTransition | None = None
        if isinstance(decoder, ConditionalDecoder):
            assert isinstance(decoder.stack.bottom, GRU)
            self.first = FirstTransition(decoder.stack.bottom, self.gate_table_VG, arithmetic)
            self.gate_table_VG = decoder.context.bias[None].to(arithmetic.tables)  # whatever the symbol
        self.readout_table_VD = _table(embedded_VE, readout.embedding.weight, None, arithmetic)
        self.gate_bias_G, self.energy_A = recurrent.bias.float().clone(), score.energy.float().clone()
        self.readout_bias_D = readout.output.bias.float().clone()
        self.model = model.to(encoding)
        for part in (model.encoder, decoder):  # whose products of a single row would be others than those of many
            pack_linears(part)

    @torch.inference_mode()
    def start(self, sources: np.ndarray, lengths: np.ndarray) -> EngineState:
        """Encode; one hypothesis a sentence."""
        source_BS, source_lengths_B = torch.from_numpy(sources), torch.from_numpy(lengths)
        state = self.model.start(source_BS, source_lengths_B)
        (keys_BSA,), memory_BSM = state.memory.keys, state.memory.states_BSM
        tables = self.arithmetic.tables
        encoded = Sources(
            keys_BSA.to(tables).contiguous(),
            memory_BSM.to(tables).contiguous(),
            source_lengths_B,
            None if self.shortlist is None else self.shortlist.lists(source_BS, source_lengths_B),
        )
        state_BKH = state.layers[0].float().contiguous()
        operand = self.arithmetic.room(len(source_BS), self.hidden)
        run_pass("prepare", self.arithmetic, (state_BKH[:, 0], operand))
        scales_BK = None if operand.scales_R is None else operand.scales_R[:, None]
        return EngineState(encoded, torch.arange(len(source_BS)), state_BKH, operand.values_RN[:, None], scales_BK)

    @torch.inference_mode()
    def step(self, previous_BK: np.ndarray, state: EngineState) -> tuple[Step, EngineState]:
        """Append one symbol to each hypothesis."""
        symbols_R, A, G = torch.from_numpy(previous_BK).flatten(), self.attention, self.gates
        rows_R = symbols_R
        if self.first is not None:
            state, rows_R = self.first(symbols_R, state), torch.zeros_like(symbols_R)
        states = self.from_state(state.operand())
        attention_RS, context = self._attend(states.columns(0, A), state)
        contexts = self.from_context(context)
        gates = (states.columns(A, A + G), contexts.columns(0, G))
        following = state.advanced(self.arithmetic, *gates, self.gate_table_VG, rows_R, self.gate_bias_G)
        products = self.to_readout(following.operand())
        readouts = self._read_out(products, contexts.columns(G, G + self.width), symbols_R)
        return self._predict(readouts, attention_RS.view(*previous_BK.shape, -1).numpy(), state), following

    def _attend(self, queries: Product, state: EngineState) -> tuple[Tensor, Operand]:
        """α_t over the source, and c_t."""
        sources, rows = state.sources, len(queries.values_RN)
        attention_RS = torch.empty(rows, sources.keys_BSA.size(1))
        contexts = self.arithmetic.room(rows, sources.memory_BSM.size(2))
        encoded = (sources.keys_BSA, sources.memory_BSM, state.sentences_b, sources.lengths_B)
        run_pass("attend", self.arithmetic, (queries, self.energy_A, *encoded, attention_RS, contexts))
        return attention_RS, contexts

    def _read_out(self, states: Product, contexts: Product, symbols_R: Tensor) -> Operand:
        """What the output projection reads."""
        readouts = self.arithmetic.room(len(symbols_R), self.width)
        inputs = (states, contexts, self.readout_table_VD, symbols_R, self.readout_bias_D)
        run_pass("read_out", self.arithmetic, (*inputs, readouts))
        return readouts

    def _predict(self, readouts: Operand, attention_BKS: np.ndarray, state: EngineState) -> Step:
        """The next symbols: all of them, or those of the sentences' own lists."""
        if state.sources.lists is None:
            return EngineStep(self.arithmetic, self.output(readouts), self.output_bias_V, attention_BKS)
        symbols_BN, counts_B = state.sources.lists
        logits_RN = torch.empty(len(readouts.values_RN), symbols_BN.size(1))
        listed = (state.sentences_b, counts_B, symbols_BN, logits_RN)
        run_pass("project_listed", self.arithmetic, (readouts, self.output.weights, self.output_bias_V, *listed))
        return ListedStep(
            self.arithmetic, self.vocabulary, state.sources.lists, state.sentences_b, logits_RN, attention_BKS
        )


def fits(model: Seq2Seq) -> bool:
    """Whether the engine can decode by this model: each part has to be one that it knows, but for the encoder, which
    runs as it is."""
    return fits_decoder(model.decoder) and type(model.readout) is Readout and type(model.output) is SoftmaxOutput


def fits_decoder(decoder: Decoder) -> bool:
    """Whether it is Bahdanau's or the conditional one, of one layer of plain GRU."""
    if len(decoder.stack.cells) > 1 or not fits_cell(decoder.stack.bottom):
        return False
    if type(decoder) is ConditionalDecoder:
        return fits_conditional(decoder)
    return type(decoder) is AttentionDecoder and fits_attention(decoder.attention)


def _table(embedded_VE: Tensor, weight_NE: Tensor, bias_N: Tensor | None, arithmetic: Arithmetic) -> Tensor:
    """What each symbol adds to a sum, if it is the previous one: [V, N]."""
    return nn.functional.linear(embedded_VE, weight_NE, bias_N).to(arithmetic.tables)

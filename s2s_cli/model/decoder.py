"""Decoders: s_t = f(s_{t-1}, y_{t-1}, context), one class for each way in which the context enters.

Every decoder works in two halves. `hoist` projects all that does not depend on the state, for any number of positions
at once; `advance` makes one step of the recurrence. Training hoists the whole target and then advances through it
(`s2s_cli.model.kernels`), decoding hoists and advances one position: both compute the same function.

A new decoder is one class here, one row of `DECODERS`, and a word of the recipe's `decoder.context` or
`attention.query`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s_cli.model.attention import Attention, repeated_attention
from s2s_cli.model.cells import Cell
from s2s_cli.model.dense import Dense
from s2s_cli.model.features import Features
from s2s_cli.model.kernels.backend import wide_type
from s2s_cli.model.memory import Memory
from s2s_cli.model.stack import Stack


@dataclass(frozen=True)
class DecoderState:
    """All that a step hands to the next one. Only `memory` is shared by the hypotheses of a sentence.

    layers: the state [B, K, W] of each layer. feed_BKR: the attentional vector, with input feeding. past_BKS:
    attention paid so far, with coverage. What many steps add up to is at least float32, whatever the products are in.
    """

    memory: Memory
    layers: tuple[Tensor, ...]
    feed_BKR: Tensor | None = None
    past_BKS: Tensor | None = None

    def reorder(self, origin_BK: Tensor) -> DecoderState:
        """Hypothesis k of sentence b goes on from the old hypothesis origin[b, k]; K may change."""
        rows_B1 = torch.arange(len(origin_BK), device=origin_BK.device)[:, None]
        return self._each_hypothesis(lambda tensor: tensor[rows_B1, origin_BK])

    def attended(self, attention_BKS: Tensor) -> DecoderState:
        """With the attention of one more step in that paid so far, where it is kept."""
        return self if self.past_BKS is None else replace(self, past_BKS=self.past_BKS + attention_BKS)

    def select(self, sentences_b: Tensor) -> DecoderState:
        """Keep these sentences, in this order."""
        chosen = self._each_hypothesis(lambda tensor: tensor[sentences_b])
        return replace(chosen, memory=self.memory.select(sentences_b))

    def _each_hypothesis(self, change: Callable[[Tensor], Tensor]) -> DecoderState:
        return replace(
            self,
            layers=tuple(change(layer) for layer in self.layers),
            feed_BKR=None if self.feed_BKR is None else change(self.feed_BKR),
            past_BKS=None if self.past_BKS is None else change(self.past_BKS),
        )


class PreviousOutput(nn.Module):
    """The input from y_{t-1}: its embedding, projected to the gates."""

    def __init__(self, embedding: int, gates: int) -> None:
        super().__init__()
        self.dense = Dense(embedding, gates)

    def forward(self, embedded_BXE: Tensor) -> Tensor:
        return self.dense(embedded_BXE)


class NoPreviousOutput(nn.Module):
    """For decoders that never see their own output: a bias alone."""

    def __init__(self, embedding: int, gates: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(gates))

    def forward(self, embedded_BXE: Tensor) -> Tensor:
        return self.bias.expand(*embedded_BXE.shape[:-1], -1)


class NoEmbedding(nn.Module):
    """The target embedding of the same decoders: of width 0, so that there is no table that nothing reads."""

    def forward(self, previous_BX: Tensor) -> Tensor:
        return torch.empty(*previous_BX.shape, 0, device=previous_BX.device)


class Parts(NamedTuple):
    """What a model has for a decoder of any kind.

    bridges: one a layer. memory: M. readout: R.
    """

    previous: PreviousOutput | NoPreviousOutput
    stack: Stack
    bridges: list[nn.Module]
    memory: int
    readout: int
    attention: Callable[[], Attention]
    cell: Callable[[], Cell]
    """Makes a further cell as those of the stack."""
    input_feeding: bool


class Decoder(nn.Module):
    """The base of all: s_0 = q(C), and the input from y_{t-1}."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.previous = parts.previous
        self.stack = parts.stack
        self.bridges = nn.ModuleList(parts.bridges)

    def start(self, memory: Memory) -> DecoderState:
        """The state before the first step: one hypothesis a sentence."""
        wide = wide_type(memory.summary_BM.dtype)
        return DecoderState(memory, tuple(bridge(memory.summary_BM)[:, None].to(wide) for bridge in self.bridges))

    def hoist(self, embedded_BXE: Tensor, memory: Memory) -> Tensor:
        """Gate inputs [B, X, G] from all that is known before the recurrence runs."""
        return self.previous(embedded_BXE)

    def coverage_loss(self, features: Features) -> Tensor | None:
        """What training minimises besides the cross-entropy, of each position [B, T]; None for nothing."""
        return None

    @abstractmethod
    def advance(self, inputs_BKG: Tensor, state: DecoderState) -> tuple[Features, DecoderState]:
        """One step of the recurrence."""


class InitialContextDecoder(Decoder):
    """C as first state only: s_0 = q(C), s_t = f(s_{t-1} [, y_{t-1}]).

    With the previous output: Sutskever et al. 2014; without it: the simplest classic form.
    """

    def advance(self, inputs_BKG: Tensor, state: DecoderState) -> tuple[Features, DecoderState]:
        output, layers = self.stack(inputs_BKG, state.layers)
        return Features(output), replace(state, layers=layers)


class EveryStepDecoder(Decoder):
    """C at every step and in every layer: s_t = f(s_{t-1}, C [, y_{t-1}]), s_0 its own (Cho et al. 2014, 2.2)."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.context = nn.Linear(parts.memory, self.stack.bottom.gate_width, bias=False)

    def hoist(self, embedded_BXE: Tensor, memory: Memory) -> Tensor:
        return super().hoist(embedded_BXE, memory) + self.context(memory.summary_BM)[:, None]

    def advance(self, inputs_BKG: Tensor, state: DecoderState) -> tuple[Features, DecoderState]:
        context = state.memory.summary_BM[:, None].expand(-1, inputs_BKG.shape[1], -1)
        output, layers = self.stack(inputs_BKG, state.layers, context)
        return Features(output, context), replace(state, layers=layers)


class AttentiveStart(Decoder):
    """What all attention decoders share: keys made once, coverage if the score wants it."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.attention = parts.attention()

    def start(self, memory: Memory) -> DecoderState:
        memory = replace(memory, keys=self.attention.keys(memory.states_BSM))
        past = torch.zeros_like(memory.valid_BS[:, None], dtype=wide_type(memory.states_BSM.dtype))
        return replace(super().start(memory), past_BKS=past if self.attention.covers else None)

    def coverage_loss(self, features: Features) -> Tensor | None:
        """The weight λ of the recipe times the repeated attention."""
        weight = self.attention.coverage_loss
        assert features.attention_BXS is not None
        return weight * repeated_attention(features.attention_BXS) if weight else None


class AttentionDecoder(AttentiveStart):
    """c_t = attention(s_{t-1}), s_t = f(s_{t-1}, y_{t-1}, c_t) (Bahdanau et al. 2015, section 3.1).

    In a deep decoder the bottom layer asks, and every layer receives (Wu et al. 2016, section 3).
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.context = nn.Linear(parts.memory, self.stack.bottom.gate_width, bias=False)

    def advance(self, inputs_BKG: Tensor, state: DecoderState) -> tuple[Features, DecoderState]:
        query_BKH = self.stack.bottom.output(state.layers[0]).to(inputs_BKG.dtype)
        context, attention = self.attention(query_BKH, state.memory, state.past_BKS)
        output, layers = self.stack(inputs_BKG + self.context(context), state.layers, context)
        return Features(output, context, attention), replace(state.attended(attention), layers=layers)


class ConditionalDecoder(AttentiveStart):
    """s'_t = f_1(s_{t-1}, y_{t-1}), c_t = attention(s'_t), s_t = f_2(s'_t, c_t): two transitions a step, of which the
    second is conditioned on what the first one asks for (Sennrich et al. 2017, "Nematus", section 2).

    second: the cell of f_2; that of f_1 is the bottom of the stack, whose upper layers receive c_t as well.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        second = parts.cell()
        self.context = nn.Linear(parts.memory, second.gate_width)
        self.second = second

    def advance(self, inputs_BKG: Tensor, state: DecoderState) -> tuple[Features, DecoderState]:
        between = self.stack.bottom(inputs_BKG, state.layers[0])
        query_BKH = self.stack.bottom.output(between).to(inputs_BKG.dtype)
        context, attention = self.attention(query_BKH, state.memory, state.past_BKS)
        bottom = self.second(self.context(context), between)
        output, layers = self.stack.rise(bottom, state.layers, context, inputs_BKG.dtype)
        return Features(output, context, attention), replace(state.attended(attention), layers=layers)


class AttentionalDecoder(AttentiveStart):
    """c_t = attention(s_t), and the attentional vector tanh(W [s_t; c_t]) in place of s_t (Luong et al. 2015).

    The top layer asks, so the others learn of the context by input feeding alone: the attentional vector also enters
    the bottom layer's next step (section 3.3).
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        bottom, width = self.stack.bottom, parts.readout
        self.attentional = nn.Linear(bottom.hidden + parts.memory, width)
        self.feed = nn.Linear(width, bottom.gate_width, bias=False) if parts.input_feeding else None

    def start(self, memory: Memory) -> DecoderState:
        state = super().start(memory)
        if self.feed is None:
            return state
        return replace(state, feed_BKR=memory.summary_BM.new_zeros(len(memory.summary_BM), 1, self.feed.in_features))

    def advance(self, inputs_BKG: Tensor, state: DecoderState) -> tuple[Features, DecoderState]:
        if self.feed is not None:
            inputs_BKG = inputs_BKG + self.feed(state.feed_BKR)
        output, layers = self.stack(inputs_BKG, state.layers)
        attentional, attention = self.look(output, state)
        feed_BKR = None if self.feed is None else attentional
        following = replace(state.attended(attention), layers=layers, feed_BKR=feed_BKR)
        return Features(attentional, attention_BXS=attention), following

    def look(self, output_BXH: Tensor, state: DecoderState) -> tuple[Tensor, Tensor]:
        """The attentional vectors [B, X, R] and the attention [B, X, S] of s_t, at one position or at several."""
        context, attention = self.attention(output_BXH, state.memory, state.past_BKS)
        return torch.tanh(self.attentional(torch.cat([output_BXH, context], dim=-1))), attention

    @property
    def looks_back(self) -> bool:
        """Whether a step waits for what the one before looked at."""
        return self.feed is not None or self.attention.covers


DECODERS: dict[str, type[Decoder]] = {
    "initial": InitialContextDecoder,
    "every_step": EveryStepDecoder,
    "previous": AttentionDecoder,
    "intermediate": ConditionalDecoder,
    "current": AttentionalDecoder,
}
"""By `decoder.context`; where that is `attention`, by `attention.query`."""

"""The whole model: encoder, decoder, readout, output."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from s2s_cli.model.decoder import Decoder, DecoderState
from s2s_cli.model.dropout import Dropout, WordDropout
from s2s_cli.model.encoder import Encoder
from s2s_cli.model.kernels.reference import Kernel
from s2s_cli.model.output import Decoded, Output


class Prediction(NamedTuple):
    """log p of every symbol after each hypothesis, at least float32; and the attention, if the decoder has one."""

    log_probs_BKV: Tensor
    attention_BKS: Tensor | None


class Seq2Seq(nn.Module):
    """p(y | x) = Π_t p(y_t | y_<t, x).

    `forward` reads a whole target (training), `start` and `step` write one symbol at a time (decoding).
    output: makes a distribution of what the decoder knows.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        embedding: nn.Module,
        embedding_dropout: Dropout,
        word_dropout: WordDropout,
        state_dropout: Dropout,
        readout: nn.Module,
        output: Output,
        kernel: Kernel,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.embedding = embedding
        self.embedding_dropout = embedding_dropout
        self.word_dropout = word_dropout
        self.state_dropout = state_dropout
        self.readout = readout
        self.output = output
        self.kernel = kernel
        self.register_state_dict_post_hook(_save_tables_once)
        self.register_load_state_dict_pre_hook(_load_tables_once)

    @property
    def vocabulary(self) -> int:
        """Target size V."""
        return self.output.out_features

    def tied_names(self) -> dict[str, str]:
        """For each further name of a table that several parts share, the first one: `state_dict` has that alone."""
        first: dict[int, str] = {}
        names = self.named_parameters(remove_duplicate=False)
        pairs = ((name, first.setdefault(id(parameter), name)) for name, parameter in names)
        return {name: own for name, own in pairs if name != own}

    def assign(self, weights: Mapping[str, Tensor]) -> None:
        """Take these tensors as the parameters, without a copy. What was tied stays tied."""
        tied = self.tied_names()
        self.load_state_dict(weights, assign=True)
        for name, own in tied.items():
            path, _, attribute = name.rpartition(".")
            setattr(self.get_submodule(path), attribute, self.get_parameter(own))

    def forbid(self, symbols: Collection[int]) -> None:
        """Never write these symbols again."""
        if symbols:
            self.output.forbid(symbols)

    def forward(
        self, source_BS: Tensor, source_lengths_B: Tensor, previous_BT: Tensor, owners_B: Tensor | None = None
    ) -> Decoded:
        """What is known at T positions of the target y_0..y_{T-1}, begin of sentence first, that is `previous_BT`.

        owners_B: the source of each target, where sources, which are read once, have several; by default its own.
        """
        state = self.start(source_BS, source_lengths_B)
        if owners_B is not None:
            state = state.select(owners_B)
        embedded_BTE = self.embedding_dropout(self.word_dropout(self.embedding(previous_BT), previous_BT))
        inputs_BTG = self.decoder.hoist(embedded_BTE, state.memory)
        features = self.kernel.unroll(self.decoder, inputs_BTG, state)
        features = replace(features, output_BXH=self.state_dropout(features.output_BXH))
        return Decoded(self.readout(features, embedded_BTE), features, embedded_BTE, state.memory)

    def start(self, source_BS: Tensor, source_lengths_B: Tensor) -> DecoderState:
        """Encode; the state before the first word, one hypothesis a sentence."""
        return self.decoder.start(self.encoder(source_BS, source_lengths_B, self.kernel))

    def step(self, previous_BK: Tensor, state: DecoderState) -> tuple[Prediction, DecoderState]:
        """Append one symbol to each hypothesis: log p(y_t | y_<t, x), and α_t for decoders with attention."""
        embedded_BKE = self.embedding(previous_BK)
        inputs_BKG = self.decoder.hoist(embedded_BKE, state.memory)
        features, state = self.decoder.advance(inputs_BKG, state)
        decoded = Decoded(self.readout(features, embedded_BKE), features, embedded_BKE, state.memory)
        return Prediction(self.output.log_probs(decoded), features.attention_BXS), state


def _save_tables_once(model: Seq2Seq, tensors: dict[str, Tensor], prefix: str, metadata: object) -> None:
    for name in model.tied_names():
        del tensors[prefix + name]


def _load_tables_once(model: Seq2Seq, tensors: dict[str, Tensor], prefix: str, *others: Any) -> None:
    """A table goes where each of its names stands. (Older files hold it under each, which is one too many.)"""
    for name, own in model.tied_names().items():
        if prefix + own in tensors:
            tensors[prefix + name] = tensors[prefix + own]

"""From the recipe's `model` section to modules: the only place that knows how members are put together."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from s2s_cli.model import decoder, encoder
from s2s_cli.model.attention import SCORES, Attention, CoverageScore
from s2s_cli.model.bridge import BRIDGES
from s2s_cli.model.cells import CELLS
from s2s_cli.model.decoder import DECODERS, Decoder, NoEmbedding, NoPreviousOutput, PreviousOutput
from s2s_cli.model.dropout import Dropout, WordDropout
from s2s_cli.model.encoder import ENCODERS, Encoder
from s2s_cli.model.kernels.fused import FusedKernel
from s2s_cli.model.kernels.reference import Kernel, ReferenceKernel
from s2s_cli.model.memory import SUMMARIES
from s2s_cli.model.output import OUTPUTS
from s2s_cli.model.readout import AttentionalReadout, Readout
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.model.stack import Stack
from s2s_cli.recipe import schema
from s2s_cli.text.tokenizer import PAD

KERNELS: dict[str, type[Kernel]] = {"reference": ReferenceKernel, "fused": FusedKernel, "auto": FusedKernel}
"""What runs the recurrences. `fused` leaves to the reference what it does not know."""


def build_model(config: schema.Model, source_size: int, target_size: int, kernel: str = "auto") -> Seq2Seq:
    """A model with random weights.

    source_size, target_size: vocabulary sizes. kernel: one of `KERNELS`.
    """
    embedding = _embedding(target_size, config.embedding)
    source_embedding = embedding if config.tied == "all" else _embedding(source_size, config.embedding)
    output = OUTPUTS[config.output](readout_width(config), target_size, evidence_width(config))
    if config.tied != "none":
        output.weight = embedding.weight
    model = Seq2Seq(
        encoder=build_encoder(config, source_embedding),
        decoder=build_decoder(config),
        embedding=embedding if config.decoder.feed_previous else NoEmbedding(),
        embedding_dropout=Dropout(config.dropout.embedding, config.dropout.variational),
        word_dropout=WordDropout(config.dropout.target_words),
        state_dropout=Dropout(config.dropout.state, config.dropout.variational),
        readout=build_readout(config),
        output=output,
        kernel=KERNELS[kernel](),
    )
    initialise(model)
    return model


def initialise(model: Seq2Seq) -> None:
    """Random weights: dense ones as He et al. 2015 for tanh, embeddings of unit length; some parts see to their own.

    The width of torch's own initialisation is a third of this, and training then needs twice as many updates.
    """
    own = {
        part for module in model.modules() if getattr(module, "initialises_itself", False) for part in module.modules()
    }
    for module in model.modules():
        if isinstance(module, nn.Linear) and module not in own:
            nn.init.kaiming_normal_(module.weight, nonlinearity="tanh")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in model.modules():  # afterwards, for the output may share the table of the embedding
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=1 / math.sqrt(module.embedding_dim))
            nn.init.zeros_(module.weight.data[PAD])


def build_without_weights(config: schema.Model, source_size: int, target_size: int) -> Seq2Seq:
    """A model whose parameters have shapes and no memory (device `meta`), for weights to be assigned to."""
    with torch.device("meta"), _NoRandomNumbers():
        return build_model(config, source_size, target_size)


class _NoRandomNumbers(TorchFunctionMode):
    """Draws nothing. On tensors without memory that would have no effect, and load a compiler for a second."""

    DRAWING = frozenset({"normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"})

    def __torch_function__(
        self, function: Callable, types: object, arguments: tuple = (), keywords: dict | None = None
    ) -> Any:
        keywords = keywords or {}
        if function.__name__ in self.DRAWING:
            return arguments[0] if arguments else keywords["tensor"]
        return function(*arguments, **keywords)


def is_attentional(config: schema.Model) -> bool:
    """Whether the attention comes after the recurrence, whose output the attentional vector replaces."""
    return config.decoder.context == "attention" and config.attention.query == "current"


def context_width(config: schema.Model) -> int:
    """M where a context is there before a step is made, for all layers and the readout to receive; else 0."""
    return 0 if is_attentional(config) or config.decoder.context == "initial" else config.encoder.width


def readout_width(config: schema.Model) -> int:
    """R: that of the embedding where both share one table."""
    return config.decoder.hidden if config.tied == "none" else config.embedding


def evidence_width(config: schema.Model) -> int:
    """Of all that the decoder knows of a position: its output, which may hold the context, c_t and y_{t-1}."""
    embedding = config.embedding if config.decoder.feed_previous else 0
    if is_attentional(config):
        return readout_width(config) + embedding
    return config.decoder.hidden + context_width(config) + embedding


def build_encoder(config: schema.Model, embedding: nn.Embedding) -> Encoder:
    """The encoder of its kind, with the keys of this kind."""
    parts = encoder.Parts(
        embedding=embedding,
        embedding_dropout=Dropout(config.dropout.embedding, config.dropout.variational),
        word_dropout=WordDropout(config.dropout.source_words),
        state_dropout=Dropout(config.dropout.state, config.dropout.variational),
        summary=SUMMARIES[config.encoder.summary],
        cell=lambda hidden: CELLS[config.cell](hidden, config.layer_norm),
    )
    keys = config.encoder.values(without=["kind", "summary", "bridge"])
    return ENCODERS[config.encoder.kind](parts, **keys)


def build_decoder(config: schema.Model) -> Decoder:
    """The decoder of the two switches `context` and `feed_previous`."""
    settings, memory = config.decoder, config.encoder.width
    cell = partial(CELLS[settings.cell or config.cell], settings.hidden, config.layer_norm)
    cells = [cell() for _ in range(settings.layers)]
    stack = Stack(cells, Dropout(config.dropout.state, False), context_width(config), settings.residual)
    previous = PreviousOutput if settings.feed_previous else NoPreviousOutput
    bridge = BRIDGES["own" if settings.context == "every_step" else config.encoder.bridge]
    parts = decoder.Parts(
        previous=previous(config.embedding, stack.bottom.gate_width),
        stack=stack,
        bridges=[bridge(memory, each.state_width) for each in cells],
        memory=memory,
        readout=readout_width(config),
        attention=lambda: build_attention(config),
        cell=cell,
        input_feeding=config.attention.input_feeding,
    )
    return DECODERS[config.attention.query if settings.context == "attention" else settings.context](parts)


def build_attention(config: schema.Model) -> Attention:
    """As many scores as heads."""
    settings = config.attention
    score = CoverageScore if settings.coverage else SCORES[settings.score]
    widths = (config.decoder.hidden, config.encoder.width, settings.size)
    state, memory, size = (width // settings.heads for width in widths)
    return Attention([score(state, memory, size) for _ in range(settings.heads)], settings.coverage_loss)


def build_readout(config: schema.Model) -> nn.Module:
    """What the decoder has goes into the readout."""
    settings = config.decoder
    if is_attentional(config):
        return AttentionalReadout()
    embedding = config.embedding if settings.feed_previous else 0
    dropout = Dropout(config.dropout.readout, config.dropout.variational)
    return Readout(settings.hidden, context_width(config), embedding, readout_width(config), dropout)


def _embedding(size: int, width: int) -> nn.Embedding:
    return nn.Embedding(size, width, padding_idx=PAD)

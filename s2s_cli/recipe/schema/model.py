"""The keys of a model: a member of the family, and its sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from s2s_cli.forms import at_least, at_most
from s2s_cli.recipe.schema.section import Layers, Probability, Section, Width

Cell = Literal["gru", "lstm", "rnn", "ssru", "sru", "mingru"]


class EveryEncoder(Section):
    """The keys of every kind of encoder."""

    kind: str
    hidden: Width = 256
    """Width of the states, or of one direction's."""
    summary: Literal["last", "mean", "max"] = "mean"
    """How the context C is computed from the states h_1..h_N."""
    bridge: Literal["copy", "dense"] = "dense"
    """q, which computes the decoder's first state from C: q(h) = h, or q(h) = tanh(W h + b)."""

    @property
    def width(self) -> int:
        """M, that of h_j."""
        return self.hidden


class RecurrentEncoder(EveryEncoder):
    kind: Literal["recurrent"] = "recurrent"
    """The kind of encoder: recurrent cells, or the self-attention of a `transformer`, which has other keys."""
    layers: Layers = 1
    bidirectional: bool = True
    residual: bool = False
    """Add a layer's input to its output, from the second layer on."""

    @property
    def width(self) -> int:
        return self.hidden * (2 if self.bidirectional else 1)


class TransformerEncoder(EveryEncoder):
    kind: Literal["transformer"]
    """The encoder of Vaswani et al. 2017 with pre-normalisation; with a recurrent decoder the model is a hybrid."""
    layers: Layers = 4
    heads: Width = 4
    """Self-attentions of a layer, each over its share of the width."""
    feed_forward: Width = 1024
    """Inner width of a layer's second part."""

    def check(self) -> None:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"heads = {self.heads} must divide hidden = {self.hidden} into even shares")


Encoder = RecurrentEncoder | TransformerEncoder
"""By its `kind`, the first by default."""


class Decoder(Section):
    cell: Cell | None = None
    """The decoder's cell, if it differs from the encoder's. `null`: `model.cell`."""
    hidden: Width = 512
    """Width of the state s_t."""
    layers: Layers = 1
    residual: bool = False
    """Add a layer's input to its output, from the second layer on."""
    context: Literal["initial", "every_step", "attention"] = "attention"
    """Where the context enters: in the first state only, at every step, or by attention, computed at each step."""
    feed_previous: bool = True
    """Whether the previous output y_{t-1} enters the recurrence."""


class Attention(Section):
    score: Literal["additive", "dot", "scaled_dot", "general"] = "additive"
    """e_{t,j} = a(s, h_j)."""
    size: Width = 512
    """Width A of the projected queries and keys (`additive`; the others follow the states)."""
    query: Literal["previous", "intermediate", "current"] = "previous"
    """s_{t-1} (Bahdanau et al. 2015); the state between the two transitions of a conditional GRU (Sennrich et al.
    2017); or s_t with an attentional layer (Luong et al. 2015)."""
    input_feeding: bool = True
    """With `query: current`: the attentional vector enters the next step (Luong et al. 2015, section 3.3)."""
    heads: Width = 1
    """Independent attentions, each over its share of the width."""
    coverage: bool = False
    """The score also depends on the attention that each position has had so far (Tu et al. 2016)."""
    coverage_loss: Annotated[float, at_least(0.0), at_most(1_000.0)] = 0.0
    """With `coverage`: weight of repeated attention to the same positions in the loss (See et al. 2017)."""


class Dropout(Section):
    embedding: Probability = 0.2
    state: Probability = 0.2
    """On the states that leave the recurrence, and between layers."""
    readout: Probability = 0.2
    """On the readout; not used with `attention.query: current`, where the readout is what `state` applies to."""
    variational: bool = False
    """One mask for all positions of a sentence (Gal and Ghahramani 2016), except between the decoder's layers."""
    source_words: Probability = 0.0
    """Probability that the whole embedding of a source piece is zero (Sennrich and Zhang 2019). What is left is not
    scaled up, and the special symbols are kept. 0.1 to 0.3 helps where data is scarce."""
    target_words: Probability = 0.0
    """The same of the previous output y_{t-1}, which the decoder reads."""


class Model(Section):
    cell: Cell = "gru"
    """`gru`, `lstm` and `rnn`; or `ssru`, `sru` and `mingru`, whose gates depend on the input only: training needs no
    loop of products in encoders and in decoders that attend afterwards (`query: current`, `input_feeding: false`)."""
    embedding: Width = 256
    encoder: Encoder = RecurrentEncoder()
    decoder: Decoder = Decoder()
    attention: Attention = Attention()
    dropout: Dropout = Dropout()
    layer_norm: bool = False
    """Layer normalisation inside the cells (Ba et al. 2016)."""
    tied: Literal["none", "target", "all"] = "none"
    """Share the output projection with the target embedding, or all three tables (which needs a joint vocabulary)."""
    output: Literal["softmax", "copy"] = "softmax"
    """How a symbol is predicted: among the whole vocabulary, or also by copying one of the source (See et al. 2017),
    which needs attention and a joint vocabulary."""

    @property
    def attends_afterwards(self) -> bool:
        """Whether the state leaves the recurrence through an attentional layer, which is then the readout."""
        return self.decoder.context == "attention" and self.attention.query == "current"

    def check(self) -> None:
        if faults := [*self._bridge_faults(), *self._attention_faults(), *self._dropout_faults()]:
            raise ValueError("; ".join(faults))

    def _bridge_faults(self) -> Iterator[str]:
        width, hidden = self.encoder.width, self.decoder.hidden
        if self.encoder.bridge == "copy" and self.decoder.context != "every_step" and width != hidden:
            yield f"encoder.bridge `copy` needs decoder.hidden = {width}, the width of the encoder, not {hidden}"

    def _dropout_faults(self) -> Iterator[str]:
        if self.dropout.target_words and not self.decoder.feed_previous:
            yield "dropout.target_words needs decoder.feed_previous: true"

    def _attention_faults(self) -> Iterator[str]:
        if self.decoder.context != "attention":
            if self.output == "copy":
                yield "output `copy` needs decoder.context `attention`"
            return
        width, hidden = self.encoder.width, self.decoder.hidden
        score, heads = self.attention.score, self.attention.heads
        if not self.decoder.feed_previous:
            yield "decoder.context `attention` needs decoder.feed_previous: true"
        if score in ("dot", "scaled_dot") and width != hidden:
            yield f"attention.score `{score}` needs decoder.hidden = {width}, the width of the encoder, not {hidden}"
        if self.attention.coverage and score != "additive":
            yield f"attention.coverage needs attention.score `additive`, not `{score}`"
        if self.attention.coverage_loss and not self.attention.coverage:
            yield "attention.coverage_loss needs attention.coverage: true"
        shared = {"decoder.hidden": hidden, "the width of the encoder": width}
        if score == "additive":
            shared["attention.size"] = self.attention.size
        for name, size in shared.items():
            if size % heads:
                yield f"attention.heads = {heads} must divide {name} = {size}"

"""The recipe: everything that one training run depends on, as typed values, with defaults for all but the data.

The docstring under a field is its documentation; `s2s_cli.recipe.loading` fills these classes from YAML.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Width = Annotated[int, Field(ge=1, le=65_536)]
"""The sizes of a model are bounded, so that a hostile `config.json` or recipe cannot request all memory."""
Layers = Annotated[int, Field(ge=1, le=100)]


class Section(BaseModel):
    """A part of the recipe: unknown keys are faults, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Languages(Section):
    source: str
    """Language code of the source side (ISO 639-1: fr, zh, ...)."""
    target: str
    """Language code of the target side; it also selects the tokenizer of sacreBLEU."""


Role = Literal["source", "target", "tsv"]


class Corpus(Section):
    """One parallel corpus: two line-aligned files, or two columns of one TSV file. Plain, `.gz` or `.xz`.

    A path is looked for in `data.folders`, then in the folder `S2S_DATA` (default `./data`). A path may be a `https://`
    address, which then needs its SHA-256 and is downloaded once.
    """

    name: str | None = None
    """Name of this corpus in reports; by default the stem of its file."""
    source: str | None = None
    """File of the source side (with `target`)."""
    target: str | None = None
    """File of the target side (with `source`)."""
    tsv: str | None = None
    """One file with a pair a line, columns separated by tabs (instead of `source` and `target`)."""
    columns: tuple[Positive, Positive] = (1, 2)
    """Source and target column of `tsv`, counted from 1."""
    sha256: str | dict[Role, str] | None = None
    """Expected SHA-256 of the file, or of each file; required for addresses."""

    @property
    def paths(self) -> dict[Role, str]:
        """The files as they are given: `source` and `target`, or `tsv`."""
        given: dict[Role, str | None] = {"source": self.source, "target": self.target, "tsv": self.tsv}
        return {role: path for role, path in given.items() if path is not None}

    @model_validator(mode="after")
    def _one_kind(self) -> Corpus:
        if (self.tsv is None) == (self.source is None and self.target is None):
            raise ValueError("give either `tsv`, or `source` and `target`")
        if self.tsv is None and (self.source is None or self.target is None):
            raise ValueError("`source` and `target` go together")
        return self


class Cleaning(Section):
    """Filters of the training pairs. A pair is dropped whole; each rule is counted in the report."""

    max_pieces: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Longest side, in pieces of its tokenizer."""
    max_length_ratio: PositiveFloat | None = 4.0
    """Longest side over shortest side, in pieces; short pairs (under 10 pieces) are exempt. `null`: no such rule."""
    deduplicate: bool = True
    """Drop exact repetitions of a pair."""
    drop_identical: bool = True
    """Drop pairs whose two sides are equal."""
    drop_overlap: bool = True
    """Drop pairs one side of which occurs in dev or test (same side, ignoring case and punctuation)."""
    min_script_share: Probability | None = 0.5
    """Least share of letters in the script of the language (Latin, Han, ...). `null`: no such rule."""


class Data(Section):
    train: list[Corpus] = Field(min_length=1)
    """Corpora to learn from."""
    dev: list[Corpus] = Field(min_length=1)
    """Corpora to validate on."""
    test: list[Corpus] = []
    """Corpora that `s2s evaluate` scores; never seen in training."""
    folders: list[str] = []
    """Folders in which relative paths of corpora are looked for; relative to the recipe's folder, which is the default.
    The recipe in a run directory has the folders where its corpora were found, so that it can be run from there."""
    cleaning: Cleaning = Cleaning()

    def corpora(self) -> list[Corpus]:
        """The corpora of all splits."""
        return [*self.train, *self.dev, *self.test]


Kind = Literal["sentencepiece", "character", "word"]
Algorithm = Literal["unigram", "bpe"]
Vocabulary = Annotated[int, Field(ge=8, le=4_000_000)]
Coverage = Annotated[float, Field(ge=0.98, le=1.0)]
Cell = Literal["gru", "lstm", "rnn", "ssru", "sru", "mingru"]


class SideTokenizer(Section):
    """Settings of one side's tokenizer; keys that are not set are taken from `tokenizer`."""

    kind: Kind | None = None
    model: Algorithm | None = None
    vocabulary: Vocabulary | None = None
    character_coverage: Coverage | None = None


class Tokenizer(Section):
    kind: Kind = "sentencepiece"
    """`sentencepiece` for real work, `character` and `word` for teaching, labels and spelling."""
    model: Algorithm = "unigram"
    """SentencePiece's algorithm."""
    vocabulary: Vocabulary = 8000
    """Largest number of pieces, the four special symbols included."""
    joint: bool = True
    """One vocabulary for both sides, or one for each."""
    character_coverage: Coverage = 1.0
    """Share of characters that get a piece; 0.9995 suits Chinese and Japanese."""
    sample: Positive = 2_000_000
    """Most lines (of a uniform sample, never over 24 MiB of text) that the tokenizer is trained on."""
    source: SideTokenizer | None = None
    """Other values for the source side (then `joint` is off)."""
    target: SideTokenizer | None = None
    """Other values for the target side (then `joint` is off)."""

    @property
    def is_joint(self) -> bool:
        """Whether both sides share one vocabulary, all settings considered."""
        return self.joint and self.source is None and self.target is None

    def of_side(self, side: Literal["source", "target"]) -> Tokenizer:
        """The settings of one side, its own values merged into the common ones, and validated together."""
        own: SideTokenizer | None = getattr(self, side)
        common = self.model_dump(exclude={"source", "target"})
        return Tokenizer.model_validate(common | (own.model_dump(exclude_none=True) if own else {}))


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

    @model_validator(mode="after")
    def _shares(self) -> TransformerEncoder:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"heads = {self.heads} must divide hidden = {self.hidden} into even shares")
        return self


def _kind(encoder: Any) -> str:
    """The tag of the class of `Encoder` that reads a value."""
    values = encoder if isinstance(encoder, dict) else getattr(encoder, "__dict__", {})
    return str(values.get("kind", "recurrent"))


Encoder = Annotated[
    Annotated[RecurrentEncoder, Tag("recurrent")] | Annotated[TransformerEncoder, Tag("transformer")],
    Discriminator(_kind),
]


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
    query: Literal["previous", "current"] = "previous"
    """s_{t-1} (Bahdanau et al. 2015), or s_t with an attentional layer (Luong et al. 2015)."""
    input_feeding: bool = True
    """With `query: current`: the attentional vector enters the next step (Luong et al. 2015, section 3.3)."""
    heads: Width = 1
    """Independent attentions, each over its share of the width."""
    coverage: bool = False
    """The score also depends on the attention that each position has had so far (Tu et al. 2016)."""
    coverage_loss: Annotated[float, Field(ge=0.0, le=1_000.0)] = 0.0
    """With `coverage`: weight of repeated attention to the same positions in the loss (See et al. 2017)."""


class Dropout(Section):
    embedding: Probability = 0.2
    state: Probability = 0.2
    """On the states that leave the recurrence, and between layers."""
    readout: Probability = 0.2
    """On the readout; not used with `attention.query: current`, where the readout is what `state` applies to."""
    variational: bool = False
    """One mask for all positions of a sentence (Gal and Ghahramani 2016), except between the decoder's layers."""


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

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        if faults := [*self._bridge_faults(), *self._attention_faults()]:
            raise ValueError("; ".join(faults))
        return self

    def _bridge_faults(self) -> Iterator[str]:
        width, hidden = self.encoder.width, self.decoder.hidden
        if self.encoder.bridge == "copy" and self.decoder.context != "every_step" and width != hidden:
            yield f"encoder.bridge `copy` needs decoder.hidden = {width}, the width of the encoder, not {hidden}"

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


class Averaging(Section):
    """Averaging of checkpoints in the exported model."""

    method: Literal["none", "last", "best", "ema"] = "ema"
    """The best checkpoint (`none`), the mean of the last or the best ones, or an exponential moving average."""
    count: Positive = 5
    """Checkpoints to average (`last`, `best`)."""
    decay: Probability = 0.999
    """Decay of the moving average (`ema`) per update; it is lower during the first updates."""


class Training(Section):
    batch_tokens: Positive = 2000
    """Most tokens of a batch: pairs × longest side, padding included."""
    batch_sentences: Positive | None = None
    """Most pairs of a batch. `null`: no such limit."""
    accumulate: Positive = 1
    """Batches whose gradients are summed for one update."""
    epochs: Positive = 10
    """Most passes over the data."""
    updates: Positive | None = None
    """Most updates. `null`: no such limit."""
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "inverse_sqrt", "linear", "plateau"] = "inverse_sqrt"
    """After the warm-up: constant, falling with the square root of the update, or reduced when dev stops improving."""
    warmup: Annotated[int, Field(ge=0)] = 500
    """Updates over which the learning rate rises from zero."""
    decay_factor: Probability = 0.7
    """`plateau`: factor of each reduction."""
    decay_patience: Positive = 1
    """`plateau`: validations without progress before a reduction."""
    betas: tuple[Probability, Probability] = (0.9, 0.98)
    """Adam's decay rates."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """Decoupled weight decay (AdamW), of matrices only: biases and norms do not decay."""
    label_smoothing: Probability = 0.1
    clip_norm: PositiveFloat | None = 1.0
    """Largest norm of the gradient of the mean loss per token. `null`: no clipping."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number type of the matrix products; `auto` takes bf16 where the machine computes it natively."""
    kernel: Literal["auto", "reference", "fused"] = "auto"
    """The recurrence: a plain PyTorch loop, or one autograd function; `auto` takes `fused` where it fits the model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1_024)] | None = None
    """Processor threads. `null`: one per core, shared by the processes of a machine."""
    averaging: Averaging = Averaging()
    keep_checkpoints: Positive = 3
    """Newest checkpoints kept, besides the best."""
    save_every: Positive | None = None
    """Updates between checkpoints. `null`: one at each validation."""


class Validation(Section):
    every: Positive | None = 500
    """Updates between validations. `null`: at the end of each epoch."""
    metric: Literal["loss", "bleu", "chrf"] = "bleu"
    """The metric by which the best checkpoint is chosen."""
    patience: Positive | None = 8
    """Validations without progress before training stops. `null`: never."""
    beam: Positive = 1
    """Beam of the validation's decoding."""
    max_pairs: Positive | None = None
    """Most dev pairs that are decoded. `null`: all."""


class Decoding(Section):
    beam: Annotated[int, Field(ge=1, le=1_000)] = 5
    normalization: Literal["wu", "average", "none"] = "wu"
    """How hypotheses of different lengths are compared: the penalty of Wu et al. 2016, mean per token, or sum."""
    length_penalty: Annotated[float, Field(ge=0.0, le=1_000.0)] = 1.0
    """Exponent α of the penalty; 0 switches it off, a larger one favours longer translations."""
    min_length: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Least number of target pieces."""
    max_length_ratio: Annotated[float, Field(gt=0.0, le=100.0)] = 2.0
    """Most target pieces for each source piece ..."""
    max_length_offset: Annotated[int, Field(ge=0, le=10_000)] = 10
    """... plus this number."""
    batch_tokens: Annotated[int, Field(ge=1, le=10_000_000)] = 4000
    """Most source tokens of a decoding batch, padding included."""
    split: Literal["always", "long", "never"] = "always"
    """Translate every line sentence by sentence; or only lines of more than `max_pieces` (for a model trained on lines
    of several sentences); or never divide a line (one label for a text)."""


class Recipe(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
    """Name of the run; its directory is `runs/<name>`."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    languages: Languages
    data: Data
    tokenizer: Tokenizer = Tokenizer()
    model: Model = Model()
    training: Training = Training()
    validation: Validation = Validation()
    decoding: Decoding = Decoding()

    def with_folders(self, folders: list[str]) -> Recipe:
        """The same recipe with other `data.folders`."""
        return self.model_copy(update={"data": self.data.model_copy(update={"folders": folders})})

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        for key, value in (("tied", "all"), ("output", "copy")):
            if getattr(self.model, key) == value and not self.tokenizer.is_joint:
                raise ValueError(f"model.{key} `{value}` needs one joint vocabulary (tokenizer.joint: true)")
        return self

"""The keys of training, of validation, and of the search that both and `s2s translate` use."""

from __future__ import annotations

from typing import Annotated, Literal

from s2s_cli.cores import MOST_THREADS
from s2s_cli.forms import above, at_least, at_most
from s2s_cli.recipe.schema.section import Positive, PositiveFloat, Probability, Section


class Init(Section):
    """Fine-tuning, adaptation to a domain, and transfer to another pair of languages (Zoph et al. 2016). Learning rate,
    schedule, optimiser, averaging and position begin anew. The keys of `model` must be those of the model, except for
    `dropout` and `attention.coverage_loss`; those left out are taken from it."""

    from_: str
    """Directory of the model, or of its run. A relative path is looked for in the working directory, then where the
    corpora are looked for."""
    extend: bool = False
    """Train tokenizers on the data, as `tokenizer` says, and append those pieces that the model's vocabularies lack.
    The vectors of such a piece begin with the mean of the old pieces that its text is made of. False: keep the model's
    tokenizers; then there is no `tokenizer` section."""


class Averaging(Section):
    """Averaging of checkpoints in the exported model."""

    method: Literal["none", "last", "best", "ema"] = "ema"
    """The best checkpoint (`none`), the mean of the last or the best ones, or an exponential moving average."""
    count: Positive = 5
    """Checkpoints to average (`last`, `best`)."""
    decay: Probability = 0.999
    """Decay of the moving average (`ema`) per update; it is lower during the first updates."""


class CrossEntropy(Section):
    kind: Literal["cross_entropy"] = "cross_entropy"
    """What training minimises: the cross-entropy; with `r_drop` also how much dropout changes predictions; or with
    `minimum_risk` the expected loss of BLEU or chrF."""


class RDrop(Section):
    """Each pair is read twice, with other dropout, and both predictions are pulled together (Liang et al. 2021). An
    update takes twice the time and the memory."""

    kind: Literal["r_drop"]
    alpha: PositiveFloat = 5.0
    """Weight of the symmetric Kullback-Leibler divergence between both; the paper's translations have 5."""


class MinimumRisk(Section):
    """The expected loss of sentence BLEU or chrF over candidates that the model writes in each update (Shen et al.
    2016; Edunov et al. 2018). It refines a model that cross-entropy has trained (see `init`), at a low learning rate.
    An update searches for candidates and reads all of them as targets: with 10 it takes 14 times the time of one by
    cross-entropy. Memory grows with their number too, so `batch_tokens` should be lower."""

    kind: Literal["minimum_risk"]
    candidates: Annotated[int, at_least(2), at_most(1_000)] = 10
    """Candidates for each source; equal ones count once."""
    from_: Literal["sample", "beam"] = "sample"
    """Independent draws from the model, or the best that a beam of `candidates` finds."""
    reference: bool = False
    """Whether the reference is a further candidate (as with Shen et al.), which may pull the model towards what it
    would hardly write (Edunov et al. leave it out)."""
    metric: Literal["bleu", "chrf"] = "bleu"
    """A candidate costs what it lacks of this score of a sentence; costs are stretched to reach from 0 for the best
    candidate for a source to 1 for the worst."""
    sharpness: PositiveFloat = 1.0
    """A candidate weighs exp(sharpness × its mean log-probability of a token): more lets probable ones dominate."""
    mix: Probability = 0.3
    """Share of the cross-entropy in the objective; the rest is that of the risk."""


Objective = CrossEntropy | RDrop | MinimumRisk
"""By its `kind`, the first by default."""

Alpha = Annotated[float, above(0.0), at_most(1.0)]


class SubwordSampling(Section):
    """Train on random segmentations, another one in each epoch (needs SentencePiece); translate the best one.

    α of a unigram model is the exponent of a segmentation's probability: 0.5, 0.3 and 0.2 give 1.05, 1.2 and 1.4 times
    as many pieces as the best one. α of a BPE model is the probability that a merge is left out: 0.1 gives 1.25 times
    as many. Memory and time grow with them, for batches are formed by the lengths of the best segmentation.
    """

    source: Alpha | None = None
    """α of the source side. `null`: no sampling."""
    target: Alpha | None = None
    """α of the target side."""


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
    """After the warm-up: constant, falling with the square root of the update, falling to nearly zero at the last
    update, or reduced when dev stops improving."""
    warmup: Annotated[int, at_least(0)] = 500
    """Updates over which the learning rate rises from zero."""
    decay_factor: Probability = 0.7
    """`plateau`: factor of each reduction."""
    decay_patience: Positive = 1
    """`plateau`: validations without progress before a reduction."""
    betas: tuple[Probability, Probability] = (0.9, 0.98)
    """Adam's decay rates."""
    weight_decay: Annotated[float, at_least(0.0)] = 0.0
    """Decoupled weight decay (AdamW), of matrices only: biases and norms do not decay."""
    subword_sampling: SubwordSampling = SubwordSampling()
    objective: Objective = CrossEntropy()
    label_smoothing: Probability = 0.1
    clip_norm: PositiveFloat | None = 1.0
    """Largest norm of the gradient of the mean loss per token. `null`: no clipping."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number type of the matrix products; `auto` takes bf16 where the machine computes it natively."""
    kernel: Literal["auto", "reference", "fused"] = "auto"
    """The recurrence: a plain PyTorch loop, or one autograd function; `auto` takes `fused` where it fits the model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, at_least(1), at_most(MOST_THREADS)] | None = None
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
    beam: Annotated[int, at_least(1), at_most(1_000)] = 1
    """Beam of the validation's decoding."""
    max_pairs: Positive | None = None
    """Most dev pairs that are decoded. `null`: all."""


class Decoding(Section):
    beam: Annotated[int, at_least(1), at_most(1_000)] = 5
    normalization: Literal["wu", "average", "none"] = "wu"
    """How hypotheses of different lengths are compared: the penalty of Wu et al. 2016, mean per token, or sum."""
    length_penalty: Annotated[float, at_least(0.0), at_most(5.0)] = 1.0
    """Exponent α of the penalty; 0 switches it off, a larger one favours longer translations."""
    min_length: Annotated[int, at_least(0), at_most(10_000)] = 0
    """Least number of target pieces."""
    max_length_ratio: Annotated[float, above(0.0), at_most(100.0)] = 2.0
    """Most target pieces for each source piece ..."""
    max_length_offset: Annotated[int, at_least(0), at_most(10_000)] = 10
    """... plus this number."""
    batch_tokens: Annotated[int, at_least(1), at_most(10_000_000)] = 4000
    """Most source tokens of a decoding batch, padding included."""
    split: Literal["always", "long", "never"] = "always"
    """Translate every line sentence by sentence; or only lines of more than `max_pieces` (for a model trained on lines
    of several sentences); or never divide a line (one label for a text)."""

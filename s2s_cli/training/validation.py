"""Validation: the loss on dev, and BLEU and chrF of its translation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from s2s_cli import console
from s2s_cli.data.order import BatchOrder
from s2s_cli.data.shards import ParallelData
from s2s_cli.evaluation.metrics import score
from s2s_cli.inference.translator import Translator
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.segmenters import COMMON, bleu_tokenizer
from s2s_cli.training.batches import collate
from s2s_cli.training.loss import sequence_loss


class Figures(NamedTuple):
    """The results of a validation. loss: nats per target token, ends of sentences included."""

    loss: float
    bleu: float
    chrf: float

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.loss, 700.0))


MERITS: dict[str, Callable[[Figures], float]] = {
    "loss": lambda figures: -figures.loss,
    "bleu": lambda figures: figures.bleu,
    "chrf": lambda figures: figures.chrf,
}
"""The score by which checkpoints are compared, higher being better, by `validation.metric`."""


@dataclass(frozen=True)
class Validator:
    """The dev set and how to measure a model on it.

    batches: indices of dev pairs. sources, references: texts of the pairs to decode. translator_of: builds a translator
    from a model. language: of the target.
    """

    data: ParallelData
    batches: list[np.ndarray]
    sources: list[str]
    references: list[str]
    translator_of: Callable[[Seq2Seq], Translator]
    language: str

    def measure(self, model: Seq2Seq, autocast: torch.autocast) -> Figures:
        """All figures of the model, which is left in evaluation mode."""
        model.eval()
        with autocast:
            loss = self._loss(model)
        translations = self.translator_of(model).translate(self.sources)
        texts = [translation.text for translation in translations]
        bleu, chrf = score(texts, [self.references], ["bleu", "chrf"], self.language)
        return Figures(loss, bleu.value, chrf.value)

    @torch.inference_mode()
    def _loss(self, model: Seq2Seq) -> float:
        device = next(model.parameters()).device
        losses = [sequence_loss(model, collate(self.data, pairs).to(device), 0.0) for pairs in self.batches]
        return sum(loss.nll.item() for loss in losses) / max(1, sum(loss.tokens for loss in losses))


LONGEST_WORDS = 9.0
"""Characters of a word on average, signs included, above which there are hardly spaces between words: English has 4 to
5, German 6, Finnish 7, everyday Chinese sentences 10."""


def warn_of_words(metric: str, references: Sequence[str], language: str) -> None:
    """Warn if checkpoints are compared by BLEU where it finds no words: it may stay at 0, and the first remain best."""
    words = [word for reference in references for word in reference.split()]
    length = sum(map(len, words)) / max(1, len(words))
    if metric == "bleu" and bleu_tokenizer(language) == COMMON and length > LONGEST_WORDS:
        console.warn(
            f"validation.metric: BLEU splits `{language}` text by `{COMMON}`, which finds hardly any words in dev"
            " (set it to chrf or loss, or the code of the language right)"
        )


def dev_batches(data: ParallelData, batch_tokens: int) -> list[np.ndarray]:
    """All pairs of dev in batches of similar lengths."""
    return list(BatchOrder(data.source_lengths, data.target_lengths, batch_tokens=batch_tokens).epoch(0))


@contextmanager
def weights_of(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """While inside, the model has these weights instead of its own."""
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    try:
        yield
    finally:
        model.load_state_dict(own)

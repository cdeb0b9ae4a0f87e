"""How far a translation can be trusted: the model's probability that it is a good one, and signs of what went wrong.

The probability comes from a few figures of the search, as in Fomicheva et al. 2020, "Unsupervised Quality Estimation
for Neural Machine Translation" (section 4.1), by a logistic regression, as in Bergamot's translator for browsers. The
model's export fits it to the chrF of its translations of dev (`s2s_cli.evaluation.calibration`).

Every figure is one of the whole line: of a line of several parts, over the symbols of all of them.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np

from s2s_cli.checkpoint.model_directory import Confidence
from s2s_cli.text.words import words_of

LEAST_LOG_PROB = -20.0  # of one symbol; what is less probable than that says no more, and -inf is no number
LEAST_COVERAGE = 0.1  # attention that a source word gets in all, at least
PHRASE = 6  # words of the longest phrase that is looked for again


@dataclass(frozen=True)
class Evidence:
    """What the search tells of a hypothesis, or of those of the parts of a line one after the other."""

    log_probs: Sequence[float] = ()
    """log p of each piece and of each end, in nats."""
    words: list[int] = field(default_factory=list)
    """For each of these the target word, as the alignment counts them; -1 for an end, and what is no text."""
    source_pieces: int = 0
    """Source pieces but for what is said of terms, with an end for each part."""
    attention_S: np.ndarray | None = None
    """The attention that each source piece gets, summed over the target: float32; None without attention."""
    source_words: list[int] = field(default_factory=list)
    """For each of these the source word, as the alignment counts them; -1 for what is no text."""


def joined(parts: Sequence[tuple[Evidence, int, int]]) -> Evidence:
    """The evidence of the parts of a line. With that of a part stand the numbers of its first source and first target
    word in the line."""
    attention = [each.attention_S for each, _, _ in parts if each.attention_S is not None]
    return Evidence(
        log_probs=array("d", chain.from_iterable(each.log_probs for each, _, _ in parts)),
        words=[word if word < 0 else word + first for each, _, first in parts for word in each.words],
        source_pieces=sum(each.source_pieces for each, _, _ in parts),
        attention_S=np.concatenate(attention) if attention else None,
        source_words=[word if word < 0 else word + first for each, first, _ in parts for word in each.source_words],
    )


class Figures(NamedTuple):
    """What the confidence of a line depends on."""

    log_prob: float
    """Mean of the log-probabilities of the symbols, ends included."""
    probability: float
    """Mean of their probabilities, which one very improbable symbol changes less."""
    ratio: float
    """|log| of the number of target symbols over that of source symbols."""


def figures(evidence: Evidence) -> Figures:
    """The figures of a line with at least one symbol."""
    # A log p of NaN comes from a difference of infinities: of what the model thinks impossible.
    log_probs = [value if value > LEAST_LOG_PROB else LEAST_LOG_PROB for value in evidence.log_probs]
    count = len(log_probs)
    return Figures(
        log_prob=math.fsum(log_probs) / count,
        probability=math.fsum(map(math.exp, log_probs)) / count,
        ratio=abs(math.log(count / max(evidence.source_pieces, 1))),
    )


def confidence(calibration: Confidence, evidence: Evidence) -> float:
    """The probability that the chrF of the line is at least `calibration.chrf`."""
    found = figures(evidence)
    products = (getattr(calibration, name) * figure for name, figure in zip(Figures._fields, found, strict=True))
    return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, calibration.bias + math.fsum(products)))))


def word_confidences(evidence: Evidence) -> list[float]:
    """For each target word the geometric mean of the probabilities of its pieces, as the model sees them."""
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    for word, log_prob in zip(evidence.words, evidence.log_probs, strict=False):
        if word >= 0:
            sums[word] = sums.get(word, 0.0) + log_prob
            counts[word] = counts.get(word, 0) + 1
    return [math.exp(min(sums[word] / counts[word], 0.0)) for word in sorted(sums)]


def omissions(evidence: Evidence, source_tokens: Sequence[str]) -> list[int]:
    """The source words that got hardly any attention, so that their translation is probably missing.

    source_tokens: the source pieces. A word without letters and digits is a sign, which needs no attention.
    """
    if evidence.attention_S is None or not source_tokens:
        return []
    words = np.array(evidence.source_words)
    coverage = np.bincount(words[words >= 0], evidence.attention_S[words >= 0]).tolist()
    texts = {
        word
        for word, piece in zip(evidence.source_words, source_tokens, strict=True)
        if word >= 0 and any(map(str.isalnum, piece))
    }
    return [word for word in sorted(texts) if coverage[word] < LEAST_COVERAGE]


def repetitions(text: str, source: str) -> list[str]:
    """What stands twice or more in a row, as models write it that lose the thread, unless the source repeats itself.

    A phrase of several words counts from its second time on, a single word from its third.
    """
    return [] if _repeated(source) else _repeated(text)


def _repeated(text: str) -> list[str]:
    words = words_of(text, ignore_case=True)
    texts = [word.text for word in words]
    found, place = [], 0
    while place < len(texts):
        end = max(_end_of_repetition(texts, place, length) for length in range(1, PHRASE + 1))
        if end > place and any(map(str.isalnum, "".join(texts[place:end]))):
            found.append(text[words[place].start : words[end - 1].end])
            place = end
        else:  # in signs that repeat themselves, a phrase with a letter begins near the end
            place = max(place + 1, end - PHRASE + 1)
    return found


def _end_of_repetition(texts: Sequence[str], place: int, length: int) -> int:
    """Where the repetition of the `length` words from `place` on ends; `place` if there is none."""
    phrase, end = texts[place : place + length], place + length
    while texts[end : end + length] == phrase:
        end += length
    least = 3 if len(set(phrase)) == 1 else 2
    return end if end - place >= least * length else place

"""How like texts are, by sentence BLEU or chrF as sacreBLEU computes them: each with each, counted once for each text.

Shapes: N different texts, L n-gram lengths, C occurrences (a second one of an n-gram in a text is another occurrence).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

from s2s_cli.text.segmenters import bleu_tokenizer

Utility = Callable[[Sequence[str]], np.ndarray]
"""Of one text or more, the score of each (row) with each as the reference (column), 0 to 100: float64 [N, N]."""


def build_utility(name: str, language: str) -> Utility:
    """The utility of this name in `UTILITIES`; language: of the texts."""
    return UTILITIES[name](language)


def _chrf(language: str) -> Utility:
    """chrF2 (Popović 2015)."""
    return lambda texts: _f_scores(_matches(["".join(text.split()) for text in texts], longest=6))


def _bleu(language: str) -> Utility:
    """BLEU (Papineni et al. 2002) of a sentence: with exponential smoothing, without n-grams longer than it."""
    from sacrebleu.metrics.bleu import BLEU

    tokenizer = BLEU(tokenize=bleu_tokenizer(language)).tokenizer

    def score(texts: Sequence[str]) -> np.ndarray:
        words = [tokenizer(text.rstrip()).split() for text in texts]
        lengths, found = [len(each) for each in words], _matches(words, longest=4)
        shared_NNL, totals_NL = found.shared_LNN.transpose(1, 2, 0).tolist(), found.totals_LN.T.tolist()
        return np.array(
            [
                [_sentence_bleu(shared_L, totals_L, lengths[i], lengths[j]) for j, shared_L in enumerate(row)]
                for i, (row, totals_L) in enumerate(zip(shared_NNL, totals_NL, strict=True))
            ]
        )

    return score


UTILITIES: dict[str, Callable[[str], Utility]] = {"chrf": _chrf, "bleu": _bleu}


class _Matches(NamedTuple):
    """For each length, the n-grams of each text, and how many of them each two texts share: int64."""

    totals_LN: np.ndarray
    shared_LNN: np.ndarray


def _matches(texts: Sequence[Sequence[Hashable]], longest: int) -> _Matches:
    """Of n-grams of 1 to `longest` symbols (characters or words), counted once for each text.

    min(a, b), the matches of an n-gram that occurs a and b times, is the number of k with a ≥ k and b ≥ k: so a text is
    the set of its occurrences (n-gram, k), and all intersections are one product of matrices of zeros and ones. It is
    exact, in any order of summation, as long as a text has less than 2^24 symbols.
    """
    numbers: dict[Hashable, int] = {}
    sizes = np.array([len(text) for text in texts])
    symbols = np.array([numbers.setdefault(symbol, len(numbers)) for text in texts for symbol in text], dtype=np.int64)
    owners = np.repeat(np.arange(len(texts)), sizes)
    rests = np.repeat(sizes.cumsum(), sizes) - np.arange(len(symbols))  # symbols from each position to the text's end
    totals, shared = [], []
    grams, starts = np.zeros_like(symbols), np.arange(len(symbols))
    for length in range(1, longest + 1):
        kept = rests[starts] >= length
        grams, starts = grams[kept], starts[kept]
        _, grams = np.unique(grams * len(numbers) + symbols[starts + length - 1], return_inverse=True)
        totals.append(np.maximum(sizes - length + 1, 0))
        shared.append(_shared(grams, owners[starts], totals[-1]))
    return _Matches(np.array(totals), np.array(shared))


def _shared(grams: np.ndarray, owners: np.ndarray, totals_N: np.ndarray) -> np.ndarray:
    """The matches of each two texts, [N, N], from the number of each n-gram and that of its text."""
    order = np.lexsort((owners, grams))
    grams, owners = grams[order], owners[order]
    begins = np.ones(len(grams), dtype=bool)
    begins[1:] = (grams[1:] != grams[:-1]) | (owners[1:] != owners[:-1])
    times = np.arange(len(grams)) - np.flatnonzero(begins)[begins.cumsum() - 1]  # earlier ones in the same text
    _, columns, texts_with = np.unique(
        grams * (times.max(initial=0) + 1) + times, return_inverse=True, return_counts=True
    )
    common = texts_with > 1  # what is in one text alone matches nothing but itself
    places = common.cumsum() - 1
    is_common = common[columns]
    has_NC = np.zeros((len(totals_N), int(common.sum())), dtype=np.float32)
    has_NC[owners[is_common], places[columns[is_common]]] = 1.0
    shared_NN = (has_NC @ has_NC.T).astype(np.int64)
    np.fill_diagonal(shared_NN, totals_N)
    return shared_NN


def _f_scores(found: _Matches) -> np.ndarray:
    """chrF of each two texts, by the operations of sacreBLEU's `CHRF._compute_f_score` in their order."""
    weight = 2**2  # of recall, β²
    N = found.totals_LN.shape[1]
    precision_NN, recall_NN, lengths_NN = np.zeros((N, N)), np.zeros((N, N)), np.zeros((N, N))
    for totals_N, shared_NN in zip(found.totals_LN, found.shared_LNN, strict=True):
        counts_NN = (totals_N[:, None] > 0) & (totals_N > 0)
        precision_NN += np.where(counts_NN, shared_NN / np.maximum(totals_N, 1)[:, None], 0.0)
        recall_NN += np.where(counts_NN, shared_NN / np.maximum(totals_N, 1), 0.0)
        lengths_NN += counts_NN
    precision_NN, recall_NN = precision_NN / np.maximum(lengths_NN, 1), recall_NN / np.maximum(lengths_NN, 1)
    divisor_NN = weight * precision_NN + recall_NN
    score_NN = (1 + weight) * precision_NN * recall_NN / np.where(divisor_NN > 0, divisor_NN, 1.0)
    return 100 * score_NN


def _sentence_bleu(shared_L: Sequence[int], totals_L: Sequence[int], length: int, reference: int) -> float:
    """As sacreBLEU's `BLEU.compute_bleu` with `smooth_method="exp"` and `effective_order`, in the same operations."""
    if not any(shared_L):
        return 0.0
    logs, smoothing = [], 1.0
    for shared, total in zip(shared_L, totals_L, strict=True):
        if total == 0:
            break
        smoothing *= 1.0 if shared else 2.0
        logs.append(math.log(100.0 * shared / total if shared else 100.0 / (smoothing * total)))
    penalty = math.exp(1 - reference / length) if length < reference else 1.0
    return penalty * math.exp(sum(logs) / len(logs))

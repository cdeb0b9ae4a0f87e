"""A model for tests: random tables, read at a place that depends on the source and on the whole hypothesis.

Whatever moves a hypothesis to a wrong slot or sentence changes its probabilities. `distributions` and `trace` follow
one hypothesis alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from s2s_cli.search.step_model import Prediction
from s2s_cli.text.tokenizer import BOS, EOS, PAD

ROWS = 997


@dataclass(frozen=True)
class TableState:
    source_B: np.ndarray  # a fingerprint of each source
    lengths_B: np.ndarray
    width: int  # S
    prefix_BK: np.ndarray  # a fingerprint of each hypothesis

    def reorder(self, origin_BK: np.ndarray) -> TableState:
        return TableState(
            self.source_B, self.lengths_B, self.width, np.take_along_axis(self.prefix_BK, origin_BK, axis=1)
        )

    def select(self, sentences_b: np.ndarray) -> TableState:
        return TableState(
            self.source_B[sentences_b], self.lengths_B[sentences_b], self.width, self.prefix_BK[sentences_b]
        )


class TableModel:
    def __init__(self, vocabulary: int = 7, seed: int = 0, spread: float = 1.5, end_bias: float = 0.0) -> None:
        generator = np.random.default_rng(seed)
        logits = generator.normal(scale=spread, size=(ROWS, vocabulary))
        logits[:, EOS] += end_bias
        self.table = (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)
        self.scores = generator.normal(size=ROWS)
        self.vocabulary = vocabulary
        self.rows_computed = 0

    def start(self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: object = ()) -> TableState:
        positions_S = np.arange(source_BS.shape[1])
        valid_BS = positions_S < source_lengths_B[:, None]
        source_B = (source_BS * (positions_S + 3) ** 2 * valid_BS).sum(1) * 7919
        prefix_B1 = np.ones((len(source_BS), 1), np.int64)
        return TableState(source_B, source_lengths_B, source_BS.shape[1], prefix_B1)

    def step(self, previous_BK: np.ndarray, state: TableState) -> tuple[Prediction, TableState]:
        assert previous_BK.shape == state.prefix_BK.shape
        self.rows_computed += previous_BK.size
        prefix_BK = (state.prefix_BK * 31 + previous_BK * 17 + 5) % 1_000_003
        key_BK = prefix_BK + state.source_B[:, None]
        positions_S = np.arange(state.width)
        energies_BKS = self.scores[(key_BK[:, :, None] + 13 * positions_S) % ROWS]
        padding_B1S = (positions_S >= state.lengths_B[:, None])[:, None]
        attention_BKS = softmax(np.where(padding_B1S, -np.inf, energies_BKS)).astype(np.float32)
        step = Prediction(self.table[key_BK % ROWS], attention_BKS)
        return step, TableState(state.source_B, state.lengths_B, state.width, prefix_BK)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Along the last dimension."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def batch(sentences: Sequence[Sequence[int]], padding: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sources (EOS is added) and their lengths, with `padding` columns more than needed."""
    lengths = [len(sentence) + 1 for sentence in sentences]
    width = max(lengths) + padding
    rows = [[*sentence, EOS] + [PAD] * (width - len(sentence) - 1) for sentence in sentences]
    return np.array(rows), np.array(lengths)


def distributions(model: TableModel, source: Sequence[int], symbols: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """log p of each next symbol [T + 1, V] and attention [T + 1, S], after BOS and each symbol."""
    state = model.start(*batch([source]))
    log_probs, attentions = [], []
    for previous in [BOS, *symbols]:
        step, state = model.step(np.array([[previous]]), state)
        log_probs.append(step.log_probs_BKV[0])
        attentions.append(step.attention_BKS[0])
    return np.concatenate(log_probs), np.concatenate(attentions)


def trace(model: TableModel, source: Sequence[int], symbols: Sequence[int]) -> tuple[float, np.ndarray]:
    """log p of the symbols given one source, and the attention [T, S] that predicted them."""
    log_probs, attention = distributions(model, source, symbols)
    return sum(float(log_probs[place, symbol]) for place, symbol in enumerate(symbols)), attention[: len(symbols)]


def all_finished(vocabulary: int, limit: int, least: int = 0) -> Iterator[list[int]]:
    """All sequences of pieces with at most `limit` symbols, EOS counted."""
    pieces = range(EOS + 1, vocabulary)
    for length in range(least, limit):
        yield from (list(ids) for ids in itertools.product(pieces, repeat=length))

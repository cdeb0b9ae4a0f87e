"""What a search did, step by step, and the hypotheses that it leads to.

During the search nothing is moved: each step adds back pointers, and the few hypotheses that are returned are
followed back from their end. A step with J hypotheses of each sentence before it and K after it; S source positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from s2s_cli.search.hypothesis import Hypothesis


@dataclass(frozen=True)
class Turn:
    """One step of the search, for the sentences b that were still in the batch."""

    sentences_b: Tensor
    """Place of each of them in the input, rising."""
    ended_bJ: Tensor
    """log p of the hypotheses that ended with EOS here; -inf for the others."""
    log_probs_bK: Tensor
    """log p of the hypotheses that go on; -inf where there is none."""
    origins_bK: Tensor
    """Which old hypothesis each new one continues ..."""
    symbols_bK: Tensor
    """... and the symbol that it adds."""
    attention_bJS: Tensor | None
    """The weights with which this step's symbols were predicted."""


class _Tip(NamedTuple):
    """The end of a hypothesis: the one in `slot` after `pieces` steps."""

    finished: bool
    score: float
    log_prob: float
    pieces: int
    slot: int


class _Row(NamedTuple):
    """One sentence's share of a turn, as arrays."""

    ended_J: np.ndarray
    log_probs_K: np.ndarray
    origins_K: np.ndarray
    symbols_K: np.ndarray
    attention_JS: np.ndarray | None


def hypotheses(
    turns: list[Turn], source_lengths_B: Tensor, penalty: Callable[[float], float], count: int
) -> list[list[Hypothesis]]:
    """The `count` best hypotheses of each sentence, best first: those that the model finished, then those cut short."""
    rows = _rows_by_sentence(turns, len(source_lengths_B))
    return [
        [_follow_back(sentence, tip, length) for tip in _best_tips(sentence, penalty, count)]
        for sentence, length in zip(rows, source_lengths_B.tolist(), strict=True)
    ]


def _rows_by_sentence(turns: list[Turn], sentences: int) -> list[list[_Row]]:
    rows: list[list[_Row]] = [[] for _ in range(sentences)]
    for turn in turns:
        ended, log_probs, origins, symbols = (
            tensor.cpu().numpy() for tensor in (turn.ended_bJ, turn.log_probs_bK, turn.origins_bK, turn.symbols_bK)
        )
        attention = None if turn.attention_bJS is None else turn.attention_bJS.float().cpu().numpy()
        for i, sentence in enumerate(turn.sentences_b.tolist()):
            weights = None if attention is None else attention[i]
            rows[sentence].append(_Row(ended[i], log_probs[i], origins[i], symbols[i], weights))
    return rows


def _best_tips(rows: list[_Row], penalty: Callable[[float], float], count: int) -> list[_Tip]:
    finished = sorted(_finished_tips(rows, penalty), key=lambda tip: -tip.score)[:count]
    if len(finished) == count:
        return finished
    length, last = len(rows), rows[-1].log_probs_K
    cut = [_Tip(False, p / penalty(length), p, length, slot) for slot, p in enumerate(last.tolist())]
    cut.sort(key=lambda tip: -tip.score)
    possible = [tip for tip in cut if tip.log_prob > -np.inf]
    return (finished + possible)[:count] or cut[:1]


def _finished_tips(rows: list[_Row], penalty: Callable[[float], float]) -> Iterator[_Tip]:
    for pieces, row in enumerate(rows):
        for slot in np.flatnonzero(row.ended_J > -np.inf).tolist():
            log_prob = float(row.ended_J[slot])
            yield _Tip(True, log_prob / penalty(pieces + 1), log_prob, pieces, slot)


def _follow_back(rows: list[_Row], tip: _Tip, source_length: int) -> Hypothesis:
    ids, attention, slot = [], [], tip.slot
    for row in reversed(rows[: tip.pieces]):
        ids.append(int(row.symbols_K[slot]))
        slot = int(row.origins_K[slot])
        if row.attention_JS is not None:
            attention.append(row.attention_JS[slot, :source_length])
    return Hypothesis(
        ids=ids[::-1],
        score=tip.score,
        log_prob=tip.log_prob,
        finished=tip.finished,
        attention=_matrix(attention[::-1], source_length) if rows[0].attention_JS is not None else None,
    )


def _matrix(rows: list[np.ndarray], width: int) -> np.ndarray:
    return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)

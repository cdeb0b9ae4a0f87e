"""What a search did, step by step, and the hypotheses that it leads to.

During the search nothing is moved: each step adds back pointers, and the few hypotheses that are returned are
followed back from their end. A step with J hypotheses of each sentence before it and K after it; S source positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """A target sentence with its scores. T pieces, S source positions (EOS of the source included, no padding)."""

    ids: list[int]
    """The T target pieces, without BOS and EOS."""
    score: float
    """What ranks: `log_prob` over the length penalty."""
    log_prob: float
    """log p(pieces, EOS | source), in nats; without EOS where the hypothesis is not finished."""
    finished: bool
    """Whether the model ended the sentence itself; if not, the length limit did."""
    attention: np.ndarray | None
    """[T, S] float32: row t has the weights with which piece t was predicted (no row for EOS)."""


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
    """A turn as arrays, b sentences."""

    sentences_b: np.ndarray
    ended_bJ: np.ndarray
    log_probs_bK: np.ndarray
    origins_bK: np.ndarray
    symbols_bK: np.ndarray
    attention_bJS: np.ndarray | None


def hypotheses(
    turns: list[Turn],
    source_lengths_B: Tensor,
    penalty: Callable[[float], float],
    count: int,
    *,
    by_slot: bool = False,
) -> list[list[Hypothesis]]:
    """The `count` best hypotheses of each sentence, best first: those that the model finished, then those cut short.

    by_slot: hand them back in the order of their slots instead.
    """
    rows = [_as_arrays(turn) for turn in turns]
    tips = _best_tips(rows, len(source_lengths_B), penalty, count)
    if by_slot:
        tips = [sorted(found, key=lambda tip: tip.slot) for found in tips]
    flat = [(sentence, tip) for sentence, found in enumerate(tips) for tip in found]
    symbols_NT, attention_NTS = _follow_back(rows, flat)
    lengths = source_lengths_B.tolist()
    result: list[list[Hypothesis]] = [[] for _ in lengths]
    for number, (sentence, tip) in enumerate(flat):
        attention = None
        if attention_NTS is not None:
            attention = attention_NTS[number, : tip.pieces, : lengths[sentence]].copy()
        ids = symbols_NT[number, : tip.pieces].tolist()
        result[sentence].append(Hypothesis(ids, tip.score, tip.log_prob, tip.finished, attention))
    return result


def _as_arrays(turn: Turn) -> _Row:
    return _Row(
        turn.sentences_b.cpu().numpy(),
        turn.ended_bJ.cpu().numpy(),
        turn.log_probs_bK.cpu().numpy(),
        turn.origins_bK.cpu().numpy(),
        turn.symbols_bK.cpu().numpy(),
        None if turn.attention_bJS is None else turn.attention_bJS.float().cpu().numpy(),
    )


def _best_tips(rows: list[_Row], sentences: int, penalty: Callable[[float], float], count: int) -> list[list[_Tip]]:
    """For each sentence the ends of its hypotheses, best first."""
    tips: list[list[_Tip]] = [[] for _ in range(sentences)]
    for pieces, row in enumerate(rows):
        divisor = penalty(pieces + 1)
        for place, slot in np.argwhere(row.ended_bJ > -np.inf).tolist():
            log_prob = float(row.ended_bJ[place, slot])
            tips[row.sentences_b[place]].append(_Tip(True, log_prob / divisor, log_prob, pieces, slot))
    for found in tips:
        found.sort(key=lambda tip: -tip.score)
        del found[count:]
    for sentence, (pieces, log_probs_K) in _last_beams(rows).items():
        if len(tips[sentence]) < count:
            cut = _cut_tips(log_probs_K, pieces, penalty(pieces))
            possible = [tip for tip in cut if tip.log_prob > -np.inf]
            tips[sentence] = (tips[sentence] + possible)[:count] or cut[:1]
    return tips


def _last_beams(rows: list[_Row]) -> dict[int, tuple[int, np.ndarray]]:
    """For each sentence the number of its steps, and log p of what was open after the last of them."""
    last = {}
    for pieces, row in enumerate(rows, start=1):
        for place, sentence in enumerate(row.sentences_b.tolist()):
            last[sentence] = pieces, row.log_probs_bK[place]
    return last


def _cut_tips(log_probs_K: np.ndarray, pieces: int, divisor: float) -> list[_Tip]:
    cut = [_Tip(False, p / divisor, p, pieces, slot) for slot, p in enumerate(log_probs_K.tolist())]
    return sorted(cut, key=lambda tip: -tip.score)


def _follow_back(rows: list[_Row], tips: list[tuple[int, _Tip]]) -> tuple[np.ndarray, np.ndarray | None]:
    """Symbols [N, T] and attention [N, T, S] that lead to N tips, from the left; meaningless beyond a tip's end.

    All tips go back together, turn by turn.
    """
    sentences_N = np.array([sentence for sentence, _ in tips])
    pieces_N = np.array([tip.pieces for _, tip in tips])
    slots_N = np.array([tip.slot for _, tip in tips])
    symbols_NT = np.zeros((len(tips), len(rows)), dtype=np.int64)
    attention_NTS = None
    if (first := rows[0].attention_bJS) is not None:
        attention_NTS = np.zeros((len(tips), len(rows), first.shape[2]), dtype=np.float32)
    for turn in range(int(pieces_N.max()) - 1, -1, -1):
        row, on = rows[turn], np.flatnonzero(pieces_N > turn)
        places = np.searchsorted(row.sentences_b, sentences_N[on])  # sentences rise
        symbols_NT[on, turn] = row.symbols_bK[places, slots_N[on]]
        slots_N[on] = row.origins_bK[places, slots_N[on]]
        if attention_NTS is not None and row.attention_bJS is not None:
            attention_NTS[on, turn] = row.attention_bJS[places, slots_N[on]]
    return symbols_NT, attention_NTS

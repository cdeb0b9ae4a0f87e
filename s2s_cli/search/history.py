"""What a search did, step by step, and the hypotheses that it leads to.

During the search nothing is moved: each step adds back pointers, and the few hypotheses that are returned are
followed back from their end. A step with J hypotheses of each sentence before it and K after it; S source positions.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


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
    log_probs: Sequence[float] = ()
    """log p of each piece, given those before it, and of EOS if it is finished; they add up to `log_prob`."""


class Turn(NamedTuple):
    """One step of the search, for the sentences b that were still in the batch."""

    sentences_b: np.ndarray
    """Place of each of them in the input, rising."""
    ended_bJ: np.ndarray
    """log p of the hypotheses that ended with EOS here; -inf for the others."""
    log_probs_bK: np.ndarray
    """log p of the hypotheses that go on; -inf where there is none."""
    origins_bK: np.ndarray
    """Which old hypothesis each new one continues ..."""
    symbols_bK: np.ndarray
    """... and the symbol that it adds."""
    attention_bJS: np.ndarray | None
    """The weights with which this step's symbols were predicted."""


class _Tip(NamedTuple):
    """The end of a hypothesis: the one in `slot` after `pieces` steps."""

    finished: bool
    score: float
    log_prob: float
    pieces: int
    slot: int


def hypotheses(
    turns: list[Turn],
    source_lengths_B: np.ndarray,
    penalty: Callable[[float], float],
    count: int,
    *,
    by_slot: bool = False,
) -> list[list[Hypothesis]]:
    """The `count` best hypotheses of each sentence, best first: those that the model finished, then those cut short.

    by_slot: hand them back in the order of their slots instead.
    """
    tips = _best_tips(turns, len(source_lengths_B), penalty, count)
    if by_slot:
        tips = [sorted(found, key=lambda tip: tip.slot) for found in tips]
    flat = [(sentence, tip) for sentence, found in enumerate(tips) for tip in found]
    flat.sort(key=lambda each: -each[1].pieces)
    symbols_NT, sums_NX, attention_NTS = _follow_back(turns, flat)
    with np.errstate(invalid="ignore"):  # after an impossible symbol nothing more can be said
        log_probs_NX = np.diff(sums_NX, axis=1)
    followed = {}
    for number, (sentence, tip) in enumerate(flat):
        attention = None
        if attention_NTS is not None:
            attention = attention_NTS[number, : tip.pieces, : source_lengths_B[sentence]].copy()
        ids = symbols_NT[number, : tip.pieces].tolist()
        log_probs = array("d", log_probs_NX[number, : tip.pieces + tip.finished].tobytes())
        followed[sentence, tip] = Hypothesis(ids, tip.score, tip.log_prob, tip.finished, attention, log_probs)
    return [[followed[sentence, tip] for tip in found] for sentence, found in enumerate(tips)]


def _best_tips(turns: list[Turn], sentences: int, penalty: Callable[[float], float], count: int) -> list[list[_Tip]]:
    """For each sentence the ends of its hypotheses, best first."""
    tips: list[list[_Tip]] = [[] for _ in range(sentences)]
    last_B = np.zeros(sentences, np.int64)  # the last turn of each
    for pieces, turn in enumerate(turns):
        last_B[turn.sentences_b] = pieces
        divisor = penalty(pieces + 1)
        places, slots = (turn.ended_bJ > -np.inf).nonzero()
        ended = (turn.sentences_b[places].tolist(), slots.tolist(), turn.ended_bJ[places, slots].tolist())
        for sentence, slot, log_prob in zip(*ended, strict=True):
            tips[sentence].append(_Tip(True, log_prob / divisor, log_prob, pieces, slot))
    for sentence, found in enumerate(tips):
        found.sort(key=lambda tip: -tip.score)
        del found[count:]
        if len(found) < count:
            cut = _cut_tips(turns, int(last_B[sentence]), sentence, penalty)
            possible = [tip for tip in cut if tip.log_prob > -np.inf]
            tips[sentence] = (found + possible)[:count] or cut[:1]
    return tips


def _cut_tips(turns: list[Turn], last: int, sentence: int, penalty: Callable[[float], float]) -> list[_Tip]:
    """What was open after the last step of a sentence, best first."""
    turn, pieces, divisor = turns[last], last + 1, penalty(last + 1)
    log_probs = turn.log_probs_bK[turn.sentences_b.searchsorted(sentence)].tolist()
    cut = [_Tip(False, p / divisor, p, pieces, slot) for slot, p in enumerate(log_probs)]
    return sorted(cut, key=lambda tip: -tip.score)


def _follow_back(turns: list[Turn], tips: list[tuple[int, _Tip]]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Symbols [N, T] that lead to N tips, from the left, log p of each beginning [N, T + 2] from the empty one to all
    symbols with EOS, and attention [N, T, S]; meaningless beyond a tip's end.

    All tips go back together, turn by turn. They come longest first: at each turn the first n of them are there.
    """
    sentences_N = np.array([sentence for sentence, _ in tips])
    slots_N = np.array([tip.slot for _, tip in tips])
    pieces_N1 = np.array([[tip.pieces] for _, tip in tips])
    numbers_T = (pieces_N1 > np.arange(len(turns))).sum(axis=0).tolist()
    symbols_NT = np.zeros((len(tips), len(turns)), dtype=np.int64)
    sums_NX = np.zeros((len(tips), len(turns) + 2))
    sums_NX[range(len(tips)), [tip.pieces + 1 for _, tip in tips]] = [tip.log_prob for _, tip in tips]
    attention_NTS = None
    if (first := turns[0].attention_bJS) is not None:
        attention_NTS = np.zeros((len(tips), len(turns), first.shape[2]), dtype=np.float32)
    for place in range(tips[0][1].pieces - 1, -1, -1):
        turn, n = turns[place], numbers_T[place]
        rows_n = turn.sentences_b.searchsorted(sentences_N[:n])  # sentences rise
        symbols_NT[:n, place] = turn.symbols_bK[rows_n, slots_N[:n]]
        sums_NX[:n, place + 1] = turn.log_probs_bK[rows_n, slots_N[:n]]
        slots_N[:n] = turn.origins_bK[rows_n, slots_N[:n]]
        if attention_NTS is not None and turn.attention_bJS is not None:
            attention_NTS[:n, place] = turn.attention_bJS[rows_n, slots_N[:n]]
    return symbols_NT, sums_NX, attention_NTS

"""Beam search: at each step, keep the K most probable beginnings of a translation.

A sentence is done as soon as one of three conditions holds:

1. It has as many finished hypotheses as the beam is wide, the classic rule: going on would find ever longer ones,
   which costs time and rarely helps.
2. Nothing open can enter its n best any more. Log-probabilities only fall with the length and penalties only rise, so
   log p / penalty(longest length allowed) bounds the score of whatever a hypothesis may become. Stopping here is
   exact: it saves steps and changes no result.
3. The length limit is reached.

Shapes: B sentences still searched, S source positions, J open hypotheses of each before a step (1 at first), K after
it (the beam, or fewer if there are not so many), C candidates, V symbols, N hypotheses to return.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s2s_cli.search.history import Hypothesis, Turn, hypotheses
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import Step, StepModel, descending
from s2s_cli.text.tokenizer import BOS, EOS


class Candidates(NamedTuple):
    """The C best candidates of each sentence, best first."""

    log_probs_BC: np.ndarray
    """log p of hypothesis and symbol together."""
    origins_BC: np.ndarray
    """The hypothesis that is continued."""
    symbols_BC: np.ndarray
    """The symbol that continues it."""


class _Beam(NamedTuple):
    """The open hypotheses of the sentences that are still searched, and what the stop rule needs."""

    sentences_B: np.ndarray  # place of each sentence in the input
    limits_B: np.ndarray  # most symbols
    last_penalty_B: np.ndarray  # the penalty at that length
    symbols_BK: np.ndarray  # last symbol of each open hypothesis
    log_probs_BK: np.ndarray  # log p of each open hypothesis, best first; -inf where there is none
    best_BN: np.ndarray  # scores of the best finished hypotheses, rising; -inf where there are fewer
    finished_B: np.ndarray  # number of finished hypotheses

    def select(self, rows: np.ndarray) -> _Beam:
        return _Beam(*(array[rows] for array in self))


def beam_search(
    model: StepModel,
    source_BS: np.ndarray,
    source_lengths_B: np.ndarray,
    options: SearchOptions,
    room_B: np.ndarray | int = 0,
) -> list[list[Hypothesis]]:
    """The `n_best` best hypotheses of each sentence, best first; those that the length limit cut come last.

    source_BS: int64 pieces that end with EOS, padded; source_lengths_B counts EOS. PAD, BOS and UNK are never
    generated: an unknown symbol tells a reader nothing, so the next best piece is taken. room_B: symbols by which the
    length limit of a sentence is raised.
    """
    if len(source_BS) == 0:
        return []
    limits_B = options.length_limits(source_lengths_B, room_B)
    beam = first_beam(limits_B, options.penalty(limits_B.astype(np.float32)), options.n_best)
    state = model.start(source_BS, source_lengths_B)
    turns: list[Turn] = []

    for length in range(1, int(limits_B.max()) + 1):  # of a hypothesis after this step, EOS included
        # 1. Predict the next symbol of each open hypothesis.
        step, state = model.step(beam.symbols_BK, state)

        # 2. Extend: the best pieces to go on with.
        pieces, ended_BJ = best_continuations(beam.log_probs_BK, step, EOS + 1, options.beam, EOS)

        # 3. End the hypotheses for which EOS is as good as the pieces kept.
        may_end = length > options.min_length
        ended_BJ = within_beam(ended_BJ, pieces.log_probs_BC, options.beam) if may_end else _nothing(ended_BJ)

        # 4. Remember.
        turns.append(Turn(beam.sentences_B, ended_BJ, *pieces, step.attention_BKS))
        beam = advance(beam, pieces, ended_BJ, ended_BJ / options.penalty(length))

        # 5. Let the sentences leave that are done.
        open_b = np.flatnonzero(~done(beam, length, options.beam))
        if len(open_b) == 0:
            break
        origins_BK = pieces.origins_BC
        if len(open_b) < len(origins_BK):
            beam, state, origins_BK = beam.select(open_b), state.select(open_b), origins_BK[open_b]

        # 6. Go on from the hypotheses that were extended.
        state = state.reorder(origins_BK)

    return hypotheses(turns, source_lengths_B, options.penalty, options.n_best)


def first_beam(limits_B: np.ndarray, last_penalty_B: np.ndarray, n_best: int) -> _Beam:
    """One empty hypothesis for each sentence."""
    B = len(limits_B)
    return _Beam(
        sentences_B=np.arange(B),
        limits_B=limits_B,
        last_penalty_B=last_penalty_B,
        symbols_BK=np.full((B, 1), BOS),
        log_probs_BK=np.zeros((B, 1), np.float32),
        best_BN=np.full((B, n_best), -np.inf, np.float32),
        finished_B=np.zeros(B, np.int64),
    )


def best_continuations(
    log_probs_BK: np.ndarray, step: Step, first: int, count: int, end: int
) -> tuple[Candidates, np.ndarray]:
    """The `count` best candidates among the symbols from `first` on; and log p of each hypothesis followed by `end`.

    No more than `count` of them continue the same hypothesis. There are fewer where there are no more candidates.
    """
    next_log_probs_BKC, symbols_BKC, ends_BK = step.best(first, count, end)
    B, K, C = symbols_BKC.shape
    sums_BN = (log_probs_BK[:, :, None] + next_log_probs_BKC).reshape(B, K * C)
    places_BC, rows_B1 = descending(sums_BN)[:, :count], np.arange(B)[:, None]
    symbols_BC = symbols_BKC.reshape(B, K * C)[rows_B1, places_BC]
    return Candidates(sums_BN[rows_B1, places_BC], places_BC // C, symbols_BC), log_probs_BK + ends_BK


def _nothing(log_probs: np.ndarray) -> np.ndarray:
    return np.full_like(log_probs, -np.inf)


def within_beam(ended: np.ndarray, pieces: np.ndarray, width: int) -> np.ndarray:
    """Keep those hypotheses with EOS [.., J] that are among the `width` best of these and the pieces [.., C]; -inf for
    the others."""
    rising = np.concatenate([pieces, ended], axis=-1)
    rising.sort(axis=-1)
    least = rising[..., -width:][..., :1]
    return np.where(ended < least, -np.inf, ended)


def advance(beam: _Beam, pieces: Candidates, ended_BJ: np.ndarray, scores_BJ: np.ndarray) -> _Beam:
    """The beam after a step: the extended hypotheses are open, the ended ones are counted and ranked."""
    rising_BX = np.concatenate([beam.best_BN, scores_BJ], axis=1)
    rising_BX.sort(axis=1)
    return beam._replace(
        symbols_BK=pieces.symbols_BC,
        log_probs_BK=pieces.log_probs_BC,
        best_BN=rising_BX[:, scores_BJ.shape[1] :],
        finished_B=beam.finished_B + (ended_BJ > -np.inf).sum(axis=1),
    )


def done(beam: _Beam, length: int, width: int) -> np.ndarray:
    """Which sentences need no further step (see the top of this file): bool [B]."""
    bound_B = beam.log_probs_BK[:, 0] / beam.last_penalty_B
    return (beam.finished_B >= width) | (bound_B <= beam.best_BN[:, 0]) | (length >= beam.limits_B)

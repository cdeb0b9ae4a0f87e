"""Beam search for translations with phrases that they must contain: dynamic beam allocation.

Post and Vilar 2018, "Fast Lexically Constrained Decoding with Dynamic Beam Allocation for Neural Machine Translation";
for many sentences at once as Hu et al. 2019, "Improved Lexically Constrained Decoding for Translation and Monolingual
Rewriting". The beam does not grow with the phrases, it is shared: hypotheses that have as many of the demanded symbols
stand in one bank, and compete with one another only. The banks, fullest first, take one hypothesis each in turn until
the beam is full. Candidates are the most probable continuations and, besides, all symbols that are demanded next.

Only a hypothesis with all phrases may end. None is kept that could not complete them within the length limit, which is
raised by their length; where there is no room for anything else, only what completes them is left, whatever its
probability. So all phrases come, in every hypothesis that is returned. A sentence without phrases has one bank, and is
searched as `beam_search` does.

Shapes: as of `s2s_cli.search.beam`; M phrases of a sentence at most, N = J (C + 2 M) candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from s2s_cli.search import beam as plain
from s2s_cli.search.beam import Candidates
from s2s_cli.search.guidance import LEAST
from s2s_cli.search.history import Hypothesis, Turn, hypotheses
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.phrases import Phrase, Phrases
from s2s_cli.search.step_model import Step, StepModel, descending
from s2s_cli.text.tokenizer import EOS, PAD


class _Progress(NamedTuple):
    """How far the open hypotheses of the sentences that are still searched have come with their phrases."""

    states_BKM: np.ndarray
    totals_B: np.ndarray  # symbols that a sentence must have

    def select(self, rows: np.ndarray) -> _Progress:
        return _Progress(self.states_BKM[rows], self.totals_B[rows])


class _Extended(NamedTuple):
    """The hypotheses to go on with, best first, and what stands in the way of ends."""

    pieces: Candidates
    states_BKM: np.ndarray
    complete_BK: np.ndarray  # log p of those with all phrases; -inf for the others
    spare_B: np.ndarray  # hypotheses of the beam that may have all phrases


def constrained_beam_search(
    model: StepModel,
    source_BS: np.ndarray,
    source_lengths_B: np.ndarray,
    options: SearchOptions,
    phrases: Sequence[Sequence[Phrase]],
    goes_on_V: np.ndarray,
    silent_V: np.ndarray,
    room_B: np.ndarray | int = 0,
) -> list[list[Hypothesis]]:
    """The `n_best` best hypotheses of each sentence that have its phrases, best first; fewer if not as many were found.

    phrases: of each sentence, whose symbols the model must admit. goes_on_V: whether a symbol goes on with a word that
    has begun. silent_V: whether it has no text. Other arguments as of `beam_search`.
    """
    if len(source_BS) == 0:
        return []
    table = Phrases(phrases, goes_on_V, silent_V)
    progress = _Progress(table.first_BM[:, None], table.totals())
    limits_B = options.length_limits(source_lengths_B, room_B + progress.totals_B)
    beam = plain.first_beam(limits_B, options.penalty(limits_B.astype(np.float32)), options.n_best)
    state = model.start(source_BS, source_lengths_B)
    turns: list[Turn] = []

    for length in range(1, int(limits_B.max()) + 1):  # of a hypothesis after this step, EOS included
        # 1. Predict the next symbol of each open hypothesis.
        step, state = model.step(beam.symbols_BK, state)

        # 2. Extend: the best pieces, and those that are demanded; to each bank its share of the beam.
        log_probs_BJC, symbols_BJC, ends_BJ = step.best(EOS + 1, options.beam, EOS)
        best = log_probs_BJC, symbols_BJC
        extended = _extend(beam.log_probs_BK, step, best, table, progress, limits_B - length, options.beam)

        # 3. End the hypotheses that are complete, and for which EOS is as good as the complete ones kept.
        is_complete_BJ = table.met(progress.states_BKM) == progress.totals_B[:, None]
        ended_BJ = np.where(is_complete_BJ, beam.log_probs_BK + ends_BJ, -np.inf)
        ended_BJ = _within_bank(ended_BJ, extended.complete_BK, extended.spare_B)
        if length <= options.min_length:  # too early, unless nothing else is left
            is_open_B1 = (extended.pieces.log_probs_BC > -np.inf).any(axis=1, keepdims=True)
            ended_BJ = np.where(is_open_B1, -np.inf, ended_BJ)

        # 4. Remember.
        turns.append(Turn(beam.sentences_B, ended_BJ, *extended.pieces, step.attention_BKS))
        beam = plain.advance(beam, extended.pieces, ended_BJ, ended_BJ / options.penalty(length))
        progress = progress._replace(states_BKM=extended.states_BKM)

        # 5. Let the sentences leave that are done.
        open_b = np.flatnonzero(~plain.done(beam, length, options.beam))
        if len(open_b) == 0:
            break
        origins_BK = extended.pieces.origins_BC
        if len(open_b) < len(origins_BK):
            beam, state, origins_BK = beam.select(open_b), state.select(open_b), origins_BK[open_b]
            progress, limits_B = progress.select(open_b), limits_B[open_b]

        # 6. Go on from the hypotheses that were extended.
        state = state.reorder(origins_BK)

    return hypotheses(turns, source_lengths_B, options.penalty, options.n_best)


def _extend(
    log_probs_BJ: np.ndarray,
    step: Step,
    best: tuple[np.ndarray, np.ndarray],
    table: Phrases,
    progress: _Progress,
    left_B: np.ndarray,
    width: int,
) -> _Extended:
    """best: the best symbols after each hypothesis, with log p, [B, J, C]. left_B: symbols that may follow this one."""
    (log_probs_BJC, symbols_BJC), (B, J), rows_B1 = best, log_probs_BJ.shape, np.arange(len(log_probs_BJ))[:, None]
    demanded_BJN = table.demanded(progress.states_BKM.reshape(B * J, -1)).reshape(B, J, -1)
    demanded_log_probs_BJN = _log_probs_of_new(demanded_BJN, log_probs_BJ, step, best)

    # All candidates, and how far they are.
    symbols_BN = np.concatenate([symbols_BJC.reshape(B, -1), demanded_BJN.reshape(B, -1)], axis=1)
    next_BN = np.concatenate([log_probs_BJC.reshape(B, -1), demanded_log_probs_BJN.reshape(B, -1)], axis=1)
    of_best, of_demanded = (np.arange(J).repeat(array.shape[2]) for array in (symbols_BJC, demanded_BJN))
    origins_N = np.concatenate([of_best, of_demanded])
    states_BNM = table.after(progress.states_BKM[:, origins_N], symbols_BN)
    is_possible_BN = table.needs(states_BNM) <= left_B[:, None]
    sums_BN = np.where(is_possible_BN, log_probs_BJ[:, origins_N] + next_BN, -np.inf)
    stuck_b = np.flatnonzero((sums_BN == -np.inf).all(axis=1))
    if len(stuck_b):  # what is demanded is taken, even if it is impossible, or to be avoided
        is_demanded_BN = (symbols_BN != PAD) & (np.arange(len(origins_N)) >= log_probs_BJC[0].size) & is_possible_BN
        least_BN = np.where(is_demanded_BN, log_probs_BJ[:, origins_N] + LEAST, -np.inf)
        sums_BN[stuck_b] = least_BN[stuck_b]

    # To each bank its share.
    met_BN = table.met(states_BNM)
    places_BK = allocated(sums_BN, met_BN, width)
    chosen = Candidates(sums_BN[rows_B1, places_BK], origins_N[places_BK], symbols_BN[rows_B1, places_BK])
    is_complete_BK = met_BN[rows_B1, places_BK] == progress.totals_B[:, None]
    complete_BK = np.where(is_complete_BK, chosen.log_probs_BC, -np.inf)
    spare_B = width - (~is_complete_BK & (chosen.log_probs_BC > -np.inf)).sum(axis=1)
    return _Extended(chosen, states_BNM[rows_B1, places_BK], complete_BK, spare_B)


def _log_probs_of_new(
    demanded_BJN: np.ndarray, log_probs_BJ: np.ndarray, step: Step, best: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """log p of what is demanded of each open hypothesis; -inf where it stands among the best anyway."""
    log_probs_BJC, symbols_BJC = best
    offered_BJC = np.where(log_probs_BJC > -np.inf, symbols_BJC, PAD)
    is_new_BJN = (demanded_BJN != PAD) & ~(demanded_BJN[..., None] == offered_BJC[:, :, None]).any(axis=3)
    is_new_BJN &= (log_probs_BJ > -np.inf)[:, :, None]
    asked_P = np.flatnonzero(is_new_BJN)
    log_probs_BJN = np.full(demanded_BJN.shape, -np.inf, log_probs_BJC.dtype)
    if len(asked_P):
        rows_P, symbols_P = asked_P // demanded_BJN.shape[2], demanded_BJN.ravel()[asked_P]
        log_probs_BJN.ravel()[asked_P] = step.log_probs_of(rows_P, symbols_P)
    return log_probs_BJN


def allocated(log_probs_BN: np.ndarray, banks_BN: np.ndarray, width: int) -> np.ndarray:
    """The places of the candidates that fill a beam, the most probable first.

    The best of each bank come first, from the highest bank down, then the second best of each, and so on; impossible
    candidates come last.
    """
    banks_BN = np.where(log_probs_BN == -np.inf, -1, banks_BN)
    order_BN = np.lexsort((-log_probs_BN, -banks_BN))
    sorted_BN = np.take_along_axis(banks_BN, order_BN, axis=1)
    N, most = log_probs_BN.shape[1], int(banks_BN.max(initial=0)) + 1
    begins_BN = np.concatenate([np.ones((len(sorted_BN), 1), bool), sorted_BN[:, 1:] != sorted_BN[:, :-1]], axis=1)
    places_N = np.arange(N)
    ranks_BN = places_N - np.maximum.accumulate(np.where(begins_BN, places_N, 0), axis=1)
    turns_BN = np.where(sorted_BN < 0, N, ranks_BN) * (most + 1) - sorted_BN
    chosen_BK = np.take_along_axis(order_BN, turns_BN.argsort(axis=1, kind="stable")[:, :width], axis=1)
    chosen_BK.sort(axis=1)  # of equally probable ones, that comes first which came first
    best_BK = descending(np.take_along_axis(log_probs_BN, chosen_BK, axis=1))
    return np.take_along_axis(chosen_BK, best_BK, axis=1)


def _within_bank(ended_BJ: np.ndarray, complete_BK: np.ndarray, spare_B: np.ndarray) -> np.ndarray:
    """Keep those hypotheses with EOS that are among the best of these and the complete pieces, as many as there is room
    for; -inf for the others. As `within_beam`, but of the highest bank."""
    rising_BX = np.concatenate([complete_BK, ended_BJ], axis=1)
    rising_BX.sort(axis=1)
    places_B = np.maximum(rising_BX.shape[1] - np.maximum(spare_B, 1), 0)
    least_B1 = np.take_along_axis(rising_BX, places_B[:, None], axis=1)
    return np.where(ended_BJ < least_B1, -np.inf, ended_BJ)

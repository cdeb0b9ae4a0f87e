"""Diverse beam search: groups of hypotheses that are kept from saying the same (Vijayakumar et al. 2018).

The beam is divided into groups of equal width. At each step they are extended one after the other, each as a beam of
its own, except that a symbol costs a group `diversity` nats for each hypothesis of the groups before that has just
taken it (the paper's Hamming diversity). The price decides what is kept at that step, the end of a sentence excepted,
which is free; it never enters log p of a hypothesis, nor its score.

A group has finished as soon as it has as many finished hypotheses as it is wide, or reaches the length limit. It takes
no symbols then, and makes none dearer. With one group this is beam search.

Shapes: B sentences still searched, S source positions, G groups, J open hypotheses of each group before a step (1 at
first), W after it (the beam / G, or fewer if there are not so many), C continuations of each, R = rows: a sentence's
group each, in the order of the sentences.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from s2s_cli.search.beam import Candidates, within_beam
from s2s_cli.search.history import Hypothesis, Turn, hypotheses
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import Step, StepModel, descending
from s2s_cli.text.tokenizer import BOS, EOS, PAD


class _Groups(NamedTuple):
    """The groups of the sentences that are still searched."""

    rows_BG: np.ndarray  # place of each group among all of the input
    limits_BG: np.ndarray  # most symbols
    symbols_BGJ: np.ndarray  # last symbol of each open hypothesis
    log_probs_BGJ: np.ndarray  # log p of each open hypothesis; -inf where there is none, as in a finished group
    finished_BG: np.ndarray  # number of finished hypotheses

    def select(self, sentences_b: np.ndarray) -> _Groups:
        return _Groups(*(array[sentences_b] for array in self))


def diverse_beam_search(
    model: StepModel,
    source_BS: np.ndarray,
    source_lengths_B: np.ndarray,
    options: SearchOptions,
    room_B: np.ndarray | int = 0,
) -> list[list[Hypothesis]]:
    """The `n_best` best hypotheses of each sentence, of whatever groups, best first; fewer if there are not so many.

    What several groups have found stands there once. Arguments as of `beam_search`.
    """
    if len(source_BS) == 0:
        return []
    G, width = options.groups, options.beam // options.groups
    groups = _first_groups(options.length_limits(source_lengths_B, room_B), G)
    state = model.start(source_BS, source_lengths_B).reorder(np.zeros_like(groups.rows_BG))
    turns: list[Turn] = []

    for length in range(1, int(groups.limits_BG.max()) + 1):  # of a hypothesis after this step, EOS included
        # 1. Predict the next symbol of each open hypothesis.
        step, state = model.step(_flat(groups.symbols_BGJ), state)

        # 2. Extend the groups, one after the other.
        pieces, priced_BGW, ended_BGJ = _extend(groups.log_probs_BGJ, step, options)

        # 3. End the hypotheses for which EOS is as good as the pieces kept, at their price.
        may_end = length > options.min_length
        ended_BGJ = within_beam(ended_BGJ, priced_BGW, width) if may_end else np.full_like(ended_BGJ, -np.inf)

        # 4. Remember. What a group still had open when it finished is no result.
        finished_BG = groups.finished_BG + (ended_BGJ > -np.inf).sum(axis=2)
        is_full_BG1 = (finished_BG >= width)[:, :, None]
        pieces = pieces._replace(log_probs_BC=np.where(is_full_BG1, -np.inf, pieces.log_probs_BC))
        turns.append(_turn(groups, pieces, ended_BGJ, step.attention_BKS))
        is_open_BG = (pieces.log_probs_BC > -np.inf).any(axis=2) & (length < groups.limits_BG)
        groups = _Groups(groups.rows_BG, groups.limits_BG, pieces.symbols_BC, pieces.log_probs_BC, finished_BG)

        # 5. Let the sentences leave of which all groups are done.
        origins_BGW = pieces.origins_BC
        open_b = np.flatnonzero(is_open_BG.any(axis=1))
        if len(open_b) == 0:
            break
        if len(open_b) < len(is_open_BG):
            groups, state, origins_BGW = groups.select(open_b), state.select(open_b), origins_BGW[open_b]

        # 6. Go on from the hypotheses that were extended.
        offsets_G1 = ended_BGJ.shape[2] * np.arange(G)[:, None]
        state = state.reorder(_flat(origins_BGW + offsets_G1))

    found = hypotheses(turns, source_lengths_B.repeat(G), options.penalty, options.n_best)
    return [_best(found[row : row + G], options.n_best) for row in range(0, len(found), G)]


def _first_groups(limits_B: np.ndarray, count: int) -> _Groups:
    """One empty hypothesis for each group."""
    limits_BG = limits_B[:, None].repeat(count, axis=1)
    return _Groups(
        rows_BG=np.arange(limits_BG.size).reshape(limits_BG.shape),
        limits_BG=limits_BG,
        symbols_BGJ=np.full_like(limits_BG, BOS)[:, :, None],
        log_probs_BGJ=np.zeros_like(limits_BG, np.float32)[:, :, None],
        finished_BG=np.zeros_like(limits_BG),
    )


def _extend(log_probs_BGJ: np.ndarray, step: Step, options: SearchOptions) -> tuple[Candidates, np.ndarray, np.ndarray]:
    """What each group keeps (as [B, G, W]); log p of it less its price, [B, G, W]; log p of each hypothesis with EOS.

    All other groups together take no more than the beam less a group's width: so the best of a group, whatever the
    prices, are among the beam's number of best continuations of each of its hypotheses.
    """
    B, G, J = log_probs_BGJ.shape
    next_log_probs_BKC, symbols_BKC, ends_BK = step.best(EOS + 1, options.beam, EOS)
    C, rows_B1 = symbols_BKC.shape[2], np.arange(B)[:, None]
    sums_BGN = (log_probs_BGJ[:, :, :, None] + next_log_probs_BKC.reshape(B, G, J, C)).reshape(B, G, J * C)
    symbols_BGN = symbols_BKC.reshape(B, G, J * C)
    taken_BX = np.zeros((B, 0), np.int64)  # what the groups before have taken
    kept, priced = [], []
    for group in range(G):
        sums_BN, symbols_BN = sums_BGN[:, group], symbols_BGN[:, group]
        uses_BN = (symbols_BN[:, :, None] == taken_BX[:, None, :]).sum(axis=2)
        priced_BN = sums_BN - (options.diversity * uses_BN).astype(sums_BN.dtype)
        places_BW = descending(priced_BN)[:, : options.beam // G]
        chosen_BW, log_probs_BW = symbols_BN[rows_B1, places_BW], sums_BN[rows_B1, places_BW]
        taken_BX = np.concatenate([taken_BX, np.where(log_probs_BW == -np.inf, PAD, chosen_BW)], axis=1)
        kept.append(Candidates(log_probs_BW, places_BW // C, chosen_BW))
        priced.append(priced_BN[rows_B1, places_BW])
    pieces = Candidates(*(np.stack(arrays, axis=1) for arrays in zip(*kept, strict=True)))
    return pieces, np.stack(priced, axis=1), log_probs_BGJ + ends_BK.reshape(B, G, J)


def _flat(array_BGJ: np.ndarray) -> np.ndarray:
    """All groups side by side."""
    return array_BGJ.reshape(len(array_BGJ), -1)


def _turn(groups: _Groups, pieces: Candidates, ended_BGJ: np.ndarray, attention_BKS: np.ndarray | None) -> Turn:
    """This step of the groups that had not finished before, each in a row of its own."""
    is_open_BG = (groups.log_probs_BGJ > -np.inf).any(axis=2)
    attention_BGJS = None if attention_BKS is None else attention_BKS.reshape(*ended_BGJ.shape, -1)
    return Turn(
        groups.rows_BG[is_open_BG],
        ended_BGJ[is_open_BG],
        pieces.log_probs_BC[is_open_BG],
        pieces.origins_BC[is_open_BG],
        pieces.symbols_BC[is_open_BG],
        None if attention_BGJS is None else attention_BGJS[is_open_BG],
    )


def _best(groups: list[list[Hypothesis]], count: int) -> list[Hypothesis]:
    """The best of all groups: finished ones, then those that were cut, each sentence once.

    A group that came to a dead end hands over an impossible one, which stands for a sentence that has no other alone.
    """
    ranked = sorted((each for found in groups for each in found), key=lambda each: (not each.finished, -each.score))
    possible = [each for each in ranked if each.log_prob > -np.inf]
    distinct: dict[tuple[bool, tuple[int, ...]], Hypothesis] = {}
    for each in possible or ranked[:1]:
        distinct.setdefault((each.finished, tuple(each.ids)), each)
    return list(distinct.values())[:count]

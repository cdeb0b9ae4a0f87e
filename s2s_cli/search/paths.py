"""Following single paths: at each step every hypothesis takes one symbol, and none competes with another.

Shapes: B sentences still followed, S source positions, K paths of each, V symbols that may come next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from s2s_cli.search.history import Hypothesis, Turn, hypotheses
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import State, Step, StepModel
from s2s_cli.text.tokenizer import BOS, EOS

Choose = Callable[[Step, int, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From a step, the first symbol that may be chosen, and the places [B] of the sentences in the input, to one symbol
[B, K] for each path and its log p [B, K]."""


class _Paths(NamedTuple):
    sentences_B: np.ndarray  # place of each sentence in the input
    limits_B: np.ndarray  # most symbols
    symbols_BK: np.ndarray  # last symbol of each path
    log_probs_BK: np.ndarray  # log p of each path; -inf for those that have ended

    def select(self, rows: np.ndarray) -> _Paths:
        return _Paths(*(array[rows] for array in self))


def follow_paths(
    model: StepModel,
    source_BS: np.ndarray,
    source_lengths_B: np.ndarray,
    options: SearchOptions,
    choose: Choose,
    count: int = 1,
    room_B: np.ndarray | int = 0,
) -> list[list[Hypothesis]]:
    """`count` hypotheses for each sentence, made of the symbols that `choose` picks, path by path.

    PAD, UNK and BOS are never offered to it, EOS not before the least length.
    """
    if len(source_BS) == 0:
        return []
    limits_B = options.length_limits(source_lengths_B, room_B)
    state = _split(model.start(source_BS, source_lengths_B), limits_B, count)
    paths = _first_paths(limits_B, count)
    origins_BK = np.broadcast_to(np.arange(count), (len(limits_B), count))
    turns: list[Turn] = []

    for length in range(1, int(limits_B.max()) + 1):  # of a path after this step, EOS included
        # 1. Predict the next symbol of each path.
        step, state = model.step(paths.symbols_BK, state)

        # 2. Choose it. The special symbols come first in every vocabulary, and EOS is the last of them.
        first = EOS if length > options.min_length else EOS + 1
        symbols_BK, chosen_BK = choose(step, first, paths.sentences_B)
        log_probs_BK = paths.log_probs_BK + chosen_BK

        # 3. End the paths that chose EOS.
        is_end_BK = symbols_BK == EOS
        ended_BK = np.where(is_end_BK, log_probs_BK, -np.inf)
        log_probs_BK = np.where(is_end_BK, -np.inf, log_probs_BK)
        paths = paths._replace(symbols_BK=symbols_BK, log_probs_BK=log_probs_BK)

        # 4. Remember.
        own_origins_BK = origins_BK[: len(symbols_BK)]
        turns.append(
            Turn(paths.sentences_B, ended_BK, paths.log_probs_BK, own_origins_BK, symbols_BK, step.attention_BKS)
        )

        # 5. Let the sentences leave that are done.
        is_open_B = (paths.log_probs_BK > -np.inf).any(axis=1) & (length < paths.limits_B)
        open_b = np.flatnonzero(is_open_B)
        if len(open_b) == 0:
            break
        if len(open_b) < len(symbols_BK):
            paths, state = paths.select(open_b), state.select(open_b)

    return hypotheses(turns, source_lengths_B, options.penalty, count, by_slot=True)


def _split(state: State, limits_B: np.ndarray, count: int) -> State:
    """From one hypothesis of each sentence to `count` equal ones."""
    return state if count == 1 else state.reorder(np.zeros((len(limits_B), count), np.int64))


def _first_paths(limits_B: np.ndarray, count: int) -> _Paths:
    B = len(limits_B)
    return _Paths(
        sentences_B=np.arange(B),
        limits_B=limits_B,
        symbols_BK=np.full((B, count), BOS),
        log_probs_BK=np.zeros((B, count), np.float32),
    )

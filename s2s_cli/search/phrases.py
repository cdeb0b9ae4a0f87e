"""Phrases that a translation must contain, and how far hypotheses have come with them.

Each phrase has states of its own in each hypothesis, which follow a string as Knuth, Morris and Pratt (1977) follow it:
a symbol that breaks a phrase off leaves the longest beginning of it that has just been written. So phrases may overlap,
begin with one another, or come twice, and whatever writes them counts, whether it was forced or not.

A phrase is a whole word, or several: after its last symbol it is complete, and it stays so unless the next symbol goes
on with the word. To have it twice it must come twice. Symbols without text may stand anywhere, even within a word, and
change nothing.

Shapes: B sentences, M phrases of each at most, S states of all phrases of a batch, P symbols that lead on from a state
at most; X any dimensions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from s2s_cli.text.tokenizer import PAD

NONE = 0
"""The state of a phrase that there is not."""


class Phrase(NamedTuple):
    """Symbols that must come, one after the other, so many times. is_word: whether a word could go on after them."""

    ids: tuple[int, ...]
    times: int = 1
    is_word: bool = False


class Phrases:
    """Those of a batch of sentences: tables of states, which are counted over all of them.

    Of each phrase the states are (o, k): o times complete before, and k symbols of the next time, up to all L. (o, L)
    is complete unless the word goes on; any other symbol leads on to (o + 1, 0), and after the last time nothing
    matters.
    """

    def __init__(self, phrases: Sequence[Sequence[Phrase]], goes_on_V: np.ndarray, silent_V: np.ndarray) -> None:
        """phrases: of each sentence, no two of the same symbols. goes_on_V: whether a symbol goes on with a word.
        silent_V: whether it has no text."""
        self._goes_on_V, self._silent_V = goes_on_V, silent_V
        states = [_State({}, NONE, NONE, NONE)]
        self.first_BM = np.full((len(phrases), max(map(len, phrases), default=0)), NONE)
        for sentence, each in enumerate(phrases):
            for place, phrase in enumerate(each):
                self.first_BM[sentence, place] = len(states)
                states += _states(phrase, len(states))
        moves, *others = zip(*states, strict=True)
        self.symbols_SP, self.following_SP = _filled(moves, -1), _filled([each.values() for each in moves], NONE)
        self.else_S, self.settled_S, self.broken_S, self.is_word_S, *counts = map(np.array, others)
        self.next_S, self.met_S, self.rest_S, self.progress_S, self.length_S = counts
        self.is_complete_S = self.settled_S != np.arange(len(states))

    def totals(self) -> np.ndarray:
        """Symbols that each sentence must have, [B]."""
        return self.rest_S[self.first_BM].sum(axis=1)

    def after(self, states_XM: np.ndarray, symbols_X: np.ndarray) -> np.ndarray:
        """The states after one more symbol, [X, M]."""
        symbols_X1 = symbols_X[..., None]
        is_broken_XM = self.is_word_S[states_XM] & self._goes_on_V[symbols_X1]
        from_XM = np.where(is_broken_XM, self.broken_S[states_XM], self.settled_S[states_XM])
        is_it_XMP = self.symbols_SP[from_XM] == symbols_X1[..., None]
        found_XM = np.where(is_it_XMP, self.following_SP[from_XM], NONE).max(axis=-1, initial=NONE)
        reached_XM = np.where(found_XM == NONE, self.else_S[from_XM], found_XM)
        return np.where(self._silent_V[symbols_X1], states_XM, reached_XM)

    def met(self, states_XM: np.ndarray) -> np.ndarray:
        """How many symbols are there of those that must be, [X]."""
        return self.met_S[states_XM].sum(axis=-1)

    def needs(self, states_XM: np.ndarray) -> np.ndarray:
        """Symbols with which all phrases can be complete: the first symbols of `demanded` lead there, [X].

        Either what is complete stays so, and the next phrase begins anew; or a phrase goes on, and what is complete may
        be broken by that.
        """
        anew_X = self.rest_S[states_XM].sum(axis=-1)
        progress_XM, is_complete_XM = self.progress_S[states_XM], self.is_complete_S[states_XM]
        again_XM = self.rest_S[states_XM] + np.where(is_complete_XM, self.length_S[states_XM], 0)
        on_X = again_XM.sum(axis=-1) - progress_XM.max(axis=-1, initial=0)
        return np.where((progress_XM > 0).any(axis=-1), np.minimum(anew_X, on_X), anew_X)

    def demanded(self, states_RM: np.ndarray) -> np.ndarray:
        """Symbols that lead towards the phrases, [R, 2 M]; PAD where there is none. Each stands there once.

        The next one of each phrase; and where a phrase is complete, and others have begun, the first one of these too.
        """
        next_RM = self.next_S[states_RM]
        mixed_R1 = self.is_complete_S[states_RM].any(axis=1, keepdims=True)
        is_begun_RM = (self.progress_S[states_RM] > 0) & mixed_R1
        first_RM = np.where(is_begun_RM, self.next_S[self.else_S[states_RM]], PAD)
        both_RN = np.concatenate([next_RM, first_RM], axis=1)
        N = both_RN.shape[1]
        is_again_RN = ((both_RN[:, :, None] == both_RN[:, None, :]) & np.tri(N, N, -1, bool)).any(axis=2)
        return np.where(is_again_RN, PAD, both_RN)


class _State(NamedTuple):
    """What there is to know of a state; others are named by their places."""

    moves: dict[int, int]  # where symbols lead that lead on
    otherwise: int  # where all others lead
    settled: int  # from where to go on, if no word goes on: itself, unless the phrase is complete
    broken: int  # the same if one does
    is_word: bool = False  # whether one could
    next: int = PAD  # symbol that leads on
    met: int = 0  # symbols that are there
    rest: int = 0  # symbols that are lacking, if the phrase begins anew
    progress: int = 0  # symbols of a phrase that has begun
    length: int = 0


def _states(phrase: Phrase, first: int) -> list[_State]:
    """Those of a phrase, the first of which has this place; after the last time there is one in which it stays."""
    (ids, times, is_word), L, borders, states = phrase, len(phrase.ids), _borders(phrase.ids), []
    for time in range(times):
        begin, met, rest = first + time * (L + 1), time * L, (times - time) * L
        for place in range(L):
            here, moves = begin + place, {symbol: begin + reached for symbol, reached in _moves(ids, borders, place)}
            states.append(_State(moves, begin, here, here, False, ids[place], met + place, rest, place, L))
        lead = ids[0] if time + 1 < times else PAD
        states.append(_State({}, begin, begin + L + 1, begin + borders[L], is_word, lead, met + L, rest - L, 0, L))
    end = first + times * (L + 1)
    return [*states, _State({}, end, end, end, met=times * L)]


def _borders(ids: Sequence[int]) -> list[int]:
    """For each number of symbols, the length of the longest shorter beginning with which these end."""
    borders = [0, 0]
    for place in range(1, len(ids)):
        border = borders[place]
        while border and ids[border] != ids[place]:
            border = borders[border]
        borders.append(border + (ids[border] == ids[place]))
    return borders


def _moves(ids: Sequence[int], borders: Sequence[int], place: int) -> Iterator[tuple[int, int]]:
    """After so many symbols, how many there are after one more, of those that do not lead back to 0."""
    moves = {ids[place]: place + 1}
    while place:
        place = borders[place]
        moves.setdefault(ids[place], place + 1)
    yield from moves.items()


def _filled(rows: Sequence[Collection[int]], value: int) -> np.ndarray:
    """[S, P]."""
    table = np.full((len(rows), max(map(len, rows))), value)
    for row, values in enumerate(rows):
        table[row, : len(values)] = list(values)
    return table

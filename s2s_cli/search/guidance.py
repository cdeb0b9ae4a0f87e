"""A model that is led: its translations begin as they are told to, and avoid what they are told to.

Both are told as states of each hypothesis, which its symbols move: a model wrapped in `Guided` is one more `StepModel`,
and every search can be led. Probabilities stay those of the model, they are only not offered: the score of a forced
beginning is what the model thinks of it.

Shapes: as of `s2s_cli.search.step_model`; Q states, X pairs of a state and one of its symbols, P pairs of a row of
hypotheses and a symbol.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from s2s_cli.search.step_model import Best, State, Step, StepModel, descending
from s2s_cli.text.tokenizer import BOS, EOS, PAD

FREE = 0
"""The state of a hypothesis that nothing leads."""


class Opening(NamedTuple):
    """A forced beginning: in each of its states only some symbols may follow. After the last state all may.

    choices: for each state the symbols, rising, and the state that each leads to: a later one, or the same. EOS may be
    among the symbols. admitted: symbols by one way through. longest: most symbols of a way through.
    """

    choices: tuple[tuple[np.ndarray, np.ndarray], ...]
    admitted: tuple[int, ...]
    longest: int


class Avoided(NamedTuple):
    """What is to be avoided, as states that symbols move, from state 0 on. There are `states` of them.

    keys_X: state · V + symbol, rising, where a symbol leads to following_X; or to ~following_X, which is negative,
    where it completes something that is to be avoided. likes_Q: for each state the one where all symbols lead that have
    no key there: 0 or 1, or the same. others_V: the state, 0 or 1, after symbols that have no key in that one either.
    """

    states: int
    keys_X: np.ndarray
    following_X: np.ndarray
    likes_Q: np.ndarray
    others_V: np.ndarray


class Guide(NamedTuple):
    """What leads the translations of one sentence."""

    opening: Opening | None = None
    avoided: Avoided | None = None


class _Openings:
    """Those of a batch. States are counted over all of them, after FREE."""

    def __init__(self, openings: Sequence[Opening | None], vocabulary: int) -> None:
        symbols, following, counts, firsts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [0], []
        for opening in openings:
            choices, offset = (opening.choices, len(counts)) if opening else ((), 0)
            firsts.append(offset if choices else FREE)
            for symbols_N, following_N in choices:
                symbols.append(symbols_N)
                following.append(np.where(following_N < len(choices), following_N + offset, FREE))
                counts.append(len(symbols_N))
        self.first_B, self.counts_Q, self.vocabulary = np.array(firsts, np.int64), np.array(counts), vocabulary
        self.starts_Q = self.counts_Q.cumsum() - self.counts_Q
        self.symbols_X, self.following_X = np.concatenate(symbols), np.concatenate(following)
        self._keys_X = np.arange(len(counts)).repeat(self.counts_Q) * vocabulary + self.symbols_X

    def after(self, states_BK: np.ndarray, symbols_BK: np.ndarray) -> np.ndarray:
        """FREE too for a hypothesis that there is not, after PAD."""
        if not states_BK.any():
            return states_BK
        keys_BK = states_BK * self.vocabulary + symbols_BK
        places_BK = self._keys_X.searchsorted(keys_BK).clip(0, len(self._keys_X) - 1)
        is_told_BK = (states_BK != FREE) & (self._keys_X[places_BK] == keys_BK)
        return np.where(is_told_BK, self.following_X[places_BK], FREE)

    def pairs(self, states_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and symbols that they may be followed by, of those that are not free."""
        rows_P, places_P = _ragged(self.starts_Q[states_R], self.counts_Q[states_R])
        return rows_P, self.symbols_X[places_P]


class _Avoided:
    """What the sentences of a batch avoid. States are counted over all of them, after two in which nothing is."""

    def __init__(self, avoided: Sequence[Avoided | None], vocabulary: int) -> None:
        distinct = {id(each): each for each in avoided if each is not None}
        others_V = next((each.others_V for each in distinct.values()), np.zeros(vocabulary, np.int64))
        offsets, offset, bases, likes = {id(None): FREE}, 2, [np.zeros(2, np.int64)], [np.arange(2)]
        # The key of no state comes first, for the vocabulary may have no symbol of any phrase.
        keys, following = [np.full(1, -1)], [np.zeros(1, np.int64)]
        for name, each in distinct.items():
            offsets[name] = offset
            keys.append(each.keys_X + offset * vocabulary)
            following.append(each.following_X + np.where(each.following_X < 0, -offset, offset))
            bases.append(np.full(each.states, offset))
            likes.append(each.likes_Q + offset)
            offset += each.states
        self.vocabulary, self.first_B = vocabulary, np.array([offsets[id(each)] for each in avoided])
        self._keys_X, self._following_X = np.concatenate(keys), np.concatenate(following)
        self._bases_Q, self._likes_Q, self._others_V = np.concatenate(bases), np.concatenate(likes), others_V
        self._banned_X = self._keys_X[self._following_X < 0]
        states_X = self._banned_X // vocabulary
        self._starts_Q = states_X.searchsorted(np.arange(offset))
        self._counts_Q = states_X.searchsorted(np.arange(offset), side="right") - self._starts_Q
        is_own_Q = self._likes_Q == np.arange(offset)
        self.most_banned_Q = self._counts_Q + np.where(is_own_Q, 0, self._counts_Q[self._likes_Q])

    def after(self, states: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """The states after symbols, or ~states after those that are banned."""
        following = self._bases_Q[states] + self._others_V[symbols]
        for each in (self._likes_Q[states], states):
            keys = each * self.vocabulary + symbols
            places = self._keys_X.searchsorted(keys).clip(0, len(self._keys_X) - 1)
            following = np.where(self._keys_X[places] == keys, self._following_X[places], following)
        return following

    def banned(self, states_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and symbols that must not follow them, some of them twice."""
        found = [_ragged(self._starts_Q[each], self._counts_Q[each]) for each in (states_R, self._likes_Q[states_R])]
        rows_P, places_P = (np.concatenate(each) for each in zip(*found, strict=True))
        symbols_P = self._banned_X[places_P] % self.vocabulary
        is_banned_P = self.after(states_R[rows_P], symbols_P) < 0  # a state may allow what the one that it is like bans
        return rows_P[is_banned_P], symbols_P[is_banned_P]


def _ragged(starts_R: np.ndarray, counts_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row so many places from its start on: the rows, rising, and the places."""
    within_P = np.arange(counts_R.sum()) - (counts_R.cumsum() - counts_R).repeat(counts_R)
    return np.arange(len(counts_R)).repeat(counts_R), starts_R.repeat(counts_R) + within_P


class _Leads(NamedTuple):
    """What leads the translations of a batch of sentences."""

    openings: _Openings
    avoided: _Avoided


@dataclass(frozen=True)
class GuidedState:
    """The model's state, and those of each hypothesis."""

    model: State
    opening_BK: np.ndarray
    avoided_BK: np.ndarray

    def reorder(self, origin_BK: np.ndarray) -> GuidedState:
        rows_B1 = np.arange(len(origin_BK))[:, None]
        return replace(
            self,
            model=self.model.reorder(origin_BK),
            opening_BK=self.opening_BK[rows_B1, origin_BK],
            avoided_BK=self.avoided_BK[rows_B1, origin_BK],
        )

    def select(self, sentences_b: np.ndarray) -> GuidedState:
        return replace(
            self,
            model=self.model.select(sentences_b),
            opening_BK=self.opening_BK[sentences_b],
            avoided_BK=self.avoided_BK[sentences_b],
        )


@dataclass(frozen=True)
class Admitting:
    """A model for one batch that may use some symbols in any case, even if it chooses among few. own: for each sentence
    of the batch."""

    model: StepModel
    own: Sequence[Collection[int]]

    @property
    def vocabulary(self) -> int:
        return self.model.vocabulary

    def start(
        self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: Sequence[Collection[int]] = ()
    ) -> State:
        """Encode; one hypothesis a sentence."""
        both = [{*own, *others} for own, others in zip(self.own, admitted, strict=True)] if admitted else self.own
        return self.model.start(source_BS, source_lengths_B, both)

    def step(self, previous_BK: np.ndarray, state: State) -> tuple[Step, State]:
        """Append one symbol to each hypothesis."""
        return self.model.step(previous_BK, state)


class Guided:
    """A model that is led through one batch. guides: for each of its sentences."""

    def __init__(self, model: StepModel, guides: Sequence[Guide]) -> None:
        openings, avoided = zip(*guides, strict=True)
        self.model = Admitting(model, [opening.admitted if opening else () for opening in openings])
        self.vocabulary = model.vocabulary
        self._leads = _Leads(_Openings(openings, model.vocabulary), _Avoided(avoided, model.vocabulary))

    def start(
        self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: Sequence[Collection[int]] = ()
    ) -> GuidedState:
        """Encode; one hypothesis a sentence."""
        state = self.model.start(source_BS, source_lengths_B, admitted)
        openings, avoided = self._leads
        return GuidedState(state, openings.first_B[:, None], avoided.first_B[:, None])

    def step(self, previous_BK: np.ndarray, state: GuidedState) -> tuple[GuidedStep, GuidedState]:
        """Append one symbol to each hypothesis."""
        step, following = self.model.step(previous_BK, state.model)
        opening_BK, avoided_BK = state.opening_BK, state.avoided_BK
        if not (previous_BK == BOS).all():
            opening_BK = self._leads.openings.after(opening_BK, previous_BK)
            avoided_BK = self._leads.avoided.after(avoided_BK, previous_BK)
            avoided_BK = np.where(avoided_BK < 0, ~avoided_BK, avoided_BK)  # of what was forced all the same
        return GuidedStep(step, self._leads, opening_BK, avoided_BK), GuidedState(following, opening_BK, avoided_BK)


@dataclass(frozen=True)
class GuidedStep(Step):
    """A prediction of which only what is allowed is offered."""

    step: Step
    leads: _Leads
    opening_BK: np.ndarray
    avoided_BK: np.ndarray

    @property
    def attention_BKS(self) -> np.ndarray | None:
        return self.step.attention_BKS

    def best(self, first: int, count: int, end: int) -> Best:
        """Where all hypotheses have one symbol only, nothing is ranked."""
        rows_P, symbols_P = self._told()
        (B, K), rows_R = self.opening_BK.shape, np.arange(self.opening_BK.size)
        if EOS not in symbols_P and np.array_equal(rows_P, rows_R):
            log_probs_P, shape = self._forced(rows_P, symbols_P), (B, K, 1)
            return log_probs_P.reshape(shape), symbols_P.reshape(shape), np.full((B, K), -np.inf, log_probs_P.dtype)
        may_end_R = (self.opening_BK.ravel() == FREE) & ~self._is_banned(rows_R, np.array(EOS))
        may_end_R[rows_P[symbols_P == EOS]] = True
        is_offered_P = symbols_P >= first  # the end is told beside, unless it is ranked with the others
        rows_P, symbols_P = rows_P[is_offered_P], symbols_P[is_offered_P]
        more = int(self.leads.avoided.most_banned_Q[self.avoided_BK].max(initial=0))
        log_probs_BKC, symbols_BKC, ends_BK = self.step.best(first, count + more, end)
        if more:
            log_probs_BKC, symbols_BKC = self._without_banned(log_probs_BKC, symbols_BKC, count)
        if len(rows_P):
            told = rows_P, symbols_P, self._forced(rows_P, symbols_P)
            log_probs_BKC, symbols_BKC = _put(log_probs_BKC, symbols_BKC, *told)
        return log_probs_BKC, symbols_BKC, np.where(may_end_R.reshape(B, K), ends_BK, -np.inf)

    def log_probs_of(self, rows_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        """-inf where a symbol is not allowed."""
        log_probs_P = self.step.log_probs_of(rows_P, symbols_P)
        is_led_P = self.opening_BK.ravel()[rows_P] != FREE
        return np.where(self._is_banned(rows_P, symbols_P) | is_led_P, -np.inf, log_probs_P)

    def log_probs(self) -> np.ndarray:
        """-inf where a symbol is not allowed."""
        log_probs_BKV = self.step.log_probs()
        log_probs_RV = log_probs_BKV.reshape(-1, log_probs_BKV.shape[2]).copy()
        log_probs_RV[self.leads.avoided.banned(self.avoided_BK.ravel())] = -np.inf
        rows_P, symbols_P = self._told()
        if len(rows_P):
            log_probs_RV[self.opening_BK.ravel() != FREE] = -np.inf
            log_probs_RV[rows_P, symbols_P] = self._forced(rows_P, symbols_P)
        return log_probs_RV.reshape(log_probs_BKV.shape)

    def _told(self) -> tuple[np.ndarray, np.ndarray]:
        """What may follow where a beginning is forced: rows and symbols. A symbol that is to be avoided is left out if
        there are others."""
        rows_P, symbols_P = self.leads.openings.pairs(self.opening_BK.ravel())
        is_kept_P = ~self._is_banned(rows_P, symbols_P)
        if not is_kept_P.all():
            is_kept_P |= ~np.isin(rows_P, rows_P[is_kept_P])
        return rows_P[is_kept_P], symbols_P[is_kept_P]

    def _forced(self, rows_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        """log p of these symbols, of which one must be taken. After `best`, a model knows more to tell it by."""
        return np.maximum(self.step.log_probs_of(rows_P, symbols_P), LEAST)

    def _is_banned(self, rows_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        return self.leads.avoided.after(self.avoided_BK.ravel()[rows_P], symbols_P) < 0

    def _without_banned(
        self, log_probs_BKC: np.ndarray, symbols_BKC: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        is_banned_BKC = self.leads.avoided.after(self.avoided_BK[:, :, None], symbols_BKC) < 0
        order_BKC = is_banned_BKC.argsort(axis=2, kind="stable")[:, :, :count]
        found_BKC = np.take_along_axis(np.where(is_banned_BKC, -np.inf, log_probs_BKC), order_BKC, axis=2)
        return found_BKC.astype(log_probs_BKC.dtype), np.take_along_axis(symbols_BKC, order_BKC, axis=2)


LEAST = np.float32(-1e4)
"""log p of a symbol that is forced, at least: a forced sentence has a probability, however strange it is."""


def _put(
    log_probs_BKC: np.ndarray,
    symbols_BKC: np.ndarray,
    rows_P: np.ndarray,
    symbols_P: np.ndarray,
    log_probs_P: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """In place of the best symbols of some rows, those that are told, best first, then PAD. Rows rise."""
    shape, C = log_probs_BKC.shape, log_probs_BKC.shape[2]
    log_probs_RC, symbols_RC = log_probs_BKC.reshape(-1, C).copy(), symbols_BKC.reshape(-1, C).copy()
    log_probs_RC[rows_P], symbols_RC[rows_P] = -np.inf, PAD
    firsts_N = np.flatnonzero(np.diff(rows_P, prepend=-1))
    rows_N, counts_N = rows_P[firsts_N], np.diff(firsts_N, append=len(rows_P))
    log_probs_RC[rows_N, 0], symbols_RC[rows_N, 0] = log_probs_P[firsts_N], symbols_P[firsts_N]
    for n in np.flatnonzero(counts_N > 1).tolist():
        own = slice(firsts_N[n], firsts_N[n] + counts_N[n])
        order = descending(log_probs_P[own])[:C]
        log_probs_RC[rows_N[n], : len(order)] = log_probs_P[own][order]
        symbols_RC[rows_N[n], : len(order)] = symbols_P[own][order]
    return log_probs_RC.reshape(shape), symbols_RC.reshape(shape)


def forced(ids: Sequence[int]) -> Opening:
    """The opening that consists of these symbols."""
    choices = tuple((np.array([symbol]), np.array([place])) for place, symbol in enumerate(ids, start=1))
    return Opening(choices, tuple(ids), len(ids))

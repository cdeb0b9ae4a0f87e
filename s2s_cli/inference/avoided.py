"""What is to be avoided, from text to symbols: which pieces, in whatever order, would complete a phrase.

The text of a translation is followed character by character, so that a phrase is found however the model cuts it into
pieces, and only as whole words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from s2s_cli.inference.vocabulary import Vocabulary, lowered
from s2s_cli.search.guidance import Avoided
from s2s_cli.text.casing import BREAK, CAPITALS, MARKS, TITLE, capital, is_letter
from s2s_cli.text.tokenizer import EOS, WORD_START

CACHED = 1024  # sets of characters


class Characters:
    """Of what characters the symbols of a vocabulary consist. At the end of a sentence there is one like a space."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        texts = [WORD_START if index == EOS else text for index, text in enumerate(vocabulary.texts)]
        no_words = MARKS if vocabulary.tokenizer.case_markup else ""
        self.alphabet = sorted(set("".join(texts)))
        self.is_word_A = np.array([each not in no_words and vocabulary.is_word(each) for each in self.alphabet])
        self._lower = [lowered(character) for character in self.alphabet]
        place = {character: index for index, character in enumerate(self.alphabet)}
        self.codes_VN = np.full((len(texts), max(map(len, texts))), -1, np.int32)  # filled up with -1
        for row, text in enumerate(texts):
            self.codes_VN[row, : len(text)] = [place[character] for character in text]
        self.tags_N = np.array(sorted(vocabulary.tokenizer.tags.values()), np.int64)  # which change nothing
        is_word_VN = self.is_word_A[self.codes_VN] & (self.codes_VN >= 0)
        self._begins_VN = self.codes_VN.copy()  # where a phrase can begin: not within words
        self._begins_VN[:, 1:][is_word_VN[:, 1:] & is_word_VN[:, :-1]] = -1
        self.like = lru_cache(None)(self._like)
        self.holding = lru_cache(CACHED)(self._holding)
        self.beginning = lru_cache(CACHED)(self._beginning)

    def _like(self, character: str) -> frozenset[int]:
        """The places of a character, in either case."""
        return frozenset(place for place, own in enumerate(self.alphabet) if character in (own, self._lower[place]))

    def _holding(self, places: frozenset[int]) -> np.ndarray:
        """The symbols in which a phrase can begin with one of these characters."""
        return np.flatnonzero(np.isin(self._begins_VN, list(places)).any(axis=1))

    def _beginning(self, places: frozenset[int]) -> np.ndarray:
        """The symbols that begin with one of them."""
        return np.flatnonzero(np.isin(self.codes_VN[:, 0], list(places)))


class AvoidedStates:
    """Makes the states of what is to be avoided: the text of each symbol, character by character, from each state.

    A symbol is to be avoided if a phrase is complete in it, or at its end; where each symbol is a character, the next
    one decides whether it was a whole word.
    """

    def __init__(self, phrases: Sequence[str], characters: Characters) -> None:
        vocabulary = characters.vocabulary
        self._characters, self._waits = characters, vocabulary.tokenizer.kind == "character"
        self._automaton = (_MarkedAutomaton if vocabulary.tokenizer.case_markup else _Automaton)(phrases, characters)
        moves_QA = self._automaton.moves(self._characters.alphabet)
        self._moves_QA = np.concatenate([moves_QA, np.full((1, moves_QA.shape[1]), len(moves_QA))])
        is_complete = [not self._waits and self._automaton.is_complete(state) for state in range(len(moves_QA))]
        self._is_hit_Q = np.array([*is_complete, True])
        self._after_Q = np.array([*self._automaton.without_complete(), 0])
        self._others_V = vocabulary.ends_word_V.astype(np.int64)

    def avoided(self) -> Avoided:
        """Few symbols have to do with the phrases: only these are noted in states 0 and 1, in which none has begun, and
        in the others only what differs from that."""
        count, V = len(self._moves_QA) - 1, len(self._others_V)
        usual_2V, lists = np.stack([self._others_V] * 2), []
        always_N = np.union1d(self._characters.beginning(self._automaton.signs), self._characters.tags_N)
        first_N = np.union1d(self._characters.holding(self._automaton.firsts), always_N)
        likes_Q = np.array([int(was_word) for _, was_word in self._automaton.states[:count]])
        for state in range(count):
            if state < 2:
                symbols_N = first_N
            elif self._waits and self._automaton.is_complete(state):
                symbols_N = np.arange(V)
            else:
                nexts_N = self._characters.beginning(self._automaton.nexts(state, self._characters))
                symbols_N = np.union1d(nexts_N, always_N)
            following_N, usual_V = self._following(state, symbols_N), usual_2V[likes_Q[state]]
            is_other_N = following_N != usual_V[symbols_N]
            lists.append((state * V + symbols_N[is_other_N], following_N[is_other_N]))
            if state < 2:
                usual_V[symbols_N] = following_N
        keys, following = map(np.concatenate, zip(*lists, strict=True))
        return Avoided(count, keys, following, likes_Q, self._others_V)

    def _following(self, state: int, symbols_N: np.ndarray) -> np.ndarray:
        """Where some symbols lead."""
        states_N = np.full(len(symbols_N), state)
        for codes_N in self._characters.codes_VN[symbols_N].T:
            if (codes_N < 0).all():
                break
            states_N = np.where(codes_N < 0, states_N, self._moves_QA[states_N, codes_N])
        is_text_N = (symbols_N > EOS) | ((symbols_N == EOS) & self._waits)
        is_hit_N = self._is_hit_Q[states_N] & is_text_N
        following_N = np.where(is_hit_N, ~self._after_Q[states_N], self._after_Q[states_N])
        following_N = np.where(is_hit_N | self._is_hit_Q[states_N], following_N, states_N)
        return np.where(is_text_N, following_N, self._others_V[symbols_N])


_Place = tuple[int, int, str]  # a phrase, how many of its characters there are, and with case markup a supposition
_State = tuple[frozenset[_Place], bool]


class _Automaton:
    """Follows texts character by character. A state: which phrases have begun and how far they are, and whether the
    last character belongs to a word."""

    _signs = ""
    """Characters that are no text."""

    def __init__(self, phrases: Sequence[str], characters: Characters) -> None:
        self._phrases = [phrase.replace(" ", WORD_START) for phrase in phrases]
        self._ignores_case = [phrase == phrase.lower() for phrase in phrases]
        self._is_word, self._is_word_A = characters.vocabulary.is_word, characters.is_word_A
        self.states: list[_State] = [(frozenset(), False), (frozenset(), True)]
        self._starting: dict[str, list[int]] = {}  # phrases by their first character
        for number, phrase in enumerate(self._phrases):
            self._starting.setdefault(self._written(phrase[0]), []).append(number)
        self.firsts = frozenset[int]().union(*(characters.like(self._written(phrase[0])) for phrase in self._phrases))
        self.signs = frozenset(place for place, own in enumerate(characters.alphabet) if own in self._signs)
        self._begun = lru_cache(None)(self._newly_begun)

    def moves(self, alphabet: Sequence[str]) -> np.ndarray:
        """The state after each character in each state, found one after the other: [Q, A]; Q where a phrase stands."""
        used = {self._written(character) for phrase in self._phrases for character in phrase} | {*self._signs}
        rows: list[list[int]] = []
        known = {state: place for place, state in enumerate(self.states)}
        is_word_A = self._is_word_A.tolist()
        is_used_A = [character in used or lowered(character) in used for character in alphabet]
        while len(rows) < len(self.states):
            places, was_word = self.states[len(rows)]
            row, of_others = [], dict[bool, int]()
            for character, is_used, is_word in zip(alphabet, is_used_A, is_word_A, strict=True):
                if not is_used and is_word in of_others:
                    row.append(of_others[is_word])
                    continue
                state = self._after(places, was_word, character)
                if state is None:
                    reached = -1
                else:
                    for each in (state, self._stripped(state)):
                        if known.setdefault(each, len(self.states)) == len(self.states):
                            self.states.append(each)
                    reached = known[state]
                row.append(reached)
                if not is_used:
                    of_others[is_word] = reached
            rows.append(row)
        self._known = known
        moves_QA = np.array(rows)
        return np.where(moves_QA < 0, len(moves_QA), moves_QA)

    def is_complete(self, state: int) -> bool:
        return self._stripped(self.states[state]) != self.states[state]

    def without_complete(self) -> list[int]:
        """For each state the one in which what is complete is forgotten."""
        return [self._known[self._stripped(state)] for state in self.states]

    def nexts(self, state: int, characters: Characters) -> frozenset[int]:
        """The characters that go on with a phrase."""
        places, _ = self.states[state]
        following = {self._written(self._phrases[phrase][place:][:1]) for phrase, place, _ in places}
        return frozenset[int]().union(*(characters.like(character) for character in following if character))

    def _stripped(self, state: _State) -> _State:
        places, was_word = state
        return frozenset(each for each in places if not self._has_come(each)), was_word

    def _after(self, places: frozenset[_Place], was_word: bool, character: str) -> _State | None:
        """None if a phrase was complete, and no word goes on."""
        if character in self._signs:
            return frozenset((*each[:2], "") for each in places if each[2] in ("", character)), was_word
        is_word, reached = self._is_word(character), set(self._begun(character, was_word))
        for each in places:
            if not self._has_come(each):
                reached.update(self._moved(each, character))
            elif not (is_word and self._is_word(self._phrases[each[0]][-1])):
                return None
        return frozenset(reached), is_word

    def _newly_begun(self, character: str, was_word: bool) -> frozenset[_Place]:
        """The phrases that have begun with a character: none within a word."""
        starting = (phrase for first in {character, lowered(character)} for phrase in self._starting.get(first, ()))
        outside = (each for each in starting if not (was_word and self._is_word(self._phrases[each][0])))
        return frozenset(moved for phrase in outside for moved in self._moved((phrase, 0, ""), character))

    def _moved(self, place: _Place, character: str) -> list[_Place]:
        """Where a phrase is after one more character; nowhere, if it is not its next one."""
        phrase, length, sign = place
        spelled, text = self._spelled(character, phrase, sign), self._phrases[phrase][length : length + 1]
        return [(phrase, length + 1, supposed) for written, supposed in spelled if text == written]

    def _has_come(self, place: _Place) -> bool:
        phrase, length, _ = place
        return length == len(self._phrases[phrase])

    def _written(self, character: str) -> str:
        """The character of symbols that is to be looked for."""
        return character

    def _spelled(self, character: str, phrase: int, sign: str) -> Iterable[tuple[str, str]]:
        """What a character of a phrase may be, and what is then supposed, after what was."""
        return ((lowered(character) if self._ignores_case[phrase] else character, ""),)


_PLAIN = BREAK
"""The supposition that no mark comes that says anything of the letters."""


class _MarkedAutomaton(_Automaton):
    """The same of symbols in case markup (`s2s_cli.text.casing`). Where the case of a phrase counts, it is supposed at
    the first of some letters which mark will come after the last: only with that mark have they come."""

    _signs = MARKS

    def _written(self, character: str) -> str:
        return lowered(character)

    def _has_come(self, place: _Place) -> bool:
        phrase, length, sign = place
        return length == len(self._phrases[phrase]) and sign in ("", _PLAIN)

    def _spelled(self, character: str, phrase: int, sign: str) -> Iterable[tuple[str, str]]:
        if self._ignores_case[phrase]:
            yield lowered(character), ""
        elif not is_letter(character):
            if sign in ("", _PLAIN):
                yield character, ""
        else:
            if sign in ("", _PLAIN):
                yield character, _PLAIN
            if sign in ("", CAPITALS):
                yield capital(character), CAPITALS
            if sign in ("", TITLE):
                yield (character if sign else capital(character)), TITLE

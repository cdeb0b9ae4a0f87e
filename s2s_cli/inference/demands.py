"""From demands on a translation, which are text, to what search knows of them, which are symbols.

Letters and digits make words; whole words have none beside them. In languages that write no spaces, any place is as
good as another.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from s2s_cli.errors import DataError, UsageError, printable
from s2s_cli.inference.request import Request
from s2s_cli.search.guidance import Guide, Opening
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.phrases import Phrase
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.sentences import joins_without_space
from s2s_cli.text.tokenizer import EOS, UNK, WORD_START, Tokenizer

MOST_CONSTRAINTS = 50  # of a line
OPEN_PIECES = 4  # at the end of a prefix, which may be cut in another way
CACHED = 256
_ATTACHED = frozenset(",.;:!?%)]}»”’…、。，；：！？）」』】")
"""What a line does not have a space before."""


class Demand(NamedTuple):
    """What is demanded of the translation of one part of a line, as clean text; a prefix may end with a space."""

    constraints: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    prefix: str = ""


class Wanted(NamedTuple):
    """The same in symbols. room: by how many the length limit is raised for the prefix."""

    guide: Guide
    phrases: list[Phrase]
    room: int


def refuse_constraints(options: SearchOptions) -> None:
    """Raise UsageError if a search cannot see to it that phrases come."""
    kind = "--sample" if options.sampling else "--diverse" if options.groups > 1 else ""
    if kind:
        raise UsageError(f"{kind} cannot see to it that a translation contains the constraints", hint="leave it out")
    if options.beam < 2:
        raise UsageError("constraints need a beam of 2 or more", hint="leave --greedy out, or use --beam 5")


def demand_of(request: Request) -> Demand | None:
    """The clean demands; None if there are none. Raises DataError if they contradict one another."""
    if not request.makes_demands:
        return None
    constraints, avoid = (
        tuple(_clean(text, name) for text in texts)
        for name, texts in (("constraint", request.constraints), ("phrase to avoid", request.avoid))
    )
    prefix = clean_line(_text(request.prefix, "prefix"))
    if prefix and request.prefix[-1:].isspace():
        prefix += " "
    if len(constraints) > MOST_CONSTRAINTS:
        raise DataError(f"a line takes no more than {MOST_CONSTRAINTS} constraints, not {len(constraints)}")
    if (constraints or prefix) and not request.text.strip():
        raise DataError("an empty text has no translation that constraints or a prefix could be in")
    return Demand(constraints, avoid, prefix)


def shared_out(demand: Demand | None, has_text: Sequence[bool]) -> list[Demand | None]:
    """The demand on each part of a line: the first part with text begins with the prefix, constraints go to the parts
    in their order, as many to each, and all parts avoid what the line avoids."""
    shared: list[Demand | None] = [None] * len(has_text)
    parts = [place for place, has in enumerate(has_text) if has]
    if demand is None:
        return shared
    for number, place in enumerate(parts):
        own = [text for i, text in enumerate(demand.constraints) if i * len(parts) // len(demand.constraints) == number]
        shared[place] = Demand(tuple(own), demand.avoid, demand.prefix if number == 0 else "")
    return shared


def _clean(text: str, name: str) -> str:
    clean = clean_line(_text(text, name))
    if not clean:
        raise DataError(f"an empty {name}", hint="leave it out")
    return clean


def _text(text: str, name: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a {name} is text, not {type(text).__name__}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(f"a {name} with a lone surrogate, which is not text")
    return text


@dataclass(frozen=True)
class Vocabulary:
    """The target symbols as text: of demands it makes states. language: code of the target language."""

    tokenizer: Tokenizer
    language: str

    def wanted(self, demand: Demand | None) -> Wanted:
        """Raises DataError for symbols that the model does not know, and for demands that contradict one another."""
        if demand is None:
            return Wanted(Guide(), [], 0)
        for avoided in demand.avoid:
            for kind, text in (*(("constraint", text) for text in demand.constraints), ("prefix", demand.prefix)):
                if self.contains(text, avoided):
                    told = f"{printable(repr(text), 60)} has what is to be avoided, {printable(repr(avoided), 60)}"
                    raise DataError(f"the {kind} {told}", hint="leave out one of them")
        opening = self._opening(demand.prefix) if demand.prefix else None
        avoided_QV = self._avoided(tuple(dict.fromkeys(demand.avoid))) if demand.avoid else None
        phrases = self._phrases(demand.constraints)
        return Wanted(Guide(opening, avoided_QV), phrases, 0 if opening is None else opening.longest)

    def contains(self, text: str, phrase: str) -> bool:
        """Whether a phrase that is to be avoided stands in a text, as whole words."""
        if phrase == phrase.lower():
            text = _lower(text)
        place = text.find(phrase)
        while place >= 0:
            end = place + len(phrase)
            cut_before = place > 0 and self._is_word(text[place - 1]) and self._is_word(phrase[0])
            cut_after = end < len(text) and self._is_word(text[end]) and self._is_word(phrase[-1])
            if not cut_before and not cut_after:
                return True
            place = text.find(phrase, place + 1)
        return False

    @cached_property
    def goes_on_V(self) -> np.ndarray:
        """Whether a symbol goes on with a word that has begun."""
        return np.array([bool(text) and self._is_word(text[0]) for text in self._texts])

    # ------------------------------------------------------------------------------------------------- text of symbols

    @cached_property
    def _texts(self) -> list[str]:
        """Of each symbol, with WORD_START for a space; "" for special symbols and tags."""
        silent = {*range(EOS + 1), *self.tokenizer.tags.values()}
        start = WORD_START if self.tokenizer.kind == "word" else ""
        pieces = enumerate(self.tokenizer.pieces(range(self.tokenizer.size)))
        return ["" if index in silent else start + piece for index, piece in pieces]

    @cached_property
    def _sorted(self) -> list[tuple[str, int]]:
        return sorted((text, index) for index, text in enumerate(self._texts) if text)

    @cached_property
    def _has_spaces(self) -> bool:
        return not joins_without_space(self.language)

    def _is_word(self, character: str) -> bool:
        return self._has_spaces and (character.isalnum() or unicodedata.category(character)[0] == "M")

    def _ids(self, text: str, name: str, *, inside: bool) -> list[int]:
        """inside: as inside a line, where no word begins."""
        ids = self.tokenizer.encode_piece(text.replace(" ", WORD_START)) if inside else self.tokenizer.encode([text])[0]
        if UNK in ids:
            parts = text.split() if self.tokenizer.kind == "word" else dict.fromkeys(text.replace(" ", ""))
            unknown = [part for part in parts if UNK in self.tokenizer.encode_piece(part)]
            listed = ", ".join(printable(repr(part), 30) for part in unknown[:5])
            raise DataError(f"the model cannot write {listed} of the {name} {printable(repr(text), 60)}")
        return ids

    # -------------------------------------------------------------------------------------------------------- phrases

    def _phrases(self, texts: Sequence[str]) -> list[Phrase]:
        counts = Counter(self._phrase(text) for text in texts)
        return [Phrase(ids, times, is_word) for (ids, is_word), times in counts.items()]

    def _phrase(self, text: str) -> tuple[tuple[int, ...], bool]:
        """Symbols of a phrase as it stands within a sentence, where a space comes before most."""
        is_attached = not self._has_spaces or text[0] in _ATTACHED
        if self.tokenizer.kind == "character" and not is_attached:
            text, is_attached = " " + text, True
        inside = is_attached and self.tokenizer.kind != "word"
        return tuple(self._ids(text, "constraint", inside=inside)), self._is_word(text[-1])

    # --------------------------------------------------------------------------------------------------------- prefix

    def _opening(self, prefix: str) -> Opening:
        """The words of the prefix as they are always cut. The last one may be cut in any way, for it may go on; after a
        space, another word begins."""
        ids = self._ids(prefix.rstrip(), "prefix", inside=False)
        texts = [self._texts[index] for index in ids]
        begin, rest = len(ids), ""
        if not prefix.endswith(" "):
            begin = max(0, len(ids) - OPEN_PIECES, *(i for i, text in enumerate(texts) if text.startswith(WORD_START)))
            rest = "".join(texts[begin:])
        elif self._has_spaces:
            rest = WORD_START
        fixed = [(np.array([index]), np.array([place])) for place, index in enumerate(ids[:begin], start=1)]
        free = self._rests(rest, prefix.endswith(" ")) if rest else []
        moved = [(symbols_N, following_N + begin) for symbols_N, following_N in free]
        return Opening((*fixed, *moved), tuple(ids), begin + len(rest) + 1)

    def _rests(self, rest: str, is_space: bool) -> list[tuple[np.ndarray, np.ndarray]]:
        """States in which less and less of a text is left: any symbols that begin with it, or that it begins with."""
        choices: dict[int, list[tuple[int, int]]] = {}  # place in the rest -> symbols, and the place after them
        index_of = {text: index for text, index in self._sorted}
        end = len(rest)
        for place in range(end - 1, -1, -1):
            left = rest[place:]
            whole = [(index, end) for index in self._beginning(left) if not (is_space and self._texts[index] == left)]
            cuts = range(place + 1, end)
            parts = [(index_of[rest[place:cut]], cut) for cut in cuts if cut in choices and rest[place:cut] in index_of]
            if whole or parts:
                choices[place] = whole + parts
        if is_space and 0 not in choices:  # only characters: a space, then any other
            others = [(index, 2) for text, index in self._sorted if not text.startswith(WORD_START)]
            choices, end = {0: [(index, 1) for index in self._beginning(rest)], 1: others}, 2
        number = {place: state for state, place in enumerate(sorted(choices))} | {end: len(choices)}
        return [
            (np.array([index for index, _ in pairs]), np.array([number[after] for _, after in pairs]))
            for _, pairs in sorted(choices.items())
        ]

    def _beginning(self, text: str) -> list[int]:
        """The symbols whose text begins so."""
        found, place = [], bisect_left(self._sorted, (text, -1))
        while place < len(self._sorted) and self._sorted[place][0].startswith(text):
            found.append(self._sorted[place][1])
            place += 1
        return found

    # ---------------------------------------------------------------------------------------------------------- avoid

    @cached_property
    def _characters(self) -> tuple[list[str], np.ndarray]:
        """All characters, and those of each symbol by their places among them, filled up with -1: [V, N]. The end of a
        sentence is one like a space."""
        texts = [WORD_START if index == EOS else text for index, text in enumerate(self._texts)]
        alphabet = sorted(set("".join(texts)))
        place = {character: index for index, character in enumerate(alphabet)}
        codes_VN = np.full((len(texts), max(map(len, texts))), -1, np.int32)
        for row, text in enumerate(texts):
            codes_VN[row, : len(text)] = [place[character] for character in text]
        return alphabet, codes_VN

    @cached_property
    def _avoided(self) -> _Tables:
        return _Tables(self)


class _Tables:
    """Makes tables of what is to be avoided, and keeps the latest."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._cached = lru_cache(CACHED)(self._table)

    def __call__(self, phrases: tuple[str, ...]) -> np.ndarray:
        return self._cached(phrases)

    def _table(self, phrases: tuple[str, ...]) -> np.ndarray:
        """As `Guide.avoided_QV`: the text of each symbol, character by character, from each state.

        A symbol is to be avoided if a phrase is complete in it, or at its end; where each symbol is a character, the
        next one decides whether it was a whole word.
        """
        vocabulary = self._vocabulary
        alphabet, codes_VN = vocabulary._characters
        automaton = _Automaton(phrases, vocabulary)
        moves_QA = automaton.moves(alphabet)
        Q, hit = len(moves_QA), len(moves_QA)
        moves_QA = np.concatenate([moves_QA, np.full((1, len(alphabet)), hit)])
        states_QV = np.arange(Q)[:, None].repeat(len(codes_VN), axis=1)
        for codes_V in codes_VN.T:
            has_one_V = np.flatnonzero(codes_V >= 0)
            states_QV[:, has_one_V] = moves_QA[states_QV[:, has_one_V], codes_V[has_one_V]]
        waits = vocabulary.tokenizer.kind == "character"
        is_complete_Q = np.array([not waits and automaton.is_complete(state) for state in range(Q)] + [True])
        after_Q = np.array([*automaton.without_complete(), 0])
        is_hit_QV = is_complete_Q[states_QV]
        is_hit_QV[:, :EOS] = False
        if not waits:
            is_hit_QV[:, EOS] = False
        return np.where(is_hit_QV, ~after_Q[states_QV], np.minimum(states_QV, Q - 1))


_Place = tuple[int, int]  # a phrase, and how many of its characters there are
_State = tuple[frozenset[_Place], bool]


class _Automaton:
    """Follows texts character by character. A state: which phrases have begun and how far they are, and whether the
    last character belongs to a word."""

    def __init__(self, phrases: tuple[str, ...], vocabulary: Vocabulary) -> None:
        self._phrases = [phrase.replace(" ", WORD_START) for phrase in phrases]
        self._ignores_case = [phrase == phrase.lower() for phrase in phrases]
        self._is_word = vocabulary._is_word
        self._states: list[_State] = [(frozenset(), False)]

    def moves(self, alphabet: Sequence[str]) -> np.ndarray:
        """The state after each character in each state, found one after the other: [Q, A]; Q where a phrase stands."""
        used = {character for phrase in self._phrases for character in phrase}
        rows: list[list[int]] = []
        known = {self._states[0]: 0}
        while len(rows) < len(self._states):
            places, was_word = self._states[len(rows)]
            row, of_others = [], dict[bool, int]()
            for character in alphabet:
                is_used, is_word = character in used or _lower(character) in used, self._is_word(character)
                if not is_used and is_word in of_others:
                    row.append(of_others[is_word])
                    continue
                state = self._after(places, was_word, character)
                if state is None:
                    reached = -1
                else:
                    for each in (state, self._stripped(state)):
                        if known.setdefault(each, len(self._states)) == len(self._states):
                            self._states.append(each)
                    reached = known[state]
                row.append(reached)
                if not is_used:
                    of_others[is_word] = reached
            rows.append(row)
        self._known = known
        moves_QA = np.array(rows)
        return np.where(moves_QA < 0, len(moves_QA), moves_QA)

    def is_complete(self, state: int) -> bool:
        return self._stripped(self._states[state]) != self._states[state]

    def without_complete(self) -> list[int]:
        """For each state the one in which what is complete is forgotten."""
        return [self._known[self._stripped(state)] for state in self._states]

    def _stripped(self, state: _State) -> _State:
        places, was_word = state
        return frozenset((phrase, place) for phrase, place in places if place < len(self._phrases[phrase])), was_word

    def _after(self, places: frozenset[_Place], was_word: bool, character: str) -> _State | None:
        """None if a phrase was complete, and no word goes on."""
        is_word, reached = self._is_word(character), set()
        for phrase, place in (*places, *((phrase, 0) for phrase in range(len(self._phrases)))):
            text = self._phrases[phrase]
            if place == len(text):
                if not (is_word and self._is_word(text[-1])):
                    return None
                continue
            if place == 0 and was_word and self._is_word(text[0]):
                continue
            if text[place] == (_lower(character) if self._ignores_case[phrase] else character):
                reached.add((phrase, place + 1))
        return frozenset(reached), is_word


def _lower(text: str) -> str:
    """Character by character, so that none is lost or added."""
    return "".join(lower if len(lower := character.lower()) == 1 else character for character in text)

"""What is a translation of what in a pair: words linked one to one, and phrases made of such links."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from random import Random
from typing import Literal, NamedTuple, TypeVar

import numpy as np

from s2s_cli.data.lexicon import Lexicon
from s2s_cli.text.tokenizer import WORD_START, Tokenizer, TokenizerPair

LEAST_LINK = 0.5  # share of a target word that its source word must be the cause of
_ANOTHER = 0.5  # probability that one more place of a pair is changed
_TRIALS = 8  # of places in a pair

Sides = tuple[list[int], list[int]]
"""Both sides of a pair, as ids."""

Found = TypeVar("Found")


class Span(NamedTuple):
    """Places of pieces, from `begin` up to `end`."""

    begin: int
    end: int

    def is_apart(self, other: Span) -> bool:
        return self.end <= other.begin or other.end <= self.begin


class Link(NamedTuple):
    """A word or a phrase, and its translation."""

    source: Span
    target: Span


@dataclass(frozen=True)
class Aligner:
    """Finds what is a translation of what in a pair, by a lexicon of pieces. spaced: whether the language of each side
    has spaces between words; else a piece counts as one."""

    tokenizers: TokenizerPair
    lexicon: Lexicon
    spaced: tuple[bool, bool]

    def words(self, ids: Sequence[int], side: Literal[0, 1]) -> list[Span]:
        """The words of a side, without the signs around them."""
        tokenizer, is_word = (self.tokenizers.source, self.tokenizers.target)[side], self._has_letters[side]
        word_of = tokenizer.word_indices(ids) if self.spaced[side] else _alone(ids, tokenizer.case_marks)
        places: dict[int, list[int]] = defaultdict(list)
        for place, word in enumerate(word_of):
            if is_word[ids[place]]:
                places[word].append(place)
        return [Span(found[0], found[-1] + 1) for found in places.values()]

    def links(self, source: Sequence[int], target: Sequence[int]) -> list[Link]:
        """One-to-one links between words, in the order of the source: words that read the same, and those each of which
        is the other's best, for at least half of its pieces."""
        words = self.words(source, 0), self.words(target, 1)
        if not (words[0] and words[1]):
            return []
        causes_TS = self.lexicon.causes(source, target)
        sums_TS = np.pad(causes_TS.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        (begin_s, end_s), (begin_t, end_t) = (np.array(side).T for side in words)
        shares_ts = (
            sums_TS[np.ix_(end_t, end_s)]
            - sums_TS[np.ix_(begin_t, end_s)]
            - sums_TS[np.ix_(end_t, begin_s)]
            + sums_TS[np.ix_(begin_t, begin_s)]
        ) / (end_t - begin_t)[:, None]
        for t, s in self._same(source, target, words):
            shares_ts[t, s] = 2.0
        best_t, best_s = shares_ts.argmax(axis=1), shares_ts.argmax(axis=0)
        caused_s = (shares_ts >= LEAST_LINK).sum(axis=0)  # by a compound several words, none of which it is
        return [
            Link(word, words[1][t])
            for s, (word, t) in enumerate(zip(words[0], best_s.tolist(), strict=True))
            if best_t[t] == s and caused_s[s] == 1
        ]

    def _same(self, source: Sequence[int], target: Sequence[int], words: Sequence[list[Span]]) -> list[tuple[int, int]]:
        """Words that read the same and stand once on each side: (target word, source word)."""
        texts = [
            [tokenizer.spelled(tokenizer.pieces(ids[word.begin : word.end])).lstrip(WORD_START) for word in found]
            for ids, tokenizer, found in zip(
                (source, target), (self.tokenizers.source, self.tokenizers.target), words, strict=True
            )
        ]
        counts = [Counter(side) for side in texts]
        both = (text for text, times in counts[0].items() if times == 1 == counts[1][text])
        return [(texts[1].index(text), texts[0].index(text)) for text in both]

    @cached_property
    def target_pieces(self) -> list[int]:
        """The pieces of the target language that have letters."""
        return [index for index, has_letters in enumerate(self._has_letters[1]) if has_letters]

    @cached_property
    def _has_letters(self) -> tuple[list[bool], list[bool]]:
        return _has_letters(self.tokenizers.source), _has_letters(self.tokenizers.target)


def _alone(ids: Sequence[int], case_marks: Sequence[int]) -> list[int]:
    """Each piece as a word, with the marks of case after it."""
    begins = (place == 0 or index not in case_marks for place, index in enumerate(ids))
    return [number - 1 for number in accumulate(begins)]


def _has_letters(tokenizer: Tokenizer) -> list[bool]:
    special = {0, 1, 2, 3, *tokenizer.tags.values()}
    pieces, marks = tokenizer.pieces(range(tokenizer.size)), {*tokenizer.case_marks}
    return [
        index not in special and (any(map(str.isalnum, piece)) or index in marks) for index, piece in enumerate(pieces)
    ]


def phrase(links: list[Link], first: int, length: int, *, tight: bool = False) -> Link | None:
    """The words from one link to another, if their translations stand together (the phrases of Och et al. 1999).

    tight: whether all that is between the links must be linked, too.
    """
    inside, outside = links[first : first + length], links[:first] + links[first + length :]
    target = Span(min(link.target.begin for link in inside), max(link.target.end for link in inside))
    if any(target.begin <= link.target.begin < target.end for link in outside):
        return None
    found = Link(Span(inside[0].source.begin, inside[-1].source.end), target)
    is_tight = _pieces(link.source for link in inside) == _pieces([found.source]) and (
        _pieces(link.target for link in inside) == _pieces([target])
    )
    return found if is_tight or not tight else None


def _pieces(spans: Iterable[Span]) -> int:
    return sum(span.end - span.begin for span in spans)


def some(draw: Callable[[list[Found]], Found | None], random: Random, another: float = _ANOTHER) -> list[Found]:
    """What a few trials find: nothing if all fail, and after each find a probability of another trial.

    draw: makes a trial, given what was found before.
    """
    found: list[Found] = []
    for _ in range(_TRIALS):
        if (one := draw(found)) is not None:
            found.append(one)
        if found and random.random() >= another:
            break
    return found

"""Marks in training: symbols that stand for protected spans on both sides of a pair, so that a model learns to carry
them.

Spans that both sides share, such as a placeholder, have marks in the prepared data. Besides, on a share of the pairs of
each epoch words that are translations of one another are replaced by a mark, or phrases put between two, as tags are
(as the modifier `Tags` of OpusTrainer does). Which, is a function of (seed, epoch, pair), the same whatever the number
of processes and wherever training was interrupted. Marks are numbered in the order of the source, from 1 in each pair.

By the same alignment, terms of the source are followed by what they are in the target (Dinu et al. 2019), so that the
model learns to translate by a glossary. What it could have guessed does not teach it to read that. So half of the terms
are followed by a word that does not exist, which then stands in the target, too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from random import Random
from typing import Literal, NamedTuple

import numpy as np

from s2s_cli.data.batches import Ids, Pairs
from s2s_cli.data.lexicon import Lexicon
from s2s_cli.data.sampling import SubwordSampling
from s2s_cli.data.shards import ParallelData
from s2s_cli.text.codes import Code, Part
from s2s_cli.text.protected import Finder
from s2s_cli.text.tokenizer import UNK, WORD_START, Tokenizer, TokenizerPair

LEAST_LINK = 0.5  # share of a target word that its source word must be the cause of
LONGEST_PHRASE = 4  # words between two marks
LONGEST_TERM = 2  # words
LEAST_TERM = 4  # characters
LONGEST_INVENTED = 3  # pieces
_REPLACED = 0.5  # share of marked places that are single words replaced by a mark
_ANOTHER = 0.5  # probability that one more place of a pair is marked
_TRIALS = 8  # of places in a pair
_INVENTED = 0.5  # share of terms whose translation is a word that does not exist


def shared_spans(source: str, target: str, finder: Finder, tokenizers: TokenizerPair) -> tuple[list[int], ...] | None:
    """Both sides of a pair as ids, with marks for the spans that stand on both; None if there are none."""
    sides = finder.parts(source), finder.parts(target)
    counts = [Counter(part.text for part in parts if isinstance(part, Code)) for parts in sides]
    common = counts[0] & counts[1]
    if not common:
        return None
    numbers: dict[str, list[int]] = defaultdict(list)
    for part in sides[0]:
        if (
            isinstance(part, Code)
            and common[part.text]
            and sum(map(len, numbers.values())) < len(tokenizers.source.marks)
        ):
            common[part.text] -= 1
            numbers[part.text].append(sum(map(len, numbers.values())))
    return tuple(
        tokenizer.encode_marked(list(_items(parts, tokenizer.marks, numbers)))
        for parts, tokenizer in zip(sides, (tokenizers.source, tokenizers.target), strict=True)
    )


def _items(parts: Sequence[Part], marks: Sequence[int], numbers: dict[str, list[int]]) -> Iterator[str | int]:
    """The parts with marks for those spans that have a number, of equal ones the first to the first."""
    left, text = {span: iter(each) for span, each in numbers.items()}, ""
    for part in parts:
        number = next(left.get(part.text, iter(())), None) if isinstance(part, Code) else None
        if number is None:
            text += part if isinstance(part, str) else part.text
        else:
            yield text
            yield marks[number]
            text = ""
    yield text


class Span(NamedTuple):
    """Places of pieces, from `begin` up to `end`."""

    begin: int
    end: int


class Place(NamedTuple):
    """What is marked on both sides. replaced: whether a mark replaces it, or two stand around it."""

    source: Span
    target: Span
    replaced: bool


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

    def links(self, source: Sequence[int], target: Sequence[int]) -> list[tuple[Span, Span]]:
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
        caused_s = (shares_ts >= LEAST_LINK).sum(
            axis=0
        )  # a compound is the cause of several words, none of which is it
        return [
            (word, words[1][t])
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
        source, target = self.tokenizers.source, self.tokenizers.target
        return _has_letters(source), _has_letters(target)


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


class Shares(NamedTuple):
    """Of the pairs: those that get marks, and those of which the source gets terms."""

    marks: float = 0.0
    terms: float = 0.0


@dataclass(frozen=True)
class Marking:
    """The marks and terms of each epoch."""

    aligner: Aligner
    shares: Shares
    seed: int

    def changed(
        self, source: Sequence[int], target: Sequence[int], random: Random
    ) -> tuple[list[int], list[int]] | None:
        """A pair with marks, or with terms; None if it stays as it is."""
        chance = random.random()
        if chance < self.shares.marks:
            return self.marked(source, target, random)
        return self.with_terms(source, target, random) if chance < sum(self.shares) else None

    def with_terms(
        self, source: Sequence[int], target: Sequence[int], random: Random
    ) -> tuple[list[int], list[int]] | None:
        """A pair with some words and phrases of the source followed by what they are in the target, which for some of
        them is an invented word."""
        tokenizers = self.aligner.tokenizers
        opening, giving, closing = tokenizers.source.term_tags or (0, 0, 0)
        links, places = self.aligner.links(source, target), list[Place]()
        for _ in range(_TRIALS if links else 0):
            place = _phrase(links, random.randrange(len(links)), random.randint(1, LONGEST_TERM), tight=True)
            if (
                place
                and self._tells(place, source, target)
                and all(_relation(place.source, other.source) == "apart" for other in places)
            ):
                places.append(place)
            if places and random.random() >= _ANOTHER:
                break
        if not places:
            return None
        inserted, replaced = dict[Span, list[int]](), dict[Span, list[int]]()
        for term, translation, _ in places:
            words = list(target[slice(*translation)])
            if random.random() < _INVENTED:
                words = self._invented(random)
            given = tokenizers.source.encode_inside(" " + tokenizers.target.decode(words))
            if UNK in (*given, *words):  # of another script: with a vocabulary of its own, the source cannot spell it
                continue
            inserted[term] = [opening, *source[slice(*term)], giving, *given, closing]
            replaced[translation] = words
        return (_with_spans(source, inserted), _with_spans(target, replaced)) if inserted else None

    def _invented(self, random: Random) -> list[int]:
        """A word of the target language that does not exist, of some pieces at random."""
        tokenizer, spaced = self.aligner.tokenizers.target, self.aligner.spaced[1]
        pieces = random.choices(self.aligner.target_pieces, k=random.randint(1, LONGEST_INVENTED))
        return tokenizer.encode_inside(" " * spaced + "".join(tokenizer.decode(pieces).split()))

    def _tells(self, place: Place, source: Sequence[int], target: Sequence[int]) -> bool:
        """Whether a term is worth telling: a word that does not read the same, and none of the short ones that every
        sentence has."""
        tokenizers = self.aligner.tokenizers
        term = tokenizers.source.decode(source[slice(*place.source)])
        return len(term) >= LEAST_TERM and term != tokenizers.target.decode(target[slice(*place.target)])

    def marked(
        self, source: Sequence[int], target: Sequence[int], random: Random
    ) -> tuple[list[int], list[int]] | None:
        """A pair with marks; None if nothing in it is known to correspond, or if it has marks already."""
        marks = self.aligner.tokenizers.source.marks, self.aligner.tokenizers.target.marks
        if not set(marks[0]).isdisjoint(source):
            return None
        places = self._places(self.aligner.links(source, target), len(marks[0]), random)
        if not places:
            return None
        numbers: dict[tuple[int, bool], int] = {}

        def laid(ids: Sequence[int], side: Literal[0, 1]) -> list[int]:
            return [
                ids[item] if isinstance(item, int) else marks[side][numbers.setdefault(item, len(numbers))]
                for item in _laid(places, side, len(ids))
            ]

        return laid(source, 0), laid(target, 1)

    def _places(self, links: list[tuple[Span, Span]], marks: int, random: Random) -> list[Place]:
        """Some words and phrases, on both sides either apart or one inside the other, for `marks` marks at most."""
        places: list[Place] = []
        for _ in range(_TRIALS if links else 0):
            first = random.randrange(len(links))
            replaced = random.random() < _REPLACED
            place = Place(*links[first], True) if replaced else _phrase(links, first, random.randint(1, LONGEST_PHRASE))
            room = marks - sum(2 - each.replaced for each in places) >= 2 - replaced
            if place and room and all(_agrees(place, other) for other in places):
                places.append(place)
            if places and random.random() >= _ANOTHER:
                break
        return places


def _phrase(links: list[tuple[Span, Span]], first: int, length: int, *, tight: bool = False) -> Place | None:
    """The words from one link to another, if their translations stand together (the phrases of Och et al. 1999).

    tight: whether all that is between the links must be linked, too.
    """
    inside, outside = links[first : first + length], links[:first] + links[first + length :]
    begin, end = min(target.begin for _, target in inside), max(target.end for _, target in inside)
    if any(begin <= target.begin < end for _, target in outside):
        return None
    place = Place(Span(inside[0][0].begin, inside[-1][0].end), Span(begin, end), False)
    is_tight = _pieces(link[0] for link in inside) == _pieces([place.source]) and (
        _pieces(link[1] for link in inside) == _pieces([place.target])
    )
    return place if is_tight or not tight else None


def _pieces(spans: Iterable[Span]) -> int:
    return sum(span.end - span.begin for span in spans)


def _agrees(one: Place, other: Place) -> bool:
    """Whether the places are apart on both sides, or one of them is inside the other, which is not replaced."""
    found = {_relation(one.source, other.source), _relation(one.target, other.target)}
    return (
        found == {"apart"} or (found == {"inside"} and not other.replaced) or (found == {"around"} and not one.replaced)
    )


def _relation(one: Span, other: Span) -> str:
    if one.end <= other.begin or other.end <= one.begin:
        return "apart"
    if one == other:
        return "same"
    if other.begin <= one.begin and one.end <= other.end:
        return "inside"
    return "around" if one.begin <= other.begin and other.end <= one.end else "crossing"


def _laid(places: Sequence[Place], side: Literal[0, 1], length: int) -> Iterator[int | tuple[int, bool]]:
    """A side as the places of its pieces, and marks: the number of a place, and whether its end is marked."""
    spans = [(place.source, place.target)[side] for place in places]
    opening, closing = defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for number in sorted(range(len(spans)), key=lambda number: (-spans[number].end, places[number].replaced)):
        opening[spans[number].begin].append(number)  # the outer one first
    for number in sorted(range(len(spans)), key=lambda number: -spans[number].begin):
        closing[spans[number].end] += [] if places[number].replaced else [number]  # the inner one first
    hidden = {place for number, each in enumerate(spans) if places[number].replaced for place in range(*each)}
    for place in range(length + 1):
        yield from ((number, True) for number in closing[place])
        yield from ((number, False) for number in opening[place])
        if place < length and place not in hidden:
            yield place


def _with_spans(ids: Sequence[int], others: Mapping[Span, list[int]]) -> list[int]:
    """The ids with other ones in place of some spans, none of which overlap."""
    result, cursor = list[int](), 0
    for span in sorted(others):
        result += [*ids[cursor : span.begin], *others[span]]
        cursor = span.end
    return [*result, *ids[cursor:]]


@dataclass(frozen=True)
class MarkedSampling:
    """The pairs of each epoch: some with marks, the others as `sampling` has them."""

    sampling: SubwordSampling
    marking: Marking

    def pairs(self, data: ParallelData, epoch: int) -> Pairs:
        """The data, as it is marked and segmented in this epoch."""
        return MarkedPairs(self.sampling.pairs(data, epoch), data, self.marking, epoch)


@dataclass(frozen=True)
class MarkedPairs:
    """Pairs, some of which are marked. plain: what the others are; data: what marks are put into."""

    plain: Pairs
    data: ParallelData
    marking: Marking
    epoch: int

    def pair(self, index: int) -> tuple[Ids, Ids]:
        return self.marked(index) or self.plain.pair(index)

    def marked(self, index: int) -> tuple[list[int], list[int]] | None:
        """Both sides of a pair with marks or terms; None if it has none in this epoch."""
        key = f"{self.marking.seed} {self.epoch} marks {index}".encode()
        random = Random(int.from_bytes(blake2b(key, digest_size=8).digest(), "little"))
        source, target = self.data.pair(index)
        return self.marking.changed(source.tolist(), target.tolist(), random)

"""Marks in training stand for the same on both sides, and are a pure function of seed, epoch and pair."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from s2s_cli.data.alignment import Aligner, Link, Span
from s2s_cli.data.epochs import ChangedPairs, SampledPairs, Shares
from s2s_cli.data.lexicon import Lexicon
from s2s_cli.data.marking import shared_spans, with_marks
from s2s_cli.data.shards import ParallelData
from s2s_cli.data.terms import _tells, with_terms
from s2s_cli.text.protected import Finder
from s2s_cli.text.segmentation import SEGMENTERS
from s2s_cli.text.sentencepieces import train_sentencepiece
from s2s_cli.text.tokenizer import TERM_TAGS, UNK, TokenizerPair, mark_name

WORDS = dict(zip("rot grün blau gelb weiß grau".split(), "red green blue yellow white grey".split(), strict=True))
DRAW = Random(7)
CHOSEN = [DRAW.sample(sorted(WORDS), 4) for _ in range(80)]
SOURCE = [f"{a} und {b}, {c} ({d}) {number}." for number, (a, b, c, d) in enumerate(CHOSEN)]
TARGET = [f"{WORDS[b]} and {WORDS[a]}, {WORDS[c]} ({WORDS[d]}) {number}." for number, (a, b, c, d) in enumerate(CHOSEN)]
MARKS = [mark_name(number) for number in range(1, 5)]
TOKENIZERS = TokenizerPair(
    *(
        train_sentencepiece(lines, model="unigram", vocabulary=70, character_coverage=1.0, tags=tags)
        for lines, tags in (([*SOURCE, *TARGET], [*MARKS, *TERM_TAGS]), (TARGET, MARKS))
    )
)


@pytest.fixture(scope="module")
def data(tools, tmp_path_factory: pytest.TempPathFactory) -> ParallelData:
    return encoded(tools, tmp_path_factory.mktemp("data"), TOKENIZERS)


def encoded(tools, directory: Path, tokenizers: TokenizerPair) -> ParallelData:
    source, target = tokenizers.source, tokenizers.target
    sides = {"source": (source.encode(SOURCE), source.size), "target": (target.encode(TARGET), target.size)}
    return tools.write_pairs(directory, **sides)


@pytest.fixture(scope="module")
def aligner(data: ParallelData) -> Aligner:
    return Aligner(TOKENIZERS, Lexicon.of(data, TOKENIZERS.target.size), (True, True))


HALF = Shares(marks=0.5)


def changed(
    data: ParallelData, aligner: Aligner, epoch: int = 0, *, shares: Shares = HALF, seed: int = 1, alpha: float = 0.0
) -> ChangedPairs:
    segmenter = SEGMENTERS["unigram"](TOKENIZERS.source, alpha) if alpha else None
    return ChangedPairs(SampledPairs(data, segmenter, None, seed, epoch), data, aligner, shares, seed, epoch)


def numbers(ids: Sequence[int], marks: list[int]) -> list[int]:
    return [marks.index(index) for index in ids if index in marks]


def without(ids: Sequence[int], marks: list[int]) -> list[int]:
    return [index for index in ids if index not in marks]


def test_links_are_between_translations(data: ParallelData, aligner: Aligner):
    both = WORDS | {"und": "and"}
    right = wrong = 0
    for index in range(len(data)):
        source, target = (side.tolist() for side in data.pair(index))
        for one, other in aligner.links(source, target):
            words = TOKENIZERS.source.decode(source[slice(*one)]), TOKENIZERS.target.decode(target[slice(*other)])
            right, wrong = (right + 1, wrong) if both.get(words[0], words[0]) == words[1] else (right, wrong + 1)
    assert right > 4 * len(data)  # of six words a pair
    assert wrong <= right / 25


def test_marks_stand_for_the_same_on_both_sides(data: ParallelData, aligner: Aligner):
    pairs = changed(data, aligner)
    source_marks, target_marks = TOKENIZERS.source.marks, TOKENIZERS.target.marks
    marked = 0
    for index in range(len(data)):
        source, target = map(list, pairs.pair(index))
        found = numbers(source, source_marks)
        assert found == list(range(len(found)))  # in the order of the source
        assert sorted(numbers(target, target_marks)) == found
        assert len(found) <= len(MARKS)
        marked += bool(found)
        for ids, marks, plain in zip((source, target), (source_marks, target_marks), data.pair(index), strict=True):
            rest = iter(plain.tolist())
            assert all(piece in rest for piece in without(ids, marks))  # nothing else is new, or in another order
    assert 0.3 * len(data) < marked <= 0.7 * len(data)


def test_a_word_or_phrase_is_marked_with_its_translation(data: ParallelData, aligner: Aligner):
    """What is between two marks of the source is translated between the same of the target, and by nothing else."""
    both = WORDS | {"und": "and"}
    checked = 0
    for index in range(len(data)):
        for seed in range(5):
            found = with_marks(aligner, *(side.tolist() for side in data.pair(index)), Random(seed))
            if found is None or len(numbers(found[0], TOKENIZERS.source.marks)) != 2:
                continue
            inside = []
            for ids, tokenizer in zip(found, (TOKENIZERS.source, TOKENIZERS.target), strict=True):
                first, last = sorted(ids.index(tokenizer.marks[number]) for number in (0, 1))
                inside.append(set(re.findall(r"\w+", tokenizer.decode(ids[first:last]))))
            source, target = inside
            if len(without(found[0], TOKENIZERS.source.marks)) == len(data.pair(index)[0]):  # two around a phrase
                checked += 1
                assert {both.get(word, word) for word in source} == target
    assert checked > 20


def test_what_is_marked_depends_on_seed_epoch_and_pair_alone(data: ParallelData, aligner: Aligner):
    def all_of(pairs, order) -> dict[int, tuple[list[int], list[int]]]:
        return {index: tuple(map(list, pairs.pair(index))) for index in order}

    forward, backward = range(len(data)), range(len(data))[::-1]
    first = all_of(changed(data, aligner), forward)
    assert all_of(changed(data, aligner), backward) == first
    assert all_of(changed(data, aligner, 1), forward) != first
    assert all_of(changed(data, aligner, seed=2), forward) != first


def test_pairs_without_marks_are_segmented_as_ever(data: ParallelData, aligner: Aligner):
    pairs = changed(data, aligner, 3, alpha=0.2)
    unmarked = [index for index in range(len(data)) if pairs.changed(index) is None]
    assert len(unmarked) > 20
    assert all(list(pairs.pair(index)[0]) == list(pairs.plain.pair(index)[0]) for index in unmarked)


def test_spans_of_both_sides_get_the_same_marks():
    found = shared_spans("rot %s <b>und</b> %s {x}", "{y} %s and <b>red</b> %s", Finder(), TOKENIZERS)
    assert found is not None
    source, target = found
    assert numbers(source, TOKENIZERS.source.marks) == [0, 1, 2, 3]
    assert numbers(target, TOKENIZERS.target.marks) == [0, 1, 2, 3]
    assert TOKENIZERS.target.decode(target).endswith("and red")
    assert shared_spans("rot %s", "red %d", Finder(), TOKENIZERS) is None


def test_terms_are_followed_by_what_they_are_in_the_target(data: ParallelData, aligner: Aligner):
    """Half of them by what they were, the other half by a word of random pieces that has come into the target."""
    both = WORDS | {"und": "and"}
    opening, giving, closing = TOKENIZERS.source.term_tags or (0, 0, 0)
    glossed = real = invented = 0
    for index in range(len(data)):
        plain = [side.tolist() for side in data.pair(index)]
        found = with_terms(aligner, *plain, Random(index))
        if found is None:
            continue
        glossed += 1
        source, target = found
        told = re.findall(r"\w+", TOKENIZERS.target.decode(target))
        places, _ = TOKENIZERS.source.text_pieces(source)
        are_real = []
        while opening in source:
            first, middle, last = (source.index(tag) for tag in (opening, giving, closing))
            term, given = (
                re.findall(r"\w+", TOKENIZERS.source.decode(source[slice(*each)]))
                for each in ((first, middle), (middle, last))
            )
            assert {*given} <= {*told}
            are_real.append({both.get(word, word) for word in term} == {*given})
            source = [*source[:first], *source[first + 1 : middle], *source[last + 1 :]]
        assert source == plain[0]
        assert len(places) < len(found[0])
        assert all(are_real) == (target == plain[1])
        real, invented = real + sum(are_real), invented + len(are_real) - sum(are_real)
    assert glossed > 0.8 * len(data)
    assert 0.3 < invented / (real + invented) < 0.7


def test_terms_that_the_source_side_cannot_spell_are_left_out(tools, tmp_path: Path):
    tags = [*MARKS, *TERM_TAGS]
    german = train_sentencepiece(SOURCE, model="unigram", vocabulary=60, character_coverage=1.0, tags=tags)
    tokenizers = TokenizerPair(german, TOKENIZERS.target)  # without the letters of "grey", "yellow" and "white"
    data = encoded(tools, tmp_path, tokenizers)
    aligner = Aligner(tokenizers, Lexicon.of(data, tokenizers.target.size), (True, True))
    told = set()
    for index in range(len(data)):
        source, target = (side.tolist() for side in data.pair(index))
        found, _ = with_terms(aligner, source, target, Random(index)) or (source, target)
        assert UNK not in found
        told |= set(re.findall(r"[a-z]+", german.decode(found))) & set(WORDS.values())
    assert {"green", "blue"} <= told  # "rot" is too short to be told, but an invented word may be "red"
    assert not told & {"grey", "yellow", "white"}


def test_terms_of_scripts_without_spaces_may_be_short(tools, tmp_path: Path):
    """There a word has few characters, and four would be a clause."""
    aligner = Aligner(
        TOKENIZERS, Lexicon.of(encoded(tools, tmp_path, TOKENIZERS), TOKENIZERS.target.size), (False, True)
    )
    rot, red = TOKENIZERS.source.encode(["rot"])[0], TOKENIZERS.target.encode(["red"])[0]
    link = Link(Span(0, len(rot)), Span(0, len(red)))
    assert [_tells(replace(aligner, spaced=(spaced, True)), link, rot, red) for spaced in (False, True)] == [
        True,
        False,
    ]


def test_terms_have_their_own_share(data: ParallelData, aligner: Aligner):
    pairs = changed(data, aligner, shares=Shares(0.2, 0.3))
    opening = (TOKENIZERS.source.term_tags or (0,))[0]
    sides = [list(pairs.pair(index)[0]) for index in range(len(data))]
    assert 0.15 * len(data) < sum(opening in ids for ids in sides) < 0.45 * len(data)
    assert not any(opening in ids and set(ids) & set(TOKENIZERS.source.marks) for ids in sides)


def test_what_has_marks_gets_no_more(aligner: Aligner):
    source, target = shared_spans("rot und %s", "red and %s", Finder(), TOKENIZERS) or ([], [])
    assert all(with_marks(aligner, source, target, Random(seed)) is None for seed in range(20))


@pytest.mark.parametrize("spaced", [True, False])
def test_a_mark_of_case_belongs_to_its_word(tools, tmp_path: Path, spaced: bool):
    """And words that read the same do so whichever side has markup."""
    lines = [line.title().replace("Und", "und") + " NATO" for line in SOURCE]
    source, target = (
        train_sentencepiece(lines, model="bpe", vocabulary=size, character_coverage=1.0, tags=MARKS, case_markup=case)
        for size, case in ((45, True), (70, False))
    )
    sides = {"source": (source.encode(lines), source.size), "target": (target.encode(lines), target.size)}
    data = tools.write_pairs(tmp_path, **sides)
    aligner = Aligner(TokenizerPair(source, target), Lexicon.of(data, target.size), (spaced, spaced))
    alone = 0
    for index in range(20):
        ids, others = (side.tolist() for side in data.pair(index))
        words = [source.decode(ids[slice(*word)]) for word in aligner.words(ids, 0)]
        assert "".join(words).lower() == "".join(re.findall(r"\w+", lines[index].lower()))
        assert sum(map(str.isupper, "".join(words))) >= 3
        if spaced:
            assert words == re.findall(r"\w+", lines[index])
            links = aligner.links(ids, others)
            assert {source.decode(ids[slice(*one)]) for one, _ in links} >= {"NATO", words[0]}
            assert all(source.decode(ids[slice(*one)]) == target.decode(others[slice(*other)]) for one, other in links)
        alone += sum(place in source.case_marks for place in ids)
    assert alone > 20  # marks that are pieces by themselves

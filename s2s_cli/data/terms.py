"""Terms in training: words of the source followed by what they are in the target, so that a model learns to translate
by a glossary (Dinu et al. 2019).

What it could have guessed does not teach it to read that. So half of the terms are followed by a word that does not
exist, which then stands in the target, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from s2s_cli.data.alignment import Aligner, Link, Sides, Span, phrase, some
from s2s_cli.text.tokenizer import UNK

LONGEST_TERM = 2  # words
LEAST_TERM, LEAST_UNSPACED = 4, 2  # characters, where words have spaces between them and where not
LONGEST_INVENTED = 3  # pieces
_ANOTHER = 0.75  # probability of another trial after each term: a glossary may hold every noun of a sentence
_INVENTED = 0.5  # share of terms whose translation is a word that does not exist


def with_terms(aligner: Aligner, source: Sequence[int], target: Sequence[int], random: Random) -> Sides | None:
    """A pair with some words and phrases of the source followed by what they are in the target, which for some of them
    is an invented word; None if it has nothing that is worth telling."""
    tokenizers, links = aligner.tokenizers, aligner.links(source, target)
    opening, giving, closing = tokenizers.source.term_tags or (0, 0, 0)

    def draw(found: list[Link]) -> Link | None:
        term = phrase(links, random.randrange(len(links)), random.randint(1, LONGEST_TERM), tight=True)
        is_new = term and all(term.source.is_apart(other.source) for other in found)
        return term if term and is_new and _tells(aligner, term, source, target) else None

    inserted, replaced = dict[Span, list[int]](), dict[Span, list[int]]()
    for term, translation in some(draw, random, _ANOTHER) if links else ():
        words = list(target[slice(*translation)])
        if random.random() < _INVENTED:
            words = _invented(aligner, random)
        given = tokenizers.source.encode_inside(" " + tokenizers.target.decode(words))
        if UNK in (*given, *words):  # of another script: with a vocabulary of its own, the source cannot spell it
            continue
        inserted[term] = [opening, *source[slice(*term)], giving, *given, closing]
        replaced[translation] = words
    return (_with_spans(source, inserted), _with_spans(target, replaced)) if inserted else None


def _invented(aligner: Aligner, random: Random) -> list[int]:
    """A word of the target language that does not exist, of some pieces at random."""
    tokenizer, spaced = aligner.tokenizers.target, aligner.spaced[1]
    pieces = random.choices(aligner.target_pieces, k=random.randint(1, LONGEST_INVENTED))
    return tokenizer.encode_inside(" " * spaced + "".join(tokenizer.decode(pieces).split()))


def _tells(aligner: Aligner, term: Link, source: Sequence[int], target: Sequence[int]) -> bool:
    """Whether a term is worth telling: a word that does not read the same, and none of the short ones that every
    sentence has."""
    text = aligner.tokenizers.source.decode(source[slice(*term.source)])
    least = LEAST_TERM if aligner.spaced[0] else LEAST_UNSPACED
    return len(text) >= least and text != aligner.tokenizers.target.decode(target[slice(*term.target)])


def _with_spans(ids: Sequence[int], others: Mapping[Span, list[int]]) -> list[int]:
    """The ids with other ones in place of some spans, none of which overlap."""
    result, cursor = list[int](), 0
    for span in sorted(others):
        result += [*ids[cursor : span.begin], *others[span]]
        cursor = span.end
    return [*result, *ids[cursor:]]

"""How well a translation keeps to a glossary: term success and consistency, as in the terminology tasks of WMT (Semenov
et al. 2023, "Findings of the WMT 2023 Shared Task on Machine Translation with Terminologies"; the same of 2025).

Both count occurrences of terms in the sources. An occurrence is translated if one of its term's translations stands in
the translation of the sentence, as whole words, once for each occurrence of any term. How the term may differ from the
source, its translations may differ from the translation. No lemmas are compared: inflected forms are lines of the
glossary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from s2s_cli import __version__
from s2s_cli.errors import DataError
from s2s_cli.evaluation.metrics import Score
from s2s_cli.text.glossary import Glossary, Row, Term

MISSING = ""
"""Stands for the translation of an occurrence that was not found."""


def terminology(glossary: Glossary, sources: Sequence[str], hypotheses: Sequence[str]) -> list[Score]:
    """Success: the share of the occurrences that are translated. Consistency: of terms that occur twice or more, the
    share of the occurrences with that translation which is the most frequent one of the term in these hypotheses; what
    was not found counts as another translation. Consistency is left out if no term occurs twice.

    Raises DataError if sources and hypotheses differ in number, or no term occurs.
    """
    if len(sources) != len(hypotheses):
        what = f"sources and hypotheses differ in length: {len(sources)} and {len(hypotheses)} lines"
        raise DataError(what, hint="each hypothesis needs its source in the same line")
    require_terms(glossary, sources)
    uses = translations_of_terms(glossary, sources, hypotheses)
    occurrences = sum(counts.total() for counts in uses.values())
    found = occurrences - sum(counts[MISSING] for counts in uses.values())
    signature = f"match:{'+'.join(['words', *glossary.match])}|version:s2s-{__version__}"
    details = f"terms = {len(uses)} occurrences = {occurrences} translated = {found}"
    scores = [Score("term success", 100 * found / occurrences, signature, details)]
    repeated = [counts for counts in uses.values() if counts.total() > 1]
    if repeated:
        total = sum(counts.total() for counts in repeated)
        same = sum(_most_frequent(counts) for counts in repeated)
        details = f"terms = {len(repeated)} occurrences = {total} consistent = {same}"
        scores.append(Score("term consistency", 100 * same / total, signature, details))
    return scores


def require_terms(glossary: Glossary, sources: Sequence[str], where: str | None = None) -> None:
    """Raises DataError if no term occurs. where: where the sources come from."""
    if not any(map(glossary.find, sources)):
        raise DataError(
            "no term of the glossary stands in the sources",
            where=where,
            hint="is it of these languages? --glossary-match any-case,inflected finds more",
        )


def translations_of_terms(
    glossary: Glossary, sources: Sequence[str], hypotheses: Sequence[str]
) -> Mapping[str, Counter[str]]:
    """For each term that occurs, how often it was translated by which of its translations, or by none (`MISSING`).

    What stands in a hypothesis is the translation of one occurrence, so that of as many as possible is found. The only
    `hard disk` is no `disk`, if both are terms of the sentence.
    """
    variants: dict[frozenset[Term], Glossary] = {}
    uses: dict[str, Counter[str]] = {}
    for source, hypothesis in zip(sources, hypotheses, strict=True):
        terms = [occurrence.term for occurrence in glossary.find(source)]
        if (key := frozenset(terms)) not in variants:
            rows = (Row(target, target, tuple(term.match)) for term in dict.fromkeys(terms) for target in term.targets)
            variants[key] = Glossary(rows)
        there = [found.term.source for found in variants[key].find(hypothesis)]
        for term, translation in zip(terms, _shared_out(there, terms), strict=True):
            uses.setdefault(term.source, Counter())[translation] += 1
    return uses


def _shared_out(there: Sequence[str], terms: Sequence[Term]) -> list[str]:
    """For each term one of the translations that are there, or MISSING: a greatest matching, by augmenting paths. The
    first one that fits is taken."""
    owners: dict[int, int] = {}  # place of a translation, and of its term

    def finds(number: int, tried: set[int]) -> bool:
        for place, translation in enumerate(there):
            if translation in terms[number].targets and place not in tried:
                tried.add(place)
                if place not in owners or finds(owners[place], tried):
                    owners[place] = number
                    return True
        return False

    for number in range(len(terms)):
        finds(number, set())
    found = {number: there[place] for place, number in owners.items()}
    return [found.get(number, MISSING) for number in range(len(terms))]


def _most_frequent(counts: Counter[str]) -> int:
    return max((count for translation, count in counts.items() if translation != MISSING), default=0)

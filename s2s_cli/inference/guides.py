"""From demands on a translation, which are text, to what search knows of them, which are symbols."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from s2s_cli.inference.avoided import AvoidedStates, Characters
from s2s_cli.inference.demands import Demand
from s2s_cli.inference.prefixes import Prefixes
from s2s_cli.inference.vocabulary import Vocabulary
from s2s_cli.search.guidance import Avoided, Guide
from s2s_cli.search.phrases import Phrase

CACHED = 64  # lists of phrases to avoid, which many lines may share


class Wanted(NamedTuple):
    """A demand in symbols. room: by how many the length limit is raised for the prefix."""

    guide: Guide
    phrases: list[Phrase]
    room: int


@dataclass(frozen=True)
class Guides:
    """Makes them for a vocabulary."""

    vocabulary: Vocabulary

    def wanted(self, demand: Demand | None) -> Wanted:
        """Of a demand that was checked."""
        if demand is None:
            return Wanted(Guide(), [], 0)
        opening = self._prefixes.opening(demand.prefix) if demand.prefix else None
        avoided = self._avoided(tuple(dict.fromkeys(demand.avoid))) if demand.avoid else None
        counts = Counter(map(self.vocabulary.phrase, demand.constraints))
        phrases = [Phrase(ids, times, is_word) for (ids, is_word), times in counts.items()]
        return Wanted(Guide(opening, avoided), phrases, 0 if opening is None else opening.longest)

    @cached_property
    def _prefixes(self) -> Prefixes:
        return Prefixes(self.vocabulary)

    @cached_property
    def _avoided(self) -> Callable[[tuple[str, ...]], Avoided]:
        characters = Characters(self.vocabulary)

        @lru_cache(CACHED)
        def avoided(phrases: tuple[str, ...]) -> Avoided:
            return AvoidedStates(phrases, characters).avoided()

        return avoided

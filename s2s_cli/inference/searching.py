"""Search, the second stage of translation: hypotheses for the parts of a batch, by whichever search its options say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from s2s_cli.data.batches import padded
from s2s_cli.inference.dividing import Part
from s2s_cli.search.beam import beam_search
from s2s_cli.search.greedy import greedy_search
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import StepModel
from s2s_cli.text.hygiene import one_line
from s2s_cli.text.tokenizer import Tokenizer

# What few translations need is imported where it is needed.
if TYPE_CHECKING:
    from s2s_cli.inference.guides import Guides
    from s2s_cli.search.phrases import Phrase
    from s2s_cli.search.sampling import Place


class Job(NamedTuple):
    """Parts of lines, the options of their search, and their places in the input."""

    parts: Sequence[Part]
    options: SearchOptions
    places: Sequence[Place] | None


@dataclass
class Searcher:
    """Searches with one model. language: code of the target language."""

    model: StepModel
    target: Tokenizer
    language: str

    def search(self, job: Job) -> list[list[Hypothesis]]:
        """The hypotheses for each part, best first."""
        options = job.options
        found = self._found(job._replace(options=options.of_candidates()))
        if options.risk is None:
            return found
        from s2s_cli.inference.minimum_risk import least_risk
        from s2s_cli.text.similarity import build_utility

        decode, utility = self.target.decode, build_utility(options.risk.utility, self.language)
        texts = [[one_line(decode(each.ids)) for each in candidates] for candidates in found]
        is_drawn = options.sampling is not None
        return [least_risk(*pair, utility, options.n_best, drawn=is_drawn) for pair in zip(found, texts, strict=True)]

    def again(self, part: Part, found: Sequence[Hypothesis], options: SearchOptions) -> Part | None:
        """What to search for a second time: a part that lacks a phrase that is then to be demanded, if one of the
        hypotheses lacks it and the search can see to it."""
        if part.again is None:
            return None
        from s2s_cli.inference.demands import fault_of_constraints

        texts = [one_line(self.target.decode(each.ids)) for each in found]
        times, wanted = self.guides.vocabulary.times, Counter(part.again.constraints)
        has_all = all(times(phrase, text) >= count for phrase, count in wanted.items() for text in texts)
        return None if has_all or fault_of_constraints(options) else part._replace(demand=part.again, again=None)

    def _found(self, job: Job) -> list[list[Hypothesis]]:
        parts, options, places = job
        batch = padded([part.ids for part in parts])
        model, room_B, phrases = self._led(parts)
        if any(phrases):
            from s2s_cli.search.constrained import constrained_beam_search

            vocabulary = self.guides.vocabulary
            return constrained_beam_search(
                model, *batch, options, phrases, vocabulary.goes_on_V, vocabulary.silent_V, room_B
            )
        if options.sampling:
            from s2s_cli.search.sampling import sample

            return sample(model, *batch, options, places, room_B)
        if options.groups > 1:
            from s2s_cli.search.diverse import diverse_beam_search

            return diverse_beam_search(model, *batch, options, room_B)
        return (greedy_search if options.beam == 1 else beam_search)(model, *batch, options, room_B)

    def _led(self, parts: Sequence[Part]) -> tuple[StepModel, np.ndarray, list[list[Phrase]]]:
        """The model, as what is demanded and told of these parts leads it; by how much that raises the limits of their
        lengths; and the phrases that they must have."""
        if not any(part.demand is not None or part.told for part in parts):
            return self.model, np.zeros(len(parts), np.int64), []
        from s2s_cli.search.guidance import Admitting, Guide, Guided

        guides, phrases, room = zip(*(self.guides.wanted(part.demand) for part in parts), strict=True)
        demanded = [[index for phrase in own for index in phrase.ids] for own in phrases]
        model: StepModel = Admitting(self.model, [[*a.told, *b] for a, b in zip(parts, demanded, strict=True)])
        if any(guide != Guide() for guide in guides):
            model = Guided(model, guides)
        return model, np.array(room), list(phrases)

    def force(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        """log p(target | source) of each pair."""
        from s2s_cli.search.scoring import forced_log_probs

        source = padded([source for source, _ in pairs])
        target_BT, _ = padded([target for _, target in pairs])
        return forced_log_probs(self.model, *source, target_BT).tolist()

    @cached_property
    def guides(self) -> Guides:
        """What makes symbols of demands."""
        from s2s_cli.inference.guides import Guides
        from s2s_cli.inference.vocabulary import Vocabulary

        return Guides(Vocabulary(self.target, self.language))


def token_batches(lengths: Sequence[int], tokens: int, sentences: int) -> Iterator[list[int]]:
    """The indices of each batch, longest first, so that sources of similar length share a batch.

    tokens: most tokens of a batch, padding included; a longer source forms a batch of its own. sentences: most sources
    of a batch. Sources of length 0 are in no batch.
    """
    order = sorted((index for index, length in enumerate(lengths) if length), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        size = max(1, min(sentences, tokens // longest))
        yield order[start : start + size]
        start += size

"""Scoring a model: translate a test set, compare with its references."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from s2s_cli import __version__
from s2s_cli.errors import DataError
from s2s_cli.evaluation.metrics import Score, build_metric, checked_lines, score
from s2s_cli.evaluation.terminology import require_terms, terminology
from s2s_cli.text.glossary import Glossary

if TYPE_CHECKING:
    from s2s_cli.inference.translation import Scored
    from s2s_cli.search.options import SearchOptions


class HasText(Protocol):
    @property
    def text(self) -> str: ...


class Translates(Protocol):
    """What is needed of a `Translator`."""

    def translate(self, lines: Sequence[str], options: SearchOptions | None = None) -> Sequence[HasText]:
        """One translation for each line, in order."""
        ...

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> Sequence[Scored]:
        """How probable each target is, given the source in its place."""
        ...


MOST_NATS = 700.0  # whose exponential a float still holds


PERPLEXITY = "perplexity"
"""The metric that is not one of texts, hence not in `METRICS`: it needs a model, and no translations."""


def evaluate_model(
    translator: Translates,
    sources: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str],
    language: str,
    options: SearchOptions | None = None,
    glossary: Glossary | None = None,
) -> list[Score]:
    """Translate the sources and score them as `metrics.score` does, and by a glossary if there is one. What is wrong is
    told before the translating."""
    of_texts = [name for name in metrics if name != PERPLEXITY]
    for name in of_texts:
        build_metric(name, language)
    checked_lines(sources, references)
    scores: dict[str, Score] = {}
    of_terms: list[Score] = []
    if glossary:
        require_terms(glossary, sources)
    if of_texts or glossary:
        texts = [translation.text for translation in translator.translate(sources, options)]
        of_terms = terminology(glossary, sources, texts) if glossary else []
        scores = dict(zip(of_texts, score(texts, references, of_texts, language), strict=True)) if of_texts else {}
    if PERPLEXITY in metrics:
        scores[PERPLEXITY] = perplexity(translator, sources, references)
    return [*(scores[name] for name in metrics), *of_terms]


def perplexity(translator: Translates, sources: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """exp of the mean of −log p of a token of the references, each given its source; with several sets, of all.

    A token is a piece of the model's target tokenizer or the end of the sentence, so that only models with the same
    tokenizer compare. A pair whose source is blank has none.
    """
    scored = [each for lines in references for each in translator.score(sources, lines)]
    log_prob, tokens = sum(each.log_prob or 0.0 for each in scored), sum(each.tokens for each in scored)
    if not tokens:
        raise DataError("there is no perplexity: all sources are blank")
    value = math.exp(min(-log_prob / tokens, MOST_NATS))
    signature = f"nrefs:{len(references)}|unit:piece|eos:yes|version:s2s-{__version__}"
    return Score(PERPLEXITY, value, signature, f"tokens = {tokens}")

"""Scoring a model: translate a test set, compare with its references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from s2s_cli.evaluation.metrics import Score, build_metric, checked_lines, score

if TYPE_CHECKING:
    from s2s_cli.search.options import SearchOptions


class HasText(Protocol):
    @property
    def text(self) -> str: ...


class Translates(Protocol):
    """What is needed of a `Translator`."""

    def translate(self, lines: Sequence[str], options: SearchOptions | None = None) -> Sequence[HasText]:
        """One translation for each line, in order."""
        ...


def evaluate_model(
    translator: Translates,
    sources: Sequence[str],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str],
    language: str,
    options: SearchOptions | None = None,
) -> list[Score]:
    """Translate the sources and score them as `metrics.score` does. What is wrong is told before the translating."""
    for name in metrics:
        build_metric(name, language)
    checked_lines(sources, references)
    translations = translator.translate(sources, options)
    return score([translation.text for translation in translations], references, metrics, language)

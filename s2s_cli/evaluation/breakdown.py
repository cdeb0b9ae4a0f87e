"""Scores of parts of a test set: by the length of the source, with the confidence that so few sentences allow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2s_cli.errors import DataError
from s2s_cli.evaluation.metrics import build_metric, checked_lines

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric


@dataclass(frozen=True)
class Bucket:
    """The sentences with a length from `shortest` to `longest` (both included)."""

    shortest: int
    longest: int
    sentences: int
    value: float
    """Score of these sentences."""
    mean: float
    """Mean over resamples of them."""
    margin: float
    """Half the width of the 95 % interval around the mean."""
    signature: str


def score_by_length(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    lengths: Sequence[int],
    *,
    edges: Sequence[int],
    metric: str,
    language: str,
    resamples: int = 1000,
) -> list[Bucket]:
    """One bucket for lengths up to each edge, and one beyond the last; empty ones are left out.

    lengths: of the sources, in whatever unit the edges have. The interval is sacreBLEU's bootstrap (Koehn 2004).
    """
    lines, reference_lines = checked_lines(hypotheses, references)
    if len(lengths) != len(lines):
        raise DataError(f"lengths and hypotheses differ in number: {len(lengths)} and {len(lines)}")
    limits = [*sorted(edges), max(lengths)]
    buckets, shortest = [], min(0, *lengths)
    for longest in limits:
        places = [place for place, length in enumerate(lengths) if shortest <= length <= longest]
        if places:
            part, *reference_parts = ([side[place] for place in places] for side in [lines, *reference_lines])
            interval = _interval(build_metric(metric, language), part, reference_parts, resamples)
            buckets.append(Bucket(shortest, longest, len(places), *interval))
        shortest = longest + 1
    return buckets


def _interval(
    metric: Metric, hypotheses: list[str], references: list[list[str]], resamples: int
) -> tuple[float, float, float, str]:
    """Score, mean of the resamples, half the width of their interval, signature."""
    result = metric.corpus_score(hypotheses, references, n_bootstrap=resamples)
    signature = str(metric.get_signature())
    fields = json.loads(result.format(width=10, signature=signature, is_json=True))
    return result.score, fields.get("confidence_mean", 0.0), fields.get("confidence_var", 0.0), signature

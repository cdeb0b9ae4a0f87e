"""Scores as a person and as a program read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from s2s_cli.evaluation.metrics import Score


@dataclass(frozen=True)
class TestResult:
    """What was scored, and how well it did."""

    __test__ = False  # pytest: this is no test class

    name: str
    """The test set, or the file of hypotheses."""
    sentences: int
    scores: Sequence[Score]


def as_text(results: Sequence[TestResult]) -> str:
    """One line a score, with its signature: `test  BLEU  38.65  nrefs:1|case:mixed|...`."""
    rows = [
        (result.name, score.name, f"{score.value:.2f}", f"{score.signature}  {score.details}".rstrip())
        for result in results
        for score in result.scores
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {metric:<{widths[1]}}  {value:>{widths[2]}}  {signature}"
        for name, metric, value, signature in rows
    )


def as_json(results: Sequence[TestResult]) -> str:
    """A list with one object a score; the keys of a score are those of `Score`, values in full."""
    records = [
        {"test": result.name, "sentences": result.sentences} | asdict(score)
        for result in results
        for score in result.scores
    ]
    return json.dumps(records, ensure_ascii=False, indent=2)

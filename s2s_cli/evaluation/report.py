"""Scores as a person and as a program read them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from s2s_cli.evaluation.metrics import Score
from s2s_cli.evaluation.significance import Comparison


@dataclass(frozen=True)
class TestResult:
    """What was scored, and how well it did."""

    __test__ = False  # pytest: this is no test class

    name: str
    """The test set, or the file of hypotheses."""
    sentences: int
    scores: Sequence[Score]
    comparisons: Sequence[Comparison] = ()
    """With another system."""


def as_text(results: Sequence[TestResult]) -> str:
    """One line a score, with its signature: `test  BLEU  38.65  nrefs:1|case:mixed|...`; and one a comparison."""
    rows = [
        (result.name, score.name, f"{score.value:.2f}", f"{score.signature}  {score.details}".rstrip())
        for result in results
        for score in result.scores
    ]
    rows += [
        (
            f"{result.name} - baseline",
            each.name,
            f"{each.system - each.baseline:+.2f}",
            f"p = {each.p_value:.4f}  {each.signature}",
        )
        for result in results
        for each in result.comparisons
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {metric:<{widths[1]}}  {value:>{widths[2]}}  {signature}"
        for name, metric, value, signature in rows
    )


def as_json(results: Sequence[TestResult]) -> str:
    """A list with one object a score, and one a comparison: the keys are those of `Score` and `Comparison`, values in
    full."""
    records = []
    for result in results:
        about = {"test": result.name, "sentences": result.sentences}
        records += [about | asdict(score) for score in result.scores]
        records += [about | asdict(comparison) for comparison in result.comparisons]
    return json.dumps(records, ensure_ascii=False, indent=2)

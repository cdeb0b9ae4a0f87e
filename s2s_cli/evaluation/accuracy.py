"""Accuracies for tasks with one right answer, as metrics of sacreBLEU: they resample and compare as its own do.

Each is 100 × what is right over what there is, with several references that of the one that fits best, of equally good
ones that of the shortest that is not empty.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from sacrebleu.metrics.base import Metric, Score, Signature

from s2s_cli import __version__


class AccuracySignature(Signature):
    """With the version of this program, not of sacreBLEU: `nrefs:1|case:mixed|unit:line|version:s2s-0.1.0`."""

    def __init__(self, args: dict[str, Any]) -> None:
        super().__init__(args)
        self._abbr |= {"case": "c", "unit": "u"}
        self.info |= {"case": "mixed", "unit": args["unit"], "version": f"s2s-{__version__}"}


class Accuracy(Metric):
    """The base: what a line contributes is left to its classes."""

    _SIGNATURE_TYPE: type[Signature] = AccuracySignature
    name: str
    unit: str

    def __init__(self) -> None:
        super().__init__()
        self.unit = type(self).unit  # the signature is made of what an instance holds

    @abstractmethod
    def count(self, hypothesis: str, reference: str) -> tuple[float, float]:
        """How much of a reference is right, of how much."""

    def _preprocess_segment(self, sent: str) -> str:
        return sent.rstrip()

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        return {"references": refs}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[float]:
        counts = [(*self.count(hypothesis, own), hypothesis == own) for own in ref_kwargs["references"]]
        right, total, _ = max(counts, key=_fit)
        return [right, total]

    def _aggregate_and_compute(self, stats: list[list[float]]) -> Score:
        return self._compute_score_from_stats([sum(column) for column in zip(*stats, strict=True)])

    def _compute_score_from_stats(self, stats: list[float]) -> Score:
        right, total = stats
        return Score(self.name, 100.0 * right / total if total else 0.0)


def _fit(count: tuple[float, float, bool]) -> tuple[float, float]:
    """How well a hypothesis fits to a reference, then how short that is: what is right, of how much, and whether they
    are equal, as an empty one may be of which nothing can be right."""
    right, total, is_equal = count
    return (right / total, -total) if total else (float(is_equal), -math.inf)


class LineAccuracy(Accuracy):
    """Share of the lines that equal their reference."""

    name, unit = "accuracy", "line"

    def count(self, hypothesis: str, reference: str) -> tuple[float, float]:
        return int(hypothesis == reference), 1


class CharacterAccuracy(Accuracy):
    """Share of the references' characters that stand at the same place in the hypothesis."""

    name, unit = "character accuracy", "character"

    def count(self, hypothesis: str, reference: str) -> tuple[float, float]:
        return sum(ours == theirs for ours, theirs in zip(hypothesis, reference, strict=False)), len(reference)

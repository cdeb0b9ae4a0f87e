"""Whether one system is really better than another: sacreBLEU's paired bootstrap resampling (Koehn 2004).

Its p-value is small for two systems with exactly the same score, where all differences are 0; here that is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from s2s_cli.evaluation.metrics import build_metric, checked_lines

if TYPE_CHECKING:
    from sacrebleu.significance import Result


@dataclass(frozen=True)
class Comparison:
    """Two systems by one metric."""

    name: str
    """The metric, as sacreBLEU writes it."""
    baseline: float
    system: float
    mean: float
    """Mean score of the system over the resamples."""
    margin: float
    """Half the width of the 95 % interval around it."""
    p_value: float
    """How probable so large a difference is if the systems were equal; below 0.05 it is called significant."""
    signature: str


def paired_bootstrap(
    baseline: Sequence[str],
    system: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str],
    language: str,
    resamples: int = 1000,
) -> list[Comparison]:
    """Compare two systems on one test set, by each metric; the figures are those of `sacrebleu --paired-bs`.

    Raises `UsageError` for a metric that has none for resamples.
    """
    from sacrebleu.significance import PairedTest

    from s2s_cli.evaluation.diversity import Distinct

    scorers = {name: build_metric(name, language) for name in metrics}
    for scorer in scorers.values():
        if isinstance(scorer, Distinct):
            scorer.refuse_resamples()
    baseline_lines, reference_lines = checked_lines(baseline, references, "baseline")
    system_lines, _ = checked_lines(system, references)
    named: list[tuple[str, Sequence[str]]] = [("baseline", baseline_lines), ("system", system_lines)]
    signatures, results = PairedTest(named, scorers, reference_lines, test_type="bs", n_samples=resamples)()
    return [_comparison(name, str(signatures[name]), *cast("list[Result]", results[name])) for name in signatures]


def _comparison(name: str, signature: str, baseline: Result, system: Result) -> Comparison:
    return Comparison(
        name=name,
        baseline=baseline.score,
        system=system.score,
        mean=float(system.mean or 0.0),
        margin=float(system.ci or 0.0),
        p_value=1.0 if system.score == baseline.score else float(system.p_value or 0.0),
        signature=signature,
    )

"""sacreBLEU's metrics (Post 2018, "A Call for Clarity in Reporting BLEU Scores"), with the defaults of its command.

Score and signature equal those of the `sacrebleu` command on files with the same lines, to the last digit. Hypotheses
and references are read as it reads them: only LF ends a line, white space at the end of a line is dropped. A byte-order
mark, of which it would make a part of the first line, is dropped too.
sacreBLEU is imported late: it takes a while.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s2s_cli.compression import reading
from s2s_cli.errors import DataError, UsageError, faults_of_reading
from s2s_cli.text.files import decoded_lines
from s2s_cli.text.hygiene import BYTE_ORDER_MARK
from s2s_cli.text.segmenters import bleu_tokenizer

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric


def read_lines(path: Path) -> list[str]:
    """All lines of a UTF-8 file, plain, `.gz`, `.xz` or `.zst`.

    Raises `MachineError` for a file that cannot be read, `DataError` for a damaged archive and, with `file:line`, for
    other encodings.
    """
    with reading(path) as stream:
        return _read(stream, path)


def read_stdin() -> list[str]:
    """All lines of stdin, with the errors of `read_lines`."""
    with faults_of_reading("<stdin>"):
        return _read(sys.stdin.buffer, "<stdin>")


def _read(stream: Iterable[bytes], name: object) -> list[str]:
    lines = [line.rstrip() for line in decoded_lines(stream, name)]
    return [line.removeprefix(BYTE_ORDER_MARK) for line in lines[:1]] + lines[1:]


@dataclass(frozen=True)
class Score:
    """One figure, with all that is needed to get it again."""

    name: str
    """As sacreBLEU writes it: BLEU, chrF2, chrF2++, TER; or one that is not sacreBLEU's."""
    value: float
    """Between 0 and 100 for most; TER and perplexity may exceed 100, and less of them is better."""
    signature: str
    """sacreBLEU's full signature, or one in its manner."""
    details: str
    """For BLEU the n-gram precisions, brevity penalty and lengths; empty for the others."""


def score(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], metrics: Sequence[str], language: str
) -> list[Score]:
    """The score of a corpus by each metric (a name of `METRICS`), in the order asked for.

    references: one list of lines for each set of references. language: of the target; it selects BLEU's tokenizer.
    Raises `UsageError` for an unknown metric, `DataError` where the counts of lines differ or there are none.
    """
    scorers = [build_metric(name, language) for name in metrics]
    lines, reference_lines = checked_lines(hypotheses, references)
    return [_score(scorer, lines, reference_lines) for scorer in scorers]


def _score(metric: Metric, hypotheses: list[str], references: list[list[str]]) -> Score:
    result = metric.corpus_score(hypotheses, references)
    signature = str(metric.get_signature())
    details = json.loads(result.format(signature=signature, is_json=True)).get("verbose_score", "")
    return Score(result.name, result.score, signature, details)


def _bleu(language: str) -> Metric:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=bleu_tokenizer(language))


def _chrf(language: str) -> Metric:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=0)


def _chrf_with_words(language: str) -> Metric:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=2)


def _ter(language: str) -> Metric:
    from sacrebleu.metrics.ter import TER

    return TER()


def _accuracy(language: str) -> Metric:
    from s2s_cli.evaluation.accuracy import LineAccuracy

    return LineAccuracy()


def _character_accuracy(language: str) -> Metric:
    from s2s_cli.evaluation.accuracy import CharacterAccuracy

    return CharacterAccuracy()


def _rouge(kind: str) -> Callable[[str], Metric]:
    def build(language: str) -> Metric:
        from s2s_cli.evaluation.rouge import Rouge

        return Rouge(kind, language)

    return build


def _distinct(length: int) -> Callable[[str], Metric]:
    def build(language: str) -> Metric:
        from s2s_cli.evaluation.diversity import Distinct

        return Distinct(length, bleu_tokenizer(language))

    return build


METRICS: dict[str, Callable[[str], Metric]] = {
    "bleu": _bleu,  # Papineni et al. 2002
    "chrf": _chrf,  # Popović 2015
    "chrf++": _chrf_with_words,  # Popović 2017
    "ter": _ter,  # Snover et al. 2006
    "accuracy": _accuracy,  # share of right lines: for labels
    "character_accuracy": _character_accuracy,  # share of right characters: for spelling
    "rouge-1": _rouge("1"),  # Lin 2004: for summaries
    "rouge-2": _rouge("2"),
    "rouge-L": _rouge("L"),
    "distinct-1": _distinct(1),  # Li et al. 2016: for dialogue
    "distinct-2": _distinct(2),
}


def build_metric(name: str, language: str) -> Metric:
    """The object, of sacreBLEU's or of its kind, for one of `METRICS`."""
    if name not in METRICS:
        raise UsageError(f"there is no metric `{name}`", hint=f"choose from {', '.join(METRICS)}")
    return METRICS[name](language)


def checked_lines(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], called: str = "hypotheses"
) -> tuple[list[str], list[list[str]]]:
    """The lines as sacreBLEU's command reads them, without white space at their ends, if there are as many of each.
    called: the hypotheses, in messages."""
    if not references:
        raise DataError("there are no references to score against")
    for place, lines in enumerate(references, 1):
        if len(lines) != len(hypotheses):
            which = "reference" if len(references) == 1 else f"reference set {place}"
            raise DataError(
                f"{called} and {which} differ in length: {len(hypotheses)} and {len(lines)} lines",
                hint="each hypothesis needs the reference in the same line",
            )
    if not hypotheses:
        raise DataError("there is nothing to score: no line of hypotheses, no line of references")
    return [line.rstrip() for line in hypotheses], [[line.rstrip() for line in lines] for lines in references]

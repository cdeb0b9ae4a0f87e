"""How many different things a model says, as a metric in the manner of sacreBLEU's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sacrebleu.metrics.base import Metric, Score, Signature
from sacrebleu.metrics.bleu import BLEU

from s2s_cli import __version__
from s2s_cli.errors import UsageError


class DistinctSignature(Signature):
    """Without a number of references, which play no part: `case:mixed|tok:13a|per:word|version:s2s-0.1.0`."""

    def __init__(self, args: dict[str, Any]) -> None:
        super().__init__(args)
        self._abbr |= {"case": "c", "tok": "tok", "per": "per"}
        self.info |= {"nrefs": None, "case": "mixed", "tok": args["tokenizer"], "per": "word"}
        self.info["version"] = f"s2s-{__version__}"


class Distinct(Metric):
    """100 × the number of distinct n-grams of all hypotheses, over the number of all words (Li et al. 2016, "A
    Diversity-Promoting Objective Function for Neural Conversation Models").

    Words are what BLEU takes for words. Some count over all n-grams instead, which gives more for bigrams.
    """

    _SIGNATURE_TYPE = DistinctSignature

    def __init__(self, length: int, tokenizer: str) -> None:
        super().__init__()
        self.length, self.tokenizer = length, tokenizer
        self._tokenize = BLEU(tokenize=tokenizer).tokenizer

    def corpus_score(
        self, hypotheses: Sequence[str], references: Sequence[Sequence[str]] | None, n_bootstrap: int = 1
    ) -> Score:
        """The score of all lines. Raises `UsageError` for resamples, which repeat lines and so are less diverse."""
        if n_bootstrap > 1:
            self.refuse_resamples()
        return super().corpus_score(hypotheses, references)

    def refuse_resamples(self) -> None:
        """Raise the `UsageError` for whoever needs them."""
        what = f"distinct-{self.length} has no interval: resamples repeat lines"
        raise UsageError(what, hint="leave --distinct out, or --baseline")

    def _preprocess_segment(self, sent: str) -> str:
        return self._tokenize(sent.rstrip())

    def _extract_reference_info(self, refs: Sequence[str]) -> dict[str, Any]:
        return {}

    def _compute_segment_statistics(self, hypothesis: str, ref_kwargs: dict[str, Any]) -> list[str]:
        return hypothesis.split()

    def _aggregate_and_compute(self, stats: list[list[str]]) -> Score:
        windows = (zip(*(words[place:] for place in range(self.length)), strict=False) for words in stats)
        total = sum(map(len, stats))
        return Score(f"distinct-{self.length}", 100.0 * len(set(chain(*windows))) / total if total else 0.0)

    def _compute_score_from_stats(self, stats: list[Any]) -> Score:
        raise NotImplementedError  # a set cannot be told from the sum over its lines

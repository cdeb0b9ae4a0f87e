"""ROUGE (Lin 2004), for summaries, by the package `rouge-score`, which reproduces the figures of ROUGE-1.5.5.

A score is 100 × the mean over the lines of F1: of words (ROUGE-1), of pairs of words (ROUGE-2), of the longest common
subsequence (ROUGE-L, a line being one text). Case does not count. English words are cut to their stems, as papers do
(option `-m` of ROUGE-1.5.5); the package finds words in no other script than the Latin, without accents, so other
languages have a tokenizer of this program, in which each character of Chinese and Japanese is a word.
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import regex
from sacrebleu.metrics.base import Signature

from s2s_cli.errors import UsageError
from s2s_cli.evaluation.accuracy import Accuracy
from s2s_cli.text.languages import is_same_language

_ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}ーｰﾞﾟ\u3099\u309a"  # the marks of both kanas belong to no script
_WORD = regex.compile(rf"[{_ALONE}]|[\p{{L}}\p{{M}}\p{{N}}--[{_ALONE}]]+", regex.V1)


class Words:
    """The words of any language, in lower case."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())


class RougeSignature(Signature):
    """With the version of the package: `nrefs:1|case:lc|stem:porter|tok:ascii|version:rouge-score-0.1.2`."""

    def __init__(self, args: dict[str, Any]) -> None:
        super().__init__(args)
        self._abbr |= {"case": "c", "stem": "st", "tok": "tok"}
        words = {"stem": "porter", "tok": "ascii"} if args["is_english"] else {"stem": "none", "tok": "words"}
        self.info |= {"case": "lc"} | words | {"version": f"rouge-score-{version('rouge-score')}"}


class Rouge(Accuracy):
    """ROUGE-1, -2 or -L; with several references that of the one that fits best.

    kind: `1`, `2` or `L`. language: of the texts. Raises `UsageError` where the package is missing.
    """

    _SIGNATURE_TYPE = RougeSignature
    unit = "line"

    def __init__(self, kind: str, language: str) -> None:
        super().__init__()
        if find_spec("rouge_score") is None:
            raise UsageError("ROUGE needs the package rouge-score", hint="pip install 's2s-cli[rouge]'")
        from rouge_score.rouge_scorer import RougeScorer  # late: it takes a second

        self.name, self.kind = f"ROUGE-{kind}", f"rouge{kind}"
        self.is_english = is_same_language(language, "en")
        words = None if self.is_english else Words()
        self.scorer = RougeScorer([self.kind], use_stemmer=self.is_english, tokenizer=words)

    def count(self, hypothesis: str, reference: str) -> tuple[float, float]:
        return self.scorer.score(reference, hypothesis)[self.kind].fmeasure, 1

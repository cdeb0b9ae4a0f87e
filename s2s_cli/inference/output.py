"""The forms in which translations are written, one line of output (or n, for n-best lists) for each line of input.

text                        `translation`
text, alignments            `translation ||| 0-0 1-2`
text, n-best                `line ||| translation ||| score`, n lines in a row, as Moses writes them
text, n-best, alignments    `line ||| translation ||| score ||| 0-0 1-2`
json                        one object a line, see `Translation.to_json`

Lines are counted from 0. Alignments are pairs source-target over words ("Pharaoh" format). A translation that contains
` ||| ` can still be parsed: line number, score and alignment never contain it. A blank line has an empty translation of
score 0, and one line in an n-best list, as has a line from a translation memory: readers of these expect a number. In
JSON they have no score, and a blank line has an empty n-best list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from s2s_cli.errors import UsageError
from s2s_cli.inference.translation import Candidate, Translation, has_attention, is_confident, pharaoh

if TYPE_CHECKING:
    from s2s_cli.inference.translator import Translator


@dataclass(frozen=True)
class OutputOptions:
    """How a stream of lines is translated and written."""

    format: str = "text"
    """`text` or `json`."""
    n_best: int = 1
    """Candidates written for each line."""
    alignments: bool = False
    """Write word alignments in text output; JSON always has them."""
    strict: bool = False
    """Stop at invalid UTF-8 instead of replacing it by U+FFFD."""
    requests: bool = False
    """Lines are requests in JSON, see `s2s_cli.inference.request`."""
    batch_tokens: int | None = None
    """Most source tokens of a batch, padding included. None: the value of the model's recipe."""
    min_confidence: float | None = None
    """Leave translations of less confidence empty; JSON says so instead (`confident`)."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"unknown output format `{self.format}`", hint=f"one of {', '.join(FORMATS)}")
        if self.n_best < 1:
            raise UsageError(f"the n-best list must have at least 1 entry, not {self.n_best}")
        if self.batch_tokens is not None and self.batch_tokens < 1:
            raise UsageError(f"a batch must have at least 1 token, not {self.batch_tokens}")
        if self.min_confidence is not None and not 0.0 <= self.min_confidence <= 1.0:  # NaN, with which all is doubtful
            raise UsageError(f"a least confidence is from 0 to 1, not {self.min_confidence}", where="--min-confidence")

    def check(self, translator: Translator) -> None:
        """Raise UsageError for what the model cannot tell: alignments without attention, a least confidence without a
        measure of it."""
        if self.alignments:
            require_attention(translator, "--alignments")
        if self.min_confidence is not None and translator.writer.calibration is None:
            hint = "models exported by this version have one, if their dev set has 100 lines"
            raise UsageError("the model has no measure of confidence", where="--min-confidence", hint=hint)


def require_attention(translator: Translator, where: str) -> None:
    """Raise UsageError if the model, or ensemble, has no attention, as a first step shows. where: the option that needs
    it."""
    import numpy as np

    from s2s_cli.text.tokenizer import BOS, EOS

    model = translator.model
    step, _ = model.step(np.array([[BOS]]), model.start(np.array([[EOS]]), np.array([1])))
    if step.attention_BKS is None:
        hint = "leave the option out, or train with decoder.context: attention"
        raise UsageError("this model has no attention", where=where, hint=hint)


def render(line: int, translation: Translation, options: OutputOptions) -> str:
    """The output for one line of input, with its final newline."""
    return FORMATS[options.format](line, translation, options)


def _text(line: int, translation: Translation, options: OutputOptions) -> str:
    shown = [_shown(candidate, options) for candidate in translation.n_best or [translation.best]]
    if options.n_best == 1:
        return f"{shown[0].text}{_alignment(shown[0], options)}\n"
    return "".join(f"{line} ||| {each.text} ||| {each.score:.4f}{_alignment(each, options)}\n" for each in shown)


def _shown(candidate: Candidate, options: OutputOptions) -> Candidate:
    """The candidate, without its text if its confidence is below the least."""
    is_doubtful = options.min_confidence is not None and not is_confident(candidate, options.min_confidence)
    return replace(candidate, text="", tokens=[], alignment=[]) if is_doubtful else candidate


def _alignment(candidate: Candidate, options: OutputOptions) -> str:
    if not options.alignments:
        return ""
    if candidate.tokens and not candidate.alignment and not has_attention(candidate):
        raise UsageError("the model has no attention, so no alignments", where="--alignments", hint="leave it out")
    return f" ||| {pharaoh(candidate.alignment)}"


def _json(line: int, translation: Translation, options: OutputOptions) -> str:
    return f"{translation.to_json(line, options.min_confidence, lists_candidates=options.n_best > 1)}\n"


FORMATS: dict[str, Callable[[int, Translation, OutputOptions], str]] = {"text": _text, "json": _json}

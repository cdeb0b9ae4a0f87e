"""The translation of one line, and its JSON form."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from s2s_cli.errors import MachineError
from s2s_cli.inference.confidence import Evidence, omissions, repetitions, word_confidences

if TYPE_CHECKING:
    import numpy as np

Alignment = list[tuple[int, int]]
"""Pairs (source word, target word), both counted from 0, in the order of the target words."""

# Some readers treat the first three as the end of a line; UTF-8 lacks the others. `json` escapes none of them.
_ESCAPED = {code: f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029, *range(0xD800, 0xE000))}


OF_OUTPUT = frozenset(
    "line source translation score confidence confident word_confidence omissions repetitions tokens source_tokens"
    " alignment finished truncated origin match protected n_best".split()
)
"""Names of all fields of the JSON form."""


class LinesLost(MachineError):
    """Lines, counted from 1 in the whole input, on which two worker processes died."""

    def __init__(self, numbers: Sequence[int], where: str | None = None) -> None:
        listed = ", ".join(map(str, sorted(numbers)))
        super().__init__(
            f"two worker processes ended unexpectedly while they translated the lines {listed}",
            where=where,
            hint="is there enough memory? --workers 1 needs less",
        )
        self.numbers = numbers


@dataclass(frozen=True)
class Match:
    """An entry of a translation memory for a line."""

    source: str
    target: str
    similarity: float  # 1 if its source is that of the line


@dataclass(frozen=True)
class Candidate:
    """One of the translations of a line."""

    text: str
    score: float  # by which candidates are ranked: the normalised log-probability, or the expected utility
    tokens: list[str]  # target pieces
    alignment: Alignment = field(default_factory=list)  # empty for models without attention
    finished: bool = True  # whether the sentence ended before the length limit
    attention: np.ndarray | None = field(default=None, repr=False, compare=False)  # None unless requested
    words: int = field(default=0, repr=False, compare=False)  # of the text, as the alignment counts them
    confidence: float | None = None  # that it is a good one, from 0 to 1; None for models that were not calibrated
    evidence: Evidence = field(default_factory=Evidence, repr=False, compare=False)  # what that was judged by
    # Places of protected spans, and where the model has put them in the text; none once they are restored.
    marks: tuple[tuple[int, int], ...] = field(default=(), repr=False, compare=False)
    phrases: tuple[str, ...] = field(default=(), repr=False, compare=False)  # that were demanded: no span goes into one


@dataclass(frozen=True)
class Translation:
    """A line and its translation. `n_best` holds all candidates that were requested, best first; text, score and the
    like are those of the best. A blank line has an empty text, no score and no candidates: it is not given to the
    model.

    A line of several parts (sentences) is one translation: its words and pieces are counted over the whole line, its
    score is the sum of those of the parts, and it is finished if all of them are. It has no attention itself; `parts`
    then holds the translations of its parts with theirs.
    """

    source: str
    n_best: list[Candidate] = field(default_factory=list)
    source_tokens: list[str] = field(default_factory=list)
    truncated: bool = False  # whether the source was over 1 MiB long, and only its beginning translated
    protected: list[str] = field(default_factory=list)  # spans of the source, each of which stands in the text once
    parts: list[Translation] = field(default_factory=list, repr=False, compare=False)
    origin: str | None = None  # with a translation memory: `model` or `memory`
    match: Match | None = None  # the entry that was taken, or that is like the line
    others: Mapping[str, Any] = field(default_factory=dict)  # of the request, passed through

    @property
    def best(self) -> Candidate:
        return self.n_best[0] if self.n_best else Candidate(text="", score=0.0, tokens=[])

    @property
    def text(self) -> str:
        return self.best.text

    @property
    def score(self) -> float | None:
        """None for a blank line, and for one from the memory, which no model has scored."""
        return self.best.score if self.n_best and self.origin != "memory" else None

    @property
    def tokens(self) -> list[str]:
        return self.best.tokens

    @property
    def alignment(self) -> Alignment:
        return self.best.alignment

    @property
    def finished(self) -> bool:
        return self.best.finished

    @property
    def attention(self) -> np.ndarray | None:
        """[T, S] float32: for each of the T `tokens` its weights on the `source_tokens` and, last, on the end of the
        source; None unless requested, and for models without attention."""
        return self.best.attention

    @property
    def confidence(self) -> float | None:
        return self.best.confidence

    def to_json(self, line: int, min_confidence: float | None = None, *, lists_candidates: bool = False) -> str:
        """One line of JSON, without its newline. It has `n_best` if there is more than one candidate, or if
        `lists_candidates` says so; `protected` if something in the source is, `confident` if there is a least
        confidence, and `others`."""
        evidence = self.best.evidence
        record: dict[str, Any] = {
            "line": line,
            "source": self.source,
            "translation": self.text,
            "score": _finite(self.score),
            "confidence": _rounded(self.confidence),
            "word_confidence": [_rounded(each) for each in word_confidences(evidence)],
            "omissions": omissions(evidence, self.source_tokens),
            "repetitions": repetitions(self.text, self.source),
            "tokens": self.tokens,
            "source_tokens": self.source_tokens,
            "alignment": self.alignment,
            "finished": self.finished,
            "truncated": self.truncated,
        }
        if self.origin is not None:
            record |= {"origin": self.origin, "match": self.match and _match_record(self.match)}
        if min_confidence is not None:
            record["confident"] = is_confident(self, min_confidence)
        if self.protected:
            record["protected"] = self.protected
        if lists_candidates or len(self.n_best) > 1:
            score = {} if self.origin != "memory" else {"score": None}
            record["n_best"] = [_candidate_record(candidate) | score for candidate in self.n_best]
        record |= {name: value for name, value in self.others.items() if name not in record}
        return json_line(record)


@dataclass(frozen=True)
class Scored:
    """The score of a given translation. A pair with a blank source has no probability."""

    log_prob: float | None = None  # log p(target | source) in nats, the end of the sentence included
    tokens: int = 0  # target pieces in the sum, the end of the sentence included
    truncated: bool = False  # whether a side was longer than 10,000 pieces, and only its beginning read


def json_line(record: Mapping[str, Any]) -> str:
    """An object as one line of JSON that any reader of lines and of UTF-8 can read, without its newline."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False).translate(_ESCAPED)


def pharaoh(alignment: Iterable[tuple[int, int]]) -> str:
    """The alignment as "0-0 1-2": source word, hyphen, target word, as fast_align and the Moses tools write it."""
    return " ".join(f"{source}-{target}" for source, target in alignment)


def _candidate_record(candidate: Candidate) -> dict[str, Any]:
    return {
        "translation": candidate.text,
        "score": _finite(candidate.score),
        "confidence": _rounded(candidate.confidence),
        "tokens": candidate.tokens,
        "alignment": candidate.alignment,
        "finished": candidate.finished,
    }


def _match_record(match: Match) -> dict[str, Any]:
    return {"source": match.source, "target": match.target, "similarity": _rounded(match.similarity)}


def is_confident(translation: Translation | Candidate, least: float) -> bool:
    """Whether a translation reaches a confidence. That of a blank line does: there is nothing to be wrong about."""
    return translation.confidence is None or translation.confidence >= least


def has_attention(candidate: Candidate) -> bool:
    """Whether the model had any when it wrote this, whatever words it links: between marks alone there are none."""
    return candidate.evidence.attention_S is not None


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def _finite(score: float | None) -> float | None:
    """JSON has no number for infinity or NaN."""
    return score if score is not None and math.isfinite(score) else None

"""Protected text: masked before a line is read, restored when its translation is written.

A protected span of a line, such as `{name}` or `<b>`, never reaches the model as text. It goes where the model has
written a mark for it (`s2s_cli.inference.tagging`), else where the alignment of the words says. Either way each span
comes out exactly once, and tags are nested as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from s2s_cli.forms import is_unicode
from s2s_cli.inference.confidence import Evidence
from s2s_cli.inference.inline import Flat, flatten, single_spaced, written
from s2s_cli.inference.translation import Alignment, Candidate, Translation
from s2s_cli.inference.unbroken import Piece, Unbroken, pieces_of
from s2s_cli.text.codes import Code, Kind, Part
from s2s_cli.text.hygiene import one_line
from s2s_cli.text.protected import Finder


def masked(line: str, finder: Finder, *, marked: bool) -> Flat | None:
    """The line without what is protected; None if nothing is, or if it is not text. marked: as of `flatten`."""
    parts = finder.parts(line.strip())
    if not any(isinstance(part, Code) for part in parts) or not is_unicode(line):
        return None
    flat = flatten(parts, marked=marked)
    return flatten([_alone(part) for part in parts], marked=marked) if flat.is_too_deep else flat


def restored(translation: Translation, flat: Flat, unbroken: Unbroken | None = None) -> Translation:
    """The translation of a masked line, with the spans in each of its candidates, and the alignment of all words.

    unbroken: what is demanded of it.
    """
    spans = [part.text for part in flat.parts if isinstance(part, Code)]
    if not translation.n_best:  # there was nothing for the model to translate
        text = one_line("".join(map(single_spaced, flat.parts)))
        count = len(text.split())
        evidence = Evidence([0.0] * count, list(range(count)))
        only = Candidate(text, 0.0, [], [(word, word) for word in range(count)], evidence=evidence)
        return replace(translation, n_best=[only], protected=spans)
    source_words = Words.of(flat.text, pieces_of(flat, flat.middle))
    candidates = [_restored(candidate, flat, source_words, unbroken) for candidate in translation.n_best]
    return replace(translation, n_best=candidates, protected=spans)


def _restored(candidate: Candidate, flat: Flat, source_words: Words, unbroken: Unbroken | None) -> Candidate:
    is_same = candidate.text == flat.text and not candidate.phrases and not unbroken
    laid = candidate.alignment, candidate.marks, candidate.phrases
    if unbroken is not None:
        pieces = unbroken.pieces(candidate.text, *laid)
    else:
        pieces = pieces_of(flat, flat.middle if is_same else flat.body(candidate.text, *laid))
    parts = flat.parts if is_same else [piece.part for piece in pieces]
    text = one_line("".join(map(written, parts)))
    links = candidate.alignment
    words, count = Words.of(candidate.text, pieces), len(text.split())
    alignment = words.aligned(source_words, links) if links else []
    evidence = _told_of_lines(candidate.evidence, source_words, words, count)
    return replace(candidate, text=text, alignment=alignment, marks=(), words=count, evidence=evidence)


def _told_of_lines(evidence: Evidence, source: Words, target: Words, count: int) -> Evidence:
    """The same of words as the lines count them. Spans are certain. count: of the target line's words."""
    words = [target.text[word] if 0 <= word < len(target.text) else -1 for word in evidence.words]
    certain = sorted({*range(count)} - {*words})
    return replace(
        evidence,
        log_probs=[*evidence.log_probs[: len(words)], *(0.0 for _ in certain)],
        words=[*words, *certain],
        source_words=[source.text[word] if 0 <= word < len(source.text) else -1 for word in evidence.source_words],
    )


@dataclass(frozen=True)
class Words:
    """Which words of a line, counted by white space, are the words of its text without the spans, and which begin with
    a span, by the span."""

    text: list[int]
    spans: dict[str, list[int]]

    @classmethod
    def of(cls, text: str, pieces: Sequence[Piece]) -> Words:
        """pieces: of the line; they have all characters of `text` but for white space."""
        spans: dict[str, list[int]] = {}
        word_of: list[int] = []  # for each character of the text
        word, inside = -1, False
        for part, is_text in pieces:
            for place, character in enumerate(written(part)):
                if character.isspace():
                    inside = False
                    continue
                word, inside = word if inside else word + 1, True
                if isinstance(part, Code):
                    if place == 0:
                        spans.setdefault(part.text, []).append(word)
                elif is_text:
                    word_of.append(word)
        begins = accumulate((len(each) for each in text.split()), initial=0)
        return cls([word_of[begin] for begin in begins if begin < len(word_of)], spans)

    def aligned(self, source: Words, links: Alignment) -> Alignment:
        """Links between the words of texts as links between those of lines, with those between equal spans. As
        elsewhere, each target word has one link."""
        found: dict[int, int] = {}
        for word, other in links:
            if word < len(source.text) and other < len(self.text):
                found.setdefault(self.text[other], source.text[word])
        for span, places in self.spans.items():
            for word, other in zip(source.spans.get(span, ()), places, strict=False):
                found.setdefault(other, word)
        return [(word, other) for other, word in sorted(found.items())]


def _alone(part: Part) -> Part:
    return replace(part, kind=Kind.ALONE, order="tag") if isinstance(part, Code) else part

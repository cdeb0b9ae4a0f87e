"""Protected text: masked before a line is read, restored when its translation is written. And terms, which are written
into a line for models that have learnt to read them (`data.terms`).

A protected span of a line, such as `{name}` or `<b>`, never reaches the model as text. A model that was trained with
marks (`data.protect` of its recipe) reads a mark in its place and writes it where the span belongs, as a sentence has
it. What it leaves out goes where the alignment of the words says, and so does all of it where a model knows no marks.
Either way each span comes out exactly once, and tags are nested as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from s2s_cli.inference.confidence import Evidence
from s2s_cli.inference.inline import Flat, flatten, single_spaced, written
from s2s_cli.inference.reading import Division, Part, Source, read
from s2s_cli.inference.translation import Alignment, Candidate, Translation
from s2s_cli.inference.unbroken import Piece as LinePiece
from s2s_cli.inference.unbroken import Unbroken, pieces_of
from s2s_cli.text.codes import Code, Kind
from s2s_cli.text.codes import Part as Piece
from s2s_cli.text.glossary import Glossary, Occurrence
from s2s_cli.text.hygiene import one_line
from s2s_cli.text.protected import USUAL, Finder
from s2s_cli.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Protection:
    """The masking of lines by what a finder finds, and the terms of a glossary."""

    finder: Finder
    glossary: Glossary | None = None

    @property
    def is_usual(self) -> bool:
        """Whether nothing is protected that documents do not protect by themselves."""
        return set(self.finder.kinds) <= set(USUAL) and not self.finder.patterns

    def read(self, lines: Sequence[str], tokenizer: Tokenizer, division: Division) -> list[Source]:
        """As `reading.read`, without the protected spans of the lines, or with marks for them if there are any."""
        flats = [self.masked(line, marked=bool(tokenizer.marks)) for line in lines]
        texts = [line if flat is None else _readable(flat) for line, flat in zip(lines, flats, strict=True)]
        return [
            self._with_tags(source if flat is None else replace(source, line=line, flat=flat), tokenizer)
            for line, flat, source in zip(lines, flats, read(texts, tokenizer, division), strict=True)
        ]

    def read_flats(self, flats: Sequence[Flat], tokenizer: Tokenizer, division: Division) -> list[Source]:
        """The same of texts that others have masked, and will restore: with marks for what is not read of them."""
        sources = read([flat.text for flat in flats], tokenizer, division)
        return [
            replace(self._with_tags(replace(source, flat=flat), tokenizer), flat=None)
            for flat, source in zip(flats, sources, strict=True)
        ]

    def _with_tags(self, source: Source, tokenizer: Tokenizer) -> Source:
        """The parts of a line with marks for its spans, as far as there are marks, and with terms. Marks are counted in
        each part anew."""
        flat = source.flat
        has_marks = flat is not None and flat.is_translatable and bool(tokenizer.marks)
        if source.truncated or not (has_marks or self.glossary):
            return source
        ends = list(accumulate(len(part.text) for part in source.parts))
        mine: list[list[int]] = [[] for _ in source.parts]
        number = 0
        for place, (code, offset, *_) in enumerate(flat.places if flat and has_marks else ()):
            while number + 1 < len(ends) and (offset >= ends[number] + (code.kind is Kind.CLOSE)):
                number += 1
            mine[number].append(place)
        parts = []
        for part, places, end in zip(source.parts, mine, ends, strict=True):
            offsets = [
                min(max(flat.places[place].offset + len(part.text) - end, 0), len(part.text))
                for place in places[: len(tokenizer.marks)]
                if flat
            ]
            terms = self.glossary.find(part.text) if self.glossary else []
            if part.ids and (offsets or terms):
                ids = tokenizer.encode_marked(list(_tagged(part.text, offsets, terms, tokenizer)))
                part = Part(part.text, ids, tuple(places[: len(offsets)]))
            parts.append(part)
        return replace(source, parts=parts)

    def masked(self, line: str, *, marked: bool) -> Flat | None:
        """The line without what is protected; None if nothing is, or if it is not text."""
        parts = self.finder.parts(line.strip())
        if not any(isinstance(part, Code) for part in parts) or not _is_text(line):
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
        return replace(translation, text=text, score=0.0, alignment=only.alignment, n_best=[only], protected=spans)
    source_words = Words.of(flat.text, pieces_of(flat, flat.middle))
    candidates = [_restored(candidate, flat, source_words, unbroken) for candidate in translation.n_best]
    best = candidates[0]
    return replace(translation, text=best.text, alignment=best.alignment, n_best=candidates, protected=spans)


def _restored(candidate: Candidate, flat: Flat, source_words: Words, unbroken: Unbroken | None) -> Candidate:
    is_same = candidate.text == flat.text and not candidate.phrases and not unbroken
    laid = candidate.alignment, candidate.marks, candidate.phrases
    body = flat.middle if is_same else flat.body(candidate.text, *laid)
    assert body is not None, "what is nested too deeply was made single"
    pieces = pieces_of(flat, body)
    if unbroken is not None:
        pieces = unbroken.begun(pieces, candidate.text, candidate.phrases)
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
    def of(cls, text: str, pieces: Sequence[LinePiece]) -> Words:
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


def _readable(flat: Flat) -> str:
    """What is given to the model: nothing if there is no letter."""
    return flat.text if flat.is_translatable else ""


def _tagged(text: str, marks: Sequence[int], terms: Sequence[Occurrence], tokenizer: Tokenizer) -> Iterator[str | int]:
    """The text with marks at these places, which rise, and with what its terms are to be."""
    events: list[tuple[int, int, list[str | int]]] = [
        (place, 1, [mark]) for place, mark in zip(marks, tokenizer.marks, strict=False)
    ]
    for start, end, term in terms if tokenizer.term_tags else ():
        if not any(start < place < end for place in marks):
            opening, giving, closing = tokenizer.term_tags  # type: ignore[misc]  # it is there
            events += [(start, 2, [opening]), (end, 0, [giving, f" {term.targets[0]}", closing])]
    cursor = 0
    for place, _, items in sorted(events, key=lambda event: event[:2]):
        yield text[cursor:place]
        yield from items
        cursor = place
    yield text[cursor:]


def _alone(part: Piece) -> Piece:
    return replace(part, kind=Kind.ALONE, order="tag") if isinstance(part, Code) else part


def _is_text(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True

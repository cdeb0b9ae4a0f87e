"""Tags in what a model reads: marks in place of protected spans, if it was trained with them (`data.protect` of its
recipe), which it writes where the spans belong; and with a term what it is to be, if it has learnt that (`data.terms`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from s2s_cli.inference.dividing import Part
from s2s_cli.inference.reading import Source
from s2s_cli.text.codes import Kind
from s2s_cli.text.glossary import Occurrence
from s2s_cli.text.tokenizer import Tokenizer, TokenizerPair


def tagged(source: Source, tokenizers: TokenizerPair, found: Sequence[Sequence[Occurrence]]) -> list[Part]:
    """The parts of a line with marks for its spans, as far as there are marks, and with the terms found in each part.
    Marks are counted in each part anew."""
    marks = tokenizers.source.marks
    flat = source.flat if marks and source.flat and source.flat.is_translatable else None
    if source.truncated or not (flat or any(found)):
        return source.parts
    ends = list(accumulate(len(part.text) for part in source.parts))
    spans: list[list[tuple[int, int]]] = [[] for _ in source.parts]  # of each part, the places and where they stand
    number = 0
    for place, (code, offset, *_) in enumerate(flat.places if flat else ()):
        while number + 1 < len(ends) and offset >= ends[number] + (code.kind is Kind.CLOSE):
            number += 1
        text = source.parts[number].text
        if len(spans[number]) < len(marks):
            spans[number].append((place, min(max(offset + len(text) - ends[number], 0), len(text))))
    return [_tagged(*each, tokenizers) for each in zip(source.parts, spans, found, strict=True)]


def _tagged(
    part: Part, spans: Sequence[tuple[int, int]], found: Sequence[Occurrence], tokenizers: TokenizerPair
) -> Part:
    source, target = tokenizers.source, tokenizers.target
    terms = [each for each in found if not any(each.start < offset < each.end for _, offset in spans)]
    terms = terms if source.term_tags else []
    if not part.ids or not (spans or terms):
        return part
    items = _items(part.text, [offset for _, offset in spans], terms, source)
    texts = [each.term.targets[0] for each in terms]
    told = {index for text in texts for index in (*target.encode([text])[0], *target.encode_inside(text))}
    ids = source.encode_marked(list(items))
    return Part(part.text, ids, tuple(place for place, _ in spans), told=tuple(sorted(told)))


def _items(text: str, marks: Sequence[int], terms: Sequence[Occurrence], tokenizer: Tokenizer) -> Iterator[str | int]:
    """The text with marks at these places, which rise, and with what its terms are to be."""
    events: list[tuple[int, int, list[str | int]]] = [
        (place, 1, [mark]) for place, mark in zip(marks, tokenizer.marks, strict=False)
    ]
    for start, end, term, _ in terms:
        opening, giving, closing = tokenizer.term_tags  # type: ignore[misc]  # it is there
        events += [(start, 2, [opening]), (end, 0, [giving, f" {term.targets[0]}", closing])]
    cursor = 0
    for place, _, items in sorted(events, key=lambda event: event[:2]):
        yield text[cursor:place]
        yield from items
        cursor = place
    yield text[cursor:]

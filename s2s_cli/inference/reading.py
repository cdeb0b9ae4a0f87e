"""Read, the first stage of translation: divide lines into parts, which a model translates at once, and find what is
demanded of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from s2s_cli.errors import DataError
from s2s_cli.inference.lines import LINE_BYTES
from s2s_cli.inference.request import Request
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.sentences import halves, sentences
from s2s_cli.text.tokenizer import Tokenizer, TokenizerPair

# What few translations need is imported where it is needed.
if TYPE_CHECKING:
    from s2s_cli.inference.demands import Demand
    from s2s_cli.inference.inline import Flat
    from s2s_cli.inference.memory import Lookup
    from s2s_cli.inference.translation import Match
    from s2s_cli.inference.unbroken import Unbroken
    from s2s_cli.inference.vocabulary import Vocabulary
    from s2s_cli.search.options import SearchOptions
    from s2s_cli.text.glossary import Glossary
    from s2s_cli.text.protected import Finder

CHARACTERS_PER_PIECE = 32  # far above any real text: longer parts are divided before costly work
WHOLE_PIECES = 10_000  # most pieces of a line that must stay whole


@dataclass(frozen=True)
class Division:
    """How lines are divided into parts, and what is needed to join their translations."""

    split: str = "always"
    """`always`: at the ends of sentences; `long`: only lines that are longer than `max_pieces`; `never`."""
    max_pieces: int = 100
    """Most pieces of a part. A longer sentence is halved at a clause, else at a space, else at a character."""
    source: str = ""
    """Language codes of both sides; "" for an unknown one."""
    target: str = ""


class Part(NamedTuple):
    """A part of a line, which is translated at once."""

    text: str  # as in the line
    ids: list[int]  # none for white space
    spans: tuple[int, ...] = ()  # places of the spans that marks in `ids` stand for, in the order of the marks
    demand: Demand | None = None  # of its translation


@dataclass(frozen=True)
class Source:
    """A line as the model reads it. The concatenated texts of its parts are the line without surrounding white
    space."""

    line: str
    parts: list[Part]
    truncated: bool = False
    """Whether its end was left out, because it exceeded 1 MiB, or `WHOLE_PIECES` where it must stay whole."""
    flat: Flat | None = None
    """Of a line with protected spans: what the model does not read of it. The parts are then those of its text."""
    unbroken: Unbroken | None = None
    """Of a line with protected spans: how its translation is to begin, where these must not go."""
    origin: str | None = None
    """With a translation memory: `memory` for a line that is there, which has nothing to translate, else `model`."""
    match: Match | None = None
    """The entry of the memory for the line."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs to the line: of a request, handed back with the translation."""


class _Given(NamedTuple):
    """A line before it is divided, with what is not read of it. The others as of `Source`."""

    request: Request
    flat: Flat | None
    origin: str | None
    match: Match | None

    @property
    def readable(self) -> str:
        """What the model is given. A line from the memory stays as a blank one, since what is drawn for the others
        depends on their numbers."""
        if self.origin == "memory":
            return ""
        if self.flat is None:
            return self.request.text
        return self.flat.text if self.flat.is_translatable else ""


@dataclass(frozen=True)
class Reader:
    """Reads lines and requests for a model, by what it has learnt and what it was given (`s2s_cli.inference.aids`)."""

    tokenizers: TokenizerPair
    division: Division
    finder: Finder | None = None
    """What finds the spans of a line that are not translated, and come out as they are."""
    inline: Glossary | None = None
    """Terms that the model reads in the line, with what they are to be; it has learnt to write that."""
    forced: Glossary | None = None
    """Terms of which this is demanded, in the translation of each part that they stand in; see `check_terms`."""
    memory: Lookup | None = None
    """What was translated before: a line that stands there is not read, unless more is demanded of it."""

    def read(self, lines: Sequence[str | Request], division: Division | None = None) -> list[Source]:
        """Each line in parts, tokenised, with what is demanded of each part. division: by default that of the model.

        A request of which the translation must be heeded as a whole is divided only if it is too long. Raises DataError
        for a line with a lone surrogate, which is not text, and for demands that cannot be met.
        """
        given = [self._given(line if isinstance(line, Request) else Request(line)) for line in lines]
        texts, whole = [each.readable for each in given], [each.request.concerns_whole for each in given]
        divided = divide(texts, self.tokenizers.source, division or self.division, whole)
        pairs = zip(given, divided, strict=True)
        return [self._source(*pair, number) for number, pair in enumerate(pairs, start=1)]

    @property
    def carries(self) -> bool:
        """Whether the model reads and writes marks for what a document has as codes. What is protected besides, such as
        numbers, is found in lines only; and a memory has no marks."""
        has_marks = self.finder is not None and self.finder.is_usual and bool(self.tokenizers.source.marks)
        return has_marks and self.memory is None

    def read_flats(self, flats: Sequence[Flat], division: Division | None = None) -> list[Source]:
        """As `read`, of texts from which codes were taken out, for a model that `carries`: others put them back."""
        divided = divide([flat.text for flat in flats], self.tokenizers.source, division or self.division)
        sources = [Source(flat.text, *each, flat) for flat, each in zip(flats, divided, strict=True)]
        return [self._with_terms(replace(self._with_tags(source), flat=None)) for source in sources]

    def check(self, request: Request, options: SearchOptions) -> None:
        """As `Translator.check`."""
        if request.makes_demands:
            from s2s_cli.inference.demands import refuse_constraints

            demand, _ = self._demand(request, self._masked(request.text))
            if demand.constraints:
                refuse_constraints(options)

    def check_terms(self, glossary: Glossary) -> None:
        """Raise DataError, with the line of the glossary, for a translation of a term that the model cannot write."""
        from s2s_cli.inference.demands import check_term

        for term in glossary.terms:
            check_term(term, self._vocabulary)

    def _given(self, request: Request) -> _Given:
        match = self.memory.match(request.text) if self.memory else None
        is_taken = match is not None and match.similarity == 1.0 and not request.makes_demands
        origin = None if self.memory is None else "memory" if is_taken else "model"
        return _Given(request, None if is_taken else self._masked(request.text), origin, match)

    def _source(self, given: _Given, divided: Divided, number: int) -> Source:
        """number: of the line, for errors."""
        request, flat, origin, match = given
        source = Source(request.text, *divided, flat, None, origin, match, request.others)
        source = self._with_tags(source)
        if request.makes_demands:
            with _naming_line(number):
                source = self._with_demands(source, request)
        return self._with_terms(source)

    def _masked(self, line: str) -> Flat | None:
        if self.finder is None:
            return None
        from s2s_cli.inference.protection import masked

        return masked(line, self.finder, marked=bool(self.tokenizers.source.marks))

    def _with_tags(self, source: Source) -> Source:
        """With what the model reads in the text: marks for spans, and what terms are to be."""
        if source.flat is None and self.inline is None:
            return source
        from s2s_cli.inference.tagging import tagged

        return replace(source, parts=tagged(source, self.tokenizers.source, self.inline))

    def _with_demands(self, source: Source, request: Request) -> Source:
        from s2s_cli.inference.demands import shared_out

        demand, unbroken = self._demand(request, source.flat)
        return replace(source, parts=shared_out(demand, source.parts), unbroken=unbroken)

    def _demand(self, request: Request, flat: Flat | None) -> tuple[Demand, Unbroken | None]:
        """What is demanded of the text that the model reads, and of the line, if it has protected spans (`flat`)."""
        from s2s_cli.inference.demands import demand_of

        demand, of_line = demand_of(request), None
        if flat is not None and self.finder is not None and (demand.constraints or demand.prefix):
            from s2s_cli.inference.unbroken import unbroken

            of_line = unbroken(demand, flat, self.finder)
            demand = demand._replace(prefix=of_line.masked_prefix())
        demand.check(self._vocabulary)
        return demand, of_line

    def _with_terms(self, source: Source) -> Source:
        if self.forced is None:
            return source
        from s2s_cli.inference.demands import with_terms

        return replace(source, parts=[with_terms(part, self.forced, self._vocabulary) for part in source.parts])

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        from s2s_cli.inference.vocabulary import Vocabulary

        return Vocabulary(self.tokenizers.target, self.division.target)


@contextmanager
def _naming_line(number: int) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(error.what, where=f"line {number}", hint=error.hint) from None


# ---------------------------------------------------------------------------------------------------- division of lines


class Divided(NamedTuple):
    """The parts of a line, and whether its end was left out."""

    parts: list[Part]
    truncated: bool


def divide(lines: Sequence[str], tokenizer: Tokenizer, division: Division, whole: Sequence[bool] = ()) -> list[Divided]:
    """Clean, split and tokenise. whole: for each line, whether it is divided only if it is too long. Raises DataError
    for a line with a lone surrogate."""
    texts = [_text(line, number) for number, line in enumerate(lines, start=1)]
    if division.split == "never":
        encoded = tokenizer.encode([_clean(text, WHOLE_PIECES) for text, _ in texts])
        most = WHOLE_PIECES * CHARACTERS_PER_PIECE
        return [
            Divided([Part(text, ids[:WHOLE_PIECES])], cut or len(ids) > WHOLE_PIECES or len(text) > most)
            for (text, cut), ids in zip(texts, encoded, strict=True)
        ]
    wholes = [division.split == "long" or each for each in whole or [False] * len(texts)]
    divided = [
        [text] if is_whole else sentences(text, division.source)
        for (text, _), is_whole in zip(texts, wholes, strict=True)
    ]
    flat = [(part, is_whole) for parts, is_whole in zip(divided, wholes, strict=True) for part in parts]
    fitting = _fitting([part for part, _ in flat], tokenizer, division, [is_whole for _, is_whole in flat])
    return [
        Divided([part for _ in parts for part in next(fitting)], cut)
        for parts, (_, cut) in zip(divided, texts, strict=True)
    ]


def _fitting(
    texts: Sequence[str], tokenizer: Tokenizer, division: Division, wholes: Sequence[bool] = ()
) -> Iterator[list[Part]]:
    """For each text, its division into parts that are short enough. wholes: whether a text is a whole line, which has
    not been divided into sentences.

    Characters are counted before cleaning and tokenisation, both of which may take more than linear time on input that
    is not natural text. A single character is a part, however many pieces it has.
    """
    most = division.max_pieces
    encoded = tokenizer.encode([_clean(text, most) for text in texts])
    for text, ids, is_whole in zip(texts, encoded, wholes or repeat(False), strict=False):
        if (len(ids) <= most and len(text) <= most * CHARACTERS_PER_PIECE) or len(text) < 2:
            yield [Part(text, ids)]
            continue
        shorter = sentences(text, division.source) if is_whole else halves(text)
        yield [part for parts in _fitting(shorter, tokenizer, division) for part in parts]


def _clean(text: str, most: int) -> str:
    """The clean text, or its beginning if it is too long for a part."""
    return clean_line(text[: most * CHARACTERS_PER_PIECE])


def _text(line: str, number: int) -> tuple[str, bool]:
    """The line without white space around it, and whether its end was left out."""
    if not isinstance(line, str):
        raise TypeError(f"line {number} is no text, but of type {type(line).__name__}")
    text = line.strip()
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"lone surrogate U+{ord(text[error.start]):04X} at character {line.index(text) + error.start + 1}",
            where=f"line {number}",
            hint="decode bytes as UTF-8 with errors='replace'",
        ) from None
    if len(data) <= LINE_BYTES:
        return text, False
    return data[:LINE_BYTES].decode("utf-8", errors="ignore"), True

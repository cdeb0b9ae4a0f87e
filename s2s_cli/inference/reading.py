"""Read, the first stage of translation: from lines to parts, with all that their translation has to heed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from s2s_cli.errors import DataError
from s2s_cli.inference.dividing import Divided, Division, Part, divide
from s2s_cli.inference.request import Request
from s2s_cli.text.tokenizer import TokenizerPair

# What few translations need is imported where it is needed.
if TYPE_CHECKING:
    from s2s_cli.inference.demands import Demand
    from s2s_cli.inference.inline import Flat
    from s2s_cli.inference.memory import Lookup
    from s2s_cli.inference.translation import Match
    from s2s_cli.inference.unbroken import Unbroken
    from s2s_cli.inference.vocabulary import Vocabulary
    from s2s_cli.search.options import SearchOptions
    from s2s_cli.text.glossary import Glossary, Occurrence
    from s2s_cli.text.protected import Finder


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
    """Terms of which this is demanded, in the translation of each part that they stand in; see `check_terms`. Of those
    that are also `inline`, only where the model leaves them out."""
    memory: Lookup | None = None
    """What was translated before: a line that stands there is not read, unless more is demanded of it."""

    def read(self, lines: Sequence[str | Request], division: Division | None = None) -> list[Source]:
        """Each line in parts, tokenised, with what is demanded of each part. division: by default that of the model.

        A request of which the translation must be heeded as a whole is divided only if it is too long. Raises DataError
        for a line with a lone surrogate, which is not text, and for demands that cannot be met.
        """
        requests = [line if isinstance(line, Request) else Request(line) for line in lines]
        return self._read([self._given(request) for request in requests], division)

    @property
    def carries(self) -> bool:
        """Whether the model reads and writes marks for what a document has as codes. What is protected besides, such as
        numbers, is found in lines only."""
        return self.finder is not None and self.finder.is_usual and bool(self.tokenizers.source.marks)

    def read_flats(self, flats: Sequence[Flat], division: Division | None = None) -> list[Source]:
        """As `read`, of texts from which codes were taken out, for a model that `carries`: others put them back. A
        translation from the memory has no marks."""
        sources = self._read([self._given(Request(flat.text), flat) for flat in flats], division)
        return [replace(source, flat=None) for source in sources]

    def remembered(self, text: str) -> str | None:
        """The translation of a text that stands in the memory."""
        found = self.memory.memory.exact(text) if self.memory else None
        return found.target if found else None

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

    def _read(self, given: Sequence[_Given], division: Division | None) -> list[Source]:
        texts, language = [each.readable for each in given], self.division.target
        whole = [each.request.concerns_whole(language) for each in given]
        divided = divide(texts, self.tokenizers.source, division or self.division, whole)
        pairs = zip(given, divided, strict=True)
        return [self._source(*pair, number) for number, pair in enumerate(pairs, start=1)]

    def _given(self, request: Request, flat: Flat | None = None) -> _Given:
        """flat: of a text, what others took out of it; by default, what is protected in it."""
        match = self.memory.match(request.text) if self.memory else None
        is_taken = match is not None and match.similarity == 1.0 and not request.makes_demands
        origin = None if self.memory is None else "memory" if is_taken else "model"
        return _Given(request, None if is_taken else flat or self._masked(request.text), origin, match)

    def _source(self, given: _Given, divided: Divided, number: int) -> Source:
        """number: of the line, for errors."""
        request, flat, origin, match = given
        source = Source(request.text, *divided, flat, None, origin, match, request.others)
        told = _found(self.inline, source)
        source = self._with_tags(source, told)
        if request.makes_demands:
            with _naming_line(number):
                source = self._with_demands(source, request)
        return self._with_terms(source, told if self.forced is self.inline else _found(self.forced, source))

    def _masked(self, line: str) -> Flat | None:
        if self.finder is None:
            return None
        from s2s_cli.inference.protection import masked

        return masked(line, self.finder, marked=bool(self.tokenizers.source.marks))

    def _with_tags(self, source: Source, terms: _Terms) -> Source:
        """With what the model reads in the text: marks for spans, and what terms are to be."""
        if source.flat is None and not any(terms):
            return source
        from s2s_cli.inference.tagging import tagged

        return replace(source, parts=tagged(source, self.tokenizers, terms))

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

    def _with_terms(self, source: Source, terms: _Terms) -> Source:
        """With what is demanded of its terms, at once or of a second search."""
        if self.forced is None or not any(terms):
            return source
        from s2s_cli.inference.demands import with_second_search, with_terms

        add = with_terms if self.inline is None else with_second_search
        pairs = zip(source.parts, terms, strict=True)
        return replace(source, parts=[add(*pair, self._vocabulary) for pair in pairs])

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        from s2s_cli.inference.vocabulary import Vocabulary

        return Vocabulary(self.tokenizers.target, self.division.target)


_Terms = list[list["Occurrence"]]
"""The terms found in each part of a line."""


def _found(glossary: Glossary | None, source: Source) -> _Terms:
    return [glossary.find(part.text) if glossary and part.ids else [] for part in source.parts]


@contextmanager
def _naming_line(number: int) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(error.what, where=f"line {number}", hint=error.hint) from None

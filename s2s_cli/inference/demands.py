"""Demands on a translation, as text: phrases that it contains, what it avoids, how it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import DataError, UsageError, printable
from s2s_cli.forms import is_unicode
from s2s_cli.inference.dividing import Part
from s2s_cli.inference.request import Request
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.glossary import Occurrence, Term
from s2s_cli.text.hygiene import clean_line

if TYPE_CHECKING:
    from s2s_cli.inference.vocabulary import Vocabulary

MOST_CONSTRAINTS = 50  # of a line
MOST_AVOIDED = 500  # characters of a phrase: longer ones take too long to follow, if they repeat themselves


class Demand(NamedTuple):
    """What is demanded of the translation of one part of a line, as clean text; a prefix may end with a space."""

    constraints: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    prefix: str = ""

    def check(self, vocabulary: Vocabulary) -> None:
        """Raises DataError for symbols that the model does not know, and for demands that contradict one another."""
        for text in self.constraints:
            vocabulary.phrase(text)
        vocabulary.ids(self.prefix.rstrip(), "prefix")
        for avoided in self.avoid:
            vocabulary.refuse_word_start(avoided, "phrase to avoid")
            for kind, text in (*(("constraint", text) for text in self.constraints), ("prefix", self.prefix)):
                if vocabulary.contains(text, avoided):
                    told = f"{printable(repr(text), 60)} has what is to be avoided, {printable(repr(avoided), 60)}"
                    raise DataError(f"the {kind} {told}", hint="leave out one of them")


def fault_of_constraints(options: SearchOptions) -> UsageError | None:
    """Why a search cannot see to it that phrases come, if it cannot."""
    kind = "--sample" if options.sampling else "--diverse" if options.groups > 1 else ""
    if kind:
        return UsageError(f"constraints need a beam search, and {kind} is none", hint="leave one of them out")
    if options.beam < 2:
        return UsageError("constraints need a beam of 2 or more", hint="use --beam 5, without --greedy")
    return None


def refuse_constraints(options: SearchOptions) -> None:
    """Raise UsageError if a search cannot see to it that phrases come."""
    if fault := fault_of_constraints(options):
        raise fault


def demand_of(request: Request) -> Demand:
    """The clean demands. Raises DataError for what no translation could meet."""
    if isinstance(request.constraints, str) or isinstance(request.avoid, str):
        raise TypeError("constraints and avoid are lists of phrases, not one string")
    constraints, avoid = (
        tuple(_clean(text, name) for text in texts)
        for name, texts in (("constraint", request.constraints), ("phrase to avoid", request.avoid))
    )
    prefix = clean_line(_text(request.prefix, "prefix"))
    if prefix and request.prefix[-1:].isspace():
        prefix += " "
    if len(constraints) > MOST_CONSTRAINTS:
        raise DataError(f"a line takes no more than {MOST_CONSTRAINTS} constraints, not {len(constraints)}")
    if (longest := max(map(len, avoid), default=0)) > MOST_AVOIDED:
        raise DataError(f"a phrase to avoid has no more than {MOST_AVOIDED} characters, not {longest}")
    if (constraints or prefix) and not clean_line(request.text):
        raise DataError("an empty text has no translation that constraints or a prefix could be in")
    return Demand(constraints, avoid, prefix)


def shared_out(demand: Demand, parts: Sequence[Part]) -> list[Part]:
    """The parts of a line, with what is demanded of each: the first part with text begins with the prefix, constraints
    go to the parts in their order, as many to each, and all parts avoid what the line avoids."""
    count, number, shared = sum(bool(part.ids) for part in parts), 0, []
    for part in parts:
        if part.ids:
            own = [text for i, text in enumerate(demand.constraints) if i * count // len(demand.constraints) == number]
            part = part._replace(demand=Demand(tuple(own), demand.avoid, "" if number else demand.prefix))
            number += 1
        shared.append(part)
    return shared


def check_term(term: Term, vocabulary: Vocabulary) -> None:
    """Raises DataError, with the line of the glossary, for a translation with symbols that the model does not know."""
    try:
        vocabulary.phrase(term.targets[0], f"translation of the term {printable(repr(term.source), 60)},")
    except DataError as error:
        hint = "leave the term out, or give a translation in other characters first"
        raise DataError(error.what, where=term.where or None, hint=hint) from None


def with_terms(part: Part, found: Sequence[Occurrence], vocabulary: Vocabulary, *, inflected: bool = True) -> Part:
    """A part with what the terms found in its text are to be among the constraints, as often as they stand there,
    unless the demand has that itself. What has something in it that is to be avoided is left out: what is said of one
    line counts for more. inflected: with terms that are found inflected, too."""
    phrases = [each.term.targets[0] for each in found if inflected or not each.is_inflected]
    if not phrases:
        return part
    given = part.demand or Demand()
    lacking = Counter(phrases) - Counter(given.constraints)
    fitting = [text for text in lacking.elements() if not any(vocabulary.contains(text, x) for x in given.avoid)]
    return part._replace(demand=given._replace(constraints=(*given.constraints, *fitting))) if fitting else part


def with_second_search(part: Part, found: Sequence[Occurrence], vocabulary: Vocabulary) -> Part:
    """A part that is searched for again, with its terms as `with_terms` has them, where the translation would lack one.
    A term that is found inflected is left to the model."""
    forced = with_terms(part, found, vocabulary, inflected=False)
    return part if forced is part else part._replace(again=forced.demand)


def _clean(text: str, name: str) -> str:
    clean = clean_line(_text(text, name))
    if not clean:
        raise DataError(f"an empty {name}", hint="leave it out")
    return clean


def _text(text: str, name: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a {name} is text, not {type(text).__name__}")
    if not is_unicode(text):
        raise DataError(f"a {name} with a lone surrogate, which is not text")
    return text

"""From demands on a translation, which are text, to what search knows of them, which are symbols.

Letters and digits make words; whole words have none beside them. In languages that write no spaces, any place is as
good as another.
"""

from __future__ import annotations

import sys
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from s2s_cli.errors import DataError, UsageError, printable
from s2s_cli.inference.avoided import AvoidedStates, Characters, lowered
from s2s_cli.inference.reading import Part
from s2s_cli.inference.request import Request
from s2s_cli.search.guidance import Avoided, Guide, Opening
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.phrases import Phrase
from s2s_cli.text.casing import CAPITALS, MARKS, TITLE, after_letters, begun, is_letter
from s2s_cli.text.glossary import Glossary, Term
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.sentences import joins_without_space
from s2s_cli.text.tokenizer import EOS, UNK, WORD_START, Tokenizer

MOST_CONSTRAINTS = 50  # of a line
MOST_AVOIDED = 500  # characters of a phrase: longer ones take too long to follow, if they repeat themselves
OPEN_PIECES = 4  # at the end of a prefix, which may be cut in another way
CACHED = 1024
_ATTACHED = frozenset(",.;:!?%)]}»”’…、。，；：！？）」』】")
"""What a line does not have a space before."""


class Demand(NamedTuple):
    """What is demanded of the translation of one part of a line, as clean text; a prefix may end with a space."""

    constraints: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    prefix: str = ""


class Wanted(NamedTuple):
    """The same in symbols. room: by how many the length limit is raised for the prefix."""

    guide: Guide
    phrases: list[Phrase]
    room: int


def refuse_constraints(options: SearchOptions) -> None:
    """Raise UsageError if a search cannot see to it that phrases come."""
    kind = "--sample" if options.sampling else "--diverse" if options.groups > 1 else ""
    if kind:
        raise UsageError(f"{kind} cannot see to it that a translation contains the constraints", hint="leave it out")
    if options.beam < 2:
        raise UsageError("constraints need a beam of 2 or more", hint="leave --greedy out, or use --beam 5")


def demand_of(request: Request) -> Demand:
    """The clean demands. Raises DataError for what no translation could meet."""
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
    if (constraints or prefix) and not request.text.strip():
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


def _clean(text: str, name: str) -> str:
    clean = clean_line(_text(text, name))
    if not clean:
        raise DataError(f"an empty {name}", hint="leave it out")
    return clean


def _text(text: str, name: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a {name} is text, not {type(text).__name__}")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(f"a {name} with a lone surrogate, which is not text")
    return text


def _agrees(sign: str, signs: str) -> bool:
    """Whether a character after letters makes them what these marks make of them."""
    return bool(sign) and (sign in signs if signs else sign not in TITLE + CAPITALS)


@dataclass(frozen=True)
class Vocabulary:
    """The target symbols as text: of demands it makes states. language: code of the target language."""

    tokenizer: Tokenizer
    language: str

    def wanted(self, demand: Demand | None) -> Wanted:
        """Of a demand that was checked."""
        if demand is None:
            return Wanted(Guide(), [], 0)
        opening = self._opening(demand.prefix) if demand.prefix else None
        avoided = self._avoided(tuple(dict.fromkeys(demand.avoid))) if demand.avoid else None
        phrases = self._phrases(demand.constraints)
        return Wanted(Guide(opening, avoided), phrases, 0 if opening is None else opening.longest)

    def check(self, demand: Demand) -> None:
        """Raises DataError for symbols that the model does not know, and for demands that contradict one another."""
        self._phrases(demand.constraints)
        self._ids(demand.prefix.rstrip(), "prefix", inside=False)
        for avoided in demand.avoid:
            for kind, text in (*(("constraint", text) for text in demand.constraints), ("prefix", demand.prefix)):
                if self.contains(text, avoided):
                    told = f"{printable(repr(text), 60)} has what is to be avoided, {printable(repr(avoided), 60)}"
                    raise DataError(f"the {kind} {told}", hint="leave out one of them")

    def check_term(self, term: Term) -> None:
        """Raises DataError, with the line of the glossary, for a translation with symbols that the model does not
        know."""
        try:
            self._phrase(term.targets[0], f"translation of the term {printable(repr(term.source), 60)},")
        except DataError as error:
            hint = "leave the term out, or give a translation in other characters first"
            raise DataError(error.what, where=term.where or None, hint=hint) from None

    def with_terms(self, part: Part, glossary: Glossary) -> Part:
        """With what the terms in the text of a part are to be among the constraints, as often as they stand there,
        unless the demand has that itself. What has something in it that is to be avoided is left out: what is said of
        one line counts for more."""
        given = part.demand or Demand()
        phrases = [each.term.targets[0] for each in glossary.find(part.text)] if part.ids else []
        lacking = Counter(phrases) - Counter(given.constraints)
        fitting = [phrase for phrase in lacking.elements() if not any(self.contains(phrase, x) for x in given.avoid)]
        return part._replace(demand=given._replace(constraints=(*given.constraints, *fitting))) if fitting else part

    def contains(self, text: str, phrase: str) -> bool:
        """Whether a phrase that is to be avoided stands in a text, as whole words."""
        if phrase == phrase.lower():
            text = lowered(text)
        place = text.find(phrase)
        while place >= 0:
            end = place + len(phrase)
            cut_before = place > 0 and self._is_word(text[place - 1]) and self._is_word(phrase[0])
            cut_after = end < len(text) and self._is_word(text[end]) and self._is_word(phrase[-1])
            if not cut_before and not cut_after:
                return True
            place = text.find(phrase, place + 1)
        return False

    @cached_property
    def goes_on_V(self) -> np.ndarray:
        """Whether a symbol goes on with a word that has begun."""
        return np.array([bool(text) and self._is_word(text[0]) for text in self._texts])

    @cached_property
    def ends_word_V(self) -> np.ndarray:
        """Whether a word could go on after a symbol."""
        return np.array([bool(text) and self._is_word(text[-1]) for text in self._texts])

    # ------------------------------------------------------------------------------------------------- text of symbols

    @cached_property
    def _texts(self) -> list[str]:
        """Of each symbol, with WORD_START for a space; "" for special symbols and tags."""
        silent = {*range(EOS + 1), *self.tokenizer.tags.values()}
        start = WORD_START if self.tokenizer.kind == "word" else ""
        pieces = enumerate(self.tokenizer.pieces(range(self.tokenizer.size)))
        return ["" if index in silent else start + piece for index, piece in pieces]

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return dict(self._sorted)

    @cached_property
    def _sorted(self) -> list[tuple[str, int]]:
        return sorted((text, index) for index, text in enumerate(self._texts) if text)

    @cached_property
    def _has_spaces(self) -> bool:
        return not joins_without_space(self.language)

    def _is_word(self, character: str) -> bool:
        """With case markup, letters that one mark is of are a word in any language."""
        if not self._has_spaces:
            return self.tokenizer.case_markup and (character in MARKS or is_letter(character))
        return character.isalnum() or unicodedata.category(character)[0] == "M"

    def _ids(self, text: str, name: str, *, inside: bool) -> list[int]:
        """inside: as inside a line, where no word begins."""
        ids = (
            self.tokenizer.encode_inside(text.replace(" ", WORD_START)) if inside else self.tokenizer.encode([text])[0]
        )
        if UNK in ids:
            parts = text.split() if self.tokenizer.kind == "word" else dict.fromkeys(text.replace(" ", ""))
            unknown = [part for part in parts if UNK in self.tokenizer.encode_inside(part)]
            listed = ", ".join(printable(repr(part), 30) for part in unknown[:5])
            raise DataError(f"the model cannot write {listed} of the {name} {printable(repr(text), 60)}")
        return ids

    # -------------------------------------------------------------------------------------------------------- phrases

    def _phrases(self, texts: Sequence[str]) -> list[Phrase]:
        counts = Counter(self._phrase(text) for text in texts)
        return [Phrase(ids, times, is_word) for (ids, is_word), times in counts.items()]

    def _phrase(self, text: str, name: str = "constraint") -> tuple[tuple[int, ...], bool]:
        """Symbols of a phrase as it stands within a sentence, where a space comes before most."""
        is_attached = not self._has_spaces or text[0] in _ATTACHED
        if self.tokenizer.kind == "character" and not is_attached:
            text, is_attached = " " + text, True
        inside = is_attached and self.tokenizer.kind != "word"
        return tuple(self._ids(text, name, inside=inside)), self._is_word(text[-1])

    # --------------------------------------------------------------------------------------------------------- prefix

    def _opening(self, prefix: str) -> Opening:
        """The words of the prefix as they are always cut. The last one may be cut in any way, for it may go on; after a
        space, another word begins."""
        ids = self._ids(prefix.rstrip(), "prefix", inside=False)
        signs = None
        if self.tokenizer.case_markup and not prefix.endswith(" "):  # the mark of its last word comes where that ends
            marked, signs = begun(prefix)
            ids = self.tokenizer.encode_piece(WORD_START + marked.replace(" ", WORD_START))
        texts = [self._texts[index] for index in ids]
        begin, rest = len(ids), ""
        if not prefix.endswith(" "):
            begin = max(0, len(ids) - OPEN_PIECES, *(i for i, text in enumerate(texts) if text.startswith(WORD_START)))
            rest = "".join(texts[begin:])
        elif self._has_spaces:
            rest = WORD_START
        fixed = [(np.array([index]), np.array([place])) for place, index in enumerate(ids[:begin], start=1)]
        free = self._rests(rest, prefix.endswith(" "), signs) if rest else []
        moved = [(symbols_N, following_N + begin) for symbols_N, following_N in free]
        admitted = (*ids, *(self.tokenizer.case_marks if signs else ()))
        return Opening((*fixed, *moved), admitted, begin + len(rest) + 1 + (OPEN_PIECES if signs else 0))

    def _rests(self, rest: str, is_space: bool, signs: str | None) -> list[tuple[np.ndarray, np.ndarray]]:
        """States in which less and less of a text is left: any symbols that begin with it, or that it begins with. With
        case markup, states follow in which its last word goes on: see `_ends`."""
        choices: dict[int, tuple[np.ndarray, list[int], list[int]]] = {}  # of places in the rest
        index_of, end = self._index_of, len(rest)
        for place in range(end - 1, -1, -1):
            left = rest[place:]
            whole_N = self._beginning(left)
            if is_space:
                whole_N = whole_N[whole_N != index_of.get(left, -1)]
            elif signs is not None:
                found = [after_letters(self._texts[index][len(left) :]) for index in whole_N.tolist()]
                whole_N = whole_N[[not sign or _agrees(sign, signs) for sign in found]]
            cuts = [cut for cut in range(place + 1, end) if cut in choices and rest[place:cut] in index_of]
            if len(whole_N) or cuts:
                choices[place] = whole_N, [index_of[rest[place:cut]] for cut in cuts], cuts
        if is_space and 0 not in choices:  # only characters: a space, then any other
            others_N = np.array(sorted(index for text, index in self._sorted if not text.startswith(WORD_START)))
            choices, end = {0: (np.zeros(0, np.int64), [index_of[WORD_START]], [1]), 1: (others_N, [], [])}, 2
        number = {place: state for state, place in enumerate(sorted(choices))}
        ends = self._ends(signs, len(choices))
        states = []
        for place, (whole_N, parts, cuts) in sorted(choices.items()):
            symbols_N, following_N = whole_N, np.full(len(whole_N), len(choices) + len(ends))
            if ends:
                goes_on_N = [not after_letters(self._texts[index][end - place :]) for index in whole_N.tolist()]
                following_N[goes_on_N] = len(choices)
            if parts:
                symbols_N = np.concatenate([symbols_N, parts])
                following_N = np.concatenate([following_N, [number[cut] for cut in cuts]])
                order_N = symbols_N.argsort()
                symbols_N, following_N = symbols_N[order_N], following_N[order_N]
            states.append((symbols_N, following_N))
        return [*states, *ends]

    def _ends(self, signs: str | None, first: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """States, from the `first` on, in which letters go on until one of the marks makes them what a prefix begins
        with, or until anything but a mark follows them. A mark comes after a few pieces, for it to come at all."""
        if signs is None:
            return []
        letters_N, closing_N = self._letters_N, np.flatnonzero([_agrees(sign, signs) for sign in self._signs])
        order_N = np.concatenate([letters_N, closing_N]).argsort()
        count, symbols_N = OPEN_PIECES if signs else 1, np.concatenate([letters_N, closing_N])[order_N]
        states = []
        for state in range(first, first + count):
            on = state + 1 if signs else state
            following_N = np.repeat([on, first + count], [len(letters_N), len(closing_N)])[order_N]
            states.append((symbols_N, following_N))
        return [*states[:-1], (closing_N, np.full(len(closing_N), first + count))] if signs else states

    @cached_property
    def _letters_N(self) -> np.ndarray:
        """The symbols that are letters only, of which a mark of case may follow."""
        return np.array([index for text, index in self._sorted if not after_letters(text)])

    @cached_property
    def _signs(self) -> list[str]:
        """What follows the letters with which each symbol begins, if there is something; what is no text ends them."""
        never = {index for index in range(EOS)}
        signs = [after_letters(text) if text else " " for text in self._texts]
        return ["" if index in never else sign for index, sign in enumerate(signs)]

    @cached_property
    def _beginning(self) -> Callable[[str], np.ndarray]:
        """The symbols whose text begins so, rising."""
        ids_N = np.array([index for _, index in self._sorted])

        @lru_cache(CACHED)
        def beginning(text: str) -> np.ndarray:
            begin, end = (bisect_left(self._sorted, (bound, -1)) for bound in (text, text + chr(sys.maxunicode)))
            return np.sort(ids_N[begin:end])

        return beginning

    # ---------------------------------------------------------------------------------------------------------- avoid

    @cached_property
    def _characters(self) -> Characters:
        texts = [WORD_START if index == EOS else text for index, text in enumerate(self._texts)]
        marks = MARKS if self.tokenizer.case_markup else ""
        return Characters(texts, lambda character: character not in marks and self._is_word(character))

    @cached_property
    def _avoided(self) -> Callable[[tuple[str, ...]], Avoided]:
        @lru_cache(CACHED)
        def avoided(phrases: tuple[str, ...]) -> Avoided:
            waits, case_markup = self.tokenizer.kind == "character", self.tokenizer.case_markup
            given = phrases, self._characters, self._is_word, self.ends_word_V
            return AvoidedStates(*given, waits=waits, case_markup=case_markup).avoided()

        return avoided

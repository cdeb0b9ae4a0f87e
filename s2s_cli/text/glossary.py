"""Glossaries: terms of the source language, what they are to be in the target language, and where they stand in a text.

A file has a term in each line, `source<TAB>target`, or `source<TAB>target<TAB>how it matches`. A term with several
translations has several lines, that which is to be written first. Lines that begin with `#`, and blank ones, say
nothing.

A term is found as whole words: it is compared word by word, as `s2s_cli.text.words` divides a text, so that white space
counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from s2s_cli.errors import DataError, UsageError
from s2s_cli.text.files import read_lines
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.words import words_of

MATCHES = ("any-case", "inflected")
"""How a term may differ from the text: in capitals; by an ending of its words."""
LONGEST_ENDING = 3  # letters
LEAST_STEM = 4  # letters of a word that may have an ending
_HINT = f"write SOURCE<TAB>TARGET in each line, or with a third column of {' and '.join(MATCHES)}; # before a comment"


class Term(NamedTuple):
    """A term, and what it is to be."""

    source: str
    targets: tuple[str, ...]
    """All that are right. The first one is to be written."""
    match: frozenset[str] = frozenset()
    """Of `MATCHES`."""
    where: str = ""
    """file:line, for errors."""


class Occurrence(NamedTuple):
    """Where a term stands in a text: text[start:end]."""

    start: int
    end: int
    term: Term
    is_inflected: bool = False
    """Whether a word has an ending there that it does not have in the term."""


class Row(NamedTuple):
    """A line of a glossary."""

    source: str
    target: str
    match: Sequence[str] = ()
    where: str = ""


@dataclass
class _Node:
    """Terms that begin with the same words, whatever their case."""

    following: dict[str, _Node] = field(default_factory=dict)
    terms: list[tuple[tuple[str, ...], Term]] = field(default_factory=list)
    """Those that end here, with their words."""


class Glossary:
    """Terms that are looked for in texts.

    >>> glossary = Glossary([Row("disk", "Platte"), Row("hard disk", "Festplatte"), Row("disk", "Scheibe")])
    >>> [found.term.targets for found in glossary.find("A hard disk is a disk, no diskette.")]
    [('Festplatte',), ('Platte', 'Scheibe')]
    """

    def __init__(self, rows: Iterable[Row], match: Sequence[str] = ()) -> None:
        """match: of `MATCHES`, for all terms. Rows of the same source are one term, which matches as any of them
        says; those without a word are no terms."""
        self.match = tuple(match)
        by_words: dict[tuple[str, ...], Term] = {}
        for source, target, own, where in rows:
            words = tuple(word.text for word in words_of(source))
            if words:
                term = by_words.get(words, Term(clean_line(source), (), frozenset(match), where))
                targets = tuple(dict.fromkeys([*term.targets, clean_line(target)]))
                by_words[words] = term._replace(targets=targets, match=term.match.union(own))
        self.terms = list(by_words.values())
        self._root = _Node()
        for words, term in by_words.items():
            node = self._root
            for word in words:
                node = node.following.setdefault(word.casefold(), _Node())
            node.terms.append((words, term))
        # Most words of a text begin no term, and these letters stay the same with any ending.
        self._beginnings = {word[:LEAST_STEM] for word in self._root.following}

    @classmethod
    def read(cls, path: Path, match: Sequence[str] = ()) -> Glossary:
        """Raises DataError with file:line for a line that is no term or not UTF-8, or if there is no term; MachineError
        for a file that cannot be read."""
        found = cls(_rows(path), match)
        if not found.terms:
            raise DataError("the glossary has no term", where=path)
        return found

    def find(self, text: str) -> list[Occurrence]:
        """The terms in a text from the left, without overlap: the longest one first, of equally long ones that which
        differs least from the text, of these the first of the glossary."""
        words = words_of(text)
        tokens = [word.text for word in words]
        folded = [token.casefold() for token in tokens]
        found, end = list[Occurrence](), 0
        for place, token in enumerate(folded):
            if place < end or token[:LEAST_STEM] not in self._beginnings:
                continue
            own, term = self._best(tokens, folded, place)
            if term is not None:
                end = place + len(own)
                is_inflected = [word.casefold() for word in own] != folded[place:end]
                found.append(Occurrence(words[place].start, words[end - 1].end, term, is_inflected))
        return found

    def _best(self, tokens: Sequence[str], folded: Sequence[str], begin: int) -> tuple[tuple[str, ...], Term | None]:
        """The term that begins with a token, and its words. Few terms are compared: those of the same words, up to
        their endings and case."""
        best: tuple[tuple[str, ...], Term | None] = ((), None)
        nodes, place = [self._root], begin
        while place < len(tokens):
            nodes = [node.following[stem] for node in nodes for stem in _stems(folded[place]) if stem in node.following]
            if not nodes:
                break
            place += 1
            fitting = [
                (difference, words, term)
                for node in nodes
                for words, term in node.terms
                if (difference := _difference(words, term.match, tokens[begin:place])) is not None
            ]
            if fitting:
                best = min(fitting, key=lambda each: each[0])[1:]
        return best


def read_glossary(path: Path, match: str | None) -> Glossary:
    """A glossary, and how its terms match: `any-case`, `inflected`, or both with a comma between. Raises
    UsageError for another match; others as `Glossary.read`."""
    names = match.split(",") if match else []
    if unknown := [name for name in names if name not in MATCHES]:
        hint = f"some of {', '.join(MATCHES)}"
        raise UsageError(f"`{unknown[0]}` is no way to match a term", where="--glossary-match", hint=hint)
    return Glossary.read(path, names)


def _stems(folded: str) -> Iterator[str]:
    yield folded
    for ending in range(1, min(LONGEST_ENDING, len(folded) - LEAST_STEM) + 1):
        yield folded[:-ending]


def _difference(words: Sequence[str], match: frozenset[str], tokens: Sequence[str]) -> int | None:
    """By how much as many tokens differ from the words of a term, endings more than case; None: it is not they."""
    total = 0
    for word, token in zip(words, tokens, strict=True):
        stem, whole = word.casefold(), token.casefold()
        more = len(whole) - len(stem)
        has_ending = "inflected" in match and len(stem) >= LEAST_STEM and word.isalpha() and more <= LONGEST_ENDING
        is_stem = whole.startswith(stem) if "any-case" in match else token.startswith(word)
        if not is_stem or (more and not has_ending):
            return None
        total += 2 * more + (not token.startswith(word))
    return total


def _rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}:{number}"
        cells = [clean_line(cell) for cell in line.split("\t")]
        if len(cells) < 2 or not cells[0] or not cells[1] or any(cells[3:]):
            raise DataError("a term and its translation are needed", where=where, hint=_HINT)
        match = [name.strip() for name in cells[2].split(",") if name.strip()] if len(cells) > 2 else []
        if unknown := [name for name in match if name not in MATCHES]:
            raise DataError(f"`{unknown[0]}` is no way to match a term", where=where, hint=_HINT)
        yield Row(cells[0], cells[1], match, where)

"""Terms of the source language, what they are to be in the target language, and where they stand in a text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from s2s_cli.errors import DataError, MachineError
from s2s_cli.text.hygiene import clean_line

MATCHES = ("any-case", "inflected")
"""How a term may differ from the text: in capitals; by an ending of its words."""
LONGEST_ENDING = 3  # letters
LEAST_STEM = 4  # letters of a word that may have an ending
_TOKEN = re.compile(r"\w+|[^\w\s]")


class Term(NamedTuple):
    """A term in a text, from `start` to `end`, and what it is to be."""

    start: int
    end: int
    target: str


class _Entry(NamedTuple):
    words: tuple[str, ...]
    target: str
    any_case: bool
    inflected: bool

    def matches(self, tokens: Sequence[str]) -> int:
        """How well the tokens are the term: 0 if they are not, less the more they differ."""
        if len(tokens) < len(self.words):
            return 0
        score = 1 + 2 * len(self.words) * (LONGEST_ENDING + 1)
        for word, token in zip(self.words, tokens, strict=False):
            found = token.casefold() if self.any_case else token
            wanted = word.casefold() if self.any_case else word
            more = len(found) - len(wanted)
            if not found.startswith(wanted) or more > self._ending(wanted):
                return 0
            score -= 2 * more + (word != token[: len(word)])
        return score

    def _ending(self, word: str) -> int:
        return LONGEST_ENDING if self.inflected and len(word) >= LEAST_STEM and word.isalpha() else 0


@dataclass(frozen=True)
class TermList:
    """Terms by the beginning of their first word, whatever its case."""

    entries: dict[str, list[_Entry]]

    @classmethod
    def read(cls, path: Path, match: Sequence[str] = ()) -> Self:
        """From a file with a term a line: source TAB target [TAB how it matches], where blank lines and those that
        begin with `#` count for nothing.

        match: of `MATCHES`, for all terms. Raises DataError, with the line, for what is no term.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise MachineError(f"cannot be read: {error.strerror or error}", where=path) from error
        except UnicodeDecodeError as error:
            raise DataError("is not UTF-8", where=path, hint="convert it with `iconv`") from error
        return cls.of(_rows(text.splitlines(), path), match)

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, Sequence[str]]], match: Sequence[str] = ()) -> Self:
        """From (source, target, how it matches); of equal sources the first counts."""
        entries: dict[str, list[_Entry]] = {}
        for source, target, own in rows:
            words = tuple(_TOKEN.findall(clean_line(source)))
            how = {*match, *own}
            entry = _Entry(words, clean_line(target), "any-case" in how, "inflected" in how)
            entries.setdefault(words[0].casefold(), []).append(entry)
        return cls(entries)

    def terms_of(self, text: str) -> list[Term]:
        """The terms in a text, from the left, none in another one: whole words, the longest term first, of equally long
        ones that which differs least."""
        tokens = list(_TOKEN.finditer(text))
        words = [token.group() for token in tokens]
        found, place = list[Term](), 0
        while place < len(tokens):
            fitting = [(entry, entry.matches(words[place:])) for entry in self._beginning_with(words[place])]
            best = max(fitting, key=lambda each: (each[1] > 0, len(each[0].words), each[1]), default=None)
            if best is None or not best[1]:
                place += 1
                continue
            length = len(best[0].words)
            found.append(Term(tokens[place].start(), tokens[place + length - 1].end(), best[0].target))
            place += length
        return found

    def _beginning_with(self, word: str) -> Iterator[_Entry]:
        folded = word.casefold()
        for ending in range(LONGEST_ENDING + 1):
            yield from self.entries.get(folded[: len(folded) - ending], ()) if ending < len(folded) else ()


def _rows(lines: Sequence[str], path: Path) -> Iterator[tuple[str, str, list[str]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        source, target, how, *more = [*(column.strip() for column in line.split("\t")), "", ""][: line.count("\t") + 3]
        options = [option.strip() for option in how.split(",") if option.strip()]
        hint = f"a line is SOURCE<TAB>TARGET, or with a third column of {' and '.join(MATCHES)}"
        if not _TOKEN.search(source) or not target or any(more):
            raise DataError("is no term", where=f"{path}:{number}", hint=hint)
        if unknown := [option for option in options if option not in MATCHES]:
            raise DataError(f"`{unknown[0]}` is no way to match a term", where=f"{path}:{number}", hint=hint)
        yield source, target, options

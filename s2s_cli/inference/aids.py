"""What a model is given beside a text: what to protect, the terms of a glossary, a translation memory. Arguments
have the values of the command-line options, and errors name these options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2s_cli import console
from s2s_cli.errors import DataError, UsageError, faults_of_reading
from s2s_cli.sealed import file_sha256

# What few translations need is imported where it is needed.
if TYPE_CHECKING:
    from s2s_cli.inference.reading import Reader
    from s2s_cli.search.options import SearchOptions
    from s2s_cli.text.protected import Finder

WAYS = ("inline", "forced", "both")


@dataclass(frozen=True)
class Aids:
    """What a reader is given, by default what its model has learnt."""

    protect: str | None = None
    protect_patterns: tuple[str, ...] = ()
    glossary: Path | None = None
    glossary_match: str | None = None
    glossary_way: str | None = None
    memories: tuple[Path, ...] = ()
    fuzzy: float | None = None
    digests: tuple[str, ...] = ()
    """The SHA-256 of each file, for work that is done bit by bit; see `sealed`."""

    def sealed(self) -> Aids:
        """The same for other processes, which refuse files that were changed meanwhile. Raises MachineError."""
        memories = tuple(path.resolve() for path in self.memories)
        found = replace(self, glossary=self.glossary and self.glossary.resolve(), memories=memories)
        return replace(found, digests=found._digests())

    def _digests(self) -> tuple[str, ...]:
        return tuple(map(_digest, (*([self.glossary] if self.glossary else []), *self.memories)))

    def given_to(self, reader: Reader, options: SearchOptions) -> Reader:
        """The reader that heeds them, for searches with these options. Raises UsageError for what is none for this
        model or this search, DataError and MachineError for files."""
        if self.digests and self.digests != self._digests():
            hint = "the same file for all parts"
            raise DataError("a glossary or a memory was changed since the work began", hint=hint)
        reader = replace(reader, finder=finder_of(self.protect, self.protect_patterns, reader.finder))
        if self.glossary is not None:
            reader = with_glossary(reader, self.glossary, self.glossary_match, self.glossary_way, options)
        if not self.memories:
            return reader
        from s2s_cli.inference.memory import Lookup, TranslationMemory
        from s2s_cli.text.languages import Languages

        languages = Languages(reader.division.source, reader.division.target)
        return replace(reader, memory=Lookup(TranslationMemory.read(self.memories, languages), self.fuzzy))

    def facts(self) -> dict[str, Any]:
        """What those have in common that give the same, as JSON has it, if they are sealed."""
        facts = {**vars(self), "glossary": self.glossary is not None, "memories": len(self.memories)}
        return {name: [*value] if isinstance(value, tuple) else value for name, value in facts.items()}


def _digest(path: Path) -> str:
    with faults_of_reading(path):
        return file_sha256(path)


NO_AIDS = Aids()


def finder_of(kinds: str | None, patterns: Sequence[str], given: Finder | None) -> Finder | None:
    """What finds what --protect and --protect-pattern say; given: what the model protects without them."""
    if kinds is None and not patterns:
        return given
    from s2s_cli.text.protected import KINDS, Finder

    own = given.kinds if given else ()
    names = own if kinds is None else () if kinds == "none" else tuple(kinds.split(","))
    for name in names:
        if name not in KINDS:
            hint = f"some of {', '.join(KINDS)}, or none"
            raise UsageError(f"`{name}` is nothing that can be protected", where="--protect", hint=hint)
    for pattern in patterns:
        if not pattern:
            raise UsageError("an empty pattern finds nothing", where="--protect-pattern", hint="leave it out")
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"`{pattern}` is no regular expression: {error}", where="--protect-pattern") from error
    own_patterns = given.patterns if given and kinds is None else ()
    return Finder(names, (*patterns, *own_patterns)) if names or patterns or own_patterns else None


def with_glossary(reader: Reader, path: Path, match: str | None, way: str | None, options: SearchOptions) -> Reader:
    """The reader with the terms of --glossary. way: `inline`, `forced` or `both`; by default both, as far as the model
    has learnt the first and the search bears the second. Raises UsageError for a way that is none for them."""
    from s2s_cli.inference.demands import fault_of_constraints, refuse_constraints
    from s2s_cli.text.glossary import read_glossary

    learnt = reader.tokenizers.source.term_tags is not None
    is_asked_for = way is not None
    way = way or ("forced" if not learnt else "inline" if fault_of_constraints(options) else "both")
    if way not in WAYS:
        raise UsageError(f"`{way}` is no way to use a glossary", where="--glossary-way", hint=f"{' or '.join(WAYS)}")
    if way != "forced" and not learnt:
        hint = "--glossary-way forced needs no training; or train a model with `data.terms`"
        raise UsageError("the model has not been trained with terms", where="--glossary-way", hint=hint)
    if way != "inline":
        refuse_constraints(options)
    glossary = read_glossary(path, match)
    if way != "inline":
        try:
            reader.check_terms(glossary)
            reader = replace(reader, forced=glossary)
        except DataError as error:
            if is_asked_for or way == "forced":
                raise
            console.warn(f"{error}; terms are told to the model, and none is forced")
    return reader if way == "forced" else replace(reader, inline=glossary)

"""What the served models are given beside texts. A glossary is of one pair of languages, and so is a memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from s2s_cli.errors import UsageError
from s2s_cli.inference.aids import Aids
from s2s_cli.inference.translator import Translator

Pair = tuple[str, str]
"""The codes of the source and the target language."""


@dataclass(frozen=True)
class ServedAids:
    """What the options of the command line say. A glossary and a memory are named with their pair of languages,
    `de-en=terms.tsv`, which may be left out where one model is served."""

    protect: str | None = None
    protect_patterns: tuple[str, ...] = ()
    glossaries: tuple[str, ...] = ()
    glossary_match: str | None = None
    glossary_way: str | None = None
    memories: tuple[str, ...] = ()

    def give_to(self, translators: Mapping[Pair, Translator]) -> None:
        """Let the translators heed them. Raises UsageError for a glossary or a memory of no pair, and for a second
        glossary of one; others as `Aids.given_to`."""
        for pair, aids in self._of(translators).items():
            translator = translators[pair]
            translator.reader = aids.given_to(translator.reader, translator.options)

    def _of(self, translators: Mapping[Pair, Translator]) -> dict[Pair, Aids]:
        protect = dict.fromkeys(translators, self.protect)
        if self.protect == "none" and any(each.reader.finder for each in translators.values()):
            protect = {pair: "none" if each.reader.finder else None for pair, each in translators.items()}
        aids = {pair: Aids(protect[pair], self.protect_patterns) for pair in translators}
        for given in self.glossaries:
            pair, path = _named(given, translators, "--glossary")
            if aids[pair].glossary is not None:
                what = f"a second glossary from {pair[0]} to {pair[1]}"
                raise UsageError(what, where=f"--glossary {given}", hint="put all terms into one file")
            match, way = self.glossary_match, self.glossary_way
            aids[pair] = replace(aids[pair], glossary=path, glossary_match=match, glossary_way=way)
        for given in self.memories:
            pair, path = _named(given, translators, "--memory")
            aids[pair] = replace(aids[pair], memories=(*aids[pair].memories, path))
        return aids


NO_AIDS = ServedAids()


def _named(given: str, pairs: Iterable[Pair], option: str) -> tuple[Pair, Path]:
    """The pair that a file is for, and the file."""
    names = {"-".join(pair): pair for pair in pairs}
    name, sign, path = given.partition("=")
    if sign and name in names:
        return names[name], Path(path)
    if len(names) > 1 or (sign and not Path(given).exists()):
        listed = " or ".join(f"{each}=" for each in names)
        hint = f"such as {option} {next(iter(names))}={path or given}"
        raise UsageError(f"before this file, its languages are needed: {listed}", where=f"{option} {given}", hint=hint)
    (pair,) = names.values()
    return pair, Path(given)

"""The models that are served, by the pair of their languages, and what a worker process does with them."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from s2s_cli.errors import UsageError
from s2s_cli.inference.dividing import Part
from s2s_cli.inference.loading import use_threads
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions
from s2s_cli.serving.aids import NO_AIDS, Pair, ServedAids
from s2s_cli.serving.batching import Job
from s2s_cli.text.languages import in_language

MOST_CODE = 100
"""Characters of what may be the code of a language. It is compared for each text of a request, in time that grows with
it, and a request may hold a code of a megabyte."""
DESCRIPTORS = Path("/proc/self/fd")
"""Names the open descriptors of this process, where the system has it."""


class Kind(NamedTuple):
    """What the parts of a batch have in common."""

    model: int
    options: SearchOptions
    explains: bool = False
    """Whether the search is to be told too, step by step."""


@dataclass(frozen=True)
class Models:
    """Translators by number, and their numbers by pair of languages."""

    translators: list[Translator]
    numbers: dict[Pair, int]

    @staticmethod
    def load(
        paths: Sequence[Path], *, beam: int | None = None, engine: str = "auto", aids: ServedAids = NO_AIDS
    ) -> Models:
        """Raises UsageError for models whose languages are unknown or the same, and what `Translator.load` and
        `ServedAids.give_to` raise."""
        translators: list[Translator] = []
        numbers: dict[Pair, int] = {}
        for path in paths:
            translator = Translator.load(path, device="cpu", threads=1, engine=engine)
            pair = (translator.division.source, translator.division.target)
            if not all(pair):
                hint = "name both in the recipe's `languages` and export the model again"
                raise UsageError("the languages of this model are unknown", where=f"--model {path}", hint=hint)
            if pair in numbers:
                hint = "serve one of them, or start another server for the other"
                raise UsageError(f"a second model from {pair[0]} to {pair[1]}", where=f"--model {path}", hint=hint)
            if beam is not None:
                translator.options = replace(translator.options, beam=beam)
            numbers[pair] = len(translators)
            translators.append(translator)
        aids.give_to(dict(zip(numbers, translators, strict=True)))
        return Models(translators, numbers)

    @property
    def pairs(self) -> list[Pair]:
        """All pairs that are served."""
        return list(self.numbers)

    @property
    def sources(self) -> list[str]:
        """The languages that are translated from."""
        return list(dict.fromkeys(source for source, _ in self.numbers))

    @property
    def languages(self) -> list[str]:
        """All languages."""
        return sorted({code for pair in self.numbers for code in pair})

    def targets_of(self, source: str) -> list[str]:
        """The languages that a language is translated into."""
        return [target for each, target in self.numbers if each == source]

    def spelled(self, code: str, among: Sequence[str]) -> str | None:
        """The language that a code means, which may be written otherwise: `EN-US`, `zh-Hans`, `De`."""
        place = in_language(among, code) if len(code) <= MOST_CODE else None
        return None if place is None else among[place]

    def most_parts(self, kind: Kind) -> int:
        """Parts of a batch, by the memory of a step."""
        return 1 if kind.explains else self.translators[kind.model].most_parts(kind.options.width)

    def make_work(self) -> Callable[[Job[Kind]], list[Any]]:
        """What a worker does: called in the forked process."""
        close_inherited_sockets()
        for translator in self.translators:
            use_threads(translator.model, 1)
        return self._work

    def _work(self, job: Job[Kind]) -> list[Any]:
        if job is None:
            self._warm_up()
            return []
        kind, parts = job
        translator = self.translators[kind.model]
        if kind.explains:
            from s2s_cli.serving.explaining import explained

            return [explained(translator, part, kind.options) for part in parts]
        hypotheses = translator.search(parts, kind.options)
        return [translator.writer.candidates(part, found) for part, found in zip(parts, hypotheses, strict=True)]

    def _warm_up(self) -> None:
        """Touch the weights, so that the first request does not wait for the disk."""
        for translator in self.translators:
            if ids := translator.tokenizers.source.encode(["a"])[0]:
                translator.search([Part("a", ids)], translator.options)


def close_inherited_sockets() -> None:
    """Close the copies of network sockets that this forked process has: a connection ends only when all are closed."""
    for name in os.listdir(DESCRIPTORS) if DESCRIPTORS.is_dir() else ():
        with suppress(OSError, ValueError):
            descriptor = int(name)
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                family = socket.socket(fileno=os.dup(descriptor)).family
                if family in (socket.AF_INET, socket.AF_INET6):
                    os.close(descriptor)

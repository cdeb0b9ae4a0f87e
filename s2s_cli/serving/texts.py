"""Texts of requests: divided into lines and parts, translated with all others that wait, and joined again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from s2s_cli.inference.dividing import WHOLE_PIECES, Division
from s2s_cli.inference.inline import Flat
from s2s_cli.inference.lines import LINE_BYTES
from s2s_cli.inference.reading import Reader, Source
from s2s_cli.inference.translation import Candidate, Translation
from s2s_cli.search.options import SearchOptions
from s2s_cli.serving.aids import Pair
from s2s_cli.serving.batching import Batcher
from s2s_cli.serving.limits import Refused
from s2s_cli.serving.models import Kind, Models
from s2s_cli.serving.queue import Sized
from s2s_cli.serving.threads import Threads

_LINE_ENDS = re.compile(r"(\r\n|\n|\r)")
Line = TypeVar("Line")
Result = TypeVar("Result")
LONG = 2000  # characters: reading and writing more of them would keep other requests waiting
EXPLAINED_PIECES = 200
"""Most of a part that is explained: what is told of it grows with their square."""


class Prepared(Protocol):
    """A text with markup: what there is to translate in it, and how its translations go back."""

    @property
    def flats(self) -> Mapping[Any, Flat]:
        """The texts, by what tells one from another."""
        ...

    def written(self, found: Mapping[Any, Translation]) -> str:
        """The text with the translation of each of `flats` in its place."""
        ...


class Prepare(Protocol):
    """Finds what there is to translate in a text with markup. Raises DataError if the markup is not sound."""

    def __call__(
        self,
        text: str,
        form: str,
        languages: Pair,
        *,
        reader: Reader,
        ignored: frozenset[str],
        splitting: frozenset[str],
        keeps_lines: bool,
    ) -> Prepared:
        """form: `html` or `xml`. reader: of the model. ignored, splitting: names of elements of XML, those whose
        content is not translated, and those that divide a text. keeps_lines: whether the ends of lines do so, too."""
        ...


class Wish(NamedTuple):
    """How texts are to be translated."""

    pair: Pair
    n_best: int = 1
    split: str = ""
    """As `Division.split`; "" as the model's recipe says."""
    keeps_lines: bool = True
    """Whether the end of a line ends a sentence, and stays where it is."""
    form: str = "text"
    """`text`, `html` or `xml`."""
    ignored: frozenset[str] = frozenset()
    splitting: frozenset[str] = frozenset()


class Texts:
    """Translates the texts of requests."""

    def __init__(self, models: Models, batcher: Batcher[Kind, Any], prepare: Prepare) -> None:
        self.models, self._batcher, self._prepare = models, batcher, prepare
        self._threads = Threads()

    async def translate(self, texts: Sequence[str], wish: Wish) -> list[list[str]]:
        """For each text its `n_best` translations, best first, or as many different ones as there are.

        Raises DataError for a text that is none, Refused for one of which the end would be left out, and what
        `Batcher.answers` raises.
        """
        self._batcher.admit()  # before the work of reading texts that could not wait
        if wish.form == "text":
            return await self._plain(texts, wish)
        translator = self.models.translators[self.models.numbers[wish.pair]]
        reader = translator.reader
        characters = sum(map(len, texts))

        def prepare() -> list[Prepared]:
            make = partial(self._prepare, reader=reader, ignored=wish.ignored, splitting=wish.splitting)
            return [make(text, wish.form, wish.pair, keeps_lines=wish.keeps_lines) for text in texts]

        prepared = await self._aside(characters, prepare)
        flats = {key: flat for each in prepared for key, flat in each.flats.items()}
        if reader.carries:
            translations = await self._lines(list(flats.values()), reader.read_flats, wish, characters)
        else:
            lines = [flat.text for flat in flats.values()]
            translations = await self._lines(lines, reader.read, wish, characters)
        found = dict(zip(flats, translations, strict=True))

        def written() -> list[list[str]]:
            ranks = [{key: _ranked(each, rank) for key, each in found.items()} for rank in range(wish.n_best)]
            return [list(dict.fromkeys(each.written(rank) for rank in ranks)) for each in prepared]

        return await self._aside(characters * wish.n_best, written)

    async def explain(self, text: str, pair: Pair, most_parts: int) -> list[dict[str, Any]]:
        """How the first parts of a text are translated. Raises as `translate`, and Refused for a part of too many
        pieces."""
        number = self.models.numbers[pair]
        translator = self.models.translators[number]
        self._batcher.admit()

        def prepare() -> list[Sized]:
            lines = [line for line in _LINE_ENDS.split(text) if line.strip()][:most_parts]  # most have a part at least
            sized = _sized(translator.reader.read(lines))[:most_parts]
            longest = max((each.tokens - 1 for each in sized), default=0)
            if longest > EXPLAINED_PIECES:
                message = f"a part of {longest} pieces exceeds the limit of {EXPLAINED_PIECES} for an explanation"
                raise Refused(400, f"Invalid request: {message}")
            return sized

        kind = Kind(number, replace(translator.options, n_best=1), explains=True)
        return await self._batcher.answers(kind, await self._aside(len(text), prepare))

    async def _plain(self, texts: Sequence[str], wish: Wish) -> list[list[str]]:
        """Texts line by line; white space around a line and the ends of lines stay as they are."""
        characters = sum(map(len, texts))
        pieces = [_LINE_ENDS.split(text) if wish.keeps_lines else [text] for text in texts]
        lines = [piece for text in pieces for piece in text[::2]]
        translator = self.models.translators[self.models.numbers[wish.pair]]
        found = await self._lines(lines, translator.reader.read, wish, characters)
        return await self._aside(characters * wish.n_best, lambda: _joined(pieces, found, wish.n_best))

    async def _lines(
        self,
        lines: Sequence[Line],
        read: Callable[[Sequence[Line], Division], list[Source]],
        wish: Wish,
        characters: int,
    ) -> list[Translation]:
        """The translation of each line, or text with marks for its markup. read: makes parts of them. characters: of
        all lines, about."""
        number = self.models.numbers[wish.pair]
        translator = self.models.translators[number]
        division = replace(translator.division, split=wish.split) if wish.split else translator.division
        options = _options(translator.options, wish.n_best)

        def prepare() -> tuple[list[Source], list[Sized]]:
            sources = read(lines, division)
            _check_whole(sources)
            return sources, _sized(sources)

        sources, sized = await self._aside(characters, prepare)
        answers: list[list[Candidate]] = await self._batcher.answers(Kind(number, options), sized)

        return await self._aside(characters, lambda: translator.writer.lines(sources, answers, options))

    async def _aside(self, characters: int, work: Callable[[], Result]) -> Result:
        """The result of work on so many characters, done by a thread if it takes long."""
        return work() if characters <= LONG else await self._threads.result(work)


def _check_whole(sources: Sequence[Source]) -> None:
    """Raise Refused for a line of which the end was left out: its translation would lack it without a word."""
    if any(source.truncated for source in sources):
        limit = f"{LINE_BYTES >> 20} MiB, or of {WHOLE_PIECES} pieces for a model that divides no lines"
        raise Refused(413, f"Invalid request: a line exceeds the limit of {limit}")


def _sized(sources: Sequence[Source]) -> list[Sized]:
    """The parts that there is something to search for."""
    return [Sized(part, len(part.ids) + 1) for source in sources for part in source.parts if part.ids]


def _options(options: SearchOptions, n_best: int) -> SearchOptions:
    """A wider beam than the model's own where more translations are asked for."""
    return replace(options, n_best=n_best, beam=max(options.beam, n_best))


def _ranked(translation: Translation, rank: int) -> Translation:
    """The translation of this rank in the place of the best one, if there is one."""
    has_it = 0 < rank < len(translation.n_best)
    return replace(translation, n_best=[translation.n_best[rank]]) if has_it else translation


def _joined(texts: Sequence[Sequence[str]], found: Iterable[Translation], n_best: int) -> list[list[str]]:
    """For each text, of which every other piece is the end of a line, its translations."""
    following, results = iter(found), []
    for pieces in texts:
        lines, ends = pieces[::2], [*pieces[1::2], ""]
        translations = [next(following) for _ in lines]
        ranked = []
        for rank in range(n_best):
            chosen = [_framed(line, _ranked(each, rank).text) for line, each in zip(lines, translations, strict=True)]
            ranked.append("".join(piece for pair in zip(chosen, ends, strict=True) for piece in pair))
        results.append(list(dict.fromkeys(ranked)))
    return results


def _framed(line: str, text: str) -> str:
    """The translation of a line with the white space around the line."""
    if not line.strip():
        return line
    return line[: len(line) - len(line.lstrip())] + text + line[len(line.rstrip()) :]

"""The translation of a document: its texts as one stream of lines, each different one once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from s2s_cli import console
from s2s_cli.documents.document import Document, Unit
from s2s_cli.documents.formats import read_document
from s2s_cli.errors import printable
from s2s_cli.inference.inline import Flat, flatten, written
from s2s_cli.inference.lines import LineWriter
from s2s_cli.inference.translation import LinesLost, Translation, is_confident
from s2s_cli.text.codes import Code, Kind, Part, Parts, told_apart
from s2s_cli.text.languages import Languages, is_same_language
from s2s_cli.text.protected import holds_choices, holds_placeholders

if TYPE_CHECKING:
    from s2s_cli.inference.reading import Reader
    from s2s_cli.inference.translator import Translator
    from s2s_cli.search.options import SearchOptions

Key = str | tuple[object, ...]
"""What tells one text from another."""
WINDOW = 4096  # texts that are translated at once


@dataclass
class Notices:
    """What users are told of units that were left as they were, or have a mark."""

    units: dict[str, list[Unit]] = field(default_factory=dict)

    def left(self, reason: str, *units: Unit) -> None:
        self._add(f"left as it was, since {reason}", units)

    def marked(self, reason: str, *units: Unit) -> None:
        self._add(f"marked to be reviewed, since {reason}", units)

    def _add(self, what: str, units: Iterable[Unit]) -> None:
        self.units.setdefault(what, []).extend(units)

    def warn(self, document: Document) -> None:
        """One line for each of them, with the place of the first unit."""
        for what, units in self.units.items():
            more = f" (the first of {len(units)})" if len(units) > 1 else ""
            console.warn(f"{document.place(units[0])}: {what}{more}")


class _Untranslatable(Exception):
    """Why a unit is left as it was."""


def translate_file(
    translator: Translator,
    form: str,
    source: IO[bytes],
    sink: IO[bytes],
    search: SearchOptions,
    *,
    batch_tokens: int | None = None,
    min_confidence: float = 0.0,
) -> None:
    """Translate a document of a format of `formats.FORMATS`. Nothing is written unless all of it is translated.

    For the arguments see `translate_document`.
    """
    languages = Languages(translator.division.source, translator.division.target)
    document = read_document(form, source, languages)
    told = document.source_language
    if told and languages.source and not is_same_language(told, languages.source):
        console.warn(f"the file says that it is in {printable(told)}, and the model reads {languages.source}")
    told = document.target_language
    if told and languages.target and not is_same_language(told, languages.target):
        console.warn(f"the file says that it is to be in {printable(told)}, and the model writes {languages.target}")
    written = translate_document(translator, document, search, batch_tokens=batch_tokens, min_confidence=min_confidence)
    LineWriter(sink).write(written)


def translate_document(
    translator: Translator,
    document: Document,
    search: SearchOptions,
    *,
    batch_tokens: int | None = None,
    min_confidence: float = 0.0,
) -> bytes:
    """The bytes of the document with its texts translated.

    Equal texts are translated once. A unit for which there is no sound translation is left as it was, with a warning;
    so is one of less confidence than the least, unless the format has a mark for what is to be reviewed.
    Raises LinesLost, with the place of the first text, if worker processes died twice.
    """
    segments = Segments(document, translator.reader)
    try:
        translations = _translated(translator, segments, search, batch_tokens)
    except LinesLost as lost:
        raise LinesLost(lost.numbers, segments.place(lost.numbers[0])) from None
    written, notices = segments.written(dict(zip(segments.keys, translations, strict=True)), min_confidence)
    notices.warn(document)
    return written


class Segments:
    """The texts of a document that are to be translated, each different one once, and how their translations go back.

    What translates them is another's matter: a translator, or a queue that others use too.
    """

    def __init__(self, document: Document, reader: Reader) -> None:
        """reader: of what translates them. It tells whether marks are read for the codes in them, so that these tell
        texts apart, and the translation that is known for a text with its codes."""
        self._document, self.marked, self._remembered = document, reader.carries, reader.remembered
        self._flats = [
            [flatten(parts, marked=self.marked) for parts in _between_breaks(unit.parts)] for unit in document.units
        ]
        self._places: dict[Key, tuple[Flat, Unit]] = {}  # where each text stands first
        for unit, flats in zip(document.units, self._flats, strict=True):
            for flat in flats:
                if flat.is_translatable:
                    self._places.setdefault(self._key(flat), (flat, unit))
        self.keys = list(self._places)
        """What tells the texts apart: they themselves, unless they are marked."""
        self.flats = [flat for flat, _ in self._places.values()]
        self.texts = [flat.text for flat in self.flats]

    def place(self, number: int) -> str:
        """Where a text stands first, by its number, from 1."""
        return self._document.place(self._places[self.keys[number - 1]][1])

    def _key(self, flat: Flat) -> Key:
        return flat.key if self.marked else flat.text

    def _known(self, flat: Flat, whole: str) -> Parts | None:
        """The translation of a segment that is remembered with its codes, if there is one with just these. whole: with
        other signs as well."""
        codes = [part for part in flat.parts if isinstance(part, Code)]
        if not (codes or whole) or not flat.is_translatable:
            return None
        whole = whole or "".join(map(written, flat.parts))
        known = self._remembered(whole)
        parts = told_apart(known, codes) if known else None
        if parts is None or any(isinstance(part, str) and holds_placeholders(part) for part in parts):
            return None
        space = whole[: len(whole) - len(whole.lstrip())], whole[len(whole.rstrip()) :]
        return (space[0], *parts, space[1])

    def written(self, by_key: Mapping[Key, Translation], min_confidence: float = 0.0) -> tuple[bytes, Notices]:
        """The document with the translation of each text, and what users are told of it."""
        document, notices = self._document, Notices()
        for reason, units in document.skipped.items():
            notices.left(reason, *units)
        translated: list[Parts | None] = []
        doubt, doubtful = f"its translation has a confidence below {min_confidence:g}", dict[int, Unit]()
        for number, (unit, flats) in enumerate(zip(document.units, self._flats, strict=True)):
            try:
                whole = unit.whole if len(flats) == 1 else ""
                found = [self._translated(flat, whole, by_key) for flat in flats]
                if any(by_model and not is_confident(by_model, min_confidence) for _, by_model in found):
                    if not document.marks_doubtful:
                        raise _Untranslatable(doubt)
                    doubtful[number] = unit
                translated.append(_joined(unit, [parts for parts, _ in found]))
            except _Untranslatable as untranslatable:
                notices.left(str(untranslatable), unit)
                translated.append(None)
        written = document.write(translated, doubtful)
        for unit in document.unencodable:
            reason = "its translation has a character that the file's encoding lacks (convert the file to UTF-8)"
            notices.left(reason, unit)
        lost = set(map(id, document.unencodable))
        if marked := [unit for unit in doubtful.values() if id(unit) not in lost]:
            notices.marked(doubt, *marked)
        return written, notices

    def _translated(
        self, flat: Flat, whole: str, by_key: Mapping[Key, Translation]
    ) -> tuple[Parts, Translation | None]:
        """A segment with its translation, and what the model gave for it. Raises _Untranslatable."""
        if known := self._known(flat, whole):
            return known, None
        by_model = by_key.get(self._key(flat))
        return _restored(flat, by_model), by_model


def _translated(
    translator: Translator, segments: Segments, search: SearchOptions, batch_tokens: int | None
) -> list[Translation]:
    """The translation of each text. What is drawn for a text depends on its place among the different texts."""
    found: list[Translation] = []
    total = len(segments.texts)
    with console.progress("translating", total=total, unit=" texts") as bar:
        for first in range(0, total, WINDOW):
            window = slice(first, first + WINDOW)
            if segments.marked:
                flats = segments.flats[window]
                found += translator.translate_flats(flats, search, batch_tokens=batch_tokens, first=first)
            else:
                texts = segments.texts[window]
                found += translator.translate(texts, search, batch_tokens=batch_tokens, first=first)
            bar.update(len(found) - first)
    return found


def _between_breaks(parts: Parts) -> Iterator[list[Part]]:
    """The segments of a unit: what stands between codes that break it; one more than there are such codes."""
    segment: list[Part] = []
    for part in parts:
        if isinstance(part, Code) and part.kind is Kind.BREAK:
            yield segment
            segment = []
        else:
            segment.append(part)
    yield segment


def _restored(flat: Flat, translation: Translation | None) -> Parts:
    """The translation of a segment, with its codes; None for one that was not given to the model. Raises
    _Untranslatable."""
    if translation is None:
        return flat.parts
    if holds_choices(flat.text):
        raise _Untranslatable("it has several forms in the syntax of ICU (translate each of them)")
    if translation.truncated:
        raise _Untranslatable("it is longer than 1 MiB (divide it)")
    if not translation.text.strip():
        raise _Untranslatable("the model's translation is empty")
    if holds_placeholders(translation.text) and not holds_placeholders(flat.text):
        raise _Untranslatable("the model's translation has placeholders or tags that the text has not")
    marks, phrases = translation.best.marks, translation.best.phrases
    if translation.text != flat.text:
        phrases = (*phrases, *translation.protected)  # no tag goes into what the translator has protected besides
    parts = flat.restored(translation.text, translation.alignment, marks, phrases)
    if parts is None:
        raise _Untranslatable("its tags are nested too deeply (simplify them)")
    return parts


def _joined(unit: Unit, segments: Sequence[Parts]) -> Parts:
    """The translated segments of a unit, and between them the codes that break it."""
    breaks = [part for part in unit.parts if isinstance(part, Code) and part.kind is Kind.BREAK]
    joined = [*segments[0]]
    for code, segment in zip(breaks, segments[1:], strict=True):
        joined += [code, *segment]
    return tuple(joined)

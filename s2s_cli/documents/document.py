"""What a document is to a translator: texts at known places of a file, and how their translations go back there.

A format finds the units of a file, and says by what a translated unit replaces which part of it. Everything else stays
as it was, since a translation is spliced into the original and nothing is written anew from a parsed form.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from s2s_cli.text.codes import Code, Parts
from s2s_cli.text.encoding import decoded
from s2s_cli.text.languages import Languages

MOST_BYTES = 64 << 20
"""Largest document, since all of it is held in memory."""
DIVIDING = re.compile(r"(?:[\x00-\x1f]| {3,})+")
"""Between texts where white space has a meaning: control characters, and the space between columns."""


@dataclass(frozen=True)
class Unit:
    """A text of the document, which is translated as a whole or left as it was.

    start, end: the part of the document's text that its translation replaces; in bilingual formats, of the target.
    """

    parts: Parts
    start: int
    end: int

    @property
    def whole(self) -> str:
        """The text with signs that are none of its parts, as a translation memory may have it; "" if it has none."""
        return ""


class Edit(NamedTuple):
    """The document's text from `start` to `end` becomes `text`."""

    start: int
    end: int
    text: str


Translated = Sequence[Parts | None]
"""For each unit of a document its translation, or None where it is left as it was."""


class Document(ABC):
    """A file of some format. `bilingual`: whether translations stand beside their sources, not in their place.
    `marks_doubtful`: whether the format has a mark for those that are to be reviewed."""

    bilingual: ClassVar[bool] = False
    marks_doubtful: ClassVar[bool] = False
    units: list[Unit]
    unencodable: list[Unit]
    """Units left as they were by the last `write`, since the file's encoding lacks a character."""
    skipped: dict[str, list[Unit]]
    """Text that is none of the units, though it waits for a translation, by the reason."""

    @abstractmethod
    def __init__(self, data: bytes, name: str, languages: Languages) -> None:
        """Read a file. name: of it, in messages. Raises DataError if it is not sound."""

    @property
    def source_language(self) -> str:
        """The code of the language that the file says its texts are in; "" if it says nothing of it."""
        return ""

    @property
    def target_language(self) -> str:
        """The code of the language that the file says its translations are in; "" if it says nothing of it."""
        return ""

    @abstractmethod
    def place(self, unit: Unit) -> str:
        """Where a unit stands, in messages: `file:line`."""

    @abstractmethod
    def write(self, translated: Translated, doubtful: Container[int] = ()) -> bytes:
        """The file with these translations. Without any, these are the bytes that were read.

        doubtful: the numbers of the units whose translations are to be reviewed; of formats that mark them.
        """


class TextDocument(Document):
    """A document that is text in some encoding."""

    references: ClassVar[bool] = False
    """Whether a character that the encoding lacks can be written as `&#8364;`."""

    def __init__(self, data: bytes, name: str, languages: Languages) -> None:
        self.name, self.languages = name, languages
        self.text, self.encoding = decoded(data, self.declared_encoding(data), name)
        self.unencodable, self.skipped = [], {}
        self.units = sorted(self.find_units(), key=lambda unit: (unit.end, -unit.start))  # nested ones first

    def declared_encoding(self, data: bytes) -> str | None:
        """The encoding that the file names, if it names one; a byte-order mark counts more."""
        return None

    @abstractmethod
    def find_units(self) -> Iterator[Unit]:
        """All that there is to translate, without what has been translated already."""

    @abstractmethod
    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        """What becomes of the text by the translation of one unit. raw: the text of a code, with what was translated
        inside it."""

    def doubtful_edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        """The same, with the mark that the translation is to be reviewed."""
        raise NotImplementedError

    def closing_edits(self) -> Iterable[Edit]:
        """What becomes of the text if any unit was translated."""
        return ()

    def line_of(self, position: int) -> int:
        """The number of the line, from 1."""
        return self.text.count("\n", 0, position) + 1

    def place(self, unit: Unit) -> str:
        return f"{self.name}:{self.line_of(unit.start)}"

    def write(self, translated: Translated, doubtful: Container[int] = ()) -> bytes:
        done: list[Edit] = []
        known: set[Edit] = set()
        self.unencodable = []

        def raw(code: Code) -> str:
            return (
                code.text if code.start is None else spliced(self.text, done, code.start, code.start + len(code.text))
            )

        for number, (unit, parts) in enumerate(zip(self.units, translated, strict=True)):
            if parts is None or (parts == unit.parts and not self.bilingual):
                continue
            make = self.doubtful_edits if number in doubtful else self.edits
            edits = list(make(unit, parts, raw))
            if self._is_encodable(edits):
                for edit in edits:
                    if edit not in known:  # an entry is marked once, if several of its plural forms are doubtful
                        insort(done, edit, key=_place)
                known.update(edits)
            else:
                self.unencodable.append(unit)
        for edit in self.closing_edits() if done else ():
            insort(done, edit, key=_place)
        return spliced(self.text, done).encode(self.encoding, "xmlcharrefreplace" if self.references else "strict")

    def _is_encodable(self, edits: Iterable[Edit]) -> bool:
        try:
            for edit in edits:
                edit.text.encode(self.encoding, "xmlcharrefreplace" if self.references else "strict")
        except UnicodeEncodeError:
            return False
        return True


def spliced(text: str, edits: Sequence[Edit], start: int = 0, end: int | None = None) -> str:
    """A part of the text after the edits that lie inside it. edits: sorted by `_place`; of nested ones the outer.

    Raises ValueError if edits overlap otherwise, since one of them would be lost.
    """
    end, pieces, cursor = len(text) if end is None else end, [], start
    for index in range(bisect_left(edits, (start, False, -end), key=_place), len(edits)):
        edit = edits[index]
        if edit.start > end:
            break
        if edit.start < cursor < edit.end:
            raise ValueError(f"the edit of {edit.start} to {edit.end} begins inside another one, and ends behind it")
        if cursor <= edit.start and edit.end <= end:
            pieces += [text[cursor : edit.start], edit.text]
            cursor = edit.end
    return "".join([*pieces, text[cursor:end]])


def _place(edit: Edit) -> tuple[int, bool, int]:
    """Insertions stand before what is replaced from there on, and outer edits before inner ones."""
    return edit.start, edit.start < edit.end, -edit.end

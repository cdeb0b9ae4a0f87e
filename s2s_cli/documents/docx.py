"""DOCX, documents of word processors (ISO/IEC 29500): a zip archive, of which the parts that hold text are changed."""

from __future__ import annotations

import copy
import io
import lzma
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Container, Iterator
from contextlib import contextmanager

from s2s_cli.documents.document import MOST_BYTES, Document, Translated, Unit
from s2s_cli.documents.wordprocessing import WordPart
from s2s_cli.errors import DataError, printable
from s2s_cli.text.languages import Languages

MOST_MEMBERS = 10_000
MOST_UNPACKED = 1 << 30  # bytes of all members
_TEXT = re.compile(r"word/(?:document\d*|header\d*|footer\d*|footnotes|endnotes|comments)\.xml")
_DRAWN = re.compile(r"word/(?:charts|diagrams)/(?:chart|data)\d*\.xml")
_DRAWN_TEXT = re.compile(rb"<a:t>[^<]*[^<\s]")
_FAULTS: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    NotImplementedError,  # an unknown compression
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    OverflowError,
    OSError,  # a position before the beginning
    MemoryError,  # of a dictionary that LZMA is told to make
)


class Docx(Document):
    """The paragraphs of the text, of headers, footers, notes and comments are translated. The other members of the
    archive stay as they are, in their order."""

    def __init__(self, data: bytes, name: str, languages: Languages) -> None:
        self._data, self._name = data, name
        with self._archive() as archive:
            self._check(archive)
            names = [each for each in archive.namelist() if _TEXT.fullmatch(each)]
            texts = {each: archive.read(each) for each in names}
            drawn = [each for each in archive.namelist() if _DRAWN.fullmatch(each)]
            is_drawn = any(_DRAWN_TEXT.search(archive.read(each)) for each in drawn)
            if damaged := archive.testzip():  # now, and not when the translation is to be written
                raise zipfile.BadZipFile(f"the part {damaged}")
        self._parts = {each: WordPart(texts[each], f"{name}: {each}", languages) for each in names}
        if not self._parts:
            raise DataError("this is no document of a word processor", where=name, hint="save it as .docx")
        self.units = [unit for part in self._parts.values() for unit in part.units]
        self.unencodable: list[Unit] = []
        self.skipped = {"the text of charts and diagrams is not read": [Unit((), 0, 0)]} if is_drawn else {}
        for part in self._parts.values():
            for reason, units in part.skipped.items():
                self.skipped.setdefault(reason, []).extend(units)

    def place(self, unit: Unit) -> str:
        for part in self._parts.values():
            if any(each is unit for units in (part.units, *part.skipped.values()) for each in units):
                return part.place(unit)
        return self._name

    def write(self, translated: Translated, doubtful: Container[int] = ()) -> bytes:
        changed: dict[str, bytes] = {}
        first = 0
        for name, part in self._parts.items():
            own = translated[first : first + len(part.units)]
            first += len(own)
            if (data := part.write(own)) != part.data:
                changed[name] = data
        return self._with(changed) if changed else self._data

    def _with(self, changed: dict[str, bytes]) -> bytes:
        """The archive with other content of some of its members."""
        written = io.BytesIO()
        with self._archive() as archive, zipfile.ZipFile(written, "w") as copied:
            copied.comment = archive.comment
            for info in archive.infolist():
                with archive.open(info) as source, copied.open(copy.copy(info), "w") as target:
                    shutil.copyfileobj(
                        io.BytesIO(changed[info.filename]) if info.filename in changed else source, target
                    )
        return written.getvalue()

    @contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(io.BytesIO(self._data)) as archive:
                yield archive
        except _FAULTS as error:
            hint = "does it open in a word processor?"
            raise DataError(f"a damaged document: {printable(error, 80)}", where=self._name, hint=hint) from None

    def _check(self, archive: zipfile.ZipFile) -> None:
        """Refuse archives that would unpack to more than memory or patience can hold, or that mean two things."""
        members = archive.infolist()
        texts = [info for info in members if _TEXT.fullmatch(info.filename) or _DRAWN.fullmatch(info.filename)]
        if (
            len(members) > MOST_MEMBERS
            or sum(info.file_size for info in members) > MOST_UNPACKED
            or sum(info.file_size for info in texts) > MOST_BYTES
        ):
            raise DataError("it unpacks to more than a document may have", where=self._name, hint="divide it")
        if len({info.filename for info in members}) < len(members):
            raise DataError("two parts of the document have the same name", where=self._name, hint="save it again")
        if any(info.flag_bits & 1 for info in members):
            raise DataError("the document is encrypted", where=self._name, hint="save it without a password")

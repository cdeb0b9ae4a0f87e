"""Pieces of HTML and XML that are no whole documents: what programs send to a server to be translated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2s_cli.documents.document import Document, Edit, Unit
from s2s_cli.documents.html import Html
from s2s_cli.documents.inline_xml import InlineXml
from s2s_cli.documents.translation import Key, Segments
from s2s_cli.documents.xml import Element
from s2s_cli.inference.inline import Flat
from s2s_cli.inference.translation import Translation
from s2s_cli.text.codes import Code, Kind, Part, Parts
from s2s_cli.text.languages import Languages

if TYPE_CHECKING:
    from s2s_cli.inference.reading import Reader

_ROOT = "s2s"


class HtmlSnippet(Html):
    """HTML, whatever encoding it claims to have: it comes as text."""

    def declared_encoding(self, data: bytes) -> str | None:
        return "utf-8"


class XmlSnippet(InlineXml):
    """Text with elements, in a root element of our own. All of it is one unit, since nothing says what the elements
    mean: but for those that are not translated, and those that divide it.

    ignored: elements whose content is not translated. splitting: elements between whose texts nothing moves.
    keeps_lines: whether newlines break the text, or are white space as any other.
    """

    bilingual = False
    around, opening, closing = (), {}, {}

    def __init__(
        self,
        data: bytes,
        name: str,
        languages: Languages,
        *,
        ignored: frozenset[str],
        splitting: frozenset[str],
        keeps_lines: bool,
    ) -> None:
        self._ignored, self._splitting, self._keeps_lines = ignored, splitting, keeps_lines
        super().__init__(data, name, languages)

    def declared_encoding(self, data: bytes) -> str | None:
        return "utf-8"

    def find_units(self) -> Iterator[Unit]:
        root = self.root(_ROOT)
        yield Unit(self.inline(root, keeps_lines=self._keeps_lines), root.inner, root.inner_end)

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        return [Edit(unit.start, unit.end, self.written(parts))]

    def _code(self, element: Element, *, keeps_lines: bool) -> list[Part]:
        """An element: a pair around its content, or all of it as one code."""
        raw = self.text[element.start : element.end]
        is_empty = element.inner == element.inner_end
        fixed = element.name in self._ignored or self.attributes(element).get("translate") == "no"
        if element.name in self._splitting and not fixed and not is_empty:
            kinds = (Kind.BREAK, Kind.BREAK)
        elif is_empty or fixed:
            return [Code(raw, Kind.BREAK if element.name in self._splitting else Kind.ALONE)]
        else:
            kinds = (Kind.OPEN, Kind.CLOSE)
        first = Code(self.tag(element), kinds[0], f"{element.name} {element.start}")
        last = Code(self.text[element.inner_end : element.end], kinds[1], first.name)
        return [first, *self.inline(element, keeps_lines=keeps_lines), last]


@dataclass(frozen=True)
class Snippet:
    """A piece of markup: the texts in it that are to be translated, each different one once."""

    segments: Segments
    cut: slice

    @property
    def flats(self) -> Mapping[Key, Flat]:
        return dict(zip(self.segments.keys, self.segments.flats, strict=True))

    def written(self, found: Mapping[Key, Translation]) -> str:
        """The piece with these translations; what has no sound one is as it was."""
        return self.segments.written(found)[0].decode("utf-8")[self.cut]


def snippet(
    text: str,
    form: str,
    languages: tuple[str, str],
    *,
    reader: Reader,
    ignored: frozenset[str],
    splitting: frozenset[str],
    keeps_lines: bool,
) -> Snippet:
    """A piece of `html` or `xml`. languages: codes of both sides. reader: as of `Segments`. ignored, splitting,
    keeps_lines: as of `XmlSnippet`; the white space of HTML means nothing. Raises DataError for XML that is not sound,
    and for lone surrogates in either."""
    document: Document
    if form == "html":
        document = HtmlSnippet(_encoded(text), "text", Languages(*languages))
        return Snippet(Segments(document, reader), slice(None))
    data = _encoded(f"<{_ROOT}>{text}</{_ROOT}>")
    names = {"ignored": ignored, "splitting": splitting}
    document = XmlSnippet(data, "text", Languages(*languages), **names, keeps_lines=keeps_lines)
    return Snippet(Segments(document, reader), slice(len(_ROOT) + 2, -len(_ROOT) - 3))


def _encoded(text: str) -> bytes:
    from s2s_cli.errors import DataError

    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise DataError("a lone surrogate, which is no text") from None

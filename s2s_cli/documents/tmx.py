"""TMX, translation memories (LISA 2005): a unit without a variant in the target language gets one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from s2s_cli.documents.document import Edit, Unit
from s2s_cli.documents.inline_xml import InlineXml
from s2s_cli.documents.xml import Element, escaped, has_text
from s2s_cli.errors import DataError
from s2s_cli.text.codes import Code, Parts
from s2s_cli.text.languages import in_language


@dataclass(frozen=True)
class _Variant(Unit):
    """start, end: the old segment in the target language, or nothing, where a new variant is to be."""

    source: Element  # the variant, `tuv`
    old: Element | None  # the segment, `seg`


class Tmx(InlineXml):
    """Translation units with variants, of which that in the language of the model is read."""

    around = ("hi",)
    opening: ClassVar = {"bpt": ("i",)}
    closing: ClassVar = {"ept": ("i",)}

    def find_units(self) -> Iterator[Unit]:
        root = self.root("tmx")
        if not self.languages.target:
            raise DataError(
                "the model does not say which language it writes, so no variant can be named", where=self.name
            )
        header = root.child("header")
        default = self.attributes(header).get("srclang", "") if header else ""
        for unit in root.all("tu"):
            variants = [each for each in unit.children if each.local == "tuv" and each.child("seg")]
            wanted = self.languages.source or self.attributes(unit).get("srclang", default)
            source, target = (self._variant(variants, each) for each in (wanted, self.languages.target))
            if source is not None and source is not target:
                yield from self._unit(source, target, variants[-1])

    def _unit(self, source: Element, target: Element | None, last: Element) -> Iterator[Unit]:
        segment, old = source.child("seg"), target.child("seg") if target else None
        assert segment is not None
        if has_text(self.content(segment)) and not (old and has_text(self.content(old))):
            start, end = (old.start, old.end) if old else (last.end, last.end)
            yield _Variant(self.inline(segment), start, end, source, old)

    def _variant(self, variants: list[Element], wanted: str) -> Element | None:
        """The variant in a language, of that country or else of any."""
        place = in_language([self._language(each) for each in variants], wanted)
        return None if place is None else variants[place]

    def _language(self, variant: Element) -> str:
        found = self.attributes(variant)
        return found.get("xml:lang", found.get("lang", ""))

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        assert isinstance(unit, _Variant)
        segment = f"<seg>{self.written(parts)}</seg>"
        if unit.old is not None:
            return [Edit(unit.start, unit.end, segment)]
        name = "xml:lang" if "xml:lang" in self.attributes(unit.source) else "lang"
        inner = unit.source.child("seg")
        assert inner is not None
        content = self.content(unit.source)
        pieces = (
            self.space_before(unit.source),
            f'<tuv {name}="{escaped(self.languages.target)}">',
            self.space_before(inner),
            segment,
            content[len(content.rstrip()) :],
            "</tuv>",
        )
        return [Edit(unit.start, unit.end, "".join(pieces))]

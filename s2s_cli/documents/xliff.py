"""XLIFF 1.2 and 2.0 (OASIS 2008 and 2014)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from s2s_cli.documents.document import DIVIDING, Document, Edit, Unit
from s2s_cli.documents.inline_xml import InlineXml
from s2s_cli.documents.xml import (
    Element,
    attributes,
    declared_encoding,
    escaped,
    has_text,
    with_attribute,
    without_attribute,
)
from s2s_cli.errors import DataError
from s2s_cli.text.codes import Code, Parts
from s2s_cli.text.encoding import decoded
from s2s_cli.text.languages import Languages

_VERSION_2 = re.compile(r"<(?:[\w.-]+:)?xliff\s[^<>]*?\bversion\s*=\s*[\"']2")
_UNTRANSLATED = {"new", "needs-translation"}  # states of XLIFF 1.2
_APPROVED = {"final", "signed-off"}


def read_xliff(data: bytes, name: str, languages: Languages) -> Document:
    """The document, of the version that it names."""
    text, _ = decoded(data, declared_encoding(data), name)
    return (Xliff2 if _VERSION_2.search(text) else Xliff1)(data, name, languages)


@dataclass(frozen=True)
class _Translation(Unit):
    """start, end: the old target; or nothing, where a new one is to be. around: what says in which state it is, if that
    is not the target itself. spaces: what stands before and after a new one."""

    source: Element
    target: Element | None
    around: Element | None = None
    spaces: tuple[str, str] = ("", "")


class _Xliff(InlineXml):
    """What both versions share. translated, doubtful: states of a translation, and of one that is to be reviewed."""

    marks_doubtful = True
    dividing = DIVIDING  # also the space between columns, as in PO and plain text
    translated: ClassVar[str] = "translated"
    doubtful: ClassVar[str]

    def unit(self, source: Element, target: Element | None, around: Element | None = None) -> _Translation:
        """A unit whose target is replaced, or written after the source."""
        keeps_lines = self._inherited(source, "xml:space") == "preserve"
        parts = self.inline(source, keeps_lines=keeps_lines)
        if target:
            return _Translation(parts, target.start, target.end, source, target, around)
        return _Translation(parts, source.end, source.end, source, None, around, (self.space_before(source), ""))

    def is_translatable(self, element: Element) -> bool:
        """Whether neither it nor what it is in says `translate="no"`."""
        return self._inherited(element, "translate") != "no"

    def _inherited(self, element: Element, name: str) -> str | None:
        """An attribute of the innermost element around that has it."""
        here: Element | None = element
        while here is not None and here.name:
            if (found := self.attributes(here).get(name)) is not None:
                return found
            here = here.parent
        return None

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        assert isinstance(unit, _Translation)
        return self.in_state(self.translated, unit, parts)

    def doubtful_edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        assert isinstance(unit, _Translation)
        return self.in_state(self.doubtful, unit, parts)

    def in_state(self, state: str, unit: _Translation, parts: Parts) -> list[Edit]:
        """The target with the translation, and with its state."""
        prefix = unit.source.name.rpartition(":")[0]
        like = unit.target or (unit.source if unit.source.local == "mrk" else None)
        name = like.name if like else f"{prefix}:target" if prefix else "target"
        tag = self.tag(like) if like else f"<{name}>"
        tag = re.sub(r"\s*/>\Z", ">", tag)
        if name.rpartition(":")[2] == "target":
            tag = self.target_tag(tag, state)
        before, after = unit.spaces
        return [Edit(unit.start, unit.end, f"{before}{tag}{self.written(parts)}</{name}>{after}")]

    def target_tag(self, tag: str, state: str) -> str:
        """The start tag of a target."""
        return tag


class Xliff1(_Xliff):
    """XLIFF 1.2. Translated are units without a target, and those whose state says that they are to be."""

    doubtful = "needs-review-translation"
    around = ("g", "mrk")
    opening: ClassVar = {"bx": ("rid", "id"), "bpt": ("rid", "id")}
    closing: ClassVar = {"ex": ("rid", "id"), "ept": ("rid", "id")}

    @property
    def source_language(self) -> str:
        return self._of_files("source-language")

    @property
    def target_language(self) -> str:
        return self._of_files("target-language")

    def _of_files(self, name: str) -> str:
        """An attribute of the first file that has it."""
        found = (self.attributes(file).get(name) for file in self.root("xliff").all("file"))
        return next(filter(None, found), "")

    def find_units(self) -> Iterator[Unit]:
        for element in self.root("xliff").all("trans-unit"):
            source, target = element.child("source"), element.child("target")
            if source is None or not has_text(self.content(source)) or not self.is_translatable(element):
                continue
            done = target is not None and has_text(self.content(target))
            state = self.attributes(target).get("state", "") if target else ""
            segmented = element.child("seg-source")
            if self.attributes(element).get("approved") == "yes":
                continue
            if not done or state in _UNTRANSLATED:
                yield self.unit(segmented or source, target)
            elif segmented and target:
                yield from self._segments(segmented, target)

    def _segments(self, segmented: Element, target: Element) -> Iterator[Unit]:
        """The sentences, as others have divided them, that a target lacks which has some."""
        found = dict(self._sentences(target))
        sentences = list(self._sentences(segmented)) if found else []
        last: Element | None = None  # of the target's, up to this one
        for number, (mid, sentence) in enumerate(sentences):
            old = found.get(mid)
            last = old or last
            if not has_text(self.content(sentence)) or (old and has_text(self.content(old))):
                continue
            unit = self.unit(sentence, old, target)
            if not old and last:
                unit = replace(unit, start=last.end, end=last.end)
            elif not old:  # before all others: the space is between it and the next one
                after = self.space_before(sentences[number + 1][1]) if number + 1 < len(sentences) else ""
                unit = replace(unit, start=target.inner, end=target.inner, spaces=("", after))
            yield unit

    def _sentences(self, element: Element) -> Iterator[tuple[str, Element]]:
        for mark in element.all("mrk"):
            about = self.attributes(mark)
            if about.get("mtype") == "seg":
                yield about.get("mid", ""), mark

    def in_state(self, state: str, unit: _Translation, parts: Parts) -> list[Edit]:
        edits = super().in_state(state, unit, parts)
        if around := unit.around:  # a target that has other sentences, too
            tag = self.target_tag(self.tag(around), state)
            if state == self.doubtful:
                edits.append(Edit(around.start, around.inner, tag))
            elif self.attributes(around).get("state") in _APPROVED:  # inside the edit of a doubtful one, which counts
                edits.append(Edit(around.start + 1, around.inner, tag[1:]))
        return edits

    def target_tag(self, tag: str, state: str) -> str:
        return without_attribute(with_attribute(tag, "state", state), "state-qualifier")


class Xliff2(_Xliff):
    """XLIFF 2.0 and later. Translated are segments without a target."""

    doubtful = "initial"
    around = ("pc", "mrk")
    opening: ClassVar = {"sc": ("id",), "sm": ("id",)}
    closing: ClassVar = {"ec": ("startRef", "id"), "em": ("startRef",)}

    @property
    def source_language(self) -> str:
        return self.attributes(self._root).get("srcLang", "")

    @property
    def target_language(self) -> str:
        return self.attributes(self._root).get("trgLang", "")

    def find_units(self) -> Iterator[Unit]:
        self._root = self.root("xliff")
        if not self.languages.target and "trgLang" not in self.attributes(self._root):
            hint = "add the attribute trgLang to <xliff>"
            raise DataError("neither the file nor the model names the target language", where=self.name, hint=hint)
        for unit in self._root.all("unit"):
            for segment in unit.all("segment") if self.is_translatable(unit) else ():
                source, target = segment.child("source"), segment.child("target")
                if source and has_text(self.content(source)) and not (target and has_text(self.content(target))):
                    yield self.unit(source, target, segment)

    def in_state(self, state: str, unit: _Translation, parts: Parts) -> list[Edit]:
        assert unit.around is not None
        tag = without_attribute(with_attribute(self.tag(unit.around), "state", state), "subState")
        return [Edit(unit.around.start, unit.around.inner, tag), *super().in_state(state, unit, parts)]

    def closing_edits(self) -> Iterable[Edit]:
        """`trgLang` has to be there if there are targets."""
        tag, start, end = self.tag(self._root), self._root.start, self._root.inner
        if "trgLang" in attributes(tag):
            return []
        return [Edit(start, end, with_attribute(tag, "trgLang", escaped(self.languages.target)))]

"""Pairs of TMX and XLIFF files, which are read as streams: memory does not grow with the file.

expat, of Python's standard library, loads nothing that a file refers to; a document type with declarations of its own
is refused, so that no entity is ever expanded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from s2s_cli.compression import reading
from s2s_cli.errors import DataError, printable
from s2s_cli.text.languages import Languages, in_language, is_same_language

CHUNK = 1 << 16  # bytes
MOST_DEPTH = 200  # of elements
Attributes = dict[str, str]


def read_tmx(path: Path, languages: Languages) -> Iterator[tuple[str, str]]:
    """The pairs of a translation memory in the two languages, by `xml:lang`: a country counts only where there is a
    choice. Codes in the text are left out. Raises DataError with file:line for a file that is not sound, and if it has
    no such pair."""
    return _pairs(path, _Tmx(languages))


def read_xliff(path: Path, languages: Languages) -> Iterator[tuple[str, str]]:
    """The pairs of an XLIFF file of version 1.2 or 2, in either direction, without those that are not translated or
    wait for it: `new`, `needs-...` and `initial`. Codes in the text are left out. Errors as of `read_tmx`."""
    return _pairs(path, _Xliff(languages))


def _pairs(path: Path, reader: _Reader) -> Iterator[tuple[str, str]]:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse_declarations
    any_pair = False
    try:
        with reading(path) as file:
            while chunk := file.read(CHUNK):
                _parse(parser, chunk, path)
                any_pair = any_pair or bool(reader.pairs)
                yield from reader.taken()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        hint = "`xmllint --noout` checks a file"
        what = f"not sound XML: {expat.ErrorString(error.code)}"
        raise DataError(what, where=f"{path}:{error.lineno}", hint=hint) from None
    except _Refused as error:
        raise DataError(error.what, where=f"{path}:{parser.CurrentLineNumber}", hint=error.hint) from None
    if not any_pair:
        found = ", ".join(sorted(printable(code, 20) for code in reader.codes)) or "none"
        wanted = f"{reader.languages.source} and {reader.languages.target}"
        raise DataError(f"it has no pair in {wanted}", where=path, hint=f"its languages: {found}")


def _parse(parser: expat.XMLParserType, chunk: bytes, path: Path) -> None:
    try:
        parser.Parse(chunk, False)
    except (LookupError, ValueError) as error:  # of an encoding that expat does not read
        hint = "convert it, and its declaration, to UTF-8"
        raise DataError(f"its encoding is not read here: {error}", where=path, hint=hint) from None


class _Refused(Exception):
    def __init__(self, what: str, hint: str) -> None:
        self.what, self.hint = what, hint


def _refuse_declarations(_name: str, _system: str | None, _public: str | None, has_subset: int) -> None:
    if has_subset:
        raise _Refused("a document type with declarations of its own", "remove it: entities are not expanded")


class _Reader:
    """What happens at tags and text. `codes`: inline elements whose content is no text; `ignored`: elements that hold
    other texts than those looked for."""

    root = ""
    inline_codes: frozenset[str] = frozenset()
    ignored: frozenset[str] = frozenset()

    def __init__(self, languages: Languages) -> None:
        self.languages = languages
        self.pairs: list[tuple[str, str]] = []
        self.codes: set[str] = set()  # of languages
        self._open: list[str] = []
        self._silent = 0  # elements open from the outermost one whose content is left out
        self._captured: list[str] | None = None

    def taken(self) -> list[tuple[str, str]]:
        """The pairs that were found since it was asked for them."""
        pairs, self.pairs = self.pairs, []
        return pairs

    def start(self, name: str, attributes: Attributes) -> None:
        local = name.rpartition(":")[2]
        if not self._open and local != self.root:
            raise _Refused(f"the root element is <{printable(name, 30)}>, not <{self.root}>", "is it of this format?")
        if len(self._open) == MOST_DEPTH:
            raise _Refused(f"elements are nested more than {MOST_DEPTH} deep", "simplify it")
        self._open.append(local)
        if self._silent or local in (self.ignored if self._captured is None else self.inline_codes):
            self._silent += 1
            if self._captured is not None and "lb" in (attributes.get("ctype"), attributes.get("type")):
                self._captured.append(" ")
        elif self._captured is None:
            self.begin(local, attributes)

    def end(self, name: str) -> None:
        self._open.pop()
        if self._silent:
            self._silent -= 1
        else:
            self.finish(name.rpartition(":")[2])

    def text(self, data: str) -> None:
        if self._captured is not None and not self._silent:
            self._captured.append(data)

    def begin(self, local: str, attributes: Attributes) -> None:
        """An element begins, outside of captured text."""
        raise NotImplementedError

    def finish(self, local: str) -> None:
        """An element ends, inside or outside of captured text."""
        raise NotImplementedError

    def capture(self) -> None:
        """From here on, text is kept."""
        self._captured = []

    def captured(self) -> str:
        """What was kept."""
        text, self._captured = "".join(self._captured or ()), None
        return text

    def add(self, source: str, target: str) -> None:
        if source.strip() and target.strip():
            self.pairs.append((source, target))


class _Tmx(_Reader):
    root = "tmx"
    inline_codes = frozenset({"bpt", "ept", "ph", "it", "ut", "sub"})
    ignored = frozenset({"note", "prop", "header"})

    def begin(self, local: str, attributes: Attributes) -> None:
        if local == "tu":
            self._variants: list[tuple[str, str]] = []
        elif local == "tuv":
            self._code = attributes.get("xml:lang") or attributes.get("lang", "")
            self.codes.add(self._code)
        elif local == "seg" and self._open[-3:-1] == ["tu", "tuv"]:
            self.capture()

    def finish(self, local: str) -> None:
        if local == "seg" and self._captured is not None:
            self._variants.append((self._code, self.captured()))
        elif local == "tu" and self._captured is None:
            codes = [code for code, _ in self._variants]
            source = in_language(codes, self.languages.source)
            if source is None:
                return
            codes[source] = ""  # the other side is another one, even in the same language
            target = in_language(codes, self.languages.target)
            if target is not None:
                self.add(self._variants[source][1], self._variants[target][1])


class _Xliff(_Reader):
    root = "xliff"
    _direction: tuple[str, str] | None = None
    inline_codes = frozenset({"x", "bx", "ex", "bpt", "ept", "ph", "it", "sub", "sc", "ec", "cp", "sm", "em"})
    ignored = frozenset(
        {"alt-trans", "match", "matches", "note", "notes", "glossary", "seg-source", "ignorable", "header"}
    )

    def begin(self, local: str, attributes: Attributes) -> None:
        if local in ("xliff", "file"):
            codes = (
                attributes.get("srcLang") or attributes.get("source-language", ""),
                attributes.get("trgLang") or attributes.get("target-language", ""),
            )
            if any(codes):
                self.codes |= set(codes)
                self._direction = self._direction_of(*codes)
        elif local in ("trans-unit", "segment"):
            self._texts: dict[str, str] = {}
            self._waits = attributes.get("state") == "initial"
        elif local in ("source", "target") and self._open[-2] in ("trans-unit", "segment"):
            state = attributes.get("state", "")
            self._waits = self._waits or state == "new" or state.startswith("needs-")
            self.capture()

    def finish(self, local: str) -> None:
        if local in ("source", "target") and self._captured is not None:
            self._texts[local] = self.captured()
        elif local in ("trans-unit", "segment") and not self._waits and self._direction:
            source, target = (self._texts.get(side, "") for side in self._direction)
            self.add(source, target)

    def _direction_of(self, source: str, target: str) -> tuple[str, str] | None:
        """Which elements are the source and the target of the pairs; None if the file is in other languages."""
        if _fits(source, self.languages.source) and _fits(target, self.languages.target):
            return "source", "target"
        if _fits(source, self.languages.target) and _fits(target, self.languages.source):
            return "target", "source"
        return None


def _fits(code: str, wanted: str) -> bool:
    """Whether texts are in the wanted language; those of which it is not said are."""
    return not code or is_same_language(code, wanted)

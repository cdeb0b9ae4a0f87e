"""XML as places in its text. expat, from Python's standard library, says whether a document is sound; elements are then
found by their tags, which is simple in sound XML.

lxml was weighed: it knows lines but no positions, and writes a document anew, with other quotes, entities and spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from s2s_cli.documents.document import TextDocument
from s2s_cli.errors import DataError, printable
from s2s_cli.text.codes import Code, Part
from s2s_cli.text.protected import with_placeholders

MOST_DEPTH = 200  # of elements
_DECLARED = re.compile(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([\w.:-]+)[\"']")
_TOKEN = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<(?P<close>/)?(?P<name>[^\s/>!?][^\s/>]*)(?:\"[^\"]*\"|'[^']*'|[^\"'>]+)*+>"
    r"|<!(?:\"[^\"]*\"|'[^']*'|[^\"'>]+)*+>|[^<]+",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"\s([^\s=/>\"']+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|([^\s;&<>]+));")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True, eq=False)
class Element:
    """An element: all of it is from `start` to `end`, its content from `inner` to `inner_end`."""

    name: str
    start: int
    inner: int
    inner_end: int = 0
    end: int = 0
    parent: Element | None = None
    children: list[Element] = field(default_factory=list)

    @property
    def local(self) -> str:
        """The name without its prefix."""
        return self.name.rpartition(":")[2]

    def all(self, *names: str) -> Iterator[Element]:
        """The elements inside it, at any depth, with one of these names (without prefix), in the document's order."""
        waiting = [iter(self.children)]
        while waiting:
            child = next(waiting[-1], None)
            if child is None:
                waiting.pop()
                continue
            if child.local in names:
                yield child
            waiting.append(iter(child.children))

    def child(self, name: str) -> Element | None:
        """Its first child of this name, without prefix."""
        return next((child for child in self.children if child.local == name), None)


class XmlDocument(TextDocument):
    """A document that is sound XML, without a document type of its own: entities are never expanded, and nothing is
    loaded."""

    references = True

    def declared_encoding(self, data: bytes) -> str | None:
        return declared_encoding(data)

    def root(self, name: str) -> Element:
        """The root element. Raises DataError, with the line, if the document is not sound or the element has another
        name (without prefix)."""
        root = self.parsed()
        if root.local != name:
            hint = "does --format name the right one?"
            raise DataError(
                f"the root element is <{printable(root.name, 30)}>, not <{name}>", where=self.name, hint=hint
            )
        return root

    def parsed(self) -> Element:
        """The root element, whatever its name."""
        check(self.text, self.name)
        return elements(self.text)

    def tag(self, element: Element) -> str:
        """Its start tag."""
        return self.text[element.start : element.inner]

    def attributes(self, element: Element) -> dict[str, str]:
        """The attributes of an element."""
        return attributes(self.tag(element))

    def content(self, element: Element) -> str:
        """What stands between its tags."""
        return self.text[element.inner : element.inner_end]


def declared_encoding(data: bytes) -> str | None:
    """The encoding that the declaration names."""
    found = _DECLARED.search(data[:1000])
    return found.group(1).decode() if found else None


def check(text: str, name: str) -> None:
    """Raise DataError unless the text is sound XML, at most 200 elements deep, that declares no entities."""
    parser = expat.ParserCreate("utf-8")
    depth = 0

    def start(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > MOST_DEPTH:
            raise DataError(
                f"elements are nested more than {MOST_DEPTH} deep", where=f"{name}:{parser.CurrentLineNumber}"
            )

    def end(*_: object) -> None:
        nonlocal depth
        depth -= 1

    def doctype(_name: str, _system: str | None, _public: str | None, has_subset: int) -> None:
        if has_subset:
            hint = "remove it: entities are not expanded"
            raise DataError("a document type with declarations of its own", where=f"{name}:1", hint=hint)

    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    try:
        parser.Parse(text.removeprefix("\ufeff").encode("utf-8"), True)
    except expat.ExpatError as error:
        hint = "`xmllint --noout` checks a file"
        raise DataError(
            f"not sound XML: {expat.ErrorString(error.code)}", where=f"{name}:{error.lineno}", hint=hint
        ) from None


def elements(text: str) -> Element:
    """The root element of sound XML."""
    top = Element("", 0, 0)
    here = top
    for match in _TOKEN.finditer(text):
        if not match["name"]:
            continue
        if match["close"]:
            here.inner_end, here.end = match.span()
            here = here.parent or top
        else:
            element = Element(match["name"], match.start(), match.end(), match.end(), match.end(), here)
            here.children.append(element)
            if not match.group().endswith("/>"):
                here = element
    return top.children[0]


def attributes(tag: str) -> dict[str, str]:
    """The attributes of a start tag."""
    return {name: unescaped(one or other) for name, one, other in _ATTRIBUTE.findall(tag)}


def attribute_spans(tag: str) -> dict[str, tuple[int, int]]:
    """Where the values of the attributes of a start tag stand in it, without quotes."""
    return {match[1]: match.span(2 if match[2] is not None else 3) for match in _ATTRIBUTE.finditer(tag)}


def with_attribute(tag: str, name: str, value: str) -> str:
    """The start tag with an attribute set to a value."""
    if name in (spans := attribute_spans(tag)):
        start, end = spans[name]
        return f"{tag[:start]}{value}{tag[end:]}"
    end = len(tag) - (2 if tag.endswith("/>") else 1)
    return f'{tag[:end].rstrip()} {name}="{value}"{tag[end:]}'


def without_attribute(tag: str, name: str) -> str:
    """The start tag without an attribute."""
    found = next((match for match in _ATTRIBUTE.finditer(tag) if match[1] == name), None)
    return tag[: found.start()] + tag[found.end() :] if found else tag


def unescaped(text: str) -> str:
    """The text without the five entities of XML and without numbers of characters."""
    return _ENTITY.sub(lambda match: _character(match) or match.group(), text)


def escaped(text: str) -> str:
    """The text as it is written between tags; characters that XML does not allow are left out."""
    return _ILLEGAL.sub("", text).translate(_ESCAPED)


def text_parts(raw: str) -> list[Part]:
    """Text between tags in parts: characters decoded, placeholders as codes. An entity that is unknown, or is white
    space that was meant to be kept, is a code."""
    if raw.startswith("<![CDATA["):
        return with_placeholders(raw[9:-3], escaped)
    parts: list[Part] = []
    cursor = 0
    for match in _ENTITY.finditer(raw):
        if not (character := _character(match)) or character.isspace():
            parts += [*with_placeholders(unescaped(raw[cursor : match.start()]), escaped), Code(match.group())]
            cursor = match.end()
    return [*parts, *with_placeholders(unescaped(raw[cursor:]), escaped)]


def tokens(text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    """Tags, comments and text of sound XML between two positions."""
    return _TOKEN.finditer(text, start, end)


def has_text(text: str) -> bool:
    """Whether something stands between the tags."""
    return any(
        raw.strip() if not raw.startswith("<") else raw.startswith("<![CDATA[") and raw[9:-3].strip()
        for raw in (match.group() for match in _TOKEN.finditer(text))
    )


def _character(match: re.Match[str]) -> str:
    """The character that an entity stands for; "" for an unknown one."""
    decimal, hexadecimal, name = match.groups()
    if name:
        return _ENTITIES.get(name, "")
    code = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else ""

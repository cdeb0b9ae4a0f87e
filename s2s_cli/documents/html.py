"""HTML: text between tags, and attributes that are read by people. Inline elements are codes, all others divide texts.

The parser of Python's standard library was weighed: it tells where a tag begins but not where it ends, and what it
takes for a comment or a script changes between versions; lxml repairs a document and writes it anew. Here a token is
found by one expression, by the rules of the HTML standard (WHATWG), and never fails: what is not closed goes on to the
end.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from s2s_cli.documents import xml
from s2s_cli.documents.document import Edit, TextDocument, Unit
from s2s_cli.text.codes import Code, Kind, Part, Parts
from s2s_cli.text.languages import is_same_language
from s2s_cli.text.protected import with_placeholders

_TEMPLATE = (  # code of ERB, EJS and PHP, which may stand in a tag, too
    r"<%[^%<]*+(?:(?:%(?!>)|<(?!%))[^%<]*+)*+%>"
    r"|<\?(?:php\b|=)[^?<]*+(?:(?:\?(?!>)|<(?!\?))[^?<]*+)*+(?:\?>|\Z)"
)
_TOKEN = re.compile(
    rf"(?P<template>{_TEMPLATE})|"
    r"<!--(?:-?>|.*?(?:--!?>|\Z))|<\?.*?(?:\?>|>|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<![^>]*(?:>|\Z)"
    r"|<(?P<close>/)?(?P<name>[a-zA-Z][^\s/>]*)"
    rf"(?:{_TEMPLATE}|=\s*\"[^\"]*(?:\"|\Z)|=\s*'[^']*(?:'|\Z)|[^>=<]+|[=<])*+(?:>|\Z)"
    r"|[^<]+|<",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"(?<=[\s\"'/])([^\s=/>\"']+)\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'>]+))"
)
_CHARSET = re.compile(rb"<meta[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_LANGUAGE = re.compile(r"<(?:html|body)\b[^<>]*\slang\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_LATIN = {"iso-8859-1", "latin1", "us-ascii", "ascii"}  # which the standard reads as windows-1252
_CODE = re.compile(rf"(?P<template>{_TEMPLATE})|&(?:#\d{{1,7}}|#[xX][0-9a-fA-F]{{1,6}}|[a-zA-Z]\w{{1,30}});?")

_INLINE = set(
    "a abbr acronym b bdi bdo big cite del dfn em font i ins label mark q ruby rb rp rt s small span strike strong sub"
    " sup time tt u data".split()
)
_SINGLE = set("img wbr input embed".split())  # elements without content, which stand in a text as a word does
_NUMBER = re.compile(r"<(su[bp])\b[^<>]*>(?:<(?!/?su[bp]\b)[^<>]*>|[^\w<]|\d)*+</\1\s*>(?!\w)", re.IGNORECASE)
"""The number of a note, or a power: a part of the word before it, if that was read as text."""
_SEPARATORS = set("|·•»›→")  # between the links of a menu
_KEPT = set("code kbd samp var svg math".split())
"""Elements that stand in a text as a word does, whose content is not translated."""
_UNREAD = set("script style pre textarea template iframe object".split())
"""Elements between texts, whose content is not translated."""
_PHRASING = _INLINE | _KEPT | _SINGLE | {"br"}
_RAW = set("script style textarea".split())  # in their content nothing is a tag
_VOID = _SINGLE | set("area base br col hr link meta param source track".split())
_CELLS, _TERMS = {"td", "th", "tr"}, {"dt", "dd"}
_ENDED_BY = {"li": {"li"}, "option": {"option", "optgroup"}, "tr": {"tr"}}
_ENDED_BY |= dict.fromkeys(("td", "th"), _CELLS) | dict.fromkeys(_TERMS, _TERMS)
"""Elements whose end tag may be left out, and what begins after them. `p` ends before all but inline elements."""
_READ = set("alt title placeholder aria-label aria-description".split())  # attributes
_READ_META = {"description", "keywords", "og:title", "og:description", "twitter:title", "twitter:description"}
_LABELLED = {"optgroup", "option", "track"}


class Html(TextDocument):
    """A page, or a part of one."""

    references = True

    def declared_encoding(self, data: bytes) -> str | None:
        found = _CHARSET.search(data[:4096])
        name = found.group(1).decode() if found else xml.declared_encoding(data)
        return "windows-1252" if name and name.lower() in _LATIN else name

    @property
    def source_language(self) -> str:
        found = _LANGUAGE.search(self.text)
        return found[1] if found else ""

    def find_units(self) -> Iterator[Unit]:
        own = tuple(filter(None, (self.source_language, self.languages.source)))
        return HtmlReader(self.text, own).units(0, len(self.text))

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        return [Edit(unit.start, unit.end, written(unit, parts, raw))]


@dataclass(frozen=True)
class Attribute(Unit):
    """A text in an attribute, without its quotes. is_bare: whether it has none, and gets some."""

    is_bare: bool = False


def written(unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> str:
    """A translation as it is written between tags, or in an attribute."""
    in_quotes = isinstance(unit, Attribute)
    text = "".join(raw(part) if isinstance(part, Code) else html.escape(part, quote=in_quotes) for part in parts)
    return f'"{text}"' if isinstance(unit, Attribute) and unit.is_bare else text


class HtmlReader:
    """Finds the units between two positions of a text.

    languages: of the text, as the page and the model say; elements that say they are in another one, such as links of a
    page to its translations, are not translated. Without any, all are.
    """

    def __init__(self, text: str, languages: tuple[str, ...] = ()) -> None:
        self._text, self._languages = text, languages
        self._parts: list[Part] = []  # of the unit that has begun
        self._span = (0, 0)
        self._ends: dict[int, int] | None = None  # as of `_ends_from`, once they are needed

    def units(self, start: int, end: int) -> Iterator[Unit]:
        """All units, those of attributes before the text around them."""
        position = start
        while position < end and (match := _TOKEN.match(self._text, position, end)):
            position = match.end()
            name = (match["name"] or "").lower()
            if not name or match["close"]:
                yield from self._token(match, name)
            elif number := _NUMBER.match(self._text, match.start(), end):
                position = number.end()
                self._add(Code(number.group(), order="mark", wide=False), *number.span())
            elif self._is_unread(match.group(), name) and (close := self._end_of(match, name, end)):
                position = close
                # What is said of a text field, or of a frame, is read all the same.
                read = [] if self._is_untranslatable(match.group()) else [*_attributes(match, name)]
                yield from read
                if name in _KEPT | _INLINE | _SINGLE:
                    code = Code(self._text[match.start() : close], start=match.start() if read else None)
                    self._add(code, match.start(), close)
                else:
                    yield from self._flush()
            else:
                yield from _attributes(match, name)
                yield from self._token(match, name)
        yield from self._flush()

    def _token(self, match: re.Match[str], name: str) -> Iterator[Unit]:
        """What a tag, a comment or a text does to the unit."""
        raw = match.group()
        if name in _INLINE | _KEPT | _SINGLE:
            pair = Kind.CLOSE if match["close"] else Kind.OPEN
            single = name in _SINGLE or raw.endswith("/>")
            self._add(Code(raw, Kind.ALONE if single else pair, name, start=match.start()), *match.span())
        elif name or raw.startswith("<!d") or raw.startswith("<!D"):
            yield from self._flush()
        elif match["template"]:
            self._add(_template(raw), *match.span())
        elif raw.startswith(("<!", "<?")):
            self._add(Code(raw, wide=raw.startswith("<![CDATA[")), *match.span())
        elif raw.strip() in _SEPARATORS:
            self._add(Code(raw, Kind.BREAK), *match.span())
        else:
            for part in text_parts(raw):
                self._add(part, *match.span())

    def _add(self, part: Part, start: int, end: int) -> None:
        self._span = (self._span[0] if self._parts else start, end)
        self._parts.append(part)

    def _flush(self) -> Iterator[Unit]:
        """The unit that ends here, if it has text."""
        if any(isinstance(part, str) and part.strip() for part in self._parts):
            yield Unit(tuple(self._parts), *self._span)
        self._parts = []

    def _is_unread(self, tag: str, name: str) -> bool:
        return name in _KEPT | _UNREAD or self._is_untranslatable(tag)

    def _is_untranslatable(self, tag: str) -> bool:
        found = _values(_ATTRIBUTE.finditer(tag))
        language, known = found.get("lang", ""), self._languages
        if language and known and not any(is_same_language(language, own) for own in known):
            return True
        return found.get("translate") == "no" or "notranslate" in found.get("class", "").split()

    def _end_of(self, match: re.Match[str], name: str, end: int) -> int:
        """Where an element ends whose content is not translated; 0 if it is not closed."""
        if name in _VOID or match.group().endswith("/>"):
            return match.end()
        if name in _RAW:
            found = self._raw_end(name, match.end(), end)
            return found.end() if found else end
        if name == "p" or name in _ENDED_BY:
            return self._end_of_open(name, match.end(), end)
        if self._ends is None:  # of all elements at once, so that none is looked for in vain up to the end
            self._ends = self._ends_from(match.start(), end)
        return self._ends.get(match.start(), 0)

    def _ends_from(self, position: int, end: int) -> dict[int, int]:
        """Where the elements end that begin from a position on and are closed, by where they begin. A pair of tags is
        found by its name alone, since elements may cross."""
        ends: dict[int, int] = {}
        opened: dict[str, list[int]] = {}
        for token in self._tokens(position, end):
            name = (token["name"] or "").lower()
            if not name or token.group().endswith("/>"):
                continue
            if not token["close"]:
                opened.setdefault(name, []).append(token.start())
            elif opened.get(name):
                ends[opened[name].pop()] = token.end()
        return ends

    def _tokens(self, position: int, end: int) -> Iterator[re.Match[str]]:
        """The tokens between two positions, without the content of scripts and the like, which may look like tags."""
        while token := _TOKEN.match(self._text, position, end):
            yield token
            position, name = token.end(), (token["name"] or "").lower()
            if name in _RAW and not token["close"] and not token.group().endswith("/>"):
                found = self._raw_end(name, position, end)
                position = found.start() if found else end

    def _raw_end(self, name: str, position: int, end: int) -> re.Match[str] | None:
        """The next end tag of an element in whose content nothing is a tag."""
        return re.compile(rf"</{re.escape(name)}(?=[\s/>])[^>]*(?:>|\Z)", re.IGNORECASE).search(
            self._text, position, end
        )

    def _end_of_open(self, name: str, position: int, end: int) -> int:
        """Where an element ends whose end tag may be left out: there, or before what cannot be inside it."""
        opened: list[str] = []
        inside: Counter[str] = Counter()  # the same by name
        for token in self._tokens(position, end):
            other = (token["name"] or "").lower()
            if token["close"]:
                if not inside[other]:
                    return token.end() if other == name else token.start()
                last = ""
                while last != other:
                    last = opened.pop()
                    inside[last] -= 1
            elif other:
                if not opened and (other in _ENDED_BY[name] if name != "p" else other not in _PHRASING):
                    return token.start()
                if other not in _VOID and not token.group().endswith("/>"):
                    opened.append(other)
                    inside[other] += 1
        return end


def text_parts(raw: str, quote: str = "") -> Iterator[Part]:
    """Text between tags in parts: characters decoded, placeholders as codes. An entity that is white space, and so was
    meant to be kept, is a code. quote: the sign that ends the text, if it stands in an attribute."""
    escaped = partial(_escaped, quote=quote)
    cursor = 0
    for match in _CODE.finditer(raw):
        if match["template"] or html.unescape(match.group()).isspace():
            yield from with_placeholders(html.unescape(raw[cursor : match.start()]), escaped)
            yield _template(match.group()) if match["template"] else Code(match.group())
            cursor = match.end()
    yield from with_placeholders(html.unescape(raw[cursor:]), escaped)


def _template(raw: str) -> Code:
    """Code of a template: a value, which is a word; or a condition or a loop, which must not move."""
    return Code(raw, Kind.ALONE if raw[2] == "=" else Kind.BREAK)


def _attributes(match: re.Match[str], tag: str) -> Iterator[Unit]:
    """The attributes of a start tag that are read by people."""
    found = list(_ATTRIBUTE.finditer(match.string, match.start(), match.end()))
    values = _values(found)
    read = set(_READ)
    if tag == "meta" and values.get("name", values.get("property", "")) in _READ_META:
        read.add("content")
    if tag in _LABELLED:
        read.add("label")
    if tag == "input" and values.get("type") in ("button", "reset", "submit"):
        read.add("value")
    for each in found:
        group = each.lastgroup or ""
        if each[1].lower() in read and each[group].strip():
            quote = "'" if group == "single" else '"'
            yield Attribute(tuple(text_parts(each[group], quote)), *each.span(group), group == "bare")


def _values(attributes: Iterable[re.Match[str]]) -> dict[str, str]:
    """The values of attributes, in small letters as their names."""
    return {each[1].lower(): (each["double"] or each["single"] or each["bare"] or "").lower() for each in attributes}


def _escaped(text: str, quote: str) -> str:
    """A code as it is written. Only the quote that would end the attribute becomes an entity: a template engine often
    reads its code before the page is parsed."""
    escaped = html.escape(text, quote=False)
    return escaped.replace(quote, html.escape(quote)) if quote else escaped

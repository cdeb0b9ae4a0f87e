"""Placeholders, tags, addresses and numbers inside text: what no model should rewrite."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeGuard

from s2s_cli.text.codes import Code, Kind, Part, partners
from s2s_cli.text.words import UNSPACED

# Every pattern takes linear time on any text: repetitions are possessive, or stop at what begins the next match.
# Arguments without a number or name are taken in their order, so they must keep it.
_SIZE = r"(?:hh?|ll?|[jzZtLq])?"
_PRINTF = rf"%[-+0#']*+(?:\d++|\*)?(?:\.(?:\d++|\*))?{_SIZE}[diouxXeEfgGaAcspn@]"
_FORMATTED = rf"%[-+ 0#'I]*+(?:\d++|\*)?(?:\.(?:\d++|\*)?)?(?:{_SIZE}[diouxXeEfFgGaAcCsSpmn@]|<\w+>)"

_UNNAMED = r"\{(?:[:!](?:[^{}\s]|\{[^{}\s]*\})*+)?\}"
_FIELD = r"\{(?![:!}])(?:[^{}]|\{[^{}]*\})*+\}"  # where all that is in braces is one

# Scripts without spaces have none around what is protected either: their punctuation ends an address, and their letters
# are not the rest of a word.
_INSIDE = r"[^\s<>\"'`，。；：！？、（）「」『』《》【】]"
_LETTER = rf"[^\W{UNSPACED}]"

_PATTERNS = {
    "url": rf"(?:https?|ftp|file)://{_INSIDE}*(?![.,;:!?)\]}}»”’]){_INSIDE}"
    rf"|(?<!{_LETTER})(?<!\.)www\.[\w-]++\.{_INSIDE}*[\w/]",
    "email": rf"(?<!{_LETTER})(?<![.+-])(?:{_LETTER}|[.+-])++@{_LETTER}(?:{_LETTER}|-)*+"
    rf"(?:\.{_LETTER}(?:{_LETTER}|-)*+)+",
    # Of a template: a condition or a loop must not move.
    "command": r"\{%[^%{}]{0,300}%\}|<%(?!=)[^%]{0,300}%>|<\?php\b[^?]{0,300}\?>",
    "named": r"<%=[^%]{0,300}%>|<\?=[^?]{0,300}\?>|\{\{[^{}]{0,300}\}\}"
    r"|[$%]\{[^{}\s]+\}|\$\([\w.:-]++\)|%\([\w.]++\)[-+ 0#]*+\d*+(?:\.\d++)?[a-zA-Z]"
    rf"|%<(?!PRI)\w++>[-+0#]*+\d*+(?:\.\d++)?[a-zA-Z]|(?<!{_LETTER})(?<!%)%[a-zA-Z_]\w++%(?!{_LETTER}|%)"
    rf"|(?<!{_LETTER})(?<![.@])@[a-zA-Z](?:{_LETTER}|-)*{_LETTER}"
    rf"|%\d++\$[-+0#']*+\d*+(?:\.\d++)?{_SIZE}[a-zA-Z@]|\{{(?![:!])[\w.:,!\[\]]++\}}",
    "argument": _UNNAMED + r"|(?<![\d%])" + _PRINTF + r"(?![a-zA-Z])",
    "numbered": r"(?<![\d%])%L?\d{1,2}%?(?!\d)",
    "tag": r"</?[a-zA-Z][\w:.-]*+(?:\s[^<>]*)?/?>|<!--[^<>]*-->",
    "entity": r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]\w{1,30});",
}


def _compiled(patterns: dict[str, str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in patterns.items()), re.DOTALL)


ANYWHERE = _compiled(_PATTERNS)
_BY_PERCENT = {"argument": _UNNAMED + "|" + _FORMATTED, "numbered": r"(?!)"}
PERCENT = _compiled({"doubled": "%%"} | _PATTERNS | _BY_PERCENT)
"""Where a program formats the text by `%`, which then stands for itself only if it is doubled."""
BRACES = _compiled({"doubled": r"\{\{|\}\}", "field": _FIELD} | _PATTERNS)
"""The same by braces."""
QUOTED = _compiled({"doubled": "''", "quoted": r"'[^']*'", "field": _FIELD} | _PATTERNS)
"""Where `'` quotes, as in Java's `MessageFormat`."""
SHELL = _compiled({"variable": r"\$[a-zA-Z_]\w*"} | _PATTERNS)
"""Where `$name` is replaced, as in a shell."""
_CHOICES = re.compile(r"\{\s*[\w.]+\s*,\s*(?:plural|select|selectordinal)\s*,")
_TAG_NAME = re.compile(r"</?([^\s/>]+)")


KINDS = {
    "tags": ("tag", "entity"),
    "placeholders": ("command", "named", "argument", "numbered"),
    "urls": ("url",),
    "emails": ("email",),
    "numbers": ("number",),
}
"""What can be protected in lines of text, and the patterns of each."""
USUAL = ("tags", "placeholders", "urls", "emails")
_NUMBER = rf"(?<!{_LETTER})(?<!\d)[-+−]?\d++(?:[.,:/’'\u00a0\u202f-]\d++)*(?!{_LETTER})"


@dataclass(frozen=True)
class Finder:
    """Finds what is protected in a line: by kinds, of `KINDS`, and first by one's own regular expressions."""

    kinds: tuple[str, ...] = USUAL
    patterns: tuple[str, ...] = ()

    @property
    def is_usual(self) -> bool:
        """Whether nothing is protected that documents do not protect by themselves."""
        return set(self.kinds) <= set(USUAL) and not self.patterns

    def parts(self, line: str) -> list[Part]:
        """The line in parts, which together are the line; only text if nothing is protected in it. None of the codes
        divides it."""
        parts: list[Part] = [line] if line else []
        finders: list[Callable[..., Iterable[Part]]] = [partial(with_codes, pattern=pattern) for pattern in self._own]
        finders.append(partial(_found, pattern=self._known))
        for find in finders:
            begin, found = 0, list[Part]()
            for part in parts:
                end = begin + len(part if isinstance(part, str) else part.text)
                found += [part] if isinstance(part, Code) else find(line, begin=begin, end=end)
                begin = end
            parts = found
        return with_pairs([replace(part, kind=Kind.ALONE) if _is_break(part) else part for part in parts])

    @cached_property
    def _own(self) -> list[re.Pattern[str]]:
        return [re.compile(pattern) for pattern in self.patterns]

    @cached_property
    def _known(self) -> re.Pattern[str]:
        names = {name for kind in self.kinds for name in KINDS[kind]}
        known = {name: pattern for name, pattern in (_PATTERNS | {"number": _NUMBER}).items() if name in names}
        return _compiled(known or {"nothing": r"(?!)"})


def with_codes(
    part: Part, pattern: re.Pattern[str], kind: Kind = Kind.ALONE, *, begin: int = 0, end: int = sys.maxsize
) -> Iterator[Part]:
    """A text, from `begin` up to `end`, in parts, with what the pattern finds as codes; a match without characters is
    none. `^` and what looks behind see what is before."""
    if not isinstance(part, str):
        yield part
        return
    cursor = begin
    for match in pattern.finditer(part, begin, end):
        if match.group():
            yield from (each for each in (part[cursor : match.start()], Code(match.group(), kind)) if each)
            cursor = match.end()
    if rest := part[cursor:end]:
        yield rest


def _is_break(part: Part) -> TypeGuard[Code]:
    return isinstance(part, Code) and part.kind is Kind.BREAK


def with_placeholders(
    text: str, written: Callable[[str], str] = str, pattern: re.Pattern[str] = ANYWHERE, *, tags: bool = True
) -> list[Part]:
    """The text in parts, with what is protected in it as codes.

    written: how a protected text is written in the document. tags: whether what looks like a tag is one; a tag
    without its counterpart stands alone.
    """
    return with_pairs(_found(text, pattern, written, tags=tags))


def _found(
    text: str,
    pattern: re.Pattern[str],
    written: Callable[[str], str] = str,
    *,
    tags: bool = True,
    begin: int = 0,
    end: int = sys.maxsize,
) -> list[Part]:
    """The same, with tags that have no counterpart. begin, end: as of `with_codes`."""
    parts: list[Part] = []
    cursor = begin
    for match in pattern.finditer(text, begin, end):
        if match.lastgroup in ("tag", "entity") and not tags:
            continue
        code = match.group()[0] if match.lastgroup == "doubled" else _code(match, written)
        parts += [text[cursor : match.start()], code]
        cursor = match.end()
    return [part for part in (*parts, text[cursor:end]) if part != ""]


def _code(match: re.Match[str], written: Callable[[str], str]) -> Code:
    kind, text = match.lastgroup, match.group()
    if kind == "tag" and not text.startswith("<!"):
        found = _TAG_NAME.match(text)
        name = found.group(1) if found else ""
        single = Kind.ALONE if text.endswith("/>") else Kind.OPEN
        return Code(written(text), Kind.CLOSE if text.startswith("</") else single, f"tag {name}")
    return Code(
        written(text),
        Kind.BREAK if kind == "command" else Kind.ALONE,
        order="argument" if kind == "argument" else "",
    )


def with_pairs(parts: list[Part]) -> list[Part]:
    """The parts, where an opening tag without its closing one, or the other way round, stands alone."""
    other = partners(parts)
    return [part if index in other else _alone(part) for index, part in enumerate(parts)]


def _alone(part: Part) -> Part:
    if isinstance(part, str) or part.kind not in (Kind.OPEN, Kind.CLOSE):
        return part
    return replace(part, kind=Kind.ALONE, order="tag")


def holds_placeholders(text: str) -> bool:
    """Whether something in the text would be taken for a placeholder or a tag."""
    return any(match.lastgroup not in ("entity", "url", "email") for match in ANYWHERE.finditer(text))


def holds_choices(text: str) -> bool:
    """Whether the text is one for a program that chooses among forms in it, by a number or a word: by the syntax of
    ICU, as in `{count, plural, one {a file} other {# files}}`."""
    return bool(_CHOICES.search(text))

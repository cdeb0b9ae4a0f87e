"""Placeholders, tags and addresses inside text: what no model should rewrite."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from s2s_cli.documents.document import Code, Kind, Part
from s2s_cli.documents.nesting import partners

# Every pattern takes linear time on any text: repetitions are possessive, or stop at what begins the next match.
# Arguments without a number or name are taken in their order, so they must keep it.
_SIZE = r"(?:hh?|ll?|[jztLq])?"
_PRINTF = rf"%[-+0#']*+(?:\d++|\*)?(?:\.(?:\d++|\*))?{_SIZE}[diouxXeEfgGaAcspn@]"
_FORMATTED = rf"%[-+ 0#'I]*+(?:\d++|\*)?(?:\.(?:\d++|\*)?)?(?:{_SIZE}[diouxXeEfFgGaAcCsSpmn@]|<\w+>)"

_PATTERNS = {
    "address": r"(?:https?|ftp|file)://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]}»”’]|(?<![\w.])www\.[\w-]++\.[^\s<>\"'`]*[\w/]"
    r"|(?<![\w.+-])[\w.+-]++@\w[\w-]*+(?:\.\w[\w-]*+)+",
    "command": r"\{%[^%{}]{0,300}%\}",  # of a template language: a condition or a loop must not move
    "named": r"\{\{[^{}]{0,300}\}\}|\$\{[^{}\s]+\}|\$\([\w.:-]++\)|%\([\w.]++\)[-+ 0#]*+\d*+(?:\.\d++)?[a-zA-Z]"
    rf"|%\d++\$[-+0#']*+\d*+(?:\.\d++)?{_SIZE}[a-zA-Z@]|\{{[\w.:,!\[\]]++\}}",
    "argument": r"\{\}|(?<![\d%])" + _PRINTF + r"(?![a-zA-Z])",
    "numbered": r"(?<![\d%])%L?\d{1,2}%?(?!\d)",
    "tag": r"</?[a-zA-Z][\w:.-]*+(?:\s[^<>]*)?/?>|<!--[^<>]*-->",
    "entity": r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]\w{1,30});",
}


def _compiled(patterns: dict[str, str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in patterns.items()), re.DOTALL)


ANYWHERE = _compiled(_PATTERNS)
_BY_PERCENT = {"argument": r"\{\}|" + _FORMATTED, "numbered": r"(?!)"}
PERCENT = _compiled({"doubled": "%%"} | _PATTERNS | _BY_PERCENT)
"""Where a program formats the text by `%`, which then stands for itself only if it is doubled."""
BRACES = _compiled({"doubled": r"\{\{|\}\}"} | _PATTERNS)
"""The same by braces."""
_TAG_NAME = re.compile(r"</?([^\s/>]+)")


def with_placeholders(
    text: str, written: Callable[[str], str] = str, pattern: re.Pattern[str] = ANYWHERE, *, tags: bool = True
) -> list[Part]:
    """The text in parts, with what is protected in it as codes.

    written: how a protected text is written in the document. tags: whether what looks like a tag is one; a tag
    without its counterpart stands alone.
    """
    parts: list[Part] = []
    cursor = 0
    for match in pattern.finditer(text):
        if match.lastgroup in ("tag", "entity") and not tags:
            continue
        code = match.group()[0] if match.lastgroup == "doubled" else _code(match, written)
        parts += [text[cursor : match.start()], code]
        cursor = match.end()
    parts = [part for part in (*parts, text[cursor:]) if part != ""]
    return with_pairs(parts)


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
    return any(match.lastgroup not in ("entity", "address") for match in ANYWHERE.finditer(text))


def divided_at(text: str, pattern: re.Pattern[str]) -> Iterator[Part]:
    """The text in parts, with what the pattern finds as codes that break it."""
    cursor = 0
    for match in pattern.finditer(text):
        if match.start() > cursor:
            yield text[cursor : match.start()]
        yield Code(match.group(), Kind.BREAK)
        cursor = match.end()
    if cursor < len(text):
        yield text[cursor:]

"""The marks inside a text of Markdown: emphasis, code, links, images, tags. In case of doubt, a sign is text.

Lines that have a meaning in much used extensions of Markdown stay lines: the fences of containers (`:::`), the first
ones of admonitions (`!!! note`, `> [!NOTE]`), definitions (`: `), and attributes of blocks (`{: .name}`).
"""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from s2s_cli.documents.markdown_emphasis import flanks
from s2s_cli.text.codes import Code, Kind, Part

_ADDRESS = r"(?:<[^<>\n]*>|[^()\s<>]*+(?:\([^()\s]*\)[^()\s<>]*+)*+)"
_TITLE = r"(?:\s++(?:\"[^\"]*\"|'[^']*'|\([^()]*\)))?"
_TARGET = rf"(?:\(\s*+{_ADDRESS}{_TITLE}\s*+\)|\[[^\[\]]*\])"
_MARK = re.compile(
    r"(?P<hard>(?: {2,}|\\)\n|\A(?:\[!\w+\][ \t]*|(?:!!!|\?\?\?)[^\n]*)\n|(?:\A|\n):::[^\n]*(?:\n|\Z)|\n:[ \t]+"
    r"|\n(?=\[\^[^\[\]\s]+\]:|\{:[^{}\n]*\}[ \t]*(?:\n|\Z)))"
    r"|\\(?P<escape>[!-/:-@\[-`{-~])"
    r"|(?P<entity>&(?:#\w{1,8}|[a-zA-Z]\w{1,30});)"
    r"|(?P<mark>(?<![^\n])\[\^[^\[\]\s]+\]:|\[\^[^\[\]\s]+\]|(?<!\S)\[[ xX]\](?=\s)|<!--[^<>]*-->"
    r"|<(?P<raised>su[bp])>(?:[^\w<]|\d)+</(?P=raised)>(?!\w)|\{[#.:][^{}\n]*\})"
    r"|(?P<kept><[a-zA-Z][\w+.-]{1,31}:[^\s<>]*>|<[\w.+-]+@[\w.-]+>|(?<![\w:]):[a-z+-][a-z\d_+-]{1,30}:(?![\w:])"
    r"|(?<![\w$])\$(?![\s\d$])[^$\n]*[^$\s\\]\$(?![\d$])|\$\$[^$]+\$\$|`+"
    r"|<(?P<verbatim>code|kbd|samp|var)\b[^<>]*>[^<]{0,500}</(?P=verbatim)>"
    r"|<(?P<kept_name>[a-zA-Z][\w-]*)(?=\s[^<>]*>)"
    r"(?=[^<>]*\s(?:translate=[\"']?no\b|class=(?:\"[^\"<>]*|'[^'<>]*)?\bnotranslate\b))[^<>]*>"
    r"[^<]{0,500}</(?P=kept_name)>)"
    rf"|(?P<image>!\[(?P<alt>[^\[\]]*)\]{_TARGET})"
    r"|(?P<tag><(?P<close>/)?(?P<name>[a-zA-Z][\w-]*)(?:\s[^<>]*)?/?>)"
    rf"|(?P<opens>\[)|(?P<closes>\]{_TARGET}?)"
    r"|(?P<emphasis>\*{1,3}|_{1,3}|~~)",
    re.DOTALL,
)
_TICKS = re.compile(r"`+")


class Mark(NamedTuple):
    """A part of a text, and how and where it is written there. inner: the positions of the text that an image stands
    for."""

    part: Part
    raw: str
    start: int
    inner: tuple[int, int] | None = None


def label_of(text: str) -> str:
    """The label of a link in the form in which labels are compared."""
    return " ".join(text.split()).lower().upper()


def marks(text: str, labels: set[str]) -> list[Mark]:
    """All parts of a text in its order; they make up the text. labels: of links, as `label_of` gives them."""
    found: list[Mark] = []
    pairs = _Pairs(found, labels)
    ends = _ends_of_code(text)
    cursor = 0
    while match := _MARK.search(text, cursor):
        if match.start() > cursor:
            found.append(_text(text[cursor : match.start()], cursor))
        end = ends.get(match.start(), match.end())
        raw = text[match.start() : end]
        if match["opens"] or match["closes"]:
            pairs.bracket(raw, match.start())
        elif match["emphasis"]:
            pairs.emphasis(raw, match.start(), text)
        elif match["tag"]:
            pairs.tag(match)
        elif match["escape"]:
            found.append(Mark(match["escape"], raw, match.start()))
        elif match["entity"]:
            character = html.unescape(raw)
            found.append(Mark(Code(raw) if character.isspace() else character, raw, match.start()))
        elif match["mark"]:  # of a note, a task, a heading: it is no word
            found.append(Mark(Code(raw.replace("\n", " "), order="mark", wide=False), raw, match.start()))
        elif match["hard"]:
            found.append(Mark(Code(raw, Kind.BREAK), raw, match.start()))
        else:
            inner = match.span("alt") if match["image"] and match["alt"].strip() else None
            found.append(Mark(Code(raw.replace("\n", " ")), raw, match.start(), inner))
        cursor = end
    if cursor < len(text):
        found.append(_text(text[cursor:], cursor))
    return found


def _ends_of_code(text: str) -> dict[int, int]:
    """Where code ends, by where it begins: it goes from a run of backticks up to the next one of the same length."""
    ends: dict[int, int] = {}
    following: dict[int, int] = {}  # the end of the next run of each length
    for run in reversed([*_TICKS.finditer(text)]):
        length = len(run.group())
        if length in following:
            ends[run.start()] = following[length]
        following[length] = run.end()
    return ends


def _text(text: str, start: int) -> Mark:
    return Mark(text, text, start)


class _Pairs:
    """Marks that come in pairs: they count as text until the second one is found."""

    def __init__(self, found: list[Mark], labels: set[str]) -> None:
        self._found, self._labels = found, labels
        self._brackets: list[int] = []
        self._waiting: dict[str, list[int]] = {}

    def _pair(self, first: int, closing: str | None = None) -> None:
        """Make codes of an earlier mark and of the last one. closing: how the last one is written in a translation."""
        opener, closer = self._found[first], self._found[-1]
        name = f"pair {first}"
        self._found[first] = opener._replace(part=Code(opener.raw, Kind.OPEN, name))
        text = (closing or closer.raw).replace("\n", " ")
        self._found[-1] = closer._replace(part=Code(text, Kind.CLOSE, name))

    def bracket(self, raw: str, start: int) -> None:
        """`[`, or `]` with what follows it."""
        self._found.append(_text(raw, start))
        if raw == "[":
            self._brackets.append(len(self._found) - 1)
        elif self._brackets:
            first = self._brackets.pop()
            # Longer ones are no labels, and would take quadratic time.
            label = "".join(mark.raw for mark in self._found[first + 1 : min(len(self._found) - 1, first + 1000)])
            if raw not in ("]", "[]", "][]"):
                self._pair(first)
            elif label_of(label) in self._labels and self._is_kept(first):
                whole = "".join(mark.raw for mark in self._found[first:])
                self._found[first:] = [Mark(Code(whole.replace("\n", " ")), whole, self._found[first].start)]
            elif label_of(label) in self._labels:  # a translated text would be the label of nothing
                self._pair(first, f"][{label}]")

    def _is_kept(self, first: int) -> bool:
        """Whether nothing is to be translated between an earlier mark and the last one."""
        inside = (mark.part for mark in self._found[first + 1 : -1])
        return all(isinstance(part, Code) and part.kind is Kind.ALONE and not part.order for part in inside)

    def emphasis(self, raw: str, start: int, text: str) -> None:
        """A run of signs that may begin or end emphasis."""
        self._found.append(_text(raw, start))
        end = start + len(raw)
        can_open, can_close = flanks(raw, text[max(0, start - 1) : start], text[end : end + 1])
        waiting = self._waiting.setdefault(raw, [])
        if can_close and waiting:
            self._pair(waiting.pop())
        elif can_open:
            waiting.append(len(self._found) - 1)

    def tag(self, match: re.Match[str]) -> None:
        """A tag of HTML; one without its counterpart stands alone."""
        raw, name = match.group(), match["name"].lower()
        flat = raw.replace("\n", " ")
        if name == "br":
            self._found.append(Mark(Code(flat, Kind.BREAK), raw, match.start()))
            return
        self._found.append(Mark(Code(flat, order="tag"), raw, match.start()))
        waiting = self._waiting.setdefault(f"<{name}", [])
        if match["close"] and waiting:
            self._pair(waiting.pop())
        elif not match["close"] and not raw.endswith("/>"):
            waiting.append(len(self._found) - 1)

"""PO files of GNU gettext, as documents: lines that are not translated stay as they were."""

from __future__ import annotations

import gettext
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from s2s_cli.data.po import ESCAPED, Entry, PoString, declared_encoding, entries, language_of
from s2s_cli.documents.accelerators import Accelerator, without_accelerator
from s2s_cli.documents.document import DIVIDING, Edit, TextDocument, Unit
from s2s_cli.errors import printable
from s2s_cli.inference.inline import written
from s2s_cli.text.codes import Code, Kind, Parts
from s2s_cli.text.protected import ANYWHERE, BRACES, PERCENT, QUOTED, SHELL, with_codes, with_placeholders

_TEMPLATE = re.compile(r"(?<=charset=)CHARSET\b")
_PLURALS = re.compile(r"nplurals\s*=\s*(\d{1,2})\s*;\s*plural\s*=\s*([^;\n]{1,500})")
_UNESCAPED = str.maketrans(
    {chr(code): f"\\{code:03o}" for code in range(32)}
    | {sign: f"\\{letter}" for letter, sign in ESCAPED.items()}
    | {'"': '\\"', "\\": "\\\\"}
)
_OPTION = re.compile(r"(?<![\w-])(?:--[a-zA-Z][\w-]*+|-[a-zA-Z](?=[\s,;'\"’”)\]=]|\Z))")
_ACCELERATOR = re.compile(r"(?m)^X-Accelerator-Marker:[ \t]*([^\w\s]|_)[ \t]*$")
_WIDTH = 77  # characters of a line between its quotes, as gettext's tools wrap them
_COUNTS = range(1000)
_NOTHING = PoString("", 0, 0, 0)

_FORMATS = {
    **dict.fromkeys(
        "c objc python php perl awk lua tcl javascript ruby gfc-internal java-printf".split(), (PERCENT, "%")
    ),
    **dict.fromkeys(("python-brace", "csharp", "c++", "rust"), (BRACES, "{}")),
    **dict.fromkeys("perl-brace qt qt-plural kde kde-kuit boost".split(), (ANYWHERE, "")),
    "java": (QUOTED, "'"),
    "sh": (SHELL, ""),
}
"""Formats of programs whose placeholders are known here, with what finds these, and characters that stand for
themselves only if they are doubled. Texts of other formats are not translated."""


@dataclass(frozen=True)
class _Message(Unit):
    """`wrapped`: whether the source is, so that its translation is too. `doubled`: characters that stand for themselves
    only if they are doubled. `mark`: what makes the entry fuzzy, if it is not. `accelerator`: that of the source."""

    wrapped: bool
    doubled: str
    mark: Edit | None
    accelerator: Accelerator | None

    @property
    def whole(self) -> str:
        with_sign = self.accelerator.put_into(self.parts) if self.accelerator else ()
        return "".join(map(written, with_sign))


class Po(TextDocument):
    """Messages whose `msgstr` is empty are translated, each plural form by itself. Marks as fuzzy stay as they are."""

    bilingual = True
    marks_doubtful = True

    def declared_encoding(self, data: bytes) -> str | None:
        return declared_encoding(data)

    @property
    def target_language(self) -> str:
        return language_of(self._header)

    def find_units(self) -> Iterator[Unit]:
        self._end_of_line = "\r\n" if "\r\n" in self.text else "\n"
        found = list(entries(self.text, self.name))
        header = next((each for each in found if each.is_header), None)
        self._told = header.strings.get("msgstr", _NOTHING) if header else _NOTHING
        self._header = self._told.text
        found_sign = _ACCELERATOR.search(self._header)
        self._sign = found_sign[1] if found_sign else ""
        plurals = _Plurals(self._header)
        for entry in found:
            if not entry.is_header:
                yield from self._messages(entry, plurals)

    def _messages(self, entry: Entry, plurals: _Plurals) -> Iterator[Unit]:
        formats = {flag[: -len("-format")] for flag in entry.flags if flag.endswith("-format")}
        formats = {name.removeprefix("possible-") for name in formats if not name.startswith(("no-", "impossible-"))}
        unknown = sorted(formats - _FORMATS.keys())
        pattern, doubled = next((_FORMATS[name] for name in sorted(formats) if not unknown), (ANYWHERE, ""))
        single, plural = entry.strings["msgid"], entry.strings.get("msgid_plural")
        for word, target in entry.strings.items():
            if not word.startswith("msgstr") or target.text:
                continue
            parts = _parts(single.text, pattern)
            source = single
            if plural:
                parts_of_plural = _parts(plural.text, pattern)
                fits = plurals.suits(int(word[7:-1]), _codes(parts), _codes(parts_of_plural))
                source, parts = (single, parts) if fits else (plural, parts_of_plural)
            parts, accelerator = without_accelerator(parts, self._sign)
            wrapped, mark = source.lines > 1, self._mark(entry)
            message = _Message(parts, target.start, target.end, wrapped, doubled, mark, accelerator)
            if source.text.strip() and unknown:
                reason = f"the placeholders of `{printable(unknown[0], 30)}-format` are not known here"
                self.skipped.setdefault(reason, []).append(message)
            elif source.text.strip():
                yield message

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        assert isinstance(unit, _Message)
        if unit.accelerator:
            parts = unit.accelerator.put_into(parts)
        text = "".join(raw(part) if isinstance(part, Code) else _doubled(part, unit.doubled) for part in parts)
        return [Edit(unit.start, unit.end, _quoted(text, self._end_of_line, wrapped=unit.wrapped))]

    def doubtful_edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        assert isinstance(unit, _Message)
        return [*self.edits(unit, parts, raw), *([unit.mark] if unit.mark else [])]

    def _mark(self, entry: Entry) -> Edit | None:
        """What makes an entry fuzzy: the first of its flags, or a line of flags before its strings."""
        if "fuzzy" in entry.flags or entry.begins is None:
            return None
        if entry.flagged is not None:
            return Edit(entry.flagged, entry.flagged, " fuzzy,")
        return Edit(entry.begins, entry.begins, f"#, fuzzy{self._end_of_line}")

    def closing_edits(self) -> Iterable[Edit]:
        """A template does not name its encoding, and translations need one."""
        found = _TEMPLATE.search(self.text, self._told.start, self._told.end)
        return [Edit(*found.span(), self.encoding.upper())] if found else []


class _Plurals:
    """Which plural form is of which numbers, by the header. Without one, the first is of 1 alone."""

    def __init__(self, header: str) -> None:
        self._forms: list[int | None] | None = None
        if found := _PLURALS.search(header):
            try:
                form = gettext.c2py(found.group(2))
                self._forms = [form(count) for count in _COUNTS]
            except (ValueError, ArithmeticError, RecursionError):  # a template, or nonsense
                pass

    def suits(self, form: int, codes: Counter[str], codes_of_plural: Counter[str]) -> bool:
        """Whether the singular is the source of a form, by the placeholders that both have. One that is for 1 alone
        need not tell the number; one that is for 1 and others has to."""
        if not (self._forms[1] == form if self._forms else form == 0):
            return False
        alone = not self._forms or self._forms.count(form) == 1
        return codes <= codes_of_plural if alone else codes == codes_of_plural


def _parts(text: str, pattern: re.Pattern[str]) -> Parts:
    """The text with its placeholders, and with the options of a program (`--help`), which are no words; control
    characters, such as ends of lines, and columns break it."""
    parts = with_placeholders(text, pattern=pattern)
    divided = [each for part in parts for each in with_codes(part, DIVIDING, Kind.BREAK)]
    return tuple(each for part in divided for each in with_codes(part, _OPTION))


def _codes(parts: Parts) -> Counter[str]:
    return Counter(part.text for part in parts if isinstance(part, Code) and part.kind is not Kind.BREAK)


def _doubled(text: str, signs: str) -> str:
    return text.translate({ord(sign): 2 * sign for sign in signs})


def _quoted(text: str, end_of_line: str, *, wrapped: bool) -> str:
    """The text as a string of a PO file: in one line, or wrapped as gettext's tools do it."""
    if not wrapped:
        return f'"{text.translate(_UNESCAPED)}"'
    lines = [line.translate(_UNESCAPED) for line in re.findall(r"[^\n]*\n|[^\n]+", text)]
    pieces = [piece for line in lines for piece in _wrapped(line)]
    return end_of_line.join(f'"{piece}"' for piece in (pieces if len(pieces) == 1 else ["", *pieces]))


def _wrapped(line: str) -> Iterator[str]:
    """Pieces of a line, each of which ends with a space or is the last one."""
    piece = ""
    for word in re.findall(r"[^ ]* +|[^ ]+", line):
        if piece and len(piece) + len(word.rstrip()) > _WIDTH:
            yield piece
            piece = ""
        piece += word
    yield piece

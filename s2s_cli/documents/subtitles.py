"""Subtitles: SubRip (SRT) and WebVTT. The lines of a cue are read as one text, and its translation is divided again
into as many lines of about equal length. Texts of their own are lines that begin with a dash or a name in capitals,
sounds in brackets, and the lines of a song, between notes; in SubRip also what stands after an empty line."""

from __future__ import annotations

import html
import re
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from s2s_cli.documents.document import Edit, TextDocument, Unit, spliced
from s2s_cli.errors import DataError
from s2s_cli.text.codes import Code, Kind, Part, Parts
from s2s_cli.text.protected import with_pairs, with_placeholders

_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_TAGS = r"(?:<[^<>]*>|\{[^{}]*\})*+\s*+"
_BEGINS = re.compile(rf"\s*+{_TAGS}(?:[-–—♪♫\[]|\([^()]*\)\s*+{_TAGS}\Z|(?P<speaker>\w[\w .'-]{{0,30}}):(?=\s|\Z))")
_ENDS = re.compile(rf"(?:\A\s*+{_TAGS}(?:\[[^\[\]]*\]|\([^()]*\))\s*+|[♪♫]\s*+){_TAGS}\Z")
"""What begins and ends a text of its own at the ends of a line."""
_WIDE = "[\u2e80-\u9fff\uf900-\ufaff\uff01-\uff9f]"  # Chinese and Japanese, which write no spaces
_GAP = re.compile(rf" |(?<={_WIDE})(?<![（「『【《〈])(?={_WIDE})(?![、。，．！？：；）」』】》〉ー])")
"""Where a line may be broken."""
_TIME = r"-?\d+(?:\s?[:,.]\s?\d+)+"
"""Hours to milliseconds, as far as they are given, in any form that a player reads."""
_LOOKS_LIKE_TIMES = re.compile(r"\d:\w+[:;.,]\w.*\d:\w")
"""Two times of a cue in one line, even if they are damaged. (Those of a text seldom have seconds.)"""
_DAMAGED = "the text of subtitles whose times are damaged is not read"
_DASH = re.compile(r"\s*[-–—]+\s*")
_CODE = re.compile(r"[♪♫]+|<(?=[/\w.])(?P<close>/)?(?P<name>[a-zA-Z]*)[^<>]*>|\{\\[^{}]*\}")


@dataclass(frozen=True)
class _Cue(Unit):
    """`lines`: of each of its texts. `end_of_line`: the characters that end one."""

    lines: tuple[int, ...]
    end_of_line: str


class Subtitles(TextDocument):
    """What both formats have in common: cues of a line with times and lines of text. `ends_at_blank`: whether an empty
    line ends a cue, or only a text in it."""

    timing: ClassVar[re.Pattern[str]]
    ends_at_blank: ClassVar[bool]

    def find_units(self) -> Iterator[Unit]:
        lines: list[re.Match[str]] | None = None  # of the text that has begun, in the cue that is open
        divided = seen = False  # divided: whether an empty line of the cue stands before that text
        before = ""
        for match in _LINE.finditer(self.text):
            named = lines is not None and divided and len(lines) == 1 and re.search(r"\d", lines[0][1]) is not None
            blank = not match[1].strip()
            begins = self.begins_cue(match[1], follows_head=not before or before.isdigit() or named)
            before = match[1].strip()
            if begins and lines and (named or lines[-1][1].strip().isdigit()):
                lines.pop()  # the number of the cue that begins, or a name with one
            if lines and (blank or begins):
                yield from self._text_of(lines, divided=divided)
            if begins:
                lines, divided, seen = [], False, True
            elif blank:
                lines, divided = (None if self.ends_at_blank or lines is None else []), True
            elif lines is not None:
                lines.append(match)
            elif _LOOKS_LIKE_TIMES.search(match[1]):
                self._leave(match, match)
        if not seen and self.text.strip("\ufeff \t\r\n"):
            hint = "does --format name the right one?"
            raise DataError("no line of the file has times of a subtitle", where=self.name, hint=hint)

    def begins_cue(self, line: str, *, follows_head: bool) -> bool:
        """Whether a line has the times of a cue. follows_head: whether it stands where they do, after an empty line or
        after the number of the cue."""
        return self.timing.match(line) is not None

    def _text_of(self, lines: Sequence[re.Match[str]], *, divided: bool) -> Iterator[Unit]:
        """The text of a cue; nothing if it is a further cue whose times are damaged, which is told of. divided: whether
        it stands after an empty line."""
        if divided and len(lines) > 1 and lines[0][1].strip().isdigit() and _LOOKS_LIKE_TIMES.search(lines[1][1]):
            self._leave(lines[0], lines[-1])
        else:
            yield self._cue(lines)

    def _leave(self, first: re.Match[str], last: re.Match[str]) -> None:
        self.skipped.setdefault(_DAMAGED, []).append(Unit((), first.start(), last.end(1)))

    def _cue(self, lines: Sequence[re.Match[str]]) -> Unit:
        first, last = lines[0], lines[-1]
        parts: list[Part] = []
        counts: list[int] = []
        for index, line in enumerate(lines):
            begins = not index or _is_divided(lines[index - 1][1], line[1])
            if index and begins:
                parts.append(Code(lines[index - 1][2], Kind.BREAK))
            elif index:
                parts.append(" ")
            if begins:
                counts.append(0)
            counts[-1] += 1
            parts += self._line(line[1])
        return _Cue(tuple(with_pairs(parts)), first.start(), last.end(1), tuple(counts), first[2] or "\n")

    def _line(self, text: str) -> Iterator[Part]:
        cursor, begun = 0, False
        for match in (*_CODE.finditer(text), None):
            before = text[cursor : match.start() if match else len(text)]
            dash = _DASH.match(before) if not begun else None
            begun = begun or before.strip() != ""
            if dash:
                yield _mark(dash.group())
            yield from self._text(before[dash.end() if dash else 0 :])
            if match:
                pair = Kind.CLOSE if match["close"] else Kind.OPEN
                yield Code(match.group(), pair, match["name"]) if match["name"] else _mark(match.group())
                cursor = match.end()

    def _text(self, text: str) -> list[Part]:
        return with_placeholders(self.read_text(text), self.written_text, tags=False)

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        assert isinstance(unit, _Cue)
        texts: list[list[Part]] = [[]]
        pieces: list[str] = []
        for part in parts:
            if isinstance(part, Code) and part.kind is Kind.BREAK:
                pieces += [self._broken(texts[-1], unit.lines[len(texts) - 1], unit.end_of_line), part.text]
                texts.append([])
            else:
                texts[-1].append(part)
        pieces.append(self._broken(texts[-1], unit.lines[len(texts) - 1], unit.end_of_line))
        return [Edit(unit.start, unit.end, "".join(pieces))]

    def _broken(self, parts: Sequence[Part], lines: int, end_of_line: str) -> str:
        """The text in at most so many lines, broken at those places that make them most equal in length."""
        pieces = [part.text if isinstance(part, Code) else self.written_text(part) for part in parts]
        visible = position = 0
        lengths: list[int] = []  # visible ones before each gap
        gaps: list[Edit] = []
        for part, piece in zip(parts, pieces, strict=True):
            if isinstance(part, str):
                for gap in _GAP.finditer(piece):
                    lengths.append(visible + gap.start())
                    gaps.append(Edit(position + gap.start(), position + gap.end(), end_of_line))
                visible += len(piece)
            position += len(piece)
        breaks: list[Edit] = []
        best = len(gaps)
        for line in range(lines - 1, 0, -1):
            if not best:
                break
            best = _nearest(lengths, visible * line / lines, best)
            breaks.append(gaps[best])
        return spliced("".join(pieces), breaks[::-1])

    @abstractmethod
    def read_text(self, text: str) -> str:
        """The text of a cue as a reader sees it."""

    @abstractmethod
    def written_text(self, text: str) -> str:
        """The text as it is written in a cue."""


def _mark(text: str) -> Code:
    """A sign that is no word, and that stays at the beginning or the end if it stands there."""
    return Code(text, order="mark", wide=False)


def _is_divided(before: str, line: str) -> bool:
    """Whether a line does not go on with the text of the line before it."""
    begins = _BEGINS.match(line)
    return _ENDS.search(before) is not None or (begins is not None and (begins["speaker"] or "A").isupper())


def _nearest(numbers: Sequence[int], wanted: float, end: int) -> int:
    """The index of the number nearest to the wanted one, before `end`; the first of two. numbers: ascending."""
    after = bisect_left(numbers, wanted, 0, end)
    return min(range(max(0, after - 1), min(after + 1, end)), key=lambda index: abs(numbers[index] - wanted))


class SubRip(Subtitles):
    """`.srt`, as players read it: no character has to be escaped, and a cue goes on up to the next one."""

    timing = re.compile(r"\ufeff?\s*\d+:\d+:\d+[,.]\d+\s*-->\s*\d+:\d+:\d+[,.]\d+")
    other_timing: ClassVar[re.Pattern[str]] = re.compile(
        rf"\ufeff?\s*{_TIME}\s*(?:-->\s*{_TIME}|-+\s?>\s*{_TIME}\s*\Z)"
    )
    """Forms that only some players read. A line of text may look like that, too."""
    ends_at_blank = False

    def begins_cue(self, line: str, *, follows_head: bool) -> bool:
        return super().begins_cue(line, follows_head=follows_head) or (
            follows_head and self.other_timing.match(line) is not None
        )

    def read_text(self, text: str) -> str:
        return text

    def written_text(self, text: str) -> str:
        return text.replace("-->", "->")


class WebVTT(Subtitles):
    """`.vtt` (W3C 2019). Comments, styles and regions stay as they are: they have no times."""

    timing = re.compile(r"[ \t]*(?:\d+:)?\d+:\d+\.\d+[ \t]+-->[ \t]+(?:\d+:)?\d+:\d+\.\d+")
    ends_at_blank = True

    def find_units(self) -> Iterator[Unit]:
        if not re.match(r"\ufeff?WEBVTT(?=[ \t\r\n]|\Z)", self.text):
            raise DataError("the first line of a WebVTT file begins with WEBVTT", where=f"{self.name}:1")
        if "-->" in self.text:
            yield from super().find_units()

    def read_text(self, text: str) -> str:
        return html.unescape(text)

    def written_text(self, text: str) -> str:
        return html.escape(text, quote=False)

"""Division of lines into parts, which a model translates at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import DataError
from s2s_cli.inference.lines import LINE_BYTES
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.sentences import halves, sentences
from s2s_cli.text.tokenizer import WORD_START, Tokenizer

if TYPE_CHECKING:
    from s2s_cli.inference.demands import Demand

CHARACTERS_PER_PIECE = 32  # far above any real text: longer parts are divided before costly work
WHOLE_PIECES = 10_000  # most pieces of a line that must stay whole


@dataclass(frozen=True)
class Division:
    """How lines are divided into parts, and what is needed to join their translations."""

    split: str = "always"
    """`always`: at the ends of sentences; `long`: only lines that are longer than `max_pieces`; `never`."""
    max_pieces: int = 100
    """Most pieces of a part. A longer sentence is halved at a clause, else at a space, else at a character."""
    source: str = ""
    """Language codes of both sides; "" for an unknown one."""
    target: str = ""


class Part(NamedTuple):
    """A part of a line, which is translated at once."""

    text: str  # as in the line
    ids: list[int]  # none for white space
    spans: tuple[int, ...] = ()  # places of the spans that marks in `ids` stand for, in the order of the marks
    demand: Demand | None = None  # of its translation
    told: tuple[int, ...] = ()  # target symbols of what the model is told of terms
    again: Demand | None = None  # of a second search, where the first one leaves out what it has

    @property
    def phrases(self) -> tuple[str, ...]:
        """What its translation is to contain, and may not be torn apart."""
        demand = self.again or self.demand
        return demand.constraints if demand else ()


class Divided(NamedTuple):
    """The parts of a line, and whether its end was left out."""

    parts: list[Part]
    truncated: bool


def divide(lines: Sequence[str], tokenizer: Tokenizer, division: Division, whole: Sequence[bool] = ()) -> list[Divided]:
    """Clean, split and tokenise. whole: for each line, whether it is divided only if it is too long. Raises DataError
    for a line with a lone surrogate."""
    texts = [_text(line, number) for number, line in enumerate(lines, start=1)]
    if division.split == "never":
        encoded = tokenizer.encode([_clean(text, WHOLE_PIECES) for text, _ in texts])
        most = WHOLE_PIECES * CHARACTERS_PER_PIECE
        return [
            Divided([Part(text, ids[:WHOLE_PIECES])], cut or len(ids) > WHOLE_PIECES or len(text) > most)
            for (text, cut), ids in zip(texts, encoded, strict=True)
        ]
    wholes = [division.split == "long" or each for each in whole or [False] * len(texts)]
    divided = [
        [text] if is_whole else sentences(text, division.source)
        for (text, _), is_whole in zip(texts, wholes, strict=True)
    ]
    flat = [(part, is_whole) for parts, is_whole in zip(divided, wholes, strict=True) for part in parts]
    fitting = _fitting([part for part, _ in flat], tokenizer, division, [is_whole for _, is_whole in flat])
    return [
        Divided([part for _ in parts for part in next(fitting)], cut)
        for parts, (_, cut) in zip(divided, texts, strict=True)
    ]


def _fitting(
    texts: Sequence[str], tokenizer: Tokenizer, division: Division, wholes: Sequence[bool] = ()
) -> Iterator[list[Part]]:
    """For each text, its division into parts that are short enough. wholes: whether a text is a whole line, which has
    not been divided into sentences.

    Characters are counted before cleaning and tokenisation, both of which may take more than linear time on input that
    is not natural text. A single character is a part, however many pieces it has.
    """
    most = division.max_pieces
    encoded = tokenizer.encode([_clean(text, most) for text in texts])
    for text, ids, is_whole in zip(texts, encoded, wholes or repeat(False), strict=False):
        if (len(ids) <= most and len(text) <= most * CHARACTERS_PER_PIECE) or len(text) < 2:
            yield [Part(text, ids)]
            continue
        shorter = sentences(text, division.source) if is_whole else halves(text)
        yield [part for parts in _fitting(shorter, tokenizer, division) for part in parts]


def _clean(text: str, most: int) -> str:
    """The clean text, or its beginning if it is too long for a part. The sign that stands for a space in pieces would
    be one, and words would be counted otherwise than in the line."""
    return clean_line(text[: most * CHARACTERS_PER_PIECE]).replace(WORD_START, "_")


def _text(line: str, number: int) -> tuple[str, bool]:
    """The line without white space around it, and whether its end was left out."""
    if not isinstance(line, str):
        raise TypeError(f"line {number} is no text, but of type {type(line).__name__}")
    text = line.strip()
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"lone surrogate U+{ord(text[error.start]):04X} at character {line.index(text) + error.start + 1}",
            where=f"line {number}",
            hint="decode bytes as UTF-8 with errors='replace'",
        ) from None
    if len(data) <= LINE_BYTES:
        return text, False
    return data[:LINE_BYTES].decode("utf-8", errors="ignore"), True

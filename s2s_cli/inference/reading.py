"""Read, the first stage of translation: divide lines into parts, which a model translates at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from s2s_cli.errors import DataError
from s2s_cli.inference.lines import LINE_BYTES
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.sentences import halves, sentences
from s2s_cli.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from s2s_cli.inference.demands import Demand
    from s2s_cli.inference.inline import Flat
    from s2s_cli.inference.translation import Match
    from s2s_cli.inference.unbroken import Unbroken

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


@dataclass(frozen=True)
class Source:
    """A line as the model reads it. The concatenated texts of its parts are the line without surrounding white
    space."""

    line: str
    parts: list[Part]
    truncated: bool = False
    """Whether its end was left out, because it exceeded 1 MiB, or `WHOLE_PIECES` where it must stay whole."""
    flat: Flat | None = None
    """Of a line with protected spans: what the model does not read of it. The parts are then those of its text."""
    unbroken: Unbroken | None = None
    """Of a line with protected spans: what is demanded of its translation, where these must not go."""
    origin: str | None = None
    """With a translation memory: `memory` for a line that is there, which has nothing to translate, else `model`."""
    match: Match | None = None
    """The entry of the memory for the line."""


def read(lines: Sequence[str], tokenizer: Tokenizer, division: Division) -> list[Source]:
    """Clean, split and tokenise. Raises DataError for a line with a lone surrogate, which is not text."""
    texts = [_text(line, number) for number, line in enumerate(lines, start=1)]
    if division.split == "never":
        encoded = tokenizer.encode([_clean(text, WHOLE_PIECES) for text, _ in texts])
        most = WHOLE_PIECES * CHARACTERS_PER_PIECE
        return [
            Source(line, [Part(text, ids[:WHOLE_PIECES])], cut or len(ids) > WHOLE_PIECES or len(text) > most)
            for line, (text, cut), ids in zip(lines, texts, encoded, strict=True)
        ]
    always, language = division.split == "always", division.source
    divided = [sentences(text, language) if always else [text] for text, _ in texts]
    fitting = _fitting([part for parts in divided for part in parts], tokenizer, division, whole_lines=not always)
    return [
        Source(line, [part for _ in parts for part in next(fitting)], cut)
        for line, parts, (_, cut) in zip(lines, divided, texts, strict=True)
    ]


def _fitting(
    texts: Sequence[str], tokenizer: Tokenizer, division: Division, *, whole_lines: bool = False
) -> Iterator[list[Part]]:
    """For each text, its division into parts that are short enough.

    Characters are counted before cleaning and tokenisation, both of which may take more than linear time on input that
    is not natural text. A single character is a part, however many pieces it has.
    """
    most = division.max_pieces
    encoded = tokenizer.encode([_clean(text, most) for text in texts])
    for text, ids in zip(texts, encoded, strict=True):
        if (len(ids) <= most and len(text) <= most * CHARACTERS_PER_PIECE) or len(text) < 2:
            yield [Part(text, ids)]
            continue
        shorter = sentences(text, division.source) if whole_lines else halves(text)
        yield [part for parts in _fitting(shorter, tokenizer, division) for part in parts]


def _clean(text: str, most: int) -> str:
    """The clean text, or its beginning if it is too long for a part."""
    return clean_line(text[: most * CHARACTERS_PER_PIECE])


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

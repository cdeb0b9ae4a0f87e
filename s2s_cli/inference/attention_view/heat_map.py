"""The content of the heat map of one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2s_cli.errors import UsageError
from s2s_cli.text.casing import SIGNS

if TYPE_CHECKING:
    import numpy as np

    from s2s_cli.inference.translation import Translation

SENTENCE_END = "</s>"

# Control characters may be dropped by a browser or stop a parser; they are replaced by their pictures (U+2400 ff.).
_PICTURES = (
    {code: 0x2400 + code for code in range(0x20)} | {0x7F: 0x2421} | {code: 0xFFFD for code in range(0x80, 0xA0)}
)


@dataclass(frozen=True)
class HeatMap:
    """A sentence with its attention. T target pieces, S source positions, the end of the sentence included."""

    name: str
    """Number of the line in the input, counted from 1; "3.2" is the second part of the third."""
    source: str
    translation: str
    columns: list[str]
    """The S source pieces."""
    rows: list[str]
    """The T target pieces."""
    weights_TS: np.ndarray
    """Row t has the weights with which target piece t was written; they add up to 1."""

    @classmethod
    def of(cls, name: str, translation: Translation) -> HeatMap:
        """The map of a translation in one part, with pieces. Raises UsageError for a model without attention."""
        if translation.attention is None:
            raise UsageError(
                "this model has no attention to show",
                where="--attention",
                hint="leave the option out, or train with decoder.context: attention",
            )
        return cls(
            name,
            visible(translation.source),
            visible(translation.text),
            [shown(piece) for piece in [*translation.source_tokens, SENTENCE_END]],
            [shown(piece) for piece in translation.tokens],
            translation.attention,
        )


def shown(piece: str) -> str:
    """The piece with visible signs, also in place of marks of case."""
    return visible(piece).translate(SIGNS)


def visible(text: str) -> str:
    """The text with a visible sign in place of each control character."""
    return text.translate(_PICTURES)

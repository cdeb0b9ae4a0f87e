"""The keys of tokenizers."""

from __future__ import annotations

from typing import Annotated, Literal

from s2s_cli.forms import at_least, at_most
from s2s_cli.recipe.schema.section import Positive, Section, Side

Kind = Literal["sentencepiece", "character", "word"]
Algorithm = Literal["unigram", "bpe"]
Vocabulary = Annotated[int, at_least(8), at_most(4_000_000)]
Coverage = Annotated[float, at_least(0.98), at_most(1.0)]


class SideTokenizer(Section):
    """Settings of one side's tokenizer; keys that are not set are taken from `tokenizer`."""

    kind: Kind | None = None
    model: Algorithm | None = None
    vocabulary: Vocabulary | None = None
    character_coverage: Coverage | None = None
    case_markup: bool | None = None


class Tokenizer(Section):
    kind: Kind = "sentencepiece"
    """`sentencepiece` for real work, `character` and `word` for teaching, labels and spelling."""
    model: Algorithm = "unigram"
    """SentencePiece's algorithm."""
    vocabulary: Vocabulary = 8000
    """Largest number of pieces, the four special symbols included."""
    joint: bool = True
    """One vocabulary for both sides, or one for each."""
    character_coverage: Coverage = 1.0
    """Share of characters that get a piece; 0.9995 suits Chinese and Japanese."""
    case_markup: bool = False
    """Write words in lower case, with a mark after those that begin with a capital or are in capitals, so that
    "Knowledge" and "knowledge" have the same pieces; only `sentencepiece`."""
    sample: Positive = 2_000_000
    """Most lines (of a uniform sample, never over 24 MiB of text) that the tokenizer is trained on."""
    source: SideTokenizer | None = None
    """Other values for the source side (then `joint` is off)."""
    target: SideTokenizer | None = None
    """Other values for the target side (then `joint` is off)."""

    @property
    def is_joint(self) -> bool:
        """Whether both sides share one vocabulary, all settings considered."""
        return self.joint and self.source is None and self.target is None

    def of_side(self, side: Side) -> Tokenizer:
        """The settings of one side, its own values merged into the common ones, and validated together."""
        own: SideTokenizer | None = getattr(self, side)
        common, other = self.values(without=["source", "target"]), own.values() if own else {}
        return Tokenizer.read(common | {key: value for key, value in other.items() if value is not None})

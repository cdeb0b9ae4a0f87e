"""Training of the tokenizers of a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

from s2s_cli import console
from s2s_cli.errors import DataError
from s2s_cli.recipe import schema
from s2s_cli.text.tokenizer import Tokenizer, TokenizerPair


def train_tokenizers(
    config: schema.Tokenizer,
    source_lines: Iterable[str],
    target_lines: Iterable[str],
    tags: Sequence[str] = (),
    marks: Sequence[str] = (),
) -> TokenizerPair:
    """One tokenizer for both sides or one for each, from samples of clean lines. Deterministic.

    tags: symbols of the source side that are put before sentences. marks: symbols of both sides, for protected text.
    Raises DataError if there is no text, or more characters than the vocabulary has room for.
    """
    if config.is_joint:
        tokenizer = _train(config, chain(source_lines, target_lines), "joint", [*tags, *marks])
        return TokenizerPair(tokenizer, tokenizer)
    return TokenizerPair(
        _train(config.of_side("source"), source_lines, "source", [*tags, *marks]),
        _train(config.of_side("target"), target_lines, "target", marks),
    )


def require_same_algorithms(config: schema.Tokenizer, base: TokenizerPair) -> None:
    """Raise DataError unless the tokenizers of `config` can extend those of `base`."""
    sides: dict[Literal["source", "target"], Tokenizer] = {"source": base.source, "target": base.target}
    for side, tokenizer in sides.items():
        own = config if config.is_joint else config.of_side(side)
        wanted = own.model if own.kind == "sentencepiece" else own.kind
        if tokenizer.algorithm != wanted:
            raise DataError(
                f"init.extend cannot mix tokenizers: that of the model's {side} side is"
                f" {tokenizer.algorithm!r}, that of the recipe {wanted!r}",
                where="tokenizer",
                hint="give the kind and the model (SentencePiece's algorithm) that the model has",
            )
        if tokenizer.case_markup != own.case_markup:
            has = "has" if tokenizer.case_markup else "has no"
            raise DataError(
                f"init.extend cannot mix tokenizers: that of the model's {side} side {has} case markup",
                where="tokenizer.case_markup",
                hint=f"give case_markup: {str(tokenizer.case_markup).lower()}",
            )


def _train(config: schema.Tokenizer, lines: Iterable[str], name: str, tags: Sequence[str] = ()) -> Tokenizer:
    if config.kind != "sentencepiece":
        from s2s_cli.text.symbols import CharacterTokenizer, WordTokenizer

        kinds = {"character": CharacterTokenizer, "word": WordTokenizer}
        return kinds[config.kind].train(lines, vocabulary=config.vocabulary, tags=tags)
    from s2s_cli.text.sentencepieces import train_sentencepiece

    tokenizer = train_sentencepiece(
        lines,
        model=config.model,
        vocabulary=config.vocabulary,
        character_coverage=config.character_coverage,
        tags=tags,
        case_markup=config.case_markup,
    )
    if tokenizer.size < config.vocabulary:
        console.say(f"{name} vocabulary: {tokenizer.size:,} pieces, all that the text yields, of {config.vocabulary:,}")
    return tokenizer

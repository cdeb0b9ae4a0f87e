"""From clean text to shards: pairs as ids, without those that break a rule on lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, compress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s2s_cli import console
from s2s_cli.data.clean_text import CHUNK
from s2s_cli.data.cleaning import LengthRule
from s2s_cli.data.corpora import Pair
from s2s_cli.data.marking import shared_spans
from s2s_cli.data.shards import ShardWriter
from s2s_cli.processes import Mapper, in_chunks, map_in_order
from s2s_cli.text.protected import Finder
from s2s_cli.text.tokenizer import UNK, TokenizerPair


class Tagged(NamedTuple):
    """Pairs, and the tag that is put before their sources."""

    pairs: Iterable[Pair]
    tag: str | None = None


class _Chunk(NamedTuple):
    corpus: int
    tag: str | None
    pairs: list[Pair]


class _EncodedSide(NamedTuple):
    ids: np.ndarray
    lengths: np.ndarray


class _EncodedChunk(NamedTuple):
    corpus: int
    source: _EncodedSide
    target: _EncodedSide
    rejected: Counter[str]


def encode_pairs(
    corpora: Sequence[Tagged],
    total: int,
    tokenizers: TokenizerPair,
    rules: Mapping[str, LengthRule],
    directory: Path,
    mapper: Mapper = map_in_order,
    finder: Finder | None = None,
) -> tuple[dict[str, dict[str, int]], list[Counter[str]]]:
    """Write the shards of clean pairs into `directory`, without those that break a rule on their lengths.

    total: number of pairs in all corpora. mapper: who encodes. finder: of the spans that have marks where both sides
    have them. Returns the tokens of both sides, and rejections by rule for each corpus.
    """
    directory.mkdir(exist_ok=True)
    rejected = [Counter[str]() for _ in corpora]
    chunks = (
        _Chunk(number, tag, chunk) for number, (pairs, tag) in enumerate(corpora) for chunk in in_chunks(pairs, CHUNK)
    )
    counts = {side: {"tokens": 0, "unknown": 0} for side in ("source", "target")}
    with (
        ShardWriter(directory / "source", tokenizers.source.size) as source,
        ShardWriter(directory / "target", tokenizers.target.size) as target,
        console.progress("encode", total=total, unit=" pairs") as bar,
        closing(mapper(partial(_make_encoder, tokenizers, rules, finder), chunks)) as results,
    ):
        for chunk in results:
            for side, writer, encoded in (("source", source, chunk.source), ("target", target, chunk.target)):
                writer.write(*encoded)
                counts[side]["tokens"] += len(encoded.ids)
                counts[side]["unknown"] += int((encoded.ids == UNK).sum())
            rejected[chunk.corpus] += chunk.rejected
            bar.update(len(chunk.source.lengths) + chunk.rejected.total())
    return counts, rejected


def _make_encoder(
    tokenizers: TokenizerPair, rules: Mapping[str, LengthRule], finder: Finder | None
) -> Callable[[_Chunk], _EncodedChunk]:
    def encode(chunk: _Chunk) -> _EncodedChunk:
        corpus, tag, pairs = chunk
        source = tokenizers.source.encode([source for source, _ in pairs])
        target = tokenizers.target.encode([target for _, target in pairs])
        if finder is not None:
            for number, pair in enumerate(pairs):
                if (marked := shared_spans(*pair, finder, tokenizers)) is not None:
                    source[number], target[number] = marked
        source_lengths, target_lengths = (np.array([len(ids) for ids in side], np.int64) for side in (source, target))
        kept, rejected = np.ones(len(pairs), bool), Counter[str]()
        for name, rule in rules.items():
            broken = kept & rule(source_lengths, target_lengths)
            kept &= ~broken
            if broken.any():
                rejected[name] = int(broken.sum())
        if tag is not None:  # after the rules on lengths: a sentence is as long as it is
            first = tokenizers.source.tags[tag]
            source, source_lengths = [[first, *ids] for ids in source], source_lengths + 1
        return _EncodedChunk(corpus, _side(source, source_lengths, kept), _side(target, target_lengths, kept), rejected)

    return encode


def _side(sequences: list[list[int]], lengths: np.ndarray, kept: np.ndarray) -> _EncodedSide:
    lengths = lengths[kept]
    return _EncodedSide(np.fromiter(chain.from_iterable(compress(sequences, kept)), np.uint32, lengths.sum()), lengths)

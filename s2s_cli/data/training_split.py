"""The training split: corpora to clean text, clean text to shards. Every step streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, compress, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import numpy as np

from s2s_cli import console
from s2s_cli.data.cleaning import Unwanted, length_rules, pair_key, text_rules
from s2s_cli.data.corpora import ParallelCorpus
from s2s_cli.data.marking import shared_spans
from s2s_cli.data.shards import ShardWriter
from s2s_cli.processes import Mapper, map_in_order
from s2s_cli.recipe import schema
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.protected import Finder
from s2s_cli.text.tokenizer import UNK, TokenizerPair

CHUNK = 4096
"""Pairs that a worker gets at a time."""

KEYS_AT_A_TIME = 1 << 22
"""Keys of pairs that are compared in memory."""

Item = TypeVar("Item")
Pair = tuple[str, str]


# ------------------------------------------------------------------------------------------------------ corpora to text


@dataclass
class CleanCorpus:
    """What became of the pairs of a corpus."""

    name: str
    pairs_read: int = 0
    pairs: int = 0
    """Those that passed the rules."""
    rejected: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class CleanText:
    """The pairs that pass the rules on text: two line-aligned files, and which of their lines to use."""

    source: Path
    target: Path
    kept: np.ndarray
    """[lines] bool: False for repetitions."""
    corpora: list[CleanCorpus]
    """Those that the lines are of, in order."""

    @property
    def rejected(self) -> dict[str, int]:
        """Rejections by rule."""
        return dict(sum((corpus.rejected for corpus in self.corpora), Counter()))

    def __len__(self) -> int:
        """Number of pairs to use."""
        return int(self.kept.sum())

    @property
    def mean_bytes(self) -> float:
        """Size of a pair on average."""
        return (self.source.stat().st_size + self.target.stat().st_size) / len(self.kept)

    def of_corpora(self) -> list[Iterator[Pair]]:
        """The pairs to use of each corpus; those of one must be taken before those of the next."""
        pairs = self.pairs()
        return [islice(pairs, corpus.pairs) for corpus in self.corpora]

    def pairs(self) -> Iterator[Pair]:
        with (
            self.source.open(encoding="utf-8", newline="\n") as source,
            self.target.open(encoding="utf-8", newline="\n") as target,
        ):
            lines = compress(zip(source, target, strict=True), self.kept)
            yield from ((s.removesuffix("\n"), t.removesuffix("\n")) for s, t in lines)


@dataclass(frozen=True)
class _CleanChunk:
    """Lines as bytes, ready to be written, and the key of each pair. corpus: the number of the corpus they are of."""

    corpus: int
    source: bytes
    target: bytes
    keys: bytes
    pairs_read: int
    rejected: Counter[str]


def clean_corpora(
    corpora: list[ParallelCorpus],
    config: schema.Cleaning,
    languages: schema.Languages,
    unwanted: Unwanted,
    directory: Path,
    mapper: Mapper = map_in_order,
) -> CleanText:
    """Clean lines of all corpora, written below `directory`. mapper: who cleans."""
    source, target, keys = (directory / name for name in ("source.txt", "target.txt", "keys"))
    found = [CleanCorpus(corpus.name) for corpus in corpora]
    chunks = ((number, pairs) for number, corpus in enumerate(corpora) for pairs in _chunks(corpus.pairs(), CHUNK))
    with (
        source.open("wb") as source_file,
        target.open("wb") as target_file,
        keys.open("wb") as keys_file,
        console.progress("clean", unit=" pairs") as bar,
        closing(mapper(partial(_make_cleaner, config, languages, unwanted), chunks)) as results,
    ):
        for chunk in results:
            source_file.write(chunk.source)
            target_file.write(chunk.target)
            keys_file.write(chunk.keys)
            corpus = found[chunk.corpus]
            corpus.pairs_read += chunk.pairs_read
            corpus.pairs += chunk.pairs_read - chunk.rejected.total()
            corpus.rejected += chunk.rejected
            bar.update(chunk.pairs_read)
    ends = np.cumsum([corpus.pairs for corpus in found])
    repetition = repeated(keys) if config.deduplicate else np.zeros(ends[-1], bool)
    for corpus, again in zip(found, np.split(repetition, ends[:-1]), strict=True):
        corpus.pairs -= int(again.sum())
        corpus.rejected += Counter(duplicate=int(again.sum()))
    return CleanText(source, target, ~repetition, found)


def _make_cleaner(
    config: schema.Cleaning, languages: schema.Languages, unwanted: Unwanted
) -> Callable[[tuple[int, list[Pair]]], _CleanChunk]:
    rules = text_rules(config, languages, unwanted)

    def clean(chunk: tuple[int, list[Pair]]) -> _CleanChunk:
        corpus, pairs = chunk
        kept, rejected = [], Counter[str]()
        for raw_source, raw_target in pairs:
            source, target = clean_line(raw_source), clean_line(raw_target)
            broken = next((name for name, rule in rules.items() if rule(source, target)), None)
            if broken is None:
                kept.append((source, target))
            else:
                rejected[broken] += 1
        keys = b"".join(pair_key(source, target) for source, target in kept) if config.deduplicate else b""
        source_text, target_text = ("".join(f"{pair[side]}\n" for pair in kept).encode() for side in (0, 1))
        return _CleanChunk(corpus, source_text, target_text, keys, len(pairs), rejected)

    return clean


# --------------------------------------------------------------------------------------------------------- repetitions


def repeated(path: Path, keys_at_a_time: int = KEYS_AT_A_TIME) -> np.ndarray:
    """For each key of a file of uint64, whether an equal one precedes it.

    The keys are divided among files by their leading bits, so that memory holds a few million keys at a time and one
    byte for each pair. Two different pairs among n share a 64-bit key with probability n² / 2^65: less than 10^-5 for
    ten million pairs.
    """
    count = path.stat().st_size // 8
    result = np.zeros(count, bool)
    for found in _parts(path, max(0, (count // keys_at_a_time).bit_length()), keys_at_a_time):
        keys, places = found["key"], found["place"]
        order = np.argsort(keys, kind="stable")  # equal keys stay in the order of the file
        again = np.flatnonzero(keys[order[1:]] == keys[order[:-1]]) + 1
        result[places[order[again]]] = True
    return result


_KEY = np.dtype([("key", np.uint64), ("place", np.int64)])


def _parts(path: Path, bits: int, block: int) -> Iterator[np.ndarray]:
    """The keys that share their leading bits, with their places in the file, in its order."""
    blocks = _blocks(path, block)
    if not bits:  # a shift by all 64 bits is not defined: one part holds everything
        yield from blocks
        return
    with TemporaryDirectory(dir=path.parent) as folder:
        files = [Path(folder, str(part)) for part in range(1 << bits)]
        for found in blocks:
            part = (found["key"] >> np.uint64(64 - bits)).astype(np.int64)
            order = np.argsort(part, kind="stable")
            cuts = np.searchsorted(part[order], np.arange(1, 1 << bits))
            for file, mine in zip(files, np.split(found[order], cuts), strict=True):
                with file.open("ab") as writer:  # not kept open: there may be more than a process may have
                    mine.tofile(writer)
        for file in files:
            yield np.fromfile(file, _KEY)
            file.unlink()


def _blocks(path: Path, size: int) -> Iterator[np.ndarray]:
    begin = 0
    with path.open("rb") as file:
        while len(keys := np.fromfile(file, np.uint64, size)):
            found = np.empty(len(keys), _KEY)
            found["key"], found["place"] = keys, np.arange(begin, begin + len(keys))
            yield found
            begin += len(keys)


# ------------------------------------------------------------------------------------------------------ text to sample


def sample(text: CleanText, most: int) -> Iterator[Pair]:
    """A deterministic uniform sample of at most `most` of the kept pairs.

    Selection sampling (Knuth, The Art of Computer Programming, volume 2, algorithm 3.4.2 S).
    """
    left = len(text)
    wanted = min(most, left)
    random = np.random.Generator(np.random.PCG64(0))
    for pairs in _chunks(text.pairs(), CHUNK):
        for pair, chance in zip(pairs, random.random(len(pairs)).tolist(), strict=True):
            if chance * left < wanted:
                wanted -= 1
                yield pair
            left -= 1


# ------------------------------------------------------------------------------------------------------ text to shards


class Tagged(NamedTuple):
    """Pairs, and the tag that is put before their sources."""

    pairs: Iterable[Pair]
    tag: str | None = None


@dataclass(frozen=True)
class _EncodedSide:
    ids: np.ndarray
    lengths: np.ndarray
    unknown: int


@dataclass(frozen=True)
class _EncodedChunk:
    corpus: int
    source: _EncodedSide
    target: _EncodedSide
    rejected: Counter[str]


def encode_pairs(
    corpora: Sequence[Tagged],
    total: int,
    tokenizers: TokenizerPair,
    config: schema.Cleaning,
    directory: Path,
    mapper: Mapper = map_in_order,
    finder: Finder | None = None,
) -> tuple[dict[str, dict[str, int]], list[Counter[str]]]:
    """Write the shards of clean pairs into `directory`, without those that break a rule on lengths.

    total: number of pairs in all corpora. mapper: who encodes. finder: of the spans that have marks where both sides
    have them. Returns the tokens of both sides, and rejections by rule for each corpus.
    """
    directory.mkdir(exist_ok=True)
    rejected = [Counter[str]() for _ in corpora]
    chunks = (
        _TaggedChunk(number, tag, chunk)
        for number, (pairs, tag) in enumerate(corpora)
        for chunk in _chunks(pairs, CHUNK)
    )
    counts = {side: {"tokens": 0, "unknown": 0} for side in ("source", "target")}
    with (
        ShardWriter(directory / "source", tokenizers.source.size) as source,
        ShardWriter(directory / "target", tokenizers.target.size) as target,
        console.progress("encode", total=total, unit=" pairs") as bar,
        closing(mapper(partial(_make_encoder, tokenizers, config, finder), chunks)) as results,
    ):
        for chunk in results:
            for side, writer, encoded in (("source", source, chunk.source), ("target", target, chunk.target)):
                writer.write(encoded.ids, encoded.lengths)
                counts[side]["tokens"] += len(encoded.ids)
                counts[side]["unknown"] += encoded.unknown
            rejected[chunk.corpus] += chunk.rejected
            bar.update(len(chunk.source.lengths) + chunk.rejected.total())
    return counts, rejected


class _TaggedChunk(NamedTuple):
    corpus: int
    tag: str | None
    pairs: list[Pair]


def _make_encoder(
    tokenizers: TokenizerPair, config: schema.Cleaning, finder: Finder | None
) -> Callable[[_TaggedChunk], _EncodedChunk]:
    rules = length_rules(config)

    def encode(chunk: _TaggedChunk) -> _EncodedChunk:
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
    ids = np.fromiter(chain.from_iterable(compress(sequences, kept)), np.uint32, int(lengths.sum()))
    return _EncodedSide(ids, lengths, int((ids == UNK).sum()))


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk

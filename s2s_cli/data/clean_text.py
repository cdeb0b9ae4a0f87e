"""From the training corpora to clean text: the pairs that pass the rules on text and are no repetitions.

Every step streams: memory does not grow with the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import compress, islice
from pathlib import Path

import numpy as np

from s2s_cli import console
from s2s_cli.data.cleaning import TextRule, pair_key
from s2s_cli.data.corpora import Pair, ParallelCorpus
from s2s_cli.data.repetitions import repeated
from s2s_cli.processes import Mapper, in_chunks, map_in_order
from s2s_cli.text.hygiene import clean_line

CHUNK = 4096
"""Pairs that a worker gets at a time."""


@dataclass
class CleanCorpus:
    """What became of the pairs of a corpus."""

    name: str
    pairs_read: int = 0
    pairs: int = 0
    """Those that break no rule."""
    rejected: Counter[str] = field(default_factory=Counter)

    def drop(self, rejected: Counter[str]) -> None:
        """Some of its pairs break a rule."""
        self.pairs -= rejected.total()
        self.rejected += rejected


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

    def sample(self, most: int) -> Iterator[Pair]:
        """A deterministic uniform sample of at most `most` of the pairs to use.

        Selection sampling (Knuth, The Art of Computer Programming, volume 2, algorithm 3.4.2 S).
        """
        left = len(self)
        wanted = min(most, left)
        random = np.random.Generator(np.random.PCG64(0))
        for pairs in in_chunks(self.pairs(), CHUNK):
            for pair, chance in zip(pairs, random.random(len(pairs)).tolist(), strict=True):
                if chance * left < wanted:
                    wanted -= 1
                    yield pair
                left -= 1


@dataclass(frozen=True)
class _CleanChunk:
    """Lines as bytes, ready to be written, and the key of each pair, if repetitions are looked for. corpus: the number
    of the corpus they are of."""

    corpus: int
    source: bytes
    target: bytes
    keys: bytes
    pairs_read: int
    rejected: Counter[str]


def clean_corpora(
    corpora: Sequence[ParallelCorpus],
    rules: Mapping[str, TextRule],
    directory: Path,
    mapper: Mapper = map_in_order,
    *,
    deduplicate: bool = True,
) -> CleanText:
    """Clean lines of all corpora, written below `directory`. mapper: who cleans."""
    source, target, keys = (directory / name for name in ("source.txt", "target.txt", "keys"))
    found = [CleanCorpus(corpus.name) for corpus in corpora]
    chunks = ((number, pairs) for number, corpus in enumerate(corpora) for pairs in in_chunks(corpus.pairs(), CHUNK))
    with (
        source.open("wb") as source_file,
        target.open("wb") as target_file,
        keys.open("wb") as keys_file,
        console.progress("clean", unit=" pairs") as bar,
        closing(mapper(partial(_make_cleaner, rules, deduplicate), chunks)) as results,
    ):
        for chunk in results:
            source_file.write(chunk.source)
            target_file.write(chunk.target)
            keys_file.write(chunk.keys)
            corpus = found[chunk.corpus]
            corpus.pairs_read += chunk.pairs_read
            corpus.pairs += chunk.pairs_read
            corpus.drop(chunk.rejected)
            bar.update(chunk.pairs_read)
    ends = np.cumsum([corpus.pairs for corpus in found])
    repetition = repeated(keys) if deduplicate else np.zeros(ends[-1], bool)
    for corpus, again in zip(found, np.split(repetition, ends[:-1]), strict=True):
        corpus.drop(Counter(duplicate=int(again.sum())))
    return CleanText(source, target, ~repetition, found)


def _make_cleaner(rules: Mapping[str, TextRule], deduplicate: bool) -> Callable[[tuple[int, list[Pair]]], _CleanChunk]:
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
        keys = b"".join(pair_key(source, target) for source, target in kept) if deduplicate else b""
        source_text, target_text = ("".join(f"{pair[side]}\n" for pair in kept).encode() for side in (0, 1))
        return _CleanChunk(corpus, source_text, target_text, keys, len(pairs), rejected)

    return clean

"""Dev and test splits: unchanged texts for scoring, and ids for the loss.

No pair is dropped from the texts, so a score is that of the whole original file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s_cli.data.cleaning import length_rules
from s2s_cli.data.corpora import ParallelCorpus
from s2s_cli.data.tokenising import Tagged, encode_pairs
from s2s_cli.sealed import SealedDirectory
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.tokenizer import TokenizerPair


@dataclass(frozen=True)
class HeldOutText:
    """The lines of a dev or test split."""

    sources: list[str]
    """Clean lines."""
    references: list[str]
    """Lines as they are in the file."""

    @classmethod
    def read(cls, corpora: Iterable[ParallelCorpus]) -> HeldOutText:
        pairs = [pair for corpus in corpora for pair in corpus.pairs()]
        return cls([clean_line(source) for source, _ in pairs], [target for _, target in pairs])

    @classmethod
    def open(cls, sealed: SealedDirectory, split: str) -> HeldOutText:
        """Read what `write` wrote. Raises `DataError` if it is damaged."""
        texts = (sealed.read(f"{split}/{name}").decode() for name in ("source.txt", "target.txt"))
        return cls(*(text.split("\n")[:-1] for text in texts))

    def clean_pairs(self) -> list[tuple[str, str]]:
        return [(s, clean_line(t)) for s, t in zip(self.sources, self.references, strict=True)]

    def write(self, directory: Path, tokenizers: TokenizerPair, max_pieces: int) -> dict[str, Any]:
        """Write texts and shards into `directory`. Empty or too long pairs, which have no loss, are left out of the
        shards.

        Returns the counts.
        """
        directory.mkdir()
        for name, lines in (("source.txt", self.sources), ("target.txt", self.references)):
            (directory / name).write_bytes("".join(f"{line}\n" for line in lines).encode())
        pairs, rules = len(self.sources), length_rules(max_pieces)
        counts, [rejected] = encode_pairs([Tagged(self.clean_pairs())], pairs, tokenizers, rules, directory)
        without_loss = {"pairs_with_loss": pairs - rejected.total(), "without_loss": dict(rejected)}
        return {"pairs": pairs, **without_loss, **counts}

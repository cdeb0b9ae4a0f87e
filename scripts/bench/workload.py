"""The reference workload, Multi30k from German into English, as every program of the benchmarks is given it.

s2s prepares the corpus once. The other programs get exactly its pairs, already cut into its 8,000 pieces, so that all
train on the same tokens and none of them spends time on text.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from s2s_cli import atomic
from s2s_cli.data.preparation import prepare
from s2s_cli.data.prepared import PreparedData
from s2s_cli.data.shards import ParallelData, Shards
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.text.tokenizer import SYMBOLS, Tokenizer

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "multi30k-de-en.yaml"
TEST = "test_2016_flickr"

REFERENCE = [
    "model.tied=none",
    "model.attention.query=previous",
    *(f"model.dropout.{place}=0.2" for place in ("embedding", "state", "readout")),
    "training.learning_rate=1e-3",
    "training.schedule=constant",
    "training.warmup=0",
    "training.label_smoothing=0",
    "training.averaging.method=none",
    "training.epochs=100000",
    "validation.every=100000000",
]
"""What turns the shipped recipe into the reference workload, trained until it is stopped: overrides of `s2s train`."""


@dataclass(frozen=True)
class Workload:
    """Files that the programs read, all below one folder. Sides are named after their languages, `de` and `en`."""

    root: Path

    @property
    def vocabulary(self) -> Path:
        """One piece a line, without the special symbols."""
        return self.root / "vocabulary.txt"

    @property
    def marian_vocabulary(self) -> Path:
        return self.root / "vocabulary.yml"

    def side(self, split: str, language: str) -> Path:
        """Pieces separated by spaces. split: `train`, `dev`, or `test`, which has a German side only."""
        return self.root / f"{split}.{language}"

    @property
    def source_text(self) -> Path:
        """The test set as people write it."""
        return self.root / "test.text.de"

    def tokenizer(self) -> Tokenizer:
        return PreparedData.open(self.root / "data").tokenizers.target

    def references(self) -> list[str]:
        return PreparedData.open(self.root / "data").test_texts(TEST)[1]


def reference_recipe(overrides: Iterable[str] = ()) -> Recipe:
    return load_recipe(RECIPE, [*REFERENCE, *overrides])


def prepare_workload(root: Path) -> Workload:
    """Write what is missing. The corpus is looked for in the folder S2S_DATA."""
    workload = Workload(root)
    prepared = prepare(reference_recipe(), RECIPE.parent, root)
    if workload.source_text.exists():
        return workload
    tokenizer = prepared.tokenizers.target  # the same as the source's: the vocabulary is joint
    pieces = tokenizer.pieces(range(len(SYMBOLS), tokenizer.size))
    write_lines(workload.vocabulary, pieces)
    ids = {piece: index for index, piece in enumerate(["</s>", "<unk>", *pieces])}
    write_lines(workload.marian_vocabulary, [json.dumps(ids, ensure_ascii=False, indent=0)])
    for split, data in {"train": prepared.train, "dev": prepared.dev}.items():
        _write_split(workload, split, data, tokenizer)
    sources, _ = prepared.test_texts(TEST)
    write_lines(workload.side("test", "de"), map(" ".join, map(tokenizer.pieces, tokenizer.encode(sources))))
    write_lines(workload.source_text, sources)
    return workload


def _write_split(workload: Workload, split: str, data: ParallelData, tokenizer: Tokenizer) -> None:
    sides: dict[str, Shards] = {"de": data.source, "en": data.target}
    for language, shards in sides.items():
        lines = (" ".join(tokenizer.pieces(shards[index].tolist())) for index in range(len(shards)))
        write_lines(workload.side(split, language), lines)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    atomic.replace_file(path, "".join(f"{line}\n" for line in lines).encode())


def repeat_corpus(source: Path, target: Path, times: int) -> None:
    """Write a corpus so many times over. source: an .xz file."""
    with lzma.open(source) as file:
        text = file.read()
    partial = target.with_name(target.name + ".partial")
    with partial.open("wb") as file:
        for _ in range(times):
            file.write(text)
    partial.rename(target)

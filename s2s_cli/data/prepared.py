"""Prepared data as a training finds it on disk; `s2s_cli.data.preparation` makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from s2s_cli.data.held_out import HeldOutText
from s2s_cli.data.manifest import DataManifest
from s2s_cli.data.shards import ParallelData
from s2s_cli.errors import CheckpointError, DataError
from s2s_cli.sealed import SealedDirectory
from s2s_cli.text.tokenizer import TokenizerPair, load_tokenizers


@dataclass(frozen=True)
class PreparedData:
    """Prepared data on disk: the hashes of tokenizers and texts are checked when they are read, those of shards by
    `sealed.verify_all`."""

    sealed: SealedDirectory
    manifest: DataManifest
    tokenizers: TokenizerPair
    train: ParallelData
    dev: ParallelData
    """Pairs of dev with a loss: neither empty nor too long."""

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Raises DataError if a file is missing or has another size, or if one that is read here is damaged."""
        sealed = SealedDirectory.open(directory, DataManifest)
        assert isinstance(sealed.manifest, DataManifest)
        train, dev = ParallelData.open(directory / "train"), ParallelData.open(directory / "dev")
        return cls(sealed, sealed.manifest, load_tokenizers(sealed), train, dev)

    @property
    def directory(self) -> Path:
        return self.sealed.path

    @property
    def test_names(self) -> list[str]:
        return self.manifest.tests

    @property
    def train_sizes(self) -> list[int]:
        """Number of pairs of each training corpus; they lie in the shards in this order."""
        return [corpus["pairs"] for corpus in self.manifest.splits["train"]["corpora"]]

    def dev_texts(self) -> tuple[list[str], list[str]]:
        """Clean sources and original references of all dev pairs."""
        return self._texts("dev")

    def test_texts(self, name: str) -> tuple[list[str], list[str]]:
        """Clean sources and original references of all pairs of a test set."""
        return self._texts(f"test-{name}")

    def _texts(self, split: str) -> tuple[list[str], list[str]]:
        text = HeldOutText.open(self.sealed, split)
        return text.sources, text.references


def open_prepared(run: Path) -> PreparedData:
    """The prepared data of a run, its shards not verified. Raises DataError if there is none."""
    directory = run / "data"
    if not directory.exists():
        raise DataError("there is no prepared data", where=directory, hint="run `s2s prep` with the recipe")
    try:
        return PreparedData.open(directory)
    except CheckpointError as error:
        raise DataError(error.what, where=error.where, hint="prepare the data again: `s2s prep --force`") from error


def other_data(run: Path) -> DataError:
    """The error for prepared data that is not what the checkpoints of a run were trained on."""
    hint = "restore corpora and recipe as they were, or take another name (`name:` or --run)"
    return DataError("the prepared data is not that of the checkpoints", where=run, hint=hint)

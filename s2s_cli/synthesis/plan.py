"""What a corpus that a model writes is made of, and where it lies: `<run>/synthesis/<name>-<key>`.

The key is a hash of everything that the text depends on: the given lines, the models, and how they write. So a corpus
is made once, and made again when one of these has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from s2s_cli import console
from s2s_cli.data.corpora import CorpusFile, ParallelCorpus, TextLines, folders_of, locate_mono, model_folder
from s2s_cli.data.manifest import DataManifest, fingerprint
from s2s_cli.errors import CheckpointError, UsageError, UserError
from s2s_cli.inference.model_path import CONFIG_FILE, model_directory
from s2s_cli.recipe import schema
from s2s_cli.sealed import MANIFEST, Document, Manifest, SealedDirectory, file_sha256
from s2s_cli.search.options import SamplingOptions, SearchOptions

SHARD = 2000
"""Lines that are written at a time; a process that is killed loses no more."""

TEXT = {"source": "source.txt", "target": "target.txt"}
"""The files of a corpus, line n of one being the translation of line n of the other."""


class WrittenManifest(Manifest):
    """`manifest.json` of a corpus that a model wrote."""

    made_of: dict[str, Any]
    """The given file with its SHA-256, which side it is, the models with those of their manifests, and the search."""


@dataclass(frozen=True)
class Plan:
    """A corpus to be written. It can be sent to another process."""

    name: str
    lines: TextLines
    """The side that is there."""
    side: schema.Side
    """Which side that is."""
    models: Sequence[Path]
    beam: int | None
    """None: that of the (first) model."""
    sampling: SamplingOptions | None
    directory: Path
    made_of: dict[str, Any]
    device: str
    threads: int | None
    shard: int

    @property
    def written_side(self) -> schema.Side:
        return "source" if self.side == "target" else "target"

    def search(self, own: SearchOptions) -> SearchOptions:
        """How the other side is found. own: the search of the model's recipe."""
        return replace(own, beam=self.beam or own.beam, n_best=1, sampling=self.sampling)

    def there(self) -> ParallelCorpus | None:
        """The corpus, if it was written and is whole. A damaged one is told of."""
        if not (self.directory / MANIFEST).exists():
            return None
        try:
            _verify(SealedDirectory.open(self.directory, WrittenManifest))
        except CheckpointError as error:
            console.say(f"{self.name} is written again: {error}")
            return None
        return self.corpus_in(self.directory)

    def corpus_in(self, directory: Path, stands_for: int | None = None) -> ParallelCorpus:
        """The corpus, or a sample of it, as it is read from a directory."""
        return _corpus(self.name, directory, self.made_of, stands_for)


def plan_of(recipe: schema.Recipe, number: int, recipe_dir: Path, run: Path) -> Plan:
    """The plan for `data.train[number]`.

    Raises UsageError if a model is not found or translates between other languages, DataError if the file is not
    found or damaged, CheckpointError if a model is damaged.
    """
    corpus, place = recipe.data.train[number], f"data.train.{number}"
    assert corpus.side is not None
    folders = folders_of(recipe.data.folders, recipe_dir)
    lines = locate_mono(corpus, folders)
    models = [model_directory(model_folder(given, folders), asked_by=f"{place}.by") for given in corpus.models]
    for model in models:
        _require_languages(model, recipe.languages, corpus.side, place)
    sample, content = corpus.sample, _content(corpus, lines, [file_sha256(model / MANIFEST) for model in models])
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    name = _name(corpus, lines)
    folder = run / "synthesis"
    directory = folder / f"{re.sub(r'[^A-Za-z0-9_-]', '-', name)[:80]}-{key}"
    if not directory.exists():
        directory = next(folder.glob(f"*-{key}"), directory)  # of the same corpus, under another name
    return Plan(
        name=name,
        lines=lines,
        side=corpus.side,
        models=models,
        beam=corpus.beam,
        sampling=SamplingOptions(**sample.values()) if sample else None,
        directory=directory,
        made_of=_made_of(corpus, lines, content),
        device=recipe.training.device,
        threads=recipe.training.threads,
        shard=SHARD,
    )


def kept_corpus(recipe: schema.Recipe, number: int, recipe_dir: Path, run: Path) -> ParallelCorpus | None:
    """The corpus that models wrote for `data.train[number]` and the checkpoints of the run learnt from; None if there
    are no checkpoints, or it is not there whole.

    Checkpoints go on with no other text, so it does not matter what has become of the models. Raises DataError if the
    given file is not found or damaged.
    """
    corpus, written = recipe.data.train[number], _learnt(run, number)
    if written is None:
        return None
    folders = folders_of(recipe.data.folders, recipe_dir)
    lines = locate_mono(corpus, folders)
    made_of = _made_of(corpus, lines, _content(corpus, lines, written["models"]))
    if made_of | {"file": written["file"]} != written:
        return None
    for path in sorted((run / "synthesis").glob(f"*/{MANIFEST}")):
        with suppress(CheckpointError):
            sealed = SealedDirectory.open(path.parent, WrittenManifest)
            assert isinstance(sealed.manifest, WrittenManifest)
            if sealed.manifest.made_of == written:
                _verify(sealed)
                if not _is_as_it_was(corpus, folders, written["models"]):
                    console.say(
                        f"{_name(corpus, lines)}: the model has changed; the checkpoints need what it wrote before"
                    )
                return _corpus(_name(corpus, lines), sealed.path, written)
    return None


def _is_as_it_was(corpus: schema.TrainCorpus, folders: Sequence[Path], models: list[str]) -> bool:
    """Whether the models of the corpus have these manifests."""
    try:
        found = [model_directory(model_folder(given, folders), asked_by="by") for given in corpus.models]
        return [file_sha256(model / MANIFEST) for model in found] == models
    except (UserError, OSError):
        return False


def _learnt(run: Path, number: int) -> dict[str, Any] | None:
    """What the corpus of this number is made of that the checkpoints of a run learnt from."""
    if not any((run / "checkpoints").glob("step-*")):
        return None
    try:
        manifest = SealedDirectory.by_manifest(run / "data", DataManifest).manifest
        assert isinstance(manifest, DataManifest)
        return manifest.splits["train"]["corpora"][number].get("made_of")
    except (CheckpointError, KeyError, IndexError):  # damaged, or of a version that did not note it
        return None


def _content(corpus: schema.TrainCorpus, lines: TextLines, models: list[str]) -> dict[str, Any]:
    """All that the text depends on. models: SHA-256 of their manifests."""
    return {
        "format": 1,
        "given": fingerprint(lines.file).sha256,
        "column": lines.column,
        "side": corpus.side,
        "models": models,
        "beam": corpus.beam,
        "sample": corpus.sample and corpus.sample.values(),
    }


def _made_of(corpus: schema.TrainCorpus, lines: TextLines, content: dict[str, Any]) -> dict[str, Any]:
    return {**content, "file": lines.file.given, "by": corpus.models}


def _name(corpus: schema.TrainCorpus, lines: TextLines) -> str:
    return corpus.name or lines.file.path.name.partition(".")[0]


def _corpus(name: str, directory: Path, made_of: dict[str, Any], stands_for: int | None = None) -> ParallelCorpus:
    files = {side: CorpusFile(f"{directory.name}/{text}", directory / text, None) for side, text in TEXT.items()}
    return ParallelCorpus(name, files, made_of=made_of, stands_for=stands_for)


def _verify(sealed: SealedDirectory) -> None:
    """Raise CheckpointError if a written corpus is damaged."""
    for name in TEXT.values():
        sealed.verify(name)


class _Config(Document):
    """What is to be known of a model before it is loaded, which takes torch."""

    others: ClassVar[Any] = Any
    languages: schema.Languages


def _require_languages(model: Path, languages: schema.Languages, side: schema.Side, place: str) -> None:
    """Refuse a model that does not read the given side, or does not write the other one."""
    found = SealedDirectory.open(model).parse(CONFIG_FILE, _Config).languages
    codes = (languages.source, languages.target)
    wanted = codes if side == "source" else codes[::-1]
    if (found.source, found.target) != wanted:
        raise UsageError(
            f"the model {model} translates {found.source} into {found.target}, but the {side} side of"
            f" {codes[0]}-{codes[1]} needs one that translates {wanted[0]} into {wanted[1]}",
            where=f"{place}.by",
            hint="name another model, or the other `side`",
        )

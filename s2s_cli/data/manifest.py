"""The manifest of prepared data: its inputs, its counts as the user is told, and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, ClassVar

from s2s_cli.data.corpora import CorpusFile, ParallelCorpus, TextLines
from s2s_cli.errors import DataError, faults_of_reading
from s2s_cli.forms import leaves
from s2s_cli.recipe.schema import Recipe
from s2s_cli.sealed import Document, Manifest, file_sha256


class Input(Document):
    """A file that data was made of."""

    file: str
    """As the recipe names it."""
    bytes: int
    modified_ns: int
    sha256: str


class DataManifest(Manifest):
    """`manifest.json` of prepared data."""

    levels: ClassVar[int] = 2
    plain_name: ClassVar[str] = r"\w[\w.-]{0,127}"  # users name their test sets

    tests: list[str]
    """Names of the test sets."""
    keys: dict[str, Any]
    """Dotted names and values of the recipe's keys that the data depends on."""
    inputs: dict[str, Input]
    """By position in the recipe: `train.0.source`, `exclude.0.lines`."""
    tokenizers: dict[str, bool | int]
    splits: dict[str, dict[str, Any]]
    """Counts; those of `train` also by corpus."""

    @property
    def learnt(self) -> str:
        """SHA-256 over what a training depends on: the tokenizers and the shards of train and dev."""
        return self._checksum(lambda file: not file.startswith("test-"))

    def test_checksum(self, name: str) -> str:
        """SHA-256 over the texts of a test set."""
        return self._checksum(lambda file: file in (f"test-{name}/source.txt", f"test-{name}/target.txt"))

    def _checksum(self, belongs: Callable[[str], bool]) -> str:
        hashes = sorted((name, file.sha256) for name, file in self.files.items() if belongs(name))
        return sha256(json.dumps(hashes).encode()).hexdigest()


MARKUP = ("case_markup",)
"""Of the tokenizer, a key that older versions had not; without markup their data is up to date."""


def relevant_keys(recipe: Recipe, test_names: list[str], base: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names and values of everything that prepared data depends on, except its input files.

    base: those of the tokenizers that are given.
    """
    data = recipe.data
    tags, columns = [corpus.tag for corpus in data.train], [lines.column for lines in data.cleaning.exclude]
    fields = [corpus.fields for corpus in data.corpora() if corpus.jsonl or corpus.parquet]
    tree = {
        "format": 1,
        "languages": recipe.languages.values(),
        "tokenizer": _without_none(recipe.tokenizer.values(without=() if recipe.tokenizer.case_markup else MARKUP)),
        "data": {
            "cleaning": data.cleaning.values(without=["exclude"]) | ({"exclude": columns} if columns else {}),
            "test": test_names,
            "columns": [corpus.columns for corpus in data.corpora() if corpus.tsv],
        }
        | ({"tags": tags} if any(tags) else {})
        | ({"fields": fields} if fields else {})
        | ({"terms": True} if data.terms else {})
        | ({"protect": data.protect.values(without=["share"])} if data.protect else {}),
    }
    return dict(leaves(json.loads(json.dumps(tree)))) | dict(base)


def _without_none(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _without_none(inner) for key, inner in value.items() if inner is not None}


def fingerprints(
    inputs: Mapping[str, Sequence[ParallelCorpus | TextLines]], before: Mapping[str, Input]
) -> dict[str, Input]:
    """Size, time and SHA-256 of each input file, by its position in the recipe (`train.0.source`).

    before: earlier fingerprints; the SHA-256 of a file of the same size and time is taken from there, if the recipe
    has no other.
    Raises DataError if the SHA-256 of a file is not the one in the recipe.
    """
    return {
        f"{split}.{number}.{role}": fingerprint(file, before.get(f"{split}.{number}.{role}"))
        for split, corpora in inputs.items()
        for number, corpus in enumerate(corpora)
        for role, file in corpus.files.items()
    }


def fingerprint(file: CorpusFile, before: Input | None = None) -> Input:
    """Size, time and SHA-256 of a file; arguments and errors as of `fingerprints`."""
    with faults_of_reading(file.path):
        status = file.path.stat()
        found = (file.given, status.st_size, status.st_mtime_ns)
        known = before.sha256 if before and (before.file, before.bytes, before.modified_ns) == found else None
        if known is None or (file.sha256 and known != file.sha256.lower()):  # a copy may keep the time of another file
            known = file_sha256(file.path)
    if file.sha256 and known != file.sha256.lower():
        raise DataError(
            f"has the SHA-256 {known}, but the recipe says {file.sha256.lower()}",
            where=file.path,
            hint="fetch the file again if it is damaged, or put its SHA-256 into the recipe if it is new",
        )
    return Input(file=found[0], bytes=found[1], modified_ns=found[2], sha256=known)


def differences(manifest: DataManifest, keys: Mapping[str, Any], inputs: Mapping[str, Input]) -> list[str]:
    """What changed since `manifest` was written, one line for each change."""
    changed_keys = [key for key in {**manifest.keys, **keys} if manifest.keys.get(key) != keys.get(key)]
    files = [(place, manifest.inputs.get(place), inputs.get(place)) for place in {**manifest.inputs, **inputs}]
    return [
        *(f"{key}: {_shown(manifest.keys, key)} -> {_shown(keys, key)}" for key in changed_keys),
        *(
            f"{(new or old or inputs[place]).file} ({place}): {_change(old, new)}"
            for place, old, new in files
            if (old and old.sha256) != (new and new.sha256)
        ),
    ]


def _shown(keys: Mapping[str, Any], key: str) -> str:
    return json.dumps(keys[key], ensure_ascii=False) if key in keys else "(absent)"


def _change(old: Input | None, new: Input | None) -> str:
    return "added" if old is None else "removed" if new is None else "changed content"


def report(manifest: DataManifest) -> Iterator[str]:
    """The figures of a preparation, for the user."""
    splits, sizes = manifest.splits, manifest.tokenizers
    train = splits["train"]
    corpora = train["corpora"] if len(train["corpora"]) > 1 else []
    for name, counts in [("train", train), *((f"- {corpus['name']}", corpus) for corpus in corpora)]:
        yield f"{name}: {counts['pairs_read']:,} pairs read, {counts['pairs']:,} kept; {dropped(counts['rejected'])}"
    for name, counts in splits.items():
        if name != "train":
            without = counts["without_loss"]
            yield f"{name}: {counts['pairs']:,} pairs" + (f"; without a loss: {_named(without)}" if without else "")
    vocabulary = f"{sizes['source']:,} shared" if sizes["joint"] else f"{sizes['source']:,} + {sizes['target']:,}"
    yield f"symbols: {vocabulary}"
    for side in ("source", "target"):
        tokens, unknown = train[side]["tokens"], train[side]["unknown"]
        yield f"{side} tokens: {tokens:,}, {unknown / tokens:.3%} unknown, {tokens / train['pairs']:.1f} a sentence"


def dropped(rejected: dict[str, int]) -> str:
    return f"dropped: {_named(rejected)}" if rejected else "none dropped"


def _named(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())

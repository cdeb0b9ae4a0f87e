"""The manifest of prepared data: of what it was made, what came of it, and whether it must be made anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s2s_cli.data.corpora import CorpusFile, ParallelCorpus
from s2s_cli.data.download import file_sha256
from s2s_cli.errors import DataError, MachineError
from s2s_cli.recipe.schema import Recipe
from s2s_cli.text.hygiene import quoted

FORMAT = 1
_NAME = "manifest.json"


def relevant_keys(recipe: Recipe, test_names: list[str]) -> dict[str, Any]:
    """Dotted names and values of all that prepared data depends on, its input files apart."""
    data = recipe.data
    tree = {
        "format": FORMAT,
        "languages": recipe.languages.model_dump(),
        "tokenizer": recipe.tokenizer.model_dump(exclude_none=True),
        "data": {
            "cleaning": data.cleaning.model_dump(),
            "test": test_names,
            "columns": [corpus.columns for corpus in (*data.train, *data.dev, *data.test) if corpus.tsv],
        },
    }
    return dict(_leaves("", json.loads(json.dumps(tree))))


def _leaves(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(f"{prefix}.{key}".lstrip("."), inner)]


def fingerprints(splits: Mapping[str, list[ParallelCorpus]], before: Mapping[str, Any]) -> dict[str, Any]:
    """Size, time and SHA-256 of each input file, by its place (`train.0.source`).

    before: earlier fingerprints; the SHA-256 of a file of the same size and time is taken from there.
    Raises DataError if a file has not the SHA-256 that the recipe says.
    """
    return {
        f"{split}.{number}.{role}": _fingerprint(file, before.get(f"{split}.{number}.{role}"))
        for split, corpora in splits.items()
        for number, corpus in enumerate(corpora)
        for role, file in corpus.files.items()
    }


def _fingerprint(file: CorpusFile, before: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        status = file.path.stat()
        result = {"file": file.given, "bytes": status.st_size, "modified_ns": status.st_mtime_ns}
        known = before is not None and all(before[key] == result[key] for key in result)
        result["sha256"] = before["sha256"] if known and before else file_sha256(file.path)
    except OSError as error:
        raise MachineError(f"cannot be read: {error.strerror}", where=file.path) from error
    if file.sha256 and result["sha256"] != file.sha256.lower():
        raise DataError(
            f"has the SHA-256 {result['sha256']}, the recipe says {file.sha256.lower()}",
            where=file.path,
            hint="a damaged file: fetch it again; a new one: put its SHA-256 into the recipe",
        )
    return result


def differences(manifest: Mapping[str, Any], keys: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """What changed since `manifest` was written, one sentence each."""
    old_keys, old_inputs = manifest["keys"], manifest["inputs"]
    changed_keys = [key for key in {**old_keys, **keys} if old_keys.get(key) != keys.get(key)]
    places = [place for place in {**old_inputs, **inputs} if _sha256(old_inputs, place) != _sha256(inputs, place)]
    return [
        *(f"{key}: {_shown(old_keys, key)} -> {_shown(keys, key)}" for key in changed_keys),
        *(_input_change(place, old_inputs.get(place), inputs.get(place)) for place in places),
    ]


def _sha256(inputs: Mapping[str, Any], place: str) -> str | None:
    return inputs[place]["sha256"] if place in inputs else None


def _shown(keys: Mapping[str, Any], key: str) -> str:
    return json.dumps(keys[key], ensure_ascii=False) if key in keys else "(absent)"


def _input_change(place: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    if old is None or new is None:
        known = new or old or {}
        return f"{known['file']} ({place}): {'added' if old is None else 'removed'}"
    return f"{new['file']} ({place}): another content"


def file_record(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file of prepared data."""
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> None:
    text = json.dumps(manifest, ensure_ascii=False, indent=2)
    (directory / _NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> dict[str, Any] | None:
    """The manifest of prepared data, None if there is none.

    Raises DataError if it is damaged, of another format, or does not fit the files beside it.
    """
    path = directory / _NAME
    if not path.exists():
        return None
    try:
        manifest = json.loads(path.read_bytes())
        if manifest["format"] != FORMAT:
            raise DataError(f"prepared data of format {quoted(manifest['format'])}, not {FORMAT}", where=directory)
        files = {name: (record["bytes"], record["sha256"]) for name, record in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError("damaged manifest of prepared data", where=path) from error
    for name, (size, sha256) in files.items():
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise DataError(f"the manifest names a file outside its directory: {quoted(name)}", where=path)
        file = directory / name
        if not file.is_file() or file.stat().st_size != size or file_sha256(file) != sha256:
            raise DataError("a file of the prepared data is missing or damaged", where=file)
    return manifest

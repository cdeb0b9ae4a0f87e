from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from s2s_cli.checkpoint.model_directory import load_model_files, save_model
from s2s_cli.errors import CheckpointError, MachineError, UserError
from s2s_cli.recipe import schema
from s2s_cli.sealed import MANIFEST
from s2s_cli.text.symbols import WordTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

TOKENIZERS = TokenizerPair(WordTokenizer(["a", "b"]), WordTokenizer(["c", "d", "e"]))


def config(version: int = 1) -> dict:
    return {
        "format": 1,
        "s2s_version": "0.1.0",
        "name": "toy",
        "languages": {"source": "fr", "target": "en"},
        "model": schema.Model().values(),
        "source_vocabulary": 6,
        "target_vocabulary": 7,
        "decoding": schema.Decoding().values(),
        "max_pieces": version,
    }


def save(directory: Path, version: int = 1) -> None:
    weights = {name: torch.full((50, 8), float(version)) for name in ("w", "v")}
    save_model(directory, weights, config(version), TOKENIZERS, f"# Version {version}\n")


def version_of(directory: Path) -> int:
    """The version of a model of one piece; a mixture fails."""
    files = load_model_files(directory)
    assert {float(value) for array in files.weights.values() for value in np.unique(array)} == {files.config.max_pieces}
    return files.config.max_pieces


def rewrite(directory: Path, name: str, data: bytes) -> None:
    """Change a file together with its manifest: a hostile author can."""
    (directory / name).write_bytes(data)
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (directory / MANIFEST).write_text(json.dumps(manifest))


def refusal(directory: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_model_files(directory)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    return str(caught.value)


@pytest.fixture
def model(tmp_path) -> Path:
    save(tmp_path / "model")
    return tmp_path / "model"


def test_what_was_saved_is_loaded_also_from_a_copy(model, tmp_path):
    model.rename(tmp_path / "copy")
    files = load_model_files(tmp_path / "copy")
    assert files.weights.keys() == {"w", "v"} and version_of(tmp_path / "copy") == 1
    assert files.config.model == schema.Model() and files.config.decoding == schema.Decoding()
    assert (files.tokenizers.source.size, files.tokenizers.target.size) == (6, 7)
    assert (tmp_path / "copy" / "README.md").read_text() == "# Version 1\n"


def test_an_older_model_is_replaced(model, replacing, tools):
    save(model, 2)
    assert version_of(model) == 2
    assert os.listdir(model.parent) == ["model"]


def test_a_reader_finds_a_whole_model_at_any_moment_of_a_replacement(model, replacing, tools):
    def replace_often() -> None:
        for version in range(2, 30):
            save(model, version)

    child = tools.start_child(replace_often)
    seen = []
    while not os.waitpid(child, os.WNOHANG)[0]:
        seen.append(version_of(model))
    assert seen == sorted(seen) and len(set(seen)) > 3
    assert version_of(model) == 29


def test_death_at_every_call_of_a_replacement_leaves_a_whole_model(model, replacing, tools, faults):
    with faults.at(None):
        save(model, 1)
    for index in range(len(faults.calls)):

        def die() -> str:
            with faults.at(index, lambda: os._exit(77)):  # noqa: B023
                save(model, 2)
            return "survived"

        assert tools.in_child(die) == (77, "")
        assert version_of(model) in (1, 2)
        save(model, 1)
        assert os.listdir(model.parent) == ["model"]


def test_a_fault_at_every_call_of_a_replacement_leaves_a_whole_model(model, replacing, faults):
    with faults.at(None):
        save(model, 1)
    for index in range(len(faults.calls)):
        with faults.at(index), pytest.raises(MachineError):
            save(model, 2)
        assert version_of(model) in (1, 2)
        assert os.listdir(model.parent) == ["model"]


def test_a_directory_that_is_no_model_is_not_replaced(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(CheckpointError, match="is not replaced"):
        save(tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(MachineError, match="cannot be replaced"):
        save(tmp_path / "thesis.tex")


def test_a_flipped_bit_or_a_missing_file_is_named(model):
    names = sorted(os.listdir(model))
    assert {"source.model", "target.model", "tokenizers.json", "model.safetensors", "config.json"} < set(names)
    for name in names:
        original = (model / name).read_bytes()
        (model / name).write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        assert name in refusal(model)
        (model / name).unlink()
        assert name in refusal(model)
        (model / name).write_bytes(original)
    assert version_of(model) == 1


def test_a_missing_model_is_named(tmp_path):
    assert refusal(tmp_path / "none") == f"{tmp_path / 'none'}: cannot be read: No such file or directory"


def test_tokenizers_of_another_size_are_refused(model):
    rewrite(model, "config.json", json.dumps(config() | {"target_vocabulary": 8}).encode())
    assert "the target tokenizer has 7 symbols, the model needs 8" in refusal(model)


def test_a_foreign_tokenizer_is_refused(model):
    (model / "source.model").write_bytes(WordTokenizer(["x", "y"]).to_bytes())
    assert refusal(model) == f"{model / 'source.model'}: is damaged: its SHA-256 differs from manifest.json"


def test_a_pickle_is_refused_and_never_executed(model, tmp_path):
    class Hostile:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    rewrite(model, "model.safetensors", pickle.dumps(Hostile()))
    assert refusal(model) == f"{model / 'model.safetensors'}: is not a safetensors file"
    assert not (tmp_path / "executed").exists()


def change(*path: str, to: object) -> bytes:
    """`config.json` with one value changed."""
    changed = config()
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return json.dumps(changed).encode()


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "JSON"),
        (b"[]", "a section with keys"),
        (b"[" * 10**6, "JSON"),
        (b'{"\xff": 1}', "JSON"),
        (b" " * (17 * 2**20), "bytes"),
        (change("format", to=2), "format"),
        (change("surprise", to=1), "surprise"),
        (change("name", to="x" * 10_000), "name"),
        (change("source_vocabulary", to="6"), "source_vocabulary"),
        (change("source_vocabulary", to=10**12), "source_vocabulary"),
        (change("target_vocabulary", to=4), "target_vocabulary: must be at least 5"),
        (change("max_pieces", to=0), "max_pieces"),
        (change("model", "embedding", to=10**12), "model.embedding"),
        (change("model", "embedding", to=-1), "model.embedding"),
        (change("model", "encoder", "layers", to=10**400), "model.encoder.layers"),
        (change("model", "cell", to="__import__('os')"), "model.cell"),
        (change("model", "dropout", "state", to=float("nan")), "model.dropout.state"),
        (change("decoding", "length_penalty", to=float("inf")), "decoding.length_penalty"),
        (change("decoding", "beam", to=10**9), "decoding.beam"),
        (change("languages", to=None), "languages"),
        (change("languages", "\x1b[2J\n", to=1), "languages"),
    ],
)
def test_a_bad_config_is_one_sentence(model, data, named):
    rewrite(model, "config.json", data)
    message = refusal(model)
    assert message.startswith(f"{model / 'config.json'}: ") and named in message and message.isprintable()


def test_a_bad_config_is_not_saved(model):
    with pytest.raises(CheckpointError, match="max_pieces"):
        save(model, 0)
    assert version_of(model) == 1


SHORTLIST = {
    "candidates": np.full((6, 2), 4, np.int32),
    "frequent": np.array([5, 6], np.int32),
}


def test_a_shortlist_is_part_of_the_model(tmp_path):
    save_model(tmp_path / "model", {}, config(), TOKENIZERS, "", SHORTLIST)
    shortlist = load_model_files(tmp_path / "model").shortlist
    assert shortlist is not None and all(np.array_equal(shortlist[name], SHORTLIST[name]) for name in SHORTLIST)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"frequent": np.array([7], np.int32)}, "outside the target vocabulary"),
        ({"candidates": np.full((6, 2), -1, np.int32)}, "outside the target vocabulary"),
        ({"candidates": np.full((5, 2), 4, np.int32)}, "does not hold a shortlist for this model"),
        ({"frequent": np.array([5])}, "does not hold a shortlist for this model"),
        ({"more": np.array([5], np.int32)}, "does not hold a shortlist for this model"),
        ({"frequent": np.array([3], np.int32)}, "has no frequent symbol"),
    ],
)
def test_a_shortlist_that_does_not_fit_is_refused(tmp_path, changes, fault):
    save_model(tmp_path / "model", {}, config(), TOKENIZERS, "", SHORTLIST | changes)
    assert fault in refusal(tmp_path / "model")

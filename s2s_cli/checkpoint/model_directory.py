"""The exported model: all that translating needs, in one directory that can be copied anywhere:

model.safetensors    weights
config.json          languages, shape of the model, sizes, decoding defaults
README.md            model card
manifest.json        sizes and hashes of the others
shortlist.safetensors  which target symbols go with a source symbol (not every model has it)
and the tokenizer files, as `s2s_cli.text` writes them
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator
from torch import Tensor, int32

from s2s_cli import atomic
from s2s_cli.checkpoint.tensors import decode_tensors, encode_tensors
from s2s_cli.errors import CheckpointError, MachineError, UserError
from s2s_cli.recipe import schema
from s2s_cli.sealed import Document, Manifest, ManifestWriter, SealedDirectory, parse_json, to_json
from s2s_cli.text.tokenizer import EOS, TokenizerPair, load_tokenizers, save_tokenizers

WEIGHTS, CONFIG, CARD, SHORTLIST = "model.safetensors", "config.json", "README.md", "shortlist.safetensors"
_LARGEST_SIZES = {"model": 65_536, "decoding": 10_000_000}  # of any number there: beyond any use, below overflow
_ATTEMPTS = 5

Content = TypeVar("Content")
Name = Annotated[str, Field(max_length=200)]
Vocabulary = Annotated[int, Field(ge=4, le=4_000_000)]


class ModelConfig(Document):
    """`config.json`."""

    format: Literal[1] = 1
    s2s_version: Name
    name: Name
    languages: schema.Languages
    model: schema.Model
    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    decoding: schema.Decoding
    max_pieces: Annotated[int, Field(ge=1, le=1_000_000)]
    """Longest source sentence that the model was trained on, in pieces."""
    int8_bleu_loss: Annotated[float, Field(ge=-100, le=100)] | None = None
    """BLEU lost on dev by 8-bit products; `None` where that was not measured."""

    @model_validator(mode="after")
    def _bounded(self) -> ModelConfig:
        for section, most in _LARGEST_SIZES.items():
            for key, number in _numbers(section, getattr(self, section).model_dump()):
                if not number <= most:  # also true of NaN
                    raise ValueError(f"{key} is greater than {most:,}")
        return self


@dataclass(frozen=True)
class ModelFiles:
    """A verified model directory."""

    weights: dict[str, Tensor]
    config: ModelConfig
    tokenizers: TokenizerPair
    shortlist: dict[str, Tensor] | None
    checksum: str
    """SHA-256 of the file of weights."""


def save_model(
    directory: Path,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    tokenizers: TokenizerPair,
    card: str,
    shortlist: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a model directory, replacing an older one so that a reader finds one or the other, never a mixture.

    config: the content of `config.json`. card: Markdown. shortlist: `candidates`, target symbols for each source
    symbol, and `frequent`, target symbols that are always among them.
    Raises `MachineError` if it cannot be written, `CheckpointError` if `config` is not valid or if `directory` holds
    something other than a model; what was there before is then left as it was.
    """
    document = parse_json(json.dumps(config).encode(), ModelConfig, directory / CONFIG)
    _refuse_foreign(directory)
    atomic.sweep(directory.resolve().parent)
    with atomic.new_directory(directory) as temporary:
        writer = ManifestWriter(temporary)
        writer.write(WEIGHTS, encode_tensors(weights))
        writer.write(CONFIG, [to_json(document)])
        writer.write(CARD, [card.encode()])
        if shortlist is not None:
            writer.write(SHORTLIST, encode_tensors(shortlist))
        save_tokenizers(tokenizers, writer)
        writer.seal(Manifest)


def load_model_files(directory: Path) -> ModelFiles:
    """Read a model directory; no file is used before its size and hash agree with the manifest.

    A trainer may replace the directory meanwhile: then it is read again. Raises `CheckpointError`, which names the
    file and the fault.
    """
    return _read_whole(directory, _load)


def load_config(directory: Path) -> ModelConfig:
    """The `config.json` of a model directory alone, read in the same way."""
    return _read_whole(directory, lambda present: SealedDirectory.open(present).parse(CONFIG, ModelConfig))


def _read_whole(directory: Path, read: Callable[[Path], Content]) -> Content:
    """What is read of a directory that is not replaced meanwhile."""
    for _ in range(_ATTEMPTS):
        before = _identity(directory)
        try:
            content = read(_present(directory))
        except UserError:
            if _identity(directory) == before:
                raise
            continue
        if _identity(directory) == before:
            return content
    raise CheckpointError("is replaced again and again while it is read", where=directory)


def _load(directory: Path) -> ModelFiles:
    sealed = SealedDirectory.open(directory)
    for name in (CONFIG, WEIGHTS):
        if name not in sealed.files:
            raise CheckpointError(f"has no {name}, so it is not a model", where=directory)
    if CARD in sealed.files:
        sealed.verify(CARD)
    config = sealed.parse(CONFIG, ModelConfig)
    tokenizers = load_tokenizers(sealed)
    for side, tokenizer in (("source", tokenizers.source), ("target", tokenizers.target)):
        expected = getattr(config, f"{side}_vocabulary")
        if tokenizer.size != expected:
            fault = f"the {side} tokenizer has {tokenizer.size:,} symbols, the model needs {expected:,}"
            raise CheckpointError(fault, where=directory)
    shortlist = None
    if SHORTLIST in sealed.files:
        tensors = decode_tensors(sealed.read(SHORTLIST), directory / SHORTLIST)
        shortlist = _checked_shortlist(tensors, config, directory)
    weights = decode_tensors(sealed.read(WEIGHTS), directory / WEIGHTS)
    return ModelFiles(weights, config, tokenizers, shortlist, sealed.files[WEIGHTS].sha256)


def _checked_shortlist(tensors: dict[str, Tensor], config: ModelConfig, directory: Path) -> dict[str, Tensor]:
    """The tensors of a shortlist, if they fit the model. Symbols address memory, so none may lie outside the
    vocabulary."""
    kinds = {name: (tensor.dtype, tensor.ndim) for name, tensor in tensors.items()}
    fits = kinds == {"candidates": (int32, 2), "frequent": (int32, 1)}
    if not fits or len(tensors["candidates"]) != config.source_vocabulary:
        raise CheckpointError("does not hold a shortlist for this model", where=directory / SHORTLIST)
    if any(((tensor < 0) | (tensor >= config.target_vocabulary)).any() for tensor in tensors.values()):
        raise CheckpointError("has symbols outside the target vocabulary", where=directory / SHORTLIST)
    if not (tensors["frequent"] > EOS).any():
        raise CheckpointError("has no frequent symbol except special ones", where=directory / SHORTLIST)
    return tensors


def _present(directory: Path) -> Path:
    """The directory, or its temporary place while it is replaced."""
    previous = atomic.previous_of(directory)
    return previous if previous.exists() and not directory.exists() else directory


def _refuse_foreign(directory: Path) -> None:
    """Replacing a directory removes it, so one that holds other files than a model is refused."""
    try:
        names = {path.name for path in directory.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise MachineError(f"cannot be replaced: {error.strerror}", where=directory) from error
    if names and not names & {WEIGHTS, CONFIG}:
        raise CheckpointError("holds other files than a model, and is not replaced", where=directory)


def _identity(directory: Path) -> tuple[int, int] | None:
    """A value that changes when the directory is replaced; None while there is no directory."""
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _numbers(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """All numbers of nested mappings with their dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(f"{prefix}.{key}", value)
        elif isinstance(value, int | float):
            yield f"{prefix}.{key}", value

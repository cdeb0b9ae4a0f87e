"""The exported model: all that translating needs, in one directory that can be copied anywhere:

model.safetensors      weights
engine.safetensors     the same in 8 bits, packed for the engine (not every model has it)
config.json            languages, shape of the model, sizes, decoding defaults
README.md              model card
manifest.json          sizes and hashes of the others
shortlist.safetensors  which target symbols go with a source symbol (not every model has it)
and the tokenizer files, as `s2s_cli.text` writes them
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import numpy as np

from s2s_cli import atomic
from s2s_cli.checkpoint.arrays import decode_arrays, encode_arrays
from s2s_cli.errors import CheckpointError, MachineError, UserError, printable
from s2s_cli.forms import Form, at_least, at_most, characters, leaves
from s2s_cli.recipe import schema
from s2s_cli.sealed import Document, Manifest, ManifestWriter, SealedDirectory, foreign_file, parse_json, to_json
from s2s_cli.text.tokenizer import EOS, SYMBOLS, TokenizerPair, load_tokenizers, save_tokenizers

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, PACKED = "model.safetensors", "engine.safetensors"
CONFIG, CARD, SHORTLIST = "config.json", "README.md", "shortlist.safetensors"
PACKING = "1"
"""The form of packed weights. Those of another form are not read: the engine packs the weights anew."""
_LARGEST_SIZES = {"model": 65_536, "decoding": 10_000_000}  # of any number there: beyond any use, below overflow
_ATTEMPTS = 5

Content = TypeVar("Content")
Name = Annotated[str, characters(200)]
Weight = Annotated[float, at_least(-1e6), at_most(1e6)]
_MOST_SYMBOLS = 4_000_000


class Confidence(Form):
    """How the confidence of a translation is computed: p = 1 / (1 + exp(−(bias + Σ weight × figure))), over the figures
    of these names in `s2s_cli.inference.confidence`."""

    chrf: Annotated[float, at_least(0), at_most(100)]
    """It is the probability that the chrF of a line is at least this."""
    bias: Weight
    log_prob: Weight
    probability: Weight
    ratio: Weight


class ModelConfig(Document):
    """`config.json`."""

    format: Literal[1] = 1
    s2s_version: Name
    name: Name
    languages: schema.Languages
    model: schema.Model
    source_vocabulary: Annotated[int, at_least(len(SYMBOLS)), at_most(_MOST_SYMBOLS)]
    target_vocabulary: Annotated[int, at_least(len(SYMBOLS) + 1), at_most(_MOST_SYMBOLS)]
    """The special symbols, and at least one that can be written."""
    decoding: schema.Decoding
    max_pieces: Annotated[int, at_least(1), at_most(10_000)]
    """Longest source sentence that the model was trained on, in pieces."""
    protect: schema.Protect | None = None
    """What the model has learnt to carry over as it is."""
    int8_bleu_loss: Annotated[float, at_least(-100), at_most(100)] | None = None
    """BLEU lost on dev by 8-bit products; `None` where that was not measured."""
    confidence: Confidence | None = None
    """Fitted on dev; `None` for older models, and where dev has too few lines."""

    def check(self) -> None:
        for section, most in _LARGEST_SIZES.items():
            for key, number in leaves(getattr(self, section).values(), f"{section}."):
                if isinstance(number, int | float) and not number <= most:  # also true of NaN
                    raise ValueError(f"{key} is greater than {most:,}")


@dataclass(frozen=True)
class ModelFiles:
    """A verified model directory."""

    weights: dict[str, np.ndarray]
    """Empty where packed ones were wanted, and are there."""
    packed: dict[str, np.ndarray] | None
    """What the engine reads, mapped into memory."""
    config: ModelConfig
    tokenizers: TokenizerPair
    shortlist: dict[str, np.ndarray] | None
    checksum: str
    """SHA-256 of the file of weights."""


def save_model(
    directory: Path,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    tokenizers: TokenizerPair,
    card: str,
    shortlist: Mapping[str, np.ndarray] | None = None,
    packed: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a model directory, replacing an older one so that a reader finds one or the other, never a mixture.

    config: the content of `config.json`. card: Markdown. shortlist: `candidates`, target symbols for each source
    symbol, and `frequent`, target symbols that are always among them. packed: what the engine reads.
    Raises `MachineError` if it cannot be written, `CheckpointError` if `config` is not valid or if `directory` holds
    something other than a model; what was there before is then left as it was.
    """
    from s2s_cli.checkpoint.tensors import encode_tensors

    document = parse_json(json.dumps(config).encode(), ModelConfig, directory / CONFIG)
    refuse_foreign(directory)
    atomic.sweep(directory.resolve().parent)
    with atomic.new_directory(directory) as temporary:
        writer = ManifestWriter(temporary)
        writer.write(WEIGHTS, encode_tensors(weights))
        writer.write(CONFIG, [to_json(document)])
        writer.write(CARD, [card.encode()])
        if shortlist is not None:
            writer.write(SHORTLIST, encode_arrays(shortlist, {}))
        if packed is not None:
            writer.write(PACKED, encode_arrays(packed, {"format": PACKING}))
        save_tokenizers(tokenizers, writer)
        writer.seal(Manifest)


def load_model_files(directory: Path, wants_packed: Callable[[ModelConfig], bool] = lambda config: False) -> ModelFiles:
    """Read a model directory; no file is used before its size and hash agree with the manifest.

    wants_packed: whether by such a configuration packed weights, if there are any, are read in place of the others. A
    trainer may replace the directory meanwhile: then it is read again. Raises `CheckpointError`, which names the file
    and the fault.
    """
    return _read_whole(directory, lambda present: _load(present, wants_packed))


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


def _load(directory: Path, wants_packed: Callable[[ModelConfig], bool]) -> ModelFiles:
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
    packed = _packed(sealed) if wants_packed(config) else None
    weights = {} if packed is not None else decode_arrays(sealed.read(WEIGHTS), directory / WEIGHTS)[0]
    return ModelFiles(weights, packed, config, tokenizers, _shortlist(sealed, config), sealed.files[WEIGHTS].sha256)


def _packed(sealed: SealedDirectory) -> dict[str, np.ndarray] | None:
    """The packed weights, if they are there in the present form."""
    if PACKED not in sealed.files:
        return None
    arrays, facts = decode_arrays(sealed.map(PACKED), sealed.path / PACKED)
    return arrays if facts.get("format") == PACKING else None


def _shortlist(sealed: SealedDirectory, config: ModelConfig) -> dict[str, np.ndarray] | None:
    """The arrays of a shortlist, if they fit the model. Symbols address memory, so none may lie outside the
    vocabulary."""
    if SHORTLIST not in sealed.files:
        return None
    where = sealed.path / SHORTLIST
    arrays, _ = decode_arrays(sealed.read(SHORTLIST), where)
    kinds = {name: (array.dtype, array.ndim) for name, array in arrays.items()}
    fits = kinds == {"candidates": (np.int32, 2), "frequent": (np.int32, 1)}
    if not fits or len(arrays["candidates"]) != config.source_vocabulary:
        raise CheckpointError("does not hold a shortlist for this model", where=where)
    if any(((array < 0) | (array >= config.target_vocabulary)).any() for array in arrays.values()):
        raise CheckpointError("has symbols outside the target vocabulary", where=where)
    if not (arrays["frequent"] > EOS).any():
        raise CheckpointError("has no frequent symbol except special ones", where=where)
    return arrays


def _present(directory: Path) -> Path:
    """The directory, or its temporary place while it is replaced."""
    previous = atomic.previous_of(directory)
    return previous if previous.exists() and not directory.exists() else directory


def refuse_foreign(directory: Path) -> None:
    """Replacing a directory removes it, so one that holds other files than a model is refused."""
    try:
        is_folder = stat.S_ISDIR(os.stat(directory).st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise MachineError(f"cannot be replaced: {error.strerror}", where=directory) from error
    if not is_folder:
        raise MachineError("cannot be replaced: it is no folder", where=directory)
    if name := foreign_file(directory, Manifest.levels):
        what = f"holds other files than a model ({printable(name)}), and is not replaced"
        raise CheckpointError(what, where=directory, hint="move them away")


def _identity(directory: Path) -> tuple[int, int] | None:
    """A value that changes when the directory is replaced; None while there is no directory."""
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns

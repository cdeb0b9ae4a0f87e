"""From model directories to something that can be searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from s2s_cli.checkpoint.model_directory import ModelFiles, load_model_files
from s2s_cli.errors import CheckpointError, UsageError
from s2s_cli.inference.model_path import model_directory
from s2s_cli.model.building import build_model
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema
from s2s_cli.search.ensemble import Ensemble
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import StepModel
from s2s_cli.text.tokenizer import TokenizerPair

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class LoadedModel:
    """What a translator is made of."""

    model: StepModel
    tokenizers: TokenizerPair
    options: SearchOptions
    max_pieces: int
    batch_tokens: int
    device: torch.device


def load_ensemble(paths: Sequence[Path], *, device: str, precision: str) -> LoadedModel:
    """One model, or the ensemble of several with the same vocabularies; the first one's settings hold for all."""
    if not paths:
        raise UsageError("no model was given")
    if precision not in PRECISIONS:
        raise UsageError(f"unknown precision `{precision}`", hint=f"one of {', '.join(PRECISIONS)}")
    directories = [model_directory(path) for path in paths]
    target, dtype = choose_device(device), PRECISIONS[precision]
    files = [load_model_files(directory) for directory in directories]
    _require_same_vocabularies(directories, files)
    models = [
        _restore(directory, each).to(device=target, dtype=dtype).eval()
        for directory, each in zip(directories, files, strict=True)
    ]
    config = files[0].config
    return LoadedModel(
        model=models[0] if len(models) == 1 else Ensemble(models),
        tokenizers=files[0].tokenizers,
        options=search_options(config.decoding),
        max_pieces=config.max_pieces,
        batch_tokens=config.decoding.batch_tokens,
        device=target,
    )


def search_options(decoding: schema.Decoding) -> SearchOptions:
    """The search that a recipe's `decoding` section describes."""
    return SearchOptions(
        beam=decoding.beam,
        normalization=decoding.normalization,
        length_penalty=decoding.length_penalty,
        min_length=decoding.min_length,
        max_length_ratio=decoding.max_length_ratio,
        max_length_offset=decoding.max_length_offset,
    )


def choose_device(name: str) -> torch.device:
    """`cpu`, `cuda`, or `auto`: the GPU if there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no GPU that PyTorch can use", where="--device cuda", hint="--device cpu")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"unknown device `{name}`", hint="one of auto, cpu, cuda")
    return torch.device(name)


def _restore(directory: Path, files: ModelFiles) -> Seq2Seq:
    """The model of a directory, with its weights."""
    config = files.config
    model = build_model(config.model, config.source_vocabulary, config.target_vocabulary)
    try:
        model.load_state_dict(files.weights)
    except RuntimeError as error:
        raise CheckpointError("the weights do not fit the model that config.json describes", where=directory) from error
    return model


def _require_same_vocabularies(directories: Sequence[Path], files: Sequence[ModelFiles]) -> None:
    first = files[0].tokenizers
    for directory, other in zip(directories[1:], files[1:], strict=True):
        for side in ("source", "target"):
            if getattr(first, side).to_bytes() != getattr(other.tokenizers, side).to_bytes():
                raise CheckpointError(
                    f"its {side} vocabulary differs from that of {directories[0]}",
                    where=directory,
                    hint="the models of an ensemble must be trained with the same tokenizers",
                )

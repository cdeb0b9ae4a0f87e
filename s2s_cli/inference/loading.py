"""Loading of model directories for translation. PyTorch is imported when a model is loaded, and not before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s2s_cli.errors import CheckpointError, UsageError
from s2s_cli.inference.model_path import model_directory
from s2s_cli.inference.reading import Division
from s2s_cli.recipe import schema
from s2s_cli.search.ensemble import Ensemble
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import StepModel
from s2s_cli.text.tokenizer import TokenizerPair

if TYPE_CHECKING:
    from s2s_cli.checkpoint.model_directory import ModelFiles

HARMLESS_LOSS = 0.1  # BLEU


@dataclass(frozen=True)
class LoadedModel:
    """The parts of a translator."""

    model: StepModel
    tokenizers: TokenizerPair
    options: SearchOptions
    division: Division
    batch_tokens: int
    device: str
    """`cpu` or `cuda`."""


def load_ensemble(
    paths: Sequence[Path],
    *,
    device: str,
    threads: int | None = None,
    precision: str,
    engine: str,
    shortlist: bool,
) -> LoadedModel:
    """One model, or the ensemble of several with the same vocabularies, with the settings of the first one."""
    from s2s_cli.checkpoint.model_directory import load_model_files
    from s2s_cli.inference.restoring import decoders
    from s2s_cli.model.precision import choose_device

    if not paths:
        raise UsageError("no model was given")
    if threads is not None:
        use_threads(threads)
    target = choose_device(device, "--device")
    directories = [model_directory(path) for path in paths]
    files = [load_model_files(directory) for directory in directories]
    _require_same_vocabularies(directories, files)
    models = decoders(directories, files, target, precision=precision, engine=engine, shortlist=shortlist)
    config = files[0].config
    return LoadedModel(
        model=models[0] if len(models) == 1 else Ensemble(models),
        tokenizers=files[0].tokenizers,
        options=search_options(config.decoding),
        division=division(config.decoding, config.languages, config.max_pieces),
        batch_tokens=config.decoding.batch_tokens,
        device=target.type,
    )


def use_threads(count: int) -> None:
    """From now on PyTorch, if it is in use, computes with so many threads."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)


def is_harmless(bleu_loss: float | None) -> bool:
    """Whether 8-bit products cost at most 0.1 BLEU on dev when the model was exported; False if not measured."""
    return bleu_loss is not None and bleu_loss <= HARMLESS_LOSS


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


def division(decoding: schema.Decoding, languages: schema.Languages, max_pieces: int) -> Division:
    """How lines are divided, by a recipe's `decoding` section."""
    return Division(decoding.split, max_pieces, languages.source, languages.target)


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

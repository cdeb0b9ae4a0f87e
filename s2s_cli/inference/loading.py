"""Loading of model directories for translation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from s2s_cli.checkpoint.model_directory import WEIGHTS, ModelFiles, load_model_files
from s2s_cli.checkpoint.tensors import check_tensors
from s2s_cli.errors import CheckpointError, UsageError
from s2s_cli.inference.model_path import model_directory
from s2s_cli.inference.reading import Division
from s2s_cli.model.building import build_without_weights
from s2s_cli.model.engine import build_engine
from s2s_cli.model.engine.shortlist import Shortlist
from s2s_cli.model.precision import choose_device, choose_dtype
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema
from s2s_cli.search.ensemble import Ensemble
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import StepModel
from s2s_cli.text.tokenizer import TokenizerPair

HARMLESS_LOSS = 0.1  # BLEU


@dataclass(frozen=True)
class LoadedModel:
    """The parts of a translator."""

    model: StepModel
    tokenizers: TokenizerPair
    options: SearchOptions
    division: Division
    batch_tokens: int
    device: torch.device


def load_ensemble(paths: Sequence[Path], *, device: str, precision: str, engine: str, shortlist: bool) -> LoadedModel:
    """One model, or the ensemble of several with the same vocabularies, with the settings of the first one."""
    if not paths:
        raise UsageError("no model was given")
    target = choose_device(device, "--device")
    dtype = choose_dtype(precision, target, "--precision")
    directories = [model_directory(path) for path in paths]
    files = [load_model_files(directory) for directory in directories]
    _require_same_vocabularies(directories, files)
    symbols = _shortlist(directories[0], files[0]) if shortlist else None
    models = [
        build_engine(
            engine,
            _decoding(directory, each),
            target,
            dtype,
            int8_is_harmless=is_harmless(each.config.int8_bleu_loss),
            shortlist=symbols,
        )
        for directory, each in zip(directories, files, strict=True)
    ]
    config = files[0].config
    return LoadedModel(
        model=models[0] if len(models) == 1 else Ensemble(models),
        tokenizers=files[0].tokenizers,
        options=search_options(config.decoding),
        division=division(config.decoding, config.languages, config.max_pieces),
        batch_tokens=config.decoding.batch_tokens,
        device=target,
    )


def _decoding(directory: Path, files: ModelFiles) -> Seq2Seq:
    """The model of a directory as it decodes: it never writes a tag."""
    model = restore(directory, files).eval()
    model.forbid(files.tokenizers.target.tags.values())
    return model


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


def restore(directory: Path, files: ModelFiles) -> Seq2Seq:
    """The model of a directory, with its weights.

    The shapes of the weights are compared before memory is allocated, since a small file may describe a model of any
    size.
    """
    config = files.config
    model = build_without_weights(config.model, config.source_vocabulary, config.target_vocabulary)
    tied = model.tied_names()  # older models hold a shared table under each of its names
    weights = {name: tensor for name, tensor in files.weights.items() if name not in tied}
    check_tensors(weights, model.state_dict(), directory / WEIGHTS)
    model.assign({name: tensor.float() for name, tensor in weights.items()})
    return model


def _shortlist(directory: Path, files: ModelFiles) -> Shortlist:
    if files.shortlist is None:
        raise UsageError("the model has no shortlist", where=directory, hint="leave --shortlist out")
    return Shortlist(files.shortlist["candidates"].long(), files.shortlist["frequent"].long())


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

"""Loading of model directories for translation. PyTorch is imported for a model that the engine does not fit, and
for one that is to decode on a GPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from s2s_cli.checkpoint.arrays import own_weights
from s2s_cli.checkpoint.model_directory import PACKED, WEIGHTS, Confidence, ModelConfig, ModelFiles, load_model_files
from s2s_cli.cores import usable_cores
from s2s_cli.engine import Engine, Form, Shortlist, build, fault_of, pack, state_shapes
from s2s_cli.errors import CheckpointError, UsageError
from s2s_cli.inference.dividing import Division
from s2s_cli.inference.engines import ARITHMETIC_OF, choose_engine, is_harmless
from s2s_cli.inference.model_path import model_directory
from s2s_cli.recipe import schema
from s2s_cli.search.ensemble import Ensemble
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import StepModel
from s2s_cli.text.languages import is_same_language
from s2s_cli.text.tokenizer import TokenizerPair

if TYPE_CHECKING:
    from s2s_cli.text.protected import Finder


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
    calibration: Confidence | None
    """What gives translations their confidence: that of the first model."""
    finder: Finder | None
    """What finds what is protected by default."""


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
    if not paths:
        raise UsageError("no model was given")
    target = device_of(device)

    def chosen(config: ModelConfig) -> str:
        harmless = is_harmless(config.int8_bleu_loss)
        model = config.model.values()
        return choose_engine(engine, model, target, int8_is_harmless=harmless, shortlist=shortlist)

    directories = [model_directory(path) for path in paths]
    files = [load_model_files(directory, lambda config: chosen(config) == "int8") for directory in directories]
    _require_same_vocabularies(directories, files)
    names = [chosen(each.config) for each in files]
    if precision != "auto" and "reference" not in names:
        raise UsageError(
            "this option has no effect: the engine computes in float32 or in 8 bits",
            where="--precision",
            hint="choose by --engine fast, int8 or reference",
        )
    symbols = _shortlist(directories[0], files[0]) if shortlist else None
    models: list[StepModel] = []
    for name, directory, each in zip(names, directories, files, strict=True):
        if name == "reference":
            models.append(_reference(directory, each, target, precision, threads))
        else:
            models.append(_engine(directory, each, ARITHMETIC_OF[name], symbols, threads or usable_cores()))
    config = files[0].config
    return LoadedModel(
        model=models[0] if len(models) == 1 else Ensemble(models),
        tokenizers=files[0].tokenizers,
        options=search_options(config.decoding),
        division=division(config.decoding, config.languages, config.max_pieces),
        batch_tokens=config.decoding.batch_tokens,
        device=target,
        calibration=config.confidence,
        finder=finder(config.protect),
    )


GPU_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""What a machine has that has a GPU: the drivers of Nvidia, of AMD, and of Windows below Linux."""


def device_of(name: str) -> str:
    """`cpu` or `cuda`. PyTorch is asked only if there may be a GPU."""
    if name == "cpu" or (name == "auto" and sys.platform == "linux" and not any(map(os.path.exists, GPU_DRIVERS))):
        return "cpu"
    from s2s_cli.model.precision import choose_device

    return choose_device(name, "--device").type


def _engine(
    directory: Path, files: ModelFiles, arithmetic: str, shortlist: Shortlist | None, threads: int
) -> StepModel:
    """The engine by the model of a directory, by its packed weights if they were read."""
    config, packed = files.config, files.packed
    form = Form.of(config.model.values(), config.source_vocabulary, config.target_vocabulary)
    if packed is None:
        where = directory / WEIGHTS
        packed = pack(own_weights(files.weights, form.owners(), state_shapes(form), where), form, arithmetic, where)
    elif fault := fault_of(packed, form, arithmetic):
        raise CheckpointError(fault, where=directory / PACKED)
    tags = files.tokenizers.target.unwritten
    return build(form, packed, arithmetic, forbidden=tags, shortlist=shortlist, threads=threads)


def _reference(directory: Path, files: ModelFiles, device: str, precision: str, threads: int | None) -> StepModel:
    """The same by PyTorch."""
    from s2s_cli.inference.reference import decoding

    found = decoding(directory, files, device, precision)
    if threads is not None:
        use_threads(found, threads)
    return found


def use_threads(model: StepModel, count: int) -> None:
    """From now on a model, or those of an ensemble, compute with so many threads."""
    for member in model.models if isinstance(model, Ensemble) else (model,):
        if isinstance(member, Engine):
            member.machine.threads = count
        elif (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(count)


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


def finder(protect: schema.Protect | None) -> Finder | None:
    """What finds what is protected by default, by a recipe's `data.protect`."""
    if protect is None:
        return None
    from s2s_cli.text.protected import Finder

    return Finder(tuple(protect.kinds), tuple(protect.patterns))


def _shortlist(directory: Path, files: ModelFiles) -> Shortlist:
    if files.shortlist is None:
        raise UsageError("the model has no shortlist", where=directory, hint="leave --shortlist out")
    return Shortlist(files.shortlist["candidates"].astype(np.int64), files.shortlist["frequent"].astype(np.int64))


def _require_same_vocabularies(directories: Sequence[Path], files: Sequence[ModelFiles]) -> None:
    """And languages, for the vocabularies of both directions may be the same."""
    first, languages = files[0].tokenizers, files[0].config.languages
    for directory, other in zip(directories[1:], files[1:], strict=True):
        found = other.config.languages
        both = (found.source, languages.source), (found.target, languages.target)
        if not all(is_same_language(*codes) for codes in both):
            raise UsageError(
                f"it translates {found.source} into {found.target}, and {directories[0]} {languages.source} into"
                f" {languages.target}",
                where=directory,
                hint="the models of an ensemble must be of the same languages",
            )
        for side in ("source", "target"):
            if getattr(first, side).to_bytes() != getattr(other.tokenizers, side).to_bytes():
                raise CheckpointError(
                    f"its {side} vocabulary differs from that of {directories[0]}",
                    where=directory,
                    hint="the models of an ensemble must be trained with the same tokenizers",
                )

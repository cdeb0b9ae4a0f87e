"""Models of PyTorch from model directories. Everything else of translating does without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from s2s_cli.checkpoint.model_directory import WEIGHTS, ModelFiles
from s2s_cli.checkpoint.tensors import check_tensors
from s2s_cli.errors import UsageError
from s2s_cli.inference.loading import is_harmless
from s2s_cli.model.building import build_without_weights
from s2s_cli.model.engine import build_engine
from s2s_cli.model.engine.shortlist import Shortlist
from s2s_cli.model.precision import choose_dtype
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.search.step_model import StepModel


def decoders(
    directories: Sequence[Path],
    files: Sequence[ModelFiles],
    device: torch.device,
    *,
    precision: str,
    engine: str,
    shortlist: bool,
) -> list[StepModel]:
    """What decodes by the model of each directory. The shortlist is that of the first one."""
    dtype = choose_dtype(precision, device, "--precision")
    symbols = _shortlist(directories[0], files[0]) if shortlist else None
    return [
        build_engine(
            engine,
            _decoding(directory, each),
            device,
            dtype,
            int8_is_harmless=is_harmless(each.config.int8_bleu_loss),
            shortlist=symbols,
        )
        for directory, each in zip(directories, files, strict=True)
    ]


def _decoding(directory: Path, files: ModelFiles) -> Seq2Seq:
    """The model of a directory as it decodes: it never writes a tag."""
    model = restore(directory, files).eval()
    model.forbid(files.tokenizers.target.tags.values())
    return model


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

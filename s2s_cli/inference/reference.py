"""The engine `reference`: models in PyTorch, from model directories. Nothing else of translating needs PyTorch."""

from __future__ import annotations

from pathlib import Path

import torch

from s2s_cli.checkpoint.arrays import own_weights
from s2s_cli.checkpoint.model_directory import WEIGHTS, ModelFiles
from s2s_cli.model.building import build_without_weights
from s2s_cli.model.decoding import Decoding
from s2s_cli.model.precision import choose_dtype
from s2s_cli.model.seq2seq import Seq2Seq


def decoding(directory: Path, files: ModelFiles, device: str, precision: str) -> Decoding:
    """What decodes by the model of a directory: it writes no tag but those of protected spans.

    precision: `auto` is fp32. In bf16, sums are rounded differently in batches of different sizes, and with
    self-attention that is enough to change translations.
    """
    target = torch.device(device)
    model = restore(directory, files).eval()
    model.forbid(files.tokenizers.target.unwritten)
    dtype = choose_dtype("fp32" if precision == "auto" else precision, target, "--precision")
    return Decoding(model.to(device=target, dtype=dtype))


def restore(directory: Path, files: ModelFiles) -> Seq2Seq:
    """The model of a directory, with its weights.

    The shapes of the weights are compared before memory is allocated, since a small file may describe a model of any
    size.
    """
    config = files.config
    model = build_without_weights(config.model, config.source_vocabulary, config.target_vocabulary)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    weights = own_weights(files.weights, model.tied_names(), shapes, directory / WEIGHTS)
    model.assign({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    return model

"""What decodes: the model itself, or an engine that computes the same function faster."""

from __future__ import annotations

import functools

import torch

from s2s_cli import console
from s2s_cli.errors import UsageError
from s2s_cli.model.decoding import Decoding
from s2s_cli.model.engine.arithmetic import ARITHMETICS
from s2s_cli.model.engine.attention_gru import AttentionGRUEngine, fits
from s2s_cli.model.engine.shortlist import Shortlist
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.native import library

__all__ = ["ENGINES", "build_engine", "fits"]

ENGINES = ("auto", "reference", "fast", "int8")


def build_engine(
    name: str,
    model: Seq2Seq,
    device: torch.device,
    dtype: torch.dtype,
    *,
    int8_is_harmless: bool = False,
    shortlist: Shortlist | None = None,
) -> Decoding | AttentionGRUEngine:
    """What decodes by this model, which is moved, converted and used up.

    name: `reference`, the model itself by torch operations in `dtype`; `fast`, the engine in `dtype`; `int8`, the
    engine with products of 8 bits (the encoder still in `dtype`); `auto`, the engine where the model fits it and it is
    fast (where there is a C library), in 8 bits if `int8_is_harmless`, else the reference, which the user is told of.
    shortlist: symbols to write with; an engine can have one. Raises UsageError for an engine that does not fit the
    model.
    """
    if name not in ENGINES:
        raise UsageError(f"unknown engine `{name}`", hint=f"one of {', '.join(ENGINES)}")
    obstacle = _obstacle(model, device)
    if name == "auto":
        has_library = library.load() is not None
        if has_library and shortlist is None and device.type == "cpu" and not fits(model):
            _tell_of_slowness()
        is_worth_it = has_library or shortlist is not None
        name = "reference" if obstacle or not is_worth_it else "int8" if int8_is_harmless else "fast"
    if name == "reference":
        if shortlist is not None:
            raise UsageError(f"--shortlist needs an engine, and this one {obstacle or 'is the reference'}")
        return Decoding(model.to(device=device, dtype=dtype))
    if obstacle:
        raise UsageError(f"--engine {name} {obstacle}", hint="--engine reference or auto")
    arithmetic = "int8" if name == "int8" else "bf16" if dtype == torch.bfloat16 else "fp32"
    with torch.inference_mode():
        return AttentionGRUEngine(model, ARITHMETICS[arithmetic], dtype, shortlist)


@functools.cache
def _tell_of_slowness() -> None:
    """Once in a process, though a training decodes at each validation."""
    console.say("no engine fits this model: PyTorch decodes by it, with the same results but slower")


def _obstacle(model: Seq2Seq, device: torch.device) -> str | None:
    """Why the engine cannot decode by this model on this device."""
    if not fits(model):
        return (
            "decodes by attention GRUs, plain or conditional, of one layer with additive attention of one head and a"
            " softmax only; this model is another"
        )
    return None if device.type == "cpu" else "runs on the CPU only"

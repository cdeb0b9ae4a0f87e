"""What decodes by a model: the engine, or the model itself in PyTorch. Nothing here imports PyTorch."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from typing import Any

from s2s_cli import console
from s2s_cli.engine import obstacle
from s2s_cli.errors import UsageError
from s2s_cli.native import library

ENGINES = ("auto", "reference", "fast", "int8")
ARITHMETIC_OF = {"fast": "fp32", "int8": "int8"}
"""The number type in which an engine of this name computes."""
HARMLESS_LOSS = 0.1  # BLEU


def is_harmless(bleu_loss: float | None) -> bool:
    """Whether 8-bit products cost at most 0.1 BLEU on dev when the model was exported; False if not measured."""
    return bleu_loss is not None and bleu_loss <= HARMLESS_LOSS


def choose_engine(
    name: str, model: Mapping[str, Any], device: str, *, int8_is_harmless: bool = False, shortlist: bool = False
) -> str:
    """`reference`, `fast` or `int8`.

    name: `reference`, the model itself by PyTorch; `fast`, the engine in float32; `int8`, the engine with products of 8
    bits; `auto`, the engine where the model fits it and it is fast (where there is a C library), in 8 bits if
    `int8_is_harmless`, else the reference, which the user is told of. model: the section of its recipe. device: `cpu`
    or `cuda`. shortlist: whether one is wanted, which an engine can have. Raises UsageError for an engine that does not
    fit the model.
    """
    if name not in ENGINES:
        raise UsageError(f"unknown engine `{name}`", hint=f"one of {', '.join(ENGINES)}")
    part = obstacle(model)
    fault = f"does not know a part of this model, {part}" if part else "runs on the CPU only" if device != "cpu" else ""
    if name == "auto":
        is_worth_it = shortlist or library.load() is not None or importlib.util.find_spec("torch") is None
        if part and is_worth_it and not shortlist and device == "cpu":
            _tell_of_slowness()
        name = "reference" if fault or not is_worth_it else "int8" if int8_is_harmless else "fast"
    if name == "reference" and shortlist:
        raise UsageError("--shortlist needs the engine, " + (f"which {fault}" if fault else "not the reference"))
    if name != "reference" and fault:
        raise UsageError(f"--engine {name}: the engine {fault}", hint="--engine reference or auto")
    return name


@functools.cache
def _tell_of_slowness() -> None:
    """Once in a process, though a training decodes at each validation."""
    console.say("no engine fits this model: PyTorch decodes it, with the same results but more slowly")

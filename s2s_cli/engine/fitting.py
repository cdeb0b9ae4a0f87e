"""Whether the engine can decode by a model: each part has to be one that it knows.

The model is given by plain values, as `config.json` and a recipe's `model` section have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

ANY = None
"""For what the engine takes at any value, or what decoding never sees."""

KNOWN: dict[str, tuple[object, ...] | None] = {
    "cell": ("gru",),
    "embedding": ANY,
    "dropout": ANY,
    "layer_norm": (False,),
    "tied": ("none", "target", "all"),
    "output": ("softmax",),
    "encoder.kind": ("recurrent",),
    "encoder.hidden": ANY,
    "encoder.layers": ANY,
    "encoder.bidirectional": (False, True),
    "encoder.residual": (False, True),
    "encoder.summary": ("last", "mean", "max"),
    "encoder.bridge": ("copy", "dense"),
    "decoder.cell": (None, "gru"),
    "decoder.hidden": ANY,
    "decoder.layers": (1,),
    "decoder.residual": ANY,  # of the second layer on
    "decoder.context": ("attention",),
    "decoder.feed_previous": (True,),
    "attention.score": ("additive",),
    "attention.size": ANY,
    "attention.query": ("previous", "intermediate"),
    "attention.input_feeding": ANY,  # of the query `current`
    "attention.heads": (1,),
    "attention.coverage": (False,),
    "attention.coverage_loss": ANY,
}
"""The keys of a model, and the values with which the engine computes the same function."""


def obstacle(model: Mapping[str, Any]) -> str | None:
    """The part that the engine does not know, as `attention.heads = 2`; None for a model that fits."""
    found = dict(_flat(model))
    for key, value in found.items():
        if key not in KNOWN:
            return f"{key} = {value}"
        allowed = KNOWN[key]
        if allowed is not None and value not in allowed:
            return f"{key} = {value}"
    missing = KNOWN.keys() - found.keys()
    return f"no {min(missing)}" if missing else None


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values; a section that decoding never sees is one value."""
    for name, value in values.items():
        key = prefix + name
        if isinstance(value, Mapping) and key not in KNOWN:
            yield from _flat(value, f"{key}.")
        else:
            yield key, value

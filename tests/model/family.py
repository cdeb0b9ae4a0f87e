"""Members of the model family for the tests of this folder: few, but every two choices meet in one of them.

The full product has more than 100,000 members. Faults mostly live where two choices meet, so a pairwise covering set
finds nearly all of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from s2s_cli.forms import FormError
from s2s_cli.model import attention, cells, encoder
from s2s_cli.model.building import build_model
from s2s_cli.model.output import OUTPUTS
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema

PAD, BOS = 0, 2
SOURCE_SIZE, TARGET_SIZE = 11, 13

Choice = dict[str, Any]  # dotted keys of the recipe's `model` section
Axes = dict[str, dict[str, Choice]]

ANY_DECODER: Axes = {
    "cell": {name: {"cell": name} for name in cells.CELLS},
    "width": {"equal": {"decoder.hidden": 8}, "unequal": {"decoder.hidden": 12}},
    "directions": {
        "both": {"encoder.bidirectional": True, "encoder.hidden": 4},
        "one": {"encoder.bidirectional": False, "encoder.hidden": 8},
    },
    "encoder": {
        "flat": {},
        "deep": {"encoder.layers": 2},
        "residual": {"encoder.layers": 3, "encoder.residual": True},
        **{name: {"encoder.kind": name, "encoder.layers": 2} for name in encoder.ENCODERS if name != "recurrent"},
    },
    "decoder": {
        "flat": {},
        "deep": {"decoder.layers": 2},
        "residual": {"decoder.layers": 3, "decoder.residual": True},
    },
    "summary": {name: {"encoder.summary": name} for name in ("last", "mean", "max")},
    "bridge": {name: {"encoder.bridge": name} for name in ("copy", "dense")},
    "norm": {"plain": {}, "norm": {"layer_norm": True}},
    "tied": {name: {"tied": name} for name in ("none", "target", "all")},
}
FIXED_CONTEXT: Axes = ANY_DECODER | {
    "row": {
        f"{context}{'+y' if feeds else ''}": {"decoder.context": context, "decoder.feed_previous": feeds}
        for context in ("initial", "every_step")
        for feeds in (False, True)
    }
}
SCORES: dict[str, Choice] = {name: {"attention.score": name} for name in attention.SCORES}
SCORES["coverage"] = {"attention.coverage": True}
QUERIES: dict[str, Choice] = {
    "previous": {},
    "intermediate": {"attention.query": "intermediate"},
    "current": {"attention.query": "current", "attention.input_feeding": False},
    "feeding": {"attention.query": "current"},
}
WITH_ATTENTION: Axes = ANY_DECODER | {
    "attention": {  # one axis: every score meets every query together with every other choice
        f"{score} {query}": SCORES[score] | QUERIES[query] for score in SCORES for query in QUERIES
    },
    "heads": {"1 head": {}, "2 heads": {"attention.heads": 2}},
    "output": {name: {"output": name} for name in OUTPUTS},
}
SIZES = {"transformer": {"heads": 2, "feed_forward": 5}}
"""Small ones, of kinds of encoders whose own keys are larger by default."""


def section(**choices: Any) -> schema.Model:
    """A small model; choices have dotted keys. Raises FormError where they do not go together."""
    values: dict[str, Any] = {
        "embedding": 6,
        "encoder": {"hidden": 4},
        "decoder": {"hidden": 8},
        "attention": {"size": 10},
        "dropout": {"embedding": 0.0, "state": 0.0, "readout": 0.0},
    }
    for key, value in choices.items():
        *above, last = key.split(".")
        place = values[above[0]] if above else values
        place[last] = value
    keys = values["encoder"]
    if keys.get("kind", "recurrent") != "recurrent":  # one width, whatever the directions of the recurrent ones
        keys.pop("bidirectional", None)
        keys |= {"hidden": 8} | SIZES.get(keys["kind"], {})
    return schema.Model.read(values)


def covering_set(axes: Axes, candidates: int = 1000) -> dict[str, schema.Model]:
    """Members that hold, together, every pair of choices that goes together at all. Greedy, and always the same."""
    pool = dict(_random_members(axes, candidates))
    new = {names: set(combinations(enumerate(names), 2)) for names in pool}  # the pairs that each would add
    chosen = {}
    while new:
        names = max(new, key=lambda names: len(new[names]))
        chosen[" ".join(names)] = pool[names]
        added = new.pop(names)
        new = {other: rest for other, pairs in new.items() if (rest := pairs - added)}
    return chosen


def _random_members(axes: Axes, count: int) -> Iterator[tuple[tuple[str, ...], schema.Model]]:
    draw = random.Random(1)
    for _ in range(count):
        names = tuple(draw.choice(list(axis)) for axis in axes.values())
        choices = [axis[name] for axis, name in zip(axes.values(), names, strict=True)]
        try:
            yield names, section(**{key: value for choice in choices for key, value in choice.items()})
        except FormError:
            continue


MEMBERS = covering_set(FIXED_CONTEXT) | covering_set(WITH_ATTENTION)


class Example(NamedTuple):
    source_BS: Tensor
    lengths_B: Tensor
    previous_BT: Tensor


def example(lengths: tuple[int, ...] = (7, 4, 1), target: int = 5) -> Example:
    """A batch whose padding holds arbitrary words: nobody may read them."""
    draw = torch.Generator().manual_seed(5)
    source_BS = torch.randint(4, SOURCE_SIZE, (len(lengths), max(lengths)), generator=draw)
    previous_BT = torch.randint(4, TARGET_SIZE, (len(lengths), target), generator=draw)
    previous_BT[:, 0] = BOS
    return Example(source_BS, torch.tensor(lengths), previous_BT)


def build(member: schema.Model, kernel: str = "reference") -> Seq2Seq:
    """In float64 and evaluation mode; every parameter random, also those that would start at zero.

    Biases are positive: a rectifier that is shut everywhere would look like a part that is not connected.
    """
    torch.manual_seed(3)
    model = build_model(member, SOURCE_SIZE, TARGET_SIZE, kernel).double().eval()
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, std=0.5)
        if name.endswith("bias"):
            parameter.data.abs_()
    return model


def unrolled(model: Seq2Seq, batch: Example) -> Tensor:
    """log p(y_t | y_<t, x) [B, T, V], as in training."""
    return model.output.log_probs(model(*batch))

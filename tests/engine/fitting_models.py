"""Models that the engine fits, in PyTorch and as an engine: every part that it knows, of odd sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from s2s_cli.engine import Engine, Form, Shortlist, build, pack
from s2s_cli.model.building import build_model
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema

SOURCE, TARGET = 50, 333  # no multiple of a vector, nor of a group of symbols
MEMBERS: dict[str, dict[str, Any]] = {
    "Bahdanau": {},
    "conditional": {"attention": {"query": "intermediate"}},
    "one direction, last": {"encoder": {"bidirectional": False, "summary": "last"}},
    "two directions, last": {"encoder": {"summary": "last"}},
    "max": {"encoder": {"summary": "max"}, "attention": {"query": "intermediate"}},
    "deep": {"encoder": {"layers": 2, "bidirectional": False}},
    "residual": {"encoder": {"layers": 3, "residual": True}, "attention": {"query": "intermediate"}},
    "copying bridge": {"encoder": {"bridge": "copy", "hidden": 9}, "decoder": {"hidden": 18}},
    "tied target": {"tied": "target"},
    "all tied": {"tied": "all", "attention": {"query": "intermediate"}},
}


def section(member: str) -> schema.Model:
    sizes: dict[str, dict[str, Any]] = {"encoder": {"hidden": 11}, "decoder": {"hidden": 37}, "attention": {"size": 19}}
    choices = MEMBERS[member]
    parts = {name: sizes.get(name, {}) | choices.get(name, {}) for name in ("encoder", "decoder", "attention")}
    return schema.Model.read({"embedding": 13, "tied": choices.get("tied", "none"), **parts})


def sizes(member: str) -> tuple[int, int]:
    """Of the vocabularies."""
    return (TARGET if section(member).tied == "all" else SOURCE), TARGET


def model(member: str, seed: int = 3) -> Seq2Seq:
    """With weights as large as trained ones, the biases too."""
    torch.manual_seed(seed)
    made = build_model(section(member), *sizes(member)).eval()
    for name, parameter in made.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return made


def form(member: str) -> Form:
    return Form.of(section(member).values(), *sizes(member))


def weights(member: str, seed: int = 3) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model(member, seed).state_dict().items()}


def engine(name: str, member: str = "Bahdanau", shortlist: Shortlist | None = None, threads: int = 1) -> Engine:
    arrays = pack(weights(member), form(member), name)
    return build(form(member), arrays, name, shortlist=shortlist, threads=threads)

"""A tiny model, its trainer, and batches of random pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from s2s_cli.data.batches import padded
from s2s_cli.model.building import build_model
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema
from s2s_cli.training.adamw import AdamW
from s2s_cli.training.averaging import MovingAverage
from s2s_cli.training.batches import Batch
from s2s_cli.training.objective import CrossEntropy, Objective
from s2s_cli.training.schedule import Patience, Schedule
from s2s_cli.training.trainer import Trainer

SYMBOLS = 12
Pair = tuple[list[int], list[int]]


def tiny_section(dropout: float = 0.0, **changes: object) -> schema.Model:
    """Of a recipe."""
    config = schema.Model(
        embedding=6,
        encoder=schema.RecurrentEncoder(hidden=4),
        decoder=schema.Decoder(hidden=8),
        attention=schema.Attention(size=5),
        dropout=schema.Dropout(embedding=dropout, state=dropout, readout=dropout),
    )
    return config.replaced(**changes)


def tiny_model(dropout: float = 0.0, **changes: object) -> Seq2Seq:
    """Random weights that are the same each time."""
    torch.manual_seed(5)
    return build_model(tiny_section(dropout, **changes), SYMBOLS, SYMBOLS)


def tiny_trainer(
    *,
    dropout: float = 0.0,
    average: bool = False,
    clip_norm: float | None = None,
    course: str = "inverse_sqrt",
    objective: Objective = CrossEntropy(0.1),  # noqa: B008  # never changes
    **changes: object,
) -> Trainer:
    """A trainer at update 0, the same each time."""
    model = tiny_model(dropout, **changes)
    return Trainer(
        model,
        AdamW([(list(model.parameters()), 0.01)], betas=(0.9, 0.98)),
        Schedule(0.02, course, warmup=3),
        Patience(4),
        MovingAverage(model, 0.9) if average else None,
        dtype=torch.float32,
        objective=objective,
        clip_norm=clip_norm,
    )


def random_pairs(count: int, seed: int = 0) -> list[Pair]:
    """Sides of 0 to 6 symbols, the special ones not among them."""
    generator = np.random.default_rng(seed)

    def side() -> list[int]:
        return generator.integers(4, SYMBOLS, generator.integers(0, 7)).tolist()

    return [(side(), side()) for _ in range(count)]


def batch_of(pairs: Sequence[Pair]) -> Batch:
    source, target = zip(*pairs, strict=True)
    return Batch(*map(torch.from_numpy, (*padded(source), *padded(target))), np.arange(len(pairs)))


def random_batches(count: int) -> list[Batch]:
    return [batch_of(random_pairs(5, seed)) for seed in range(count)]

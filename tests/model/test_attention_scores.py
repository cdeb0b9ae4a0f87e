"""Attention against the papers' formulas, written out position by position in NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from family import section
from torch import nn

from s2s_cli.model.attention import Attention, Score, repeated_attention
from s2s_cli.model.building import build_attention
from s2s_cli.model.memory import Memory

BATCH, HYPOTHESES, LENGTH, WIDTH = 2, 3, 5, 8
LENGTHS = (5, 3)

Weights = dict[str, np.ndarray]


def additive(w: Weights, s: np.ndarray, h: np.ndarray, past: float) -> float:
    return w["energy"] @ np.tanh(w["query.weight"] @ s + w["key.weight"] @ h + w["key.bias"])


def coverage(w: Weights, s: np.ndarray, h: np.ndarray, past: float) -> float:
    sums = w["query.weight"] @ s + w["key.weight"] @ h + w["key.bias"] + w["coverage"] * past
    return w["energy"] @ np.tanh(sums)


def dot(w: Weights, s: np.ndarray, h: np.ndarray, past: float) -> float:
    return s @ h


def scaled_dot(w: Weights, s: np.ndarray, h: np.ndarray, past: float) -> float:
    return s @ h / math.sqrt(len(s))


def general(w: Weights, s: np.ndarray, h: np.ndarray, past: float) -> float:
    return h @ w["query.weight"] @ s


FORMULAS: dict[str, Callable[[Weights, np.ndarray, np.ndarray, float], float]] = {
    "additive": additive,
    "coverage": coverage,
    "dot": dot,
    "scaled_dot": scaled_dot,
    "general": general,
}


def softmax(energies: np.ndarray) -> np.ndarray:
    powers = np.exp(energies - energies.max())
    return powers / powers.sum()


def weights_of(score: Score) -> Weights:
    return {name: value.numpy() for name, value in score.state_dict().items()}


def build(name: str, heads: int) -> Attention:
    choices = {"attention.coverage": True} if name == "coverage" else {"attention.score": name}
    attention = build_attention(section(**choices, **{"attention.heads": heads, "attention.size": 12})).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    return attention


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("name", FORMULAS)
@torch.no_grad()
def test_attention_equals_the_formulas(name: str, heads: int) -> None:
    torch.manual_seed(2)
    attention = build(name, heads)
    query = torch.randn(BATCH, HYPOTHESES, WIDTH, dtype=torch.double)
    states = torch.randn(BATCH, LENGTH, WIDTH, dtype=torch.double)
    past = torch.rand(BATCH, HYPOTHESES, LENGTH, dtype=torch.double)
    valid = torch.arange(LENGTH) < torch.tensor(LENGTHS)[:, None]
    memory = Memory(states, valid, states.mean(dim=1), torch.zeros(states.shape[:2]).long(), attention.keys(states))
    contexts, alphas = attention(query, memory, past if attention.covers else None)

    share = WIDTH // heads
    for b, k in np.ndindex(BATCH, HYPOTHESES):
        total = np.zeros(LENGTH)
        for head in range(heads):
            weights = weights_of(attention.heads[head])
            part = slice(head * share, (head + 1) * share)
            s, h = query[b, k, part].numpy(), states[b, : LENGTHS[b], part].numpy()
            alpha = softmax(np.array([FORMULAS[name](weights, s, h[j], past[b, k, j].item()) for j in range(len(h))]))
            np.testing.assert_allclose(contexts[b, k, part], sum(alpha[j] * h[j] for j in range(len(h))), atol=1e-12)
            total[: len(h)] += alpha
        np.testing.assert_allclose(alphas[b, k], total / heads, atol=1e-12)


def test_repeated_attention_is_what_returns_to_where_it_was() -> None:
    attention_BTS = torch.tensor([[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.25, 0.0, 0.75], [0.5, 0.25, 0.25]]])
    assert repeated_attention(attention_BTS).tolist() == [[0.0, 0.5, 0.25, 1.0]]


def test_fresh_coverage_scores_like_plain_additive() -> None:
    """Training starts from what is known to work: coverage has no say before it has learnt one."""
    with_coverage = build_attention(section(**{"attention.coverage": True})).heads[0]
    plain = build_attention(section()).heads[0]
    plain.load_state_dict({name: value for name, value in with_coverage.state_dict().items() if name != "coverage"})
    query, states, past = torch.randn(2, 1, 8), torch.randn(2, 4, 8), torch.rand(2, 1, 4)
    torch.testing.assert_close(
        with_coverage(query, with_coverage.keys(states), past), plain(query, plain.keys(states), None)
    )

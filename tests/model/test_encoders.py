"""The Transformer encoder: what it computes, written out; and that no padding changes it."""

from __future__ import annotations

import math

import pytest
import torch
from family import build, example, section
from test_cells import normalised

from s2s_cli.model.encoder import TransformerEncoder, sinusoids

TRANSFORMER = {"encoder.kind": "transformer", "encoder.layers": 2}


@torch.no_grad()
def test_each_position_written_out() -> None:
    model, batch = build(section(**TRANSFORMER)), example(lengths=(5, 3))
    encoder = model.encoder
    assert isinstance(encoder, TransformerEncoder)
    memory = encoder(batch.source_BS, batch.lengths_B, model.kernel)
    for row, length in enumerate(batch.lengths_B):
        embedded_SE = encoder.embedding(batch.source_BS[row, :length])
        x_SM = encoder.inputs(embedded_SE) * math.sqrt(embedded_SE.shape[1])
        x_SM = x_SM + sinusoids(torch.zeros(1, int(length), x_SM.shape[1], dtype=torch.double))
        for layer in encoder.layers:
            query, key, value = layer.query_key_value(normalised(x_SM, layer.attention_norm)).chunk(3, dim=1)
            heads = []
            for q, k, v in zip(*(part.chunk(layer.heads, dim=1) for part in (query, key, value)), strict=True):
                heads.append(torch.softmax(q @ k.T / math.sqrt(q.shape[1]), dim=1) @ v)
            x_SM = x_SM + layer.attended(torch.cat(heads, dim=1))
            x_SM = x_SM + layer.outer(layer.inner(normalised(x_SM, layer.feed_forward_norm)).clamp(min=0))
        expected = normalised(x_SM, encoder.norm)
        torch.testing.assert_close(memory.states_BSM[row, :length], expected, rtol=0, atol=1e-10)
        assert not memory.states_BSM[row, length:].any()


def test_positions_are_those_of_the_paper() -> None:
    positions_SM = sinusoids(torch.zeros(1, 7, 8, dtype=torch.double))
    for position in range(7):
        for pair in range(4):
            angle = position / 10_000 ** (2 * pair / 8)
            assert positions_SM[position, pair] == pytest.approx(math.sin(angle), abs=1e-12)
            assert positions_SM[position, pair + 4] == pytest.approx(math.cos(angle), abs=1e-12)

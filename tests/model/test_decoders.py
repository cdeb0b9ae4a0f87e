"""Each decoder against its equations, two or three steps of one sentence written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from family import build, example, section

from s2s_cli.model.bridge import CopyBridge, DenseBridge, OwnStart
from s2s_cli.model.memory import SUMMARIES
from s2s_cli.model.seq2seq import Seq2Seq

Weights = dict[str, np.ndarray]
STEPS = 3


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - x.max() - np.log(np.exp(x - x.max()).sum())


def gru(w: Weights, x: np.ndarray, s: np.ndarray) -> np.ndarray:
    """x: the input's share of the gates r, z, n."""
    u = w["decoder.stack.cells.0.recurrent.weight"] @ s + w["decoder.stack.cells.0.recurrent.bias"]
    (x_r, x_z, x_n), (u_r, u_z, u_n) = np.split(x, 3), np.split(u, 3)
    r, z = sigmoid(x_r + u_r), sigmoid(x_z + u_z)
    return (1 - z) * np.tanh(x_n + r * u_n) + z * s


def attend(w: Weights, s: np.ndarray, h: np.ndarray) -> np.ndarray:
    """c = Σ_j softmax_j(v · tanh(W s + U h_j)) h_j."""
    head = "decoder.attention.heads.0"
    energies = [
        w[f"{head}.energy"]
        @ np.tanh(w[f"{head}.query.weight"] @ s + w[f"{head}.key.weight"] @ h_j + w[f"{head}.key.bias"])
        for h_j in h
    ]
    return np.exp(log_softmax(np.array(energies))) @ h


def readout(w: Weights, s: np.ndarray, c: np.ndarray | None, y: np.ndarray | None) -> np.ndarray:
    """tanh(W_s s_t + W_c c_t + W_y y_{t-1} + b), of those that there are."""
    total = w["readout.output.weight"] @ s + w["readout.output.bias"]
    total = total if c is None else total + w["readout.context.weight"] @ c
    return np.tanh(total if y is None else total + w["readout.embedding.weight"] @ y)


def dense(w: Weights, c: np.ndarray) -> np.ndarray:
    return np.tanh(w["decoder.bridges.0.dense.weight"] @ c + w["decoder.bridges.0.dense.bias"])


def previous(w: Weights, y: np.ndarray) -> np.ndarray:
    return w["decoder.previous.dense.weight"] @ y + w["decoder.previous.dense.bias"]


# Each of the following: weights, h_1..h_N, C, y_0..y_{T-1} (embedded) -> one readout for each step.


def first_classic(w: Weights, h: np.ndarray, c: np.ndarray, ys: list[np.ndarray]) -> list[np.ndarray]:
    s, readouts = dense(w, c), []
    for _ in range(STEPS):
        s = gru(w, w["decoder.previous.bias"], s)
        readouts.append(readout(w, s, None, None))
    return readouts


def sutskever(w: Weights, h: np.ndarray, c: np.ndarray, ys: list[np.ndarray]) -> list[np.ndarray]:
    s, readouts = dense(w, c), []
    for y in ys:
        s = gru(w, previous(w, y), s)
        readouts.append(readout(w, s, None, y))
    return readouts


def second_classic(w: Weights, h: np.ndarray, c: np.ndarray, ys: list[np.ndarray]) -> list[np.ndarray]:
    s, readouts = w["decoder.bridges.0.state"], []
    for _ in range(STEPS):
        s = gru(w, w["decoder.previous.bias"] + w["decoder.context.weight"] @ c, s)
        readouts.append(readout(w, s, c, None))
    return readouts


def cho(w: Weights, h: np.ndarray, c: np.ndarray, ys: list[np.ndarray]) -> list[np.ndarray]:
    s, readouts = w["decoder.bridges.0.state"], []
    for y in ys:
        s = gru(w, previous(w, y) + w["decoder.context.weight"] @ c, s)
        readouts.append(readout(w, s, c, y))
    return readouts


def bahdanau(w: Weights, h: np.ndarray, c: np.ndarray, ys: list[np.ndarray]) -> list[np.ndarray]:
    s, readouts = dense(w, c), []
    for y in ys:
        c_t = attend(w, s, h)
        s = gru(w, previous(w, y) + w["decoder.context.weight"] @ c_t, s)
        readouts.append(readout(w, s, c_t, y))
    return readouts


def attentional(w: Weights, s: np.ndarray, h: np.ndarray) -> np.ndarray:
    joined = np.concatenate([s, attend(w, s, h)])
    return np.tanh(w["decoder.attentional.weight"] @ joined + w["decoder.attentional.bias"])


def luong(w: Weights, h: np.ndarray, c: np.ndarray, ys: list[np.ndarray]) -> list[np.ndarray]:
    s, readouts = dense(w, c), []
    for y in ys:
        s = gru(w, previous(w, y), s)
        readouts.append(attentional(w, s, h))
    return readouts


def luong_with_feeding(w: Weights, h: np.ndarray, c: np.ndarray, ys: list[np.ndarray]) -> list[np.ndarray]:
    s, readouts = dense(w, c), []
    fed = np.zeros(w["decoder.feed.weight"].shape[1])
    for y in ys:
        s = gru(w, previous(w, y) + w["decoder.feed.weight"] @ fed, s)
        fed = attentional(w, s, h)
        readouts.append(fed)
    return readouts


ROWS: dict[Callable[..., list[np.ndarray]], dict[str, object]] = {
    first_classic: {"decoder.context": "initial", "decoder.feed_previous": False},
    sutskever: {"decoder.context": "initial"},
    second_classic: {"decoder.context": "every_step", "decoder.feed_previous": False},
    cho: {"decoder.context": "every_step"},
    bahdanau: {},
    luong: {"attention.query": "current", "attention.input_feeding": False},
    luong_with_feeding: {"attention.query": "current"},
}


@pytest.mark.parametrize("tied", ["none", "target"])
@pytest.mark.parametrize(("equations", "choices"), ROWS.items(), ids=lambda value: getattr(value, "__name__", ""))
@torch.no_grad()
def test_decoder_equals_its_equations(
    equations: Callable[..., list[np.ndarray]], choices: dict[str, object], tied: str
) -> None:
    model, batch = build(section(**choices, tied=tied, **{"decoder.hidden": 10})), example(lengths=(4,), target=STEPS)
    weights = {name: value.detach().numpy() for name, value in model.named_parameters(remove_duplicate=False)}
    memory = model.encoder(batch.source_BS, batch.lengths_B, model.kernel)
    embedded = [model.embedding(word).numpy() for word in batch.previous_BT[0]]
    expected = equations(weights, memory.states_BSM[0].numpy(), memory.summary_BM[0].numpy(), embedded)
    np.testing.assert_allclose(model(*batch).readout_BXR[0].numpy(), np.stack(expected), atol=1e-12)
    if tied == "target" and "embedding.weight" in weights:
        assert model.output.weight is model.embedding.weight
    logits = weights["output.weight"] @ expected[0] + weights["output.bias"]
    np.testing.assert_allclose(first_log_probs(model, *batch), log_softmax(logits), atol=1e-12)


def first_log_probs(model: Seq2Seq, source: torch.Tensor, lengths: torch.Tensor, previous: torch.Tensor) -> np.ndarray:
    step, _ = model.step(previous[:, :1], model.start(source, lengths))
    return step.log_probs_BKV[0, 0].numpy()


@torch.no_grad()
def test_a_deep_attention_decoder_asks_at_the_bottom_and_all_its_layers_receive() -> None:
    model, batch = build(section(**{"decoder.layers": 2, "decoder.residual": True})), example(lengths=(4,), target=1)
    state = model.start(batch.source_BS, batch.lengths_B)
    decoder, memory = model.decoder, state.memory
    bottom, top = decoder.stack.cells
    context, attention = decoder.attention(state.layers[0], memory, None)
    first = bottom(
        decoder.hoist(model.embedding(batch.previous_BT), memory) + decoder.context(context), state.layers[0]
    )
    second = top(decoder.stack.inputs[0](torch.cat([first, context], dim=-1)), state.layers[1])
    features, following = decoder.advance(decoder.hoist(model.embedding(batch.previous_BT), memory), state)
    torch.testing.assert_close(features.output_BXH, first + second)
    torch.testing.assert_close(features.attention_BXS, attention)
    torch.testing.assert_close(following.layers, (first, second))


@torch.no_grad()
def test_coverage_adds_up_the_attention_of_all_steps() -> None:
    model, batch = build(section(**{"attention.coverage": True})), example()
    state = model.start(batch.source_BS, batch.lengths_B)
    total = torch.zeros(3, 1, 7, dtype=torch.double)
    for word in batch.previous_BT.split(1, dim=1):
        torch.testing.assert_close(state.past_BKS, total)
        step, state = model.step(word, state)
        total = total + step.attention_BKS


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("name", SUMMARIES)
def test_summaries_written_out(name: str, directions: int) -> None:
    lengths = (5, 2, 1)
    states = torch.randn(3, 5, 6, dtype=torch.double, generator=torch.Generator().manual_seed(1)) - 5
    valid = torch.arange(5) < torch.tensor(lengths)[:, None]
    states = states * valid[:, :, None]  # padding holds zeros, which would be the maximum
    summary = SUMMARIES[name](states, valid, directions).numpy()
    for row, length in enumerate(lengths):
        h = states[row, :length].numpy()
        last = h[-1] if directions == 1 else np.concatenate([h[-1, :3], h[0, 3:]])
        expected = {"last": last, "mean": h.mean(axis=0), "max": h.max(axis=0)}[name]
        np.testing.assert_allclose(summary[row], expected, atol=1e-12)


def test_bridges_written_out() -> None:
    summary = torch.randn(3, 4, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    copy, dense, own = (bridge(4, 8).double() for bridge in (CopyBridge, DenseBridge, OwnStart))
    with torch.no_grad():
        own.state.normal_()
        np.testing.assert_array_equal(copy(summary), np.concatenate([summary, np.zeros((3, 4))], axis=1))
        weight, bias = dense.dense.weight.numpy(), dense.dense.bias.numpy()
        np.testing.assert_allclose(dense(summary), np.tanh(summary.numpy() @ weight.T + bias), atol=1e-12)
        np.testing.assert_array_equal(own(summary), np.tile(own.state.numpy(), (3, 1)))


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@torch.no_grad()
def test_copied_context_is_the_first_state_of_every_layer(cell: str) -> None:
    choices = {"cell": cell, "encoder.bridge": "copy", "decoder.layers": 2, "decoder.context": "initial"}
    model, batch = build(section(**choices)), example()
    state = model.start(batch.source_BS, batch.lengths_B)
    for layer in state.layers:
        torch.testing.assert_close(layer[:, 0, :8], state.memory.summary_BM)
        assert not layer[:, 0, 8:].any()


def test_no_parameters_for_what_a_member_lacks() -> None:
    """Tied tables are stored once; a decoder that never sees its output has no table for it."""
    names = {
        choice: set(dict(build(section(**choices)).named_parameters()))
        for choice, choices in {
            "untied": {},
            "target": {"tied": "target"},
            "all": {"tied": "all"},
            "blind": {"decoder.context": "initial", "decoder.feed_previous": False},
            "every step": {"decoder.context": "every_step"},
        }.items()
    }
    assert {"encoder.embedding.weight", "embedding.weight", "output.weight"} <= names["untied"]
    assert names["untied"] - names["target"] == {"output.weight"}
    assert names["untied"] - names["all"] == {"output.weight", "embedding.weight"}
    assert not any("embedding" in name for name in names["blind"] - {"encoder.embedding.weight"})
    assert not any("dense" in name for name in names["every step"] if name.startswith("decoder.bridges"))

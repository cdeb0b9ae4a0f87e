"""Outputs: the pointer-generator by its formula, where its weights are extreme, and its loss in chunks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from family import TARGET_SIZE, Example, build, example, section, unrolled
from torch import Tensor

from s2s_cli.model import output as outputs
from s2s_cli.model.output import CopyOutput, Decoded
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.text.tokenizer import BOS, EOS, PAD, UNK

TARGETS = torch.tensor([[7, 4, 9, 4, EOS], [5, EOS, 12, 12, 12], [6, 7, EOS, 12, 12]])
VALID = torch.tensor([[True] * 5, [True] * 2 + [False] * 3, [True] * 3 + [False] * 2])


def copying(**choices: object) -> Seq2Seq:
    return build(section(output="copy", **choices))


def source(*rows: list[int]) -> Example:
    """A batch of these sentences."""
    longest = max(map(len, rows))
    source_BS = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
    return example()._replace(source_BS=source_BS, lengths_B=torch.tensor([len(row) for row in rows]))


SENTENCES = source([5, 9, 5, 6, EOS], [8, UNK, BOS, EOS], [EOS])


def by_the_formula(model: Seq2Seq, batch: Example) -> np.ndarray:
    """p [B, T, V], word by word."""
    decoded, output = model(*batch), model.output
    assert isinstance(output, CopyOutput)
    probabilities = torch.softmax(output(decoded.readout_BXR), dim=-1).numpy()
    gates = torch.sigmoid(output.gate(decoded.evidence()))[..., 0].numpy()
    assert decoded.features.attention_BXS is not None
    attention = decoded.features.attention_BXS.numpy()
    for b, t in np.ndindex(*gates.shape):
        words = batch.source_BS[b, : batch.lengths_B[b]].tolist()
        shares = [(word, (1 - gates[b, t]) * attention[b, t, j]) for j, word in enumerate(words) if word > EOS]
        probabilities[b, t] *= 1 - sum(share for _, share in shares)
        for word, share in shares:
            probabilities[b, t, word] += share
    return probabilities


@pytest.mark.parametrize("query", ["previous", "current"])
@torch.no_grad()
def test_it_is_the_formula_of_the_paper(query: str) -> None:
    model = copying(**{"attention.query": query})
    found = unrolled(model, SENTENCES).exp()
    np.testing.assert_allclose(found, by_the_formula(model, SENTENCES), rtol=1e-10)
    np.testing.assert_allclose(found.sum(dim=-1), 1, rtol=1e-12)


def with_gate(model: Seq2Seq, bias: float) -> Seq2Seq:
    """Which copies (very negative) or writes (very positive), whatever it sees."""
    assert isinstance(model.output, CopyOutput)
    with torch.no_grad():
        model.output.gate.weight.zero_()
        model.output.gate.bias.fill_(bias)
    return model


@torch.no_grad()
def test_a_gate_that_only_copies_puts_all_on_the_words_of_the_source() -> None:
    probabilities = unrolled(with_gate(copying(), -60.0), source([5, 9, 5, 6], [9], [6, 6])).exp()
    torch.testing.assert_close(probabilities[:, :, [5, 6, 9]].sum(dim=-1), torch.ones(3, 5, dtype=torch.double))


@torch.no_grad()
def test_special_symbols_are_never_copied() -> None:
    plain = torch.log_softmax(copying().output(copying()(*SENTENCES).readout_BXR), dim=-1)
    found = unrolled(with_gate(copying(), -60.0), SENTENCES)
    torch.testing.assert_close(found[2], plain[2])  # [EOS] has nothing to copy
    for symbol in (PAD, UNK, BOS, EOS):
        assert (found[1, :, symbol] < plain[1, :, symbol]).all()


@torch.no_grad()
def test_what_is_forbidden_is_neither_written_nor_copied() -> None:
    for model in (build(section()), with_gate(copying(), -60.0), with_gate(copying(), 0.0)):
        model.forbid([5, 8])
        log_probs = unrolled(model, source([5, 9, 5, 6], [8, 8], [5, EOS]))
        assert (log_probs[:, :, [5, 8]] == -torch.inf).all()
        torch.testing.assert_close(log_probs.exp().sum(dim=-1), torch.ones(3, 5, dtype=torch.double))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("bias", [-1e4, -100.0, 0.0, 100.0, 1e4])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_extreme_weights_give_finite_losses_and_gradients(kind: torch.dtype, bias: float, scale: float) -> None:
    model = with_gate(copying().float(), bias)
    with torch.no_grad():
        model.output.weight.mul_(scale)
    batch = source([5, 9, 5, 6, EOS], [8, UNK, BOS, 4], [EOS])
    with torch.autocast("cpu", kind, enabled=kind != torch.float32):
        loss, _ = model.output.loss(model(*batch), TARGETS, VALID, 0.1)
    assert loss.isfinite()
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())
    with torch.inference_mode():
        log_probs = unrolled(model.to(kind), batch)
    assert log_probs.isfinite().all() and log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(dim=-1), torch.ones(3, 5), rtol=0, atol=1e-4)


def plain_loss(model: Seq2Seq, decoded: Decoded, smoothing: float) -> Tensor:
    """The label-smoothed cross-entropy of log-probabilities that are all written out."""
    log_probs_NV = model.output.log_probs(decoded)[VALID]
    wanted_NV = torch.full_like(log_probs_NV, smoothing / TARGET_SIZE)
    wanted_NV[torch.arange(len(wanted_NV)), TARGETS[VALID]] += 1 - smoothing
    return -(wanted_NV * log_probs_NV).sum()


@pytest.mark.parametrize("kind", outputs.OUTPUTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [3, 1000])
def test_the_loss_is_that_of_the_log_probabilities(
    kind: str, smoothing: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "CHUNK", chunk)
    model = build(section(output=kind))
    parameters = list(model.parameters())
    loss, nll = model.output.loss(model(*SENTENCES), TARGETS, VALID, smoothing)
    expected = plain_loss(model, model(*SENTENCES), smoothing)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(nll, plain_loss(model, model(*SENTENCES), 0.0).detach(), rtol=1e-12, atol=0)
    gradients, plain = (torch.autograd.grad(each, parameters) for each in (loss, expected))
    torch.testing.assert_close(gradients, plain, rtol=1e-9, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("kind", outputs.OUTPUTS)
def test_no_valid_position_has_no_loss(kind: str) -> None:
    model = build(section(output=kind))
    loss, nll = model.output.loss(model(*SENTENCES), TARGETS, torch.zeros_like(VALID), 0.1)
    assert loss == nll == 0

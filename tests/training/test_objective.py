"""Objectives: R-Drop by the formula of its paper, in every way in which a batch is divided, and resumed bit for bit."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from tiny import SYMBOLS, batch_of, random_batches, random_pairs, tiny_model, tiny_trainer
from torch import Tensor, nn
from torch.nn import functional

from s2s_cli.forms import fields
from s2s_cli.model import output as outputs
from s2s_cli.model.dropout import Dropout
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe.schema import Attention
from s2s_cli.recipe.schema.training import CrossEntropy as CrossEntropyKeys
from s2s_cli.recipe.schema.training import MinimumRisk as MinimumRiskKeys
from s2s_cli.recipe.schema.training import RDrop as RDropKeys
from s2s_cli.text.similarity import UTILITIES
from s2s_cli.training.batches import Batch
from s2s_cli.training.loss import sequence_loss, shift_right
from s2s_cli.training.objective import OBJECTIVES, CrossEntropy, RDrop
from s2s_cli.training.trainer import Trainer

OUTPUTS = {
    "softmax": {},
    "copy": {"output": "copy"},
    "coverage": {"output": "copy", "attention": Attention(size=8, coverage=True, coverage_loss=0.7)},
}
each_output = pytest.mark.parametrize("output", OUTPUTS)


def model_of(output: str) -> Seq2Seq:
    """With dropout, in float64."""
    return tiny_model(0.4, **OUTPUTS[output]).double().train()


def by_the_paper(model: Seq2Seq, batch: Batch, smoothing: float, alpha: float) -> tuple[Tensor, Tensor]:
    """Half of equation 4 of Liang et al. 2021, sentence by sentence; and the mean −log p of both passes."""
    twice = batch.repeat(2)
    decoded = model(twice.source_BS, twice.source_lengths_B, shift_right(twice.target_BT))
    log_probs_BTV = model.output.log_probs(decoded)
    repeated_BT = model.decoder.coverage_loss(decoded.features)
    pairs, total, nll = len(batch.pairs), torch.zeros((), dtype=torch.double), torch.zeros((), dtype=torch.double)
    for row, length in enumerate(batch.target_lengths_B):
        p, q = log_probs_BTV[row, :length], log_probs_BTV[pairs + row, :length]
        for each, place in ((p, row), (q, pairs + row)):
            likelihood = functional.nll_loss(each, batch.target_BT[row, :length], reduction="sum")
            total = total + (1 - smoothing) * likelihood - smoothing * each.mean(dim=1).sum()
            nll = nll + likelihood
            if repeated_BT is not None:
                total = total + repeated_BT[place, :length].sum()
        kl = [functional.kl_div(b, a, reduction="sum", log_target=True) for a, b in ((p, q), (q, p))]
        total = total + alpha * sum(kl) / 2
    return total / 2, nll / 2


def test_the_recipe_knows_every_objective() -> None:
    sections = (CrossEntropyKeys, RDropKeys, MinimumRiskKeys)
    kinds = [get_args(fields(section)["kind"])[0] for section in sections]
    assert kinds == list(OBJECTIVES)
    assert set(get_args(fields(MinimumRiskKeys)["metric"])) == set(UTILITIES)


@each_output
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_r_drop_is_the_formula_of_the_paper(output: str, smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "CHUNK", 16)
    model, batch = model_of(output), batch_of(random_pairs(7))
    parameters = list(model.parameters())
    torch.manual_seed(1)
    expected, nll = by_the_paper(model, batch, smoothing, alpha=3.0)
    torch.manual_seed(1)
    loss = RDrop(smoothing, alpha=3.0)(model, batch)
    torch.testing.assert_close(loss.smoothed, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(loss.nll, nll.detach(), rtol=1e-10, atol=0)
    assert loss.tokens == batch.target_lengths_B.sum()
    ours, theirs = (torch.autograd.grad(each, parameters) for each in (loss.smoothed, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-12)


@each_output
def test_without_dropout_r_drop_is_the_cross_entropy(output: str) -> None:
    model, batch = model_of(output).eval(), batch_of(random_pairs(7))
    ours, plain = RDrop(0.1, alpha=5.0)(model, batch), CrossEntropy(0.1)(model, batch)
    torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(plain, sequence_loss(model, batch, 0.1), rtol=0, atol=0)


def test_r_drop_pulls_both_predictions_together() -> None:
    """What dropout changes in predictions is less after a training with it."""
    spread = []
    for objective in (CrossEntropy(0.0), RDrop(0.0, alpha=5.0)):
        trainer = tiny_trainer(dropout=0.3, objective=objective)
        batches = random_batches(3)
        for _ in range(20):
            trainer.update(batches)
        torch.manual_seed(2)
        with torch.no_grad():
            both = [sequence_loss(trainer.model, batches[0].repeat(20), 0.0, weight).smoothed for weight in (1.0, 1e-9)]
        spread.append(float(both[0] - both[1]))
    assert spread[1] < 0.7 * spread[0]


# ------------------------------------------------------------------------------------- however a batch is divided


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> int:
    torch.set_num_threads(request.param)
    return request.param


class SameMask(nn.Module):
    """Dropout that depends on the place in a sentence and in the repeated batch alone: zero in the second half."""

    def forward(self, values_BXN: Tensor) -> Tensor:
        scale = torch.ones(len(values_BXN), 1, 1, dtype=values_BXN.dtype)
        scale[len(values_BXN) // 2 :, :, :] = 0.5
        return values_BXN * scale


def test_threads_divide_the_pairs_not_the_passes(threads: int) -> None:
    """With a dropout that is a function of the pass, the update is that of one thread and of parts one by one."""
    pairs, weights = random_pairs(7), []
    for count, cuts in ((threads, [7]), (1, [7]), (1, [3, 4])):
        torch.set_num_threads(count)
        trainer = tiny_trainer(objective=RDrop(0.1, alpha=2.0))
        trainer.model.double()
        trainer.model.embedding_dropout = trainer.model.state_dropout = SameMask()  # type: ignore[assignment]
        rest, batches = list(pairs), []
        for size in cuts:
            batches.append(batch_of(rest[:size]))
            rest = rest[size:]
        for _ in range(3):
            trainer.update(batches)
        weights.append(dict(trainer.model.state_dict()))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weights[2], weights[1], rtol=1e-9, atol=1e-12)


def test_with_all_noise_a_restored_trainer_goes_on_bit_for_bit(threads: int, stop: int = 5) -> None:
    def trained(batches: list[Batch]) -> Trainer:
        trainer = tiny_trainer(dropout=0.3, average=True, objective=RDrop(0.1, alpha=5.0))
        trainer.model.word_dropout.threshold = trainer.model.encoder.word_dropout.threshold = 60
        for batch in batches:
            trainer.update([batch])
        return trainer

    batches = random_batches(8)
    whole = trained(batches)
    snapshot = trained(batches[:stop]).snapshot()
    second = trained(batches[:2])  # whatever it was before
    second.restore(snapshot)
    for batch in batches[stop:]:
        second.update([batch])
    ours, theirs = second.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_two_passes_draw_masks_of_their_own() -> None:
    model = model_of("softmax")
    assert any(isinstance(module, Dropout) and module.threshold for module in model.modules())
    batch = batch_of(random_pairs(5))
    torch.manual_seed(1)
    diverging, plain = (sequence_loss(model, batch.repeat(2), 0.0, weight).smoothed for weight in (1.0, 0.0))
    assert diverging > plain + 0.01 * SYMBOLS

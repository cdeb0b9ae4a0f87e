"""The training loss against PyTorch's own, and that padding never matters."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import SYMBOLS, batch_of, random_pairs, tiny_model

from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe.schema import Attention
from s2s_cli.text.tokenizer import BOS, EOS, PAD
from s2s_cli.training.batches import Batch
from s2s_cli.training.loss import sequence_loss, shift_right


def plain_loss(model, batch: Batch, smoothing: float) -> torch.Tensor:
    """The same by `F.cross_entropy`, pair by pair and without any padding."""
    total = torch.zeros((), dtype=torch.float64)
    for row, (S, T) in enumerate(zip(batch.source_lengths_B, batch.target_lengths_B, strict=True)):
        target_1T = batch.target_BT[row : row + 1, :T]
        previous_1T = torch.cat([torch.tensor([[BOS]]), target_1T[:, :-1]], dim=1)
        readout_TR = model(batch.source_BS[row : row + 1, :S], S[None], previous_1T).readout_BXR[0]
        total += F.cross_entropy(model.output(readout_TR), target_1T[0], label_smoothing=smoothing, reduction="sum")
    return total


def copier(coverage_loss: float) -> Seq2Seq:
    return tiny_model(output="copy", attention=Attention(size=8, coverage=True, coverage_loss=coverage_loss))


def wider(batch: Batch, source: int, target: int) -> Batch:
    """The batch with more columns of padding."""
    return Batch(
        F.pad(batch.source_BS, (0, source), value=PAD),
        batch.source_lengths_B,
        F.pad(batch.target_BT, (0, target), value=PAD),
        batch.target_lengths_B,
        batch.pairs,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_it_is_the_label_smoothed_cross_entropy_of_all_targets(smoothing: float):
    model, batch = tiny_model().double(), batch_of(random_pairs(6))
    loss, expected = sequence_loss(model, batch, smoothing), plain_loss(model, batch, smoothing)
    torch.testing.assert_close(loss.smoothed, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss.nll, plain_loss(model, batch, 0.0).detach(), rtol=1e-12, atol=1e-12)
    assert loss.tokens == batch.target_lengths_B.sum()
    parameters = list(model.parameters())
    gradients, plain = (torch.autograd.grad(each, parameters) for each in (loss.smoothed, expected))
    torch.testing.assert_close(gradients, plain, rtol=1e-10, atol=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 5))
def test_padding_changes_nothing(source: int, target: int, seed: int):
    model, batch = tiny_model().double(), batch_of(random_pairs(4, seed))
    narrow, wide = sequence_loss(model, batch, 0.1), sequence_loss(model, wider(batch, source, target), 0.1)
    torch.testing.assert_close(wide, narrow, rtol=1e-12, atol=1e-12)


def test_the_loss_of_a_batch_is_the_sum_of_its_pairs():
    model, pairs = tiny_model().double(), random_pairs(7)
    alone = [sequence_loss(model, batch_of([pair]), 0.1) for pair in pairs]
    together = sequence_loss(model, batch_of(pairs), 0.1)
    torch.testing.assert_close(together.smoothed, sum(loss.smoothed for loss in alone), rtol=1e-12, atol=0)
    assert together.tokens == sum(loss.tokens for loss in alone)


def test_repeated_attention_costs_what_the_recipe_says():
    model, batch = copier(1.5).double(), batch_of(random_pairs(7))
    without, repeated_BT = copier(0.0).double(), torch.zeros(())
    without.load_state_dict(model.state_dict())
    decoded = model(batch.source_BS, batch.source_lengths_B, shift_right(batch.target_BT))
    for row, length in enumerate(batch.target_lengths_B):
        attention_TS = decoded.features.attention_BXS[row, :length]
        past_TS = torch.stack([attention_TS[:t].sum(dim=0) for t in range(length)])
        repeated_BT = repeated_BT + torch.minimum(attention_TS, past_TS).sum()
    costly, plain = sequence_loss(model, batch, 0.1), sequence_loss(without, batch, 0.1)
    torch.testing.assert_close(costly.smoothed, plain.smoothed + 1.5 * repeated_BT, rtol=1e-12, atol=0)
    assert costly.nll == plain.nll


def test_an_untrained_model_knows_about_nothing():
    loss = sequence_loss(tiny_model(), batch_of(random_pairs(50)), 0.0)
    assert float(loss.nll) / loss.tokens == pytest.approx(torch.tensor(SYMBOLS).log().item(), abs=0.5)


def test_what_goes_in_is_what_comes_out_one_step_later():
    target_BT = torch.tensor([[7, 8, EOS, PAD], [9, EOS, PAD, PAD]])
    assert shift_right(target_BT).tolist() == [[BOS, 7, 8, EOS], [BOS, 9, EOS, PAD]]

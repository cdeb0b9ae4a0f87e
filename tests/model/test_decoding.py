"""What leaves a PyTorch model for the search: arrays, of the model's number type, without a record for gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from family import MEMBERS, SOURCE_SIZE, TARGET_SIZE, build, section

from s2s_cli.data.batches import padded
from s2s_cli.model.building import build_model
from s2s_cli.model.decoding import GROUP, Decoding, DecodingStep, greatest, mean_probability
from s2s_cli.model.seq2seq import Prediction, Seq2Seq
from s2s_cli.search import step_model
from s2s_cli.text.tokenizer import BOS, EOS


def first_step(dtype: torch.dtype) -> DecodingStep:
    model = Decoding(build(next(iter(MEMBERS.values()))).to(dtype))
    step, _ = model.step(np.full((2, 1), BOS), model.start(*padded([[5, 6, 7], [4]])))
    return step


def random_step(seed: int, vocabulary: int) -> DecodingStep:
    logits_BKV = torch.randn(3, 4, vocabulary, generator=torch.Generator().manual_seed(seed))
    return DecodingStep(Prediction(logits_BKV.log_softmax(2), None))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.float64, np.float64), (torch.float32, np.float32), (torch.bfloat16, np.float32)],
    ids=str,
)
def test_log_probabilities_are_at_least_float32(dtype: torch.dtype, expected: type) -> None:
    step = first_step(dtype)
    log_probs_BKC, symbols_BKC, ends_BK = step.best(EOS + 1, 3, EOS)
    assert log_probs_BKC.dtype == ends_BK.dtype == step.log_probs().dtype == expected
    assert step.log_probs_of(np.arange(2), np.full(2, EOS)).dtype == expected
    assert symbols_BKC.dtype == np.int64


def test_nothing_is_recorded_for_gradients() -> None:
    step = first_step(torch.float32)
    assert step.prediction.log_probs_BKV.is_inference()


@pytest.mark.parametrize("size", [1, GROUP, 9 * GROUP, 9 * GROUP + 17])
@pytest.mark.parametrize("count", [0, 1, 5, 70])
def test_the_greatest_are_those_of_a_sort(size: int, count: int) -> None:
    values_BKV = torch.randn(2, 3, size, generator=torch.Generator().manual_seed(size))
    before = values_BKV.clone()
    found_BKC, indices_BKC = greatest(values_BKV, count)
    assert torch.equal(found_BKC, values_BKV.sort(dim=2, descending=True).values[:, :, :count])
    assert torch.equal(values_BKV.gather(2, indices_BKC), found_BKC)
    assert torch.equal(values_BKV, before)


def test_it_answers_as_the_plain_step_does() -> None:
    steps = [random_step(seed, vocabulary=700) for seed in range(3)]
    plain = [step_model.Prediction(step.log_probs(), None) for step in steps]
    rows_P, symbols_P = np.random.default_rng(1).integers(0, [[6], [700]], (2, 20))
    np.testing.assert_array_equal(steps[0].log_probs_of(rows_P, symbols_P), plain[0].log_probs_of(rows_P, symbols_P))
    for found, expected in zip(steps[0].best(EOS, 5, EOS), plain[0].best(EOS, 5, EOS), strict=True):
        np.testing.assert_array_equal(found, expected)
    for others in (steps, [steps[0], *plain[1:]]):
        found, expected = (first.best_of_mean(others, EOS + 1, 5, EOS) for first in (steps[0], plain[0]))
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
        np.testing.assert_allclose(found[2], expected[2], rtol=1e-5)


def test_both_means_of_probabilities_agree_where_a_symbol_is_impossible() -> None:
    log_probs = torch.tensor([[[[-torch.inf, -0.5, -torch.inf]]], [[[-torch.inf, -3.0, -0.1]]]])
    plain = step_model.mean_probability(list(log_probs.numpy()))
    np.testing.assert_allclose(plain, mean_probability(list(log_probs)), rtol=1e-6)
    assert plain[0, 0, 0] == -np.inf


LONG = 150  # steps


def remembering(cell: str) -> Seq2Seq:
    """A fresh model in bfloat16 whose decoder keeps most of its state at each step, and which the fused kernel fits."""
    torch.manual_seed(1)
    sizes = {"embedding": 64, "encoder.hidden": 32, "decoder.hidden": 64}
    member = section(cell=cell, **sizes, **{"attention.query": "current", "attention.input_feeding": False})
    model = build_model(member, SOURCE_SIZE, TARGET_SIZE, "fused").bfloat16().eval()
    bottom = model.decoder.stack.bottom
    with torch.no_grad():
        if cell == "gru":
            bottom.recurrent.bias[64:128] = 7.0
        else:
            bottom.forget_bias.fill_(7.0)
    return model


@pytest.mark.parametrize("cell", ["gru", "ssru", "sru", "mingru"])
@torch.inference_mode()
def test_after_many_steps_in_bfloat16_decoding_is_as_exact_as_training(cell: str) -> None:
    model, draw = remembering(cell), torch.Generator().manual_seed(1)
    source = torch.randint(4, SOURCE_SIZE, (4, 9), generator=draw), torch.full((4,), 9)
    previous_BT = torch.randint(4, TARGET_SIZE, (4, LONG), generator=draw)
    exact = copy.deepcopy(model).double()
    expected_BTV = exact.output.log_probs(exact(*source, previous_BT))
    state, found = model.start(*source), []
    for previous_B1 in previous_BT.split(1, dim=1):
        prediction, state = model.step(previous_B1, state)
        found.append(prediction.log_probs_BKV)
    last = slice(LONG // 2, None)
    decoded, trained = torch.cat(found, dim=1), model.output.log_probs(model(*source, previous_BT))
    errors = [(each - expected_BTV)[:, last].square().mean().sqrt().item() for each in (decoded, trained)]
    assert errors[0] < 1.5 * errors[1]


@torch.inference_mode()
def test_after_many_steps_in_bfloat16_coverage_is_the_sum_of_the_attention() -> None:
    model = build(section(**{"attention.coverage": True})).bfloat16().eval()
    state, paid_S = model.start(torch.tensor([[4, 5, 6, 7, 8]]), torch.tensor([5])), torch.zeros(5, dtype=torch.double)
    for step in range(LONG):
        prediction, state = model.step(torch.tensor([[4 + step % 3]]), state)
        paid_S += prediction.attention_BKS[0, 0]
    torch.testing.assert_close(state.past_BKS[0, 0].double(), paid_S, rtol=1e-4, atol=0)

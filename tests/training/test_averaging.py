"""Averages of weights against their plain formulas."""

from __future__ import annotations

import pytest
import torch
from tiny import tiny_model
from torch import Tensor, nn

from s2s_cli.training.averaging import EVERY, MovingAverage, mean_weights


def walk(model: nn.Linear, average: MovingAverage, updates: int) -> list[Tensor]:
    """Random weights at each update; what they were."""
    weights = []
    for update in range(1, updates + 1):
        with torch.no_grad():
            model.weight.normal_()
        average.refresh(model, update)
        weights.append(model.weight.detach().clone())
    return weights


@pytest.mark.parametrize("updates", [EVERY, EVERY + 1, 2 * EVERY, 3 * EVERY - 1, 30 * EVERY])
def test_the_moving_average_is_the_mean_of_trained_weights_by_its_formula(updates: int):
    """Weights after refresh k have the share (1 − d_k) Π_{j > k} d_j, over the sum of all such shares."""
    torch.manual_seed(1)
    model = nn.Linear(3, 4).double()
    nn.init.constant_(model.weight, 1e6)  # the start: where it has a share, that is seen
    average = MovingAverage(model, decay=0.95)
    refreshed = walk(model, average, updates)[EVERY - 1 :: EVERY]
    counts = EVERY * torch.arange(1, len(refreshed) + 1, dtype=torch.double)
    kept = ((1 + counts) / (10 + counts)).clamp(max=0.95) ** EVERY
    shares = (1 - kept) * kept.flip(0).cumprod(0).roll(1).index_fill(0, torch.tensor(0), 1.0).flip(0)
    expected = torch.einsum("k,kij->ij", shares / shares.sum(), torch.stack(refreshed))
    torch.testing.assert_close(average.of(model)["weight"], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("updates", range(EVERY))
def test_before_the_first_refresh_the_average_is_the_model_as_it_is(updates: int):
    model = nn.Linear(3, 4)
    average = MovingAverage(model, decay=0.95)
    walk(model, average, updates)
    assert torch.equal(average.of(model)["weight"], model.weight)


def test_a_refresh_now_and_then_is_the_average_of_every_update_when_weights_stand_still():
    torch.manual_seed(1)
    model = nn.Linear(3, 4).double()
    average = MovingAverage(model, decay=0.95)
    start = average.weights["weight"].clone()
    average.start = 0.0  # as after many updates
    with torch.no_grad():
        model.weight.normal_()
    for update in range(1000 * EVERY, 1001 * EVERY):
        average.refresh(model, update + 1)
    expected = 0.95**EVERY * start + (1 - 0.95**EVERY) * model.weight
    torch.testing.assert_close(average.weights["weight"], expected, rtol=0, atol=1e-12)


def test_the_average_shares_no_memory_with_the_model_or_with_what_it_is_restored_from():
    model = nn.Linear(3, 4)
    average = MovingAverage(model, decay=0.9)
    given = {name: tensor + 1 for name, tensor in average.weights.items()}
    before = {name: tensor.clone() for name, tensor in given.items()}
    average.restore(given, 0.5)
    walk(model, average, 2 * EVERY)
    assert all(torch.equal(given[name], before[name]) for name in given)
    assert not torch.equal(average.weights["weight"], before["weight"])


def test_the_mean_of_weights_is_the_mean():
    torch.manual_seed(2)
    checkpoints = [{"a": torch.randn(3, 4), "b": torch.randn(5).bfloat16()} for _ in range(5)]
    mean = mean_weights(iter(checkpoints))
    for name, tensor in mean.items():
        exact = torch.stack([weights[name].double() for weights in checkpoints]).mean(0)
        assert tensor.dtype == checkpoints[0][name].dtype
        assert torch.equal(tensor, exact.to(tensor.dtype))


def test_the_mean_of_one_is_itself_to_the_last_bit():
    weights = {"a": torch.randn(7), "d": torch.randn(7, dtype=torch.float64)}
    mean = mean_weights([weights])
    assert all(torch.equal(mean[name], weights[name]) for name in weights)


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 1), (1, 0, 0)])
def test_a_further_name_of_a_table_that_only_older_checkpoints_have_is_left_out(order: tuple[int, ...]):
    older, newer = {"a": torch.ones(2), "further": torch.ones(2)}, {"a": torch.full((2,), 3.0)}
    mean = mean_weights([(older, newer)[index] for index in order])
    assert mean.keys() == {"a"}
    assert torch.allclose(mean["a"], torch.tensor(sum((1.0, 3.0)[index] for index in order) / len(order)))


def test_the_mean_leaves_what_it_was_given_as_it_was():
    weights = {"a": torch.ones(2, dtype=torch.float64)}
    mean_weights([weights, {"a": torch.zeros(2, dtype=torch.float64)}])
    assert weights["a"].tolist() == [1, 1]


def test_a_tied_table_is_averaged_once():
    model = tiny_model(tied="all")
    assert MovingAverage(model, 0.9).weights.keys() == dict(model.named_parameters()).keys()

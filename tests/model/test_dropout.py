"""Dropout: how much it keeps, what it scales, and where its masks are shared."""

from __future__ import annotations

import pytest
import torch
from family import build, example, section, unrolled

from s2s_cli.model.dropout import Dropout, random_bytes

ONES = torch.ones(40, 50, 100)


def dropped(probability: float, *, variational: bool = False, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(probability, variational)(ONES)


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.5, 0.9])
def test_the_share_that_is_kept_and_its_scale(probability: float) -> None:
    values = dropped(probability)
    exact = round(probability * 256) / 256
    kept = (values != 0).double().mean().item()
    deviation = (exact * (1 - exact) / values.numel()) ** 0.5
    assert abs(kept - (1 - exact)) < 5 * deviation
    assert abs(exact - probability) <= 1 / 512
    torch.testing.assert_close(values[values != 0].unique(), torch.tensor([1 / (1 - exact)]))


@pytest.mark.parametrize("probability", [0.01, 0.2, 0.37, 0.5])
def test_the_mean_is_preserved(probability: float) -> None:
    values = dropped(probability).double()
    assert abs(values.mean() - 1) < 5 * values.std() / values.numel() ** 0.5


def test_a_probability_just_below_one_keeps_something() -> None:
    values = dropped(0.9999)
    assert values.isfinite().all()
    assert values.any()


def test_a_variational_mask_is_the_same_at_all_positions_of_a_sentence_and_no_other() -> None:
    values = dropped(0.5, variational=True)
    assert torch.equal(values, values[:, :1].expand_as(values))
    assert len(values[:, 0].unique(dim=0)) == len(values)


def test_without_it_every_position_has_a_mask_of_its_own() -> None:
    assert len(dropped(0.5).flatten(0, 1).unique(dim=0)) == 40 * 50


def test_evaluation_and_probability_zero_change_nothing() -> None:
    assert Dropout(0.5).eval()(ONES) is ONES
    assert Dropout(0.0)(ONES) is ONES


def test_the_seed_decides() -> None:
    assert torch.equal(dropped(0.3, seed=4), dropped(0.3, seed=4))
    assert not torch.equal(dropped(0.3, seed=4), dropped(0.3, seed=5))


def test_the_gradient_passes_where_values_pass() -> None:
    values = torch.randn(4, 5, 6, dtype=torch.double, requires_grad=True)

    def same_mask(given: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        return Dropout(0.4)(given)

    assert torch.autograd.gradcheck(same_mask, values)


def test_random_bytes_are_uniform_at_each_place_of_the_draw() -> None:
    torch.manual_seed(1)
    counts = torch.stack([place.bincount(minlength=256) for place in random_bytes((100_000, 8), ONES.device).int().T])
    expected = 100_000 / 256
    chi_square = ((counts - expected).square() / expected).sum(dim=1)
    assert (chi_square < 255 + 5 * (2 * 255) ** 0.5).all()


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 5, 7), (2, 0)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    assert random_bytes(shape, ONES.device).shape == shape
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("variational", [False, True])
def test_each_place_of_the_model_draws_in_training_only(variational: bool) -> None:
    everywhere = {f"dropout.{place}": 0.5 for place in ("embedding", "state", "readout")}
    model = build(section(**everywhere, **{"dropout.variational": variational, "decoder.layers": 2}))
    batch = example()
    evaluated = unrolled(model, batch)
    assert torch.equal(evaluated, unrolled(model, batch))
    places = {name: module for name, module in model.train().named_modules() if isinstance(module, Dropout)}
    assert len(places) == 6  # encoder: embedding, states; decoder: embedding, between layers, states, readout
    for chosen in places.values():
        for place in places.values():
            place.threshold = 128 if place is chosen else 0
        torch.manual_seed(1)
        first, second = unrolled(model, batch), unrolled(model, batch)
        torch.manual_seed(1)
        assert torch.equal(first, unrolled(model, batch))
        assert not torch.equal(first, second)
        assert not torch.equal(first, evaluated)

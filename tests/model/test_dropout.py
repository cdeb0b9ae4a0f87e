"""Dropout: how much it keeps, what it scales, and where its masks are shared."""

from __future__ import annotations

import pytest
import torch
from family import MEMBERS, SOURCE_SIZE, TARGET_SIZE, build, example, section, unrolled

from s2s_cli.model import dropout
from s2s_cli.model.dropout import Dropout, WordDropout, random_bytes
from s2s_cli.recipe import schema
from s2s_cli.text.tokenizer import EOS

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


def test_the_least_probability_of_a_recipe_drops_something() -> None:
    assert Dropout(schema.LEAST_DROPOUT).threshold == WordDropout(schema.LEAST_DROPOUT).threshold == 1
    assert Dropout(0.0019).threshold == 0


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


# ---------------------------------------------------------------------------------------------------------- whole words


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.9])
def test_words_are_dropped_as_a_whole_and_the_others_are_not_scaled(probability: float) -> None:
    torch.manual_seed(1)
    symbols_BX = torch.randint(EOS + 1, 50, (80, 90))
    values = WordDropout(probability)(torch.ones(80, 90, 3), symbols_BX)
    assert torch.equal(values, values[..., :1].expand_as(values))
    assert values.unique().tolist() == [0, 1]
    exact = round(probability * 256) / 256
    assert abs(values[..., 0].mean() - (1 - exact)) < 5 * (exact * (1 - exact) / symbols_BX.numel()) ** 0.5


def test_special_symbols_are_kept() -> None:
    symbols_BX = torch.arange(EOS + 2).repeat(100, 1)
    values = WordDropout(0.99)(torch.ones(100, EOS + 2, 1), symbols_BX)
    assert values[:, : EOS + 1].all()
    assert not values[:, EOS + 1].all()


def test_words_are_dropped_in_training_only() -> None:
    values, symbols = torch.ones(9, 9, 2), torch.full((9, 9), 7)
    assert WordDropout(0.9).eval()(values, symbols) is values
    assert WordDropout(0.0)(values, symbols) is values


@torch.no_grad()
@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("kernel", ["reference", "fused"])
@pytest.mark.parametrize(
    "member",
    [
        pytest.param(member, id=name, marks=[pytest.mark.slow] * (place % 4 > 0))
        for place, (name, member) in enumerate(MEMBERS.items())
        if member.decoder.feed_previous
    ],
)
def test_a_model_cannot_read_dropped_words_whatever_its_parts(
    member: schema.Model, kernel: str, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dropout, "random_bytes", lambda shape, device: torch.zeros(shape, dtype=torch.uint8))
    model, batch = build(member, kernel).train(), example()
    dropped = model.encoder.word_dropout if side == "source" else model.word_dropout
    dropped.threshold = 1  # none is kept
    source_BS, previous_BT = batch.source_BS, batch.previous_BT.clone()
    if side == "source":
        source_BS = 4 + (source_BS - 3) % (SOURCE_SIZE - 4)
    else:
        previous_BT[:, 1:] = 4 + (previous_BT[:, 1:] - 3) % (TARGET_SIZE - 4)
    other = batch._replace(source_BS=source_BS, previous_BT=previous_BT)
    torch.testing.assert_close(model(*other).readout_BXR, model(*batch).readout_BXR, rtol=0, atol=1e-12)
    dropped.threshold = 0
    assert (model(*other).readout_BXR - model(*batch).readout_BXR).abs().max() > 1e-9


@torch.no_grad()
@pytest.mark.parametrize("choices", [{}, {"cell": "ssru", "attention.query": "current"}, {"encoder.layers": 2}])
def test_variational_masks_reach_the_fused_kernel(choices: dict[str, object]) -> None:
    """Both kernels draw the same masks, and give the same with them."""
    keys = {f"dropout.{place}": 0.5 for place in ("embedding", "state", "readout")} | {"dropout.variational": True}
    outputs = []
    for kernel in ("reference", "fused"):
        model = build(section(**keys, **choices), kernel).train()
        torch.manual_seed(1)
        outputs.append(unrolled(model, example()))
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)
